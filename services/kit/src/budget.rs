//! Memory that callers control: data they sent that is not processed yet, and data for them that they have not read
//! yet. All of it counts against one limit of the process, and each connection has a share of that limit.
//!
//! Data that has arrived is always counted, even beyond the limit; before reading more, a reader asks whether there is
//! room. So a caller that only announces a large message holds nothing, and the limit is exceeded at most by data that
//! was already on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// The transfer timeout of a message while memory is short.
const SHORT_TRANSFER_TIMEOUT: Duration = Duration::from_secs(2);

/// The memory limit of a process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct MemoryBudget(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    most: AtomicUsize,
    used: AtomicUsize,
    refused: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        Self { most: AtomicUsize::new(usize::MAX), used: AtomicUsize::new(0), refused: AtomicU64::new(0) }
    }
}

impl MemoryBudget {
    /// Sets the limit in bytes, before anything is counted.
    pub(crate) fn set_bound(&self, bytes: usize) {
        self.0.most.store(bytes, Ordering::Relaxed);
    }

    /// The limit in bytes.
    pub(crate) fn bound(&self) -> usize {
        self.0.most.load(Ordering::Relaxed)
    }

    /// Bytes held now.
    pub(crate) fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Counts a call that was ended because memory was full.
    pub(crate) fn refuse(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How many calls were ended because memory was full.
    pub(crate) fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// A share of the limit, of at most `bytes`.
    pub fn share(&self, bytes: usize) -> MemoryShare {
        MemoryShare(Arc::new(MemoryShareCounts { budget: self.clone(), most: bytes, used: AtomicUsize::new(0) }))
    }
}

/// The share of a [`MemoryBudget`] that one connection may hold. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MemoryShare(Arc<MemoryShareCounts>);

#[derive(Debug)]
struct MemoryShareCounts {
    budget: MemoryBudget,
    most: usize,
    used: AtomicUsize,
}

impl Default for MemoryShare {
    /// A share without a limit, for a call that has no connection, as in a test.
    fn default() -> Self {
        MemoryBudget::default().share(usize::MAX)
    }
}

impl MemoryShare {
    /// Counts bytes that are already in memory.
    pub fn hold(&self, bytes: usize) -> HeldMemory {
        let mut held = HeldMemory { share: self.clone(), bytes: 0 };
        held.set(bytes);
        held
    }

    /// Whether the connection may read more.
    pub(crate) fn has_room(&self) -> bool {
        self.0.used.load(Ordering::Relaxed) < self.0.most && self.0.budget.used() < self.0.budget.bound()
    }

    /// The transfer timeout of a message: `usual`, or shorter while memory is short.
    pub(crate) fn transfer_timeout(&self, usual: Duration) -> Duration {
        if self.is_scarce() { usual.min(SHORT_TRANSFER_TIMEOUT) } else { usual }
    }

    /// Whether more than half of the limit, or of this share, is used.
    pub(crate) fn is_scarce(&self) -> bool {
        self.0.used.load(Ordering::Relaxed) > self.0.most / 2 || self.0.budget.used() > self.0.budget.bound() / 2
    }

    /// The limit that this is a share of.
    pub(crate) fn budget(&self) -> &MemoryBudget {
        &self.0.budget
    }
}

/// Bytes that count until this is dropped.
#[derive(Debug)]
pub struct HeldMemory {
    share: MemoryShare,
    bytes: usize,
}

impl HeldMemory {
    /// Counts more bytes.
    pub fn add(&mut self, bytes: usize) {
        self.set(self.bytes.saturating_add(bytes));
    }

    /// Sets the number of bytes counted.
    pub fn set(&mut self, bytes: usize) {
        let MemoryShareCounts { budget, used, .. } = &*self.share.0;
        for used in [used, &budget.0.used] {
            if bytes >= self.bytes {
                used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
            } else {
                used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            }
        }
        self.bytes = bytes;
    }

    /// The number of bytes counted.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for HeldMemory {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_counts_twice_and_comes_back() {
        let budget = MemoryBudget::default();
        budget.set_bound(100);
        let (one, another) = (budget.share(40), budget.share(80));
        let mut first = one.hold(39);
        assert!(one.has_room());
        first.add(1);
        assert!(!one.has_room() && another.has_room(), "one share does not limit another");
        let second = another.hold(60);
        assert!(!another.has_room(), "the budget is full, but the share is not");
        assert_eq!((first.bytes(), budget.used()), (40, 100));
        first.set(10);
        assert_eq!(budget.used(), 70);
        drop(second);
        drop(first);
        assert_eq!(budget.used(), 0);
        assert!(one.has_room() && another.has_room());
    }

    #[test]
    fn who_is_slow_has_less_time_while_memory_is_short() {
        let budget = MemoryBudget::default();
        budget.set_bound(100);
        let (one, another) = (budget.share(40), budget.share(80));
        let usual = Duration::from_secs(30);
        assert_eq!(one.transfer_timeout(usual), usual);
        let _held = one.hold(21);
        assert_eq!((one.transfer_timeout(usual), another.transfer_timeout(usual)), (SHORT_TRANSFER_TIMEOUT, usual));
        let _more = another.hold(40);
        assert_eq!(another.transfer_timeout(usual), SHORT_TRANSFER_TIMEOUT);
        assert_eq!(another.transfer_timeout(SHORT_TRANSFER_TIMEOUT / 2), SHORT_TRANSFER_TIMEOUT / 2);
    }
}
