//! The answers that are kept.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use super::answer::Answer;
use crate::metrics::CacheMetrics;

/// What makes requests the same.
pub(super) type Key = Arc<[u8]>;

/// How long an answer is kept, whatever callers would take: what nobody asked for by then is not wanted.
const LONGEST: Duration = Duration::from_secs(3600);
/// One answer takes at most this part of the memory: a few large ones must not drive out all others.
const LARGEST_PART: usize = 8;
/// What the books of the cache take for each answer, in bytes; measured, rounded up.
const OVERHEAD: usize = 256;

/// Answers by their requests, within a bound of bytes. Which one gives way is told by how often and how lately they were asked for.
pub(super) struct Store {
    answers: Cache<Key, Arc<Answer>>,
    largest: usize,
    metrics: CacheMetrics,
}

impl Store {
    pub(super) fn new(bytes: usize, metrics: CacheMetrics) -> Self {
        let weigher = |key: &Key, answer: &Arc<Answer>| u32::try_from(weight(key, answer)).unwrap_or(u32::MAX);
        let answers = Cache::builder().max_capacity(bytes as u64).weigher(weigher).time_to_live(LONGEST).build();
        Self { answers, largest: bytes / LARGEST_PART, metrics }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Answer>> {
        self.answers.get(key)
    }

    /// Keeps an answer, unless it is too large or a younger one is there.
    pub(super) fn keep(&self, key: Key, answer: &Arc<Answer>) {
        if weight(&key, answer) > self.largest {
            return;
        }
        self.answers.entry(key).and_compute_with(|kept| {
            if kept.is_some_and(|kept| answer.is_older_than(kept.value())) {
                moka::ops::compute::Op::Nop
            } else {
                moka::ops::compute::Op::Put(Arc::clone(answer))
            }
        });
        // The books are kept behind the callers' backs, and are to be right now.
        self.answers.run_pending_tasks();
        self.metrics.set_size(self.answers.entry_count(), self.answers.weighted_size());
    }

    /// What is kept at this moment, in bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.answers.weighted_size()
    }
}

fn weight(key: &Key, answer: &Answer) -> usize {
    key.len() + answer.size() + OVERHEAD
}
