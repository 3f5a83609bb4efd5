//! What a server has taught about the size of pages.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Which part of itself a page grows by after each read: one in so many. Of as many reads about one is refused, where a server keeps refusing.
const GROWTH: usize = 64;

/// How many rows a page asks for whose size is not known before it comes: fewer once the server has refused one, and slowly more again.
/// Shared by all who read from one server.
#[derive(Debug)]
pub struct PageRows {
    most: usize,
    now: AtomicUsize,
}

impl PageRows {
    /// At most, and at first, so many.
    pub const fn new(most: usize) -> Self {
        Self { most, now: AtomicUsize::new(most) }
    }

    /// How many to ask for.
    pub fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    /// Takes note that a page of `asked` rows was refused when `seen` had come, which is what fits. False if there is no smaller one.
    pub fn refused(&self, asked: usize, seen: usize) -> bool {
        if asked <= 1 {
            return false;
        }
        let half = asked / 2;
        self.now.store(if seen == 0 { half } else { half.min(seen) }, Ordering::Relaxed);
        true
    }

    /// Takes note that pages of as many rows as were asked for came, after all of what was read.
    pub fn came(&self, asked: usize) {
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
        // What came before the refusal fits.
        assert!(rows.refused(50, 7));
        assert_eq!(rows.now(), 7);
        rows.came(3);
        assert_eq!(rows.now(), 7, "a page that was not full says nothing");
        for _ in 0..1_000 {
            rows.came(rows.now());
        }
        assert_eq!(rows.now(), 100);
        assert!(rows.refused(2, 0));
        assert!(!rows.refused(rows.now(), 0), "one row is the least");
    }
}
