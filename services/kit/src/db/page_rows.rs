//! How many rows to ask a server for, learned from its refusals.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A page grows by one in this many of its rows after each read. If a server keeps refusing, about one in this many
/// reads is refused.
const GROWTH: usize = 64;

/// The number of rows to ask for in a page of unknown size: fewer after the server refused a page, then slowly more
/// again. Shared by all readers of one server.
#[derive(Debug)]
pub struct PageRows {
    most: usize,
    now: AtomicUsize,
}

impl PageRows {
    /// Starts at `most`, which is also the maximum.
    pub const fn new(most: usize) -> Self {
        Self { most, now: AtomicUsize::new(most) }
    }

    /// The number of rows to ask for now.
    pub fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    /// Records that a page of `asked` rows was refused after `seen` rows had arrived; those fit. False if there is no
    /// smaller page.
    pub fn refused(&self, asked: usize, seen: usize) -> bool {
        if asked <= 1 {
            return false;
        }
        let half = asked / 2;
        self.now.store(if seen == 0 { half } else { half.min(seen) }, Ordering::Relaxed);
        true
    }

    /// Records that a read with pages of `asked` rows succeeded.
    pub fn succeeded(&self, asked: usize) {
        let now = self.now();
        if asked >= now && now < self.most {
            self.now.store((now + now / GROWTH + 1).min(self.most), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_halves_the_page_and_it_grows_again() {
        let rows = PageRows::new(100);
        assert!(rows.refused(100, 0));
        assert_eq!(rows.now(), 50);
        // The rows that arrived before the refusal fit.
        assert!(rows.refused(50, 7));
        assert_eq!(rows.now(), 7);
        rows.succeeded(3);
        assert_eq!(rows.now(), 7, "a page that was not full says nothing");
        for _ in 0..1_000 {
            rows.succeeded(rows.now());
        }
        assert_eq!(rows.now(), 100);
        assert!(rows.refused(2, 0));
        assert!(!rows.refused(rows.now(), 0), "one row is the least");
    }
}
