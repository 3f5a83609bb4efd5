//! A guess that saves a look at the table: whether the rows of the next commit are all new.
//!
//! A load of new rows looks for each of their keys in vain. When all rows of the last commit were new, those of the
//! next one are written as new ones at once. If one of them is stored, the index of the key refuses it, the transaction
//! is rolled back, and the commit looks first. What such a commit has written until then is work for the vacuum, so a
//! stream that guessed wrong must see more and more new rows before it guesses again.

use std::sync::Mutex;
use std::sync::PoisonError;

/// The most commits of new rows that a stream must see before it guesses again.
const MOST_NEEDED: u32 = 256;
/// A wrong guess multiplies their number by this.
const FACTOR: u32 = 4;

/// What a stream has seen.
#[derive(Debug)]
pub(super) struct NewRows(Mutex<Seen>);

#[derive(Debug)]
struct Seen {
    /// The last commits that had new rows only.
    in_a_row: u32,
    /// How many of them there must be.
    needed: u32,
}

impl Default for NewRows {
    fn default() -> Self {
        Self(Mutex::new(Seen { in_a_row: 0, needed: 1 }))
    }
}

impl NewRows {
    /// Whether the rows of the next commit are likely to be new.
    pub(super) fn are_likely(&self) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.in_a_row >= seen.needed
    }

    /// Notes a commit: whether all its rows were new.
    pub(super) fn note(&self, all_new: bool) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.in_a_row = if all_new { seen.in_a_row.saturating_add(1) } else { 0 };
    }

    /// Notes that not all rows were new, although they were likely to be.
    pub(super) fn note_wrong(&self) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Seen { in_a_row: 0, needed: (seen.needed * FACTOR).min(MOST_NEEDED) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_guess_makes_the_next_one_later() {
        let rows = NewRows::default();
        assert!(!rows.are_likely(), "the first commit looks");
        for needed in [1, 4, 16, 64, 256, 256] {
            for _ in 1..needed {
                rows.note(true);
                assert!(!rows.are_likely());
            }
            rows.note(true);
            assert!(rows.are_likely());
            rows.note_wrong();
            assert!(!rows.are_likely());
        }
        rows.note(true);
        rows.note(false);
        assert!(!rows.are_likely());
    }
}
