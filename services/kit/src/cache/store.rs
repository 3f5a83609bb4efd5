//! The answers that are kept.

use std::hash::RandomState;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use super::answer::Answer;
use crate::metrics::CacheMetrics;

/// What makes requests the same.
pub(super) type Key = Arc<[u8]>;

/// How long an answer is given, whatever callers would take.
const LONGEST: Duration = Duration::from_secs(3600);
/// Parts that are locked, and bounded, each on its own. A hit locks its part for reading only.
const SHARDS: usize = 4;
/// One answer takes at most this part of the memory, half of a shard: a few large ones must not drive out all others.
const LARGEST_PART: usize = 8;
/// What the books of the cache take for each answer, in bytes: its entry, its place in the table, and what the allocator adds.
const OVERHEAD: usize = 192;
/// For how many answers room is made at first: one for this many bytes.
const USUAL: usize = 1024;

/// Answers by their requests, within a bound of bytes. Which one gives way is told by how often and how lately they were asked for.
pub(super) struct Store {
    answers: Cache<Key, Arc<Answer>, Weight, RandomState>,
    /// Held while an answer is kept: of two, the younger one stays.
    keeping: Mutex<()>,
    largest: usize,
    metrics: CacheMetrics,
}

/// The bytes that an answer takes with all that belongs to it.
#[derive(Clone)]
struct Weight;

impl Weighter<Key, Arc<Answer>> for Weight {
    fn weight(&self, key: &Key, answer: &Arc<Answer>) -> u64 {
        (key.len() + answer.size() + OVERHEAD) as u64
    }
}

impl Store {
    /// # Errors
    /// If the books of a cache of so many bytes cannot be made.
    pub(super) fn new(bytes: usize, metrics: CacheMetrics) -> anyhow::Result<Self> {
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(bytes.div_ceil(USUAL))
            .weight_capacity(bytes as u64)
            .build()?;
        // Callers choose what the keys are: the hash has to be one that they cannot foresee.
        let answers = Cache::with_options(options, Weight, RandomState::new(), DefaultLifecycle::default());
        Ok(Self { answers, keeping: Mutex::new(()), largest: bytes / LARGEST_PART, metrics })
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Arc<Answer>> {
        self.answers.get(key).filter(|answer| answer.age() < LONGEST)
    }

    /// Keeps an answer, unless it is too large or a younger one is there.
    pub(super) fn keep(&self, key: Key, answer: &Arc<Answer>) {
        if Weight.weight(&key, answer) > self.largest as u64 {
            return;
        }
        let _keeping = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        if self.answers.peek(&key).is_some_and(|kept| answer.is_older_than(&kept)) {
            return;
        }
        self.answers.insert(key, Arc::clone(answer));
        self.metrics.set_size(self.answers.len() as u64, self.answers.weight());
    }

    /// What is kept at this moment, in bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.answers.weight()
    }
}
