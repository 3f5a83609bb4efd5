//! The cached answers.

use std::hash::RandomState;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use super::answer::CachedAnswer;
use crate::metrics::CacheMetrics;

/// The key of a request.
pub(super) type RequestKey = Arc<[u8]>;

/// The largest age of an answer, whatever callers allow.
const LONGEST: Duration = Duration::from_secs(3600);
/// Shards, each with a lock and a bound of its own. A hit locks its shard for reading only.
const SHARDS: usize = 4;
/// The largest part of the memory for one answer, half of a shard: a few large answers must not evict all others.
const LARGEST_PART: usize = 8;
/// The memory of the cache itself for each answer, in bytes: its entry, its place in the table, and the allocator's
/// overhead.
const OVERHEAD: usize = 192;
/// The table is made for one answer per this many bytes.
const USUAL: usize = 1024;

/// Answers by their requests, within a bound of bytes. The answers that are used least often and least recently are
/// evicted first.
pub(super) struct AnswerStore {
    answers: Cache<RequestKey, Arc<CachedAnswer>, Weight, RandomState>,
    /// Held while an answer is stored: of two answers, the younger one stays.
    keeping: Mutex<()>,
    largest: usize,
    metrics: CacheMetrics,
}

/// The bytes of an answer with its key and overhead.
#[derive(Clone)]
struct Weight;

impl Weighter<RequestKey, Arc<CachedAnswer>> for Weight {
    fn weight(&self, key: &RequestKey, answer: &Arc<CachedAnswer>) -> u64 {
        (key.len() + answer.size() + OVERHEAD) as u64
    }
}

impl AnswerStore {
    /// # Errors
    /// If the table for a cache of this size cannot be made.
    pub(super) fn new(bytes: usize, metrics: CacheMetrics) -> anyhow::Result<Self> {
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(bytes.div_ceil(USUAL))
            .weight_capacity(bytes as u64)
            .build()?;
        // Callers choose the keys: the hash must be one that they cannot predict.
        let answers = Cache::with_options(options, Weight, RandomState::new(), DefaultLifecycle::default());
        Ok(Self { answers, keeping: Mutex::new(()), largest: bytes / LARGEST_PART, metrics })
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Arc<CachedAnswer>> {
        self.answers.get(key).filter(|answer| answer.age() < LONGEST)
    }

    /// Stores an answer, unless it is too large or a younger one is there.
    pub(super) fn keep(&self, key: RequestKey, answer: &Arc<CachedAnswer>) {
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

    /// The bytes of all answers.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.answers.weight()
    }
}
