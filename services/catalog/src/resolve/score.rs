//! How similar two normal forms are.

use rapidfuzz::distance::osa::BatchComparator;

/// The score of two texts that so many edits lie between, of which the longer one has `longer` characters: 0 to 1.
/// There are at most so many edits.
pub fn score(edits: usize, longer: usize) -> f64 {
    // A single division, so that seven edits in 100 characters are what a caller writes as 0.93.
    if longer == 0 { 1.0 } else { longer.saturating_sub(edits) as f64 / longer as f64 }
}

/// A text that is compared with others.
pub struct Comparator {
    batch: BatchComparator<char>,
    length: usize,
}

impl Comparator {
    /// Prepares a text.
    pub fn new(text: &[char]) -> Self {
        Self { batch: BatchComparator::new(text.iter().copied()), length: text.len() }
    }

    /// The score of the text and another one: the same whichever of the two was prepared, and 1 if they are equal.
    pub fn score(&self, other: &[char]) -> f64 {
        score(self.batch.distance(other.iter().copied()), self.length.max(other.len()))
    }
}

/// The number of kinds of characters that a [`Bag`] tells apart.
const KINDS: usize = 32;

/// How often each kind of character occurs in a text. It is much cheaper to compare than the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bag([u8; KINDS]);

impl Bag {
    /// The characters of a text.
    pub fn of(text: &[char]) -> Self {
        let mut counts = [0_u8; KINDS];
        for &c in text {
            // Each letter of English is a kind of its own.
            let kind = &mut counts[c as usize % KINDS];
            *kind = kind.saturating_add(1);
        }
        Self(counts)
    }

    /// The fewest edits that lie between two texts with these characters. An edit takes one character away, adds one,
    /// or does both; a swap does neither.
    pub fn fewest_edits(&self, other: &Self) -> usize {
        let (mut more, mut less) = (0_u32, 0_u32);
        for (&own, &others) in self.0.iter().zip(&other.0) {
            more += u32::from(own.saturating_sub(others));
            less += u32::from(others.saturating_sub(own));
        }
        more.max(less) as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chars(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    fn compared(a: &str, b: &str) -> f64 {
        Comparator::new(&chars(a)).score(&chars(b))
    }

    /// The number of edits by the definition: one cell of a table for each pair of beginnings.
    fn edits(a: &[char], b: &[char]) -> usize {
        let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
        for at in 0..=a.len() {
            for other in 0..=b.len() {
                table[at][other] = match (at, other) {
                    (0, rest) | (rest, 0) => rest,
                    _ => {
                        let replaced = table[at - 1][other - 1] + usize::from(a[at - 1] != b[other - 1]);
                        let fewest = replaced.min(table[at - 1][other] + 1).min(table[at][other - 1] + 1);
                        let swapped = at > 1 && other > 1 && a[at - 1] == b[other - 2] && a[at - 2] == b[other - 1];
                        if swapped { fewest.min(table[at - 2][other - 2] + 1) } else { fewest }
                    }
                };
            }
        }
        table[a.len()][b.len()]
    }

    #[test]
    fn a_score_counts_edits() {
        for (a, b, edits, longer) in [
            ("mug", "mug", 0, 3),
            ("mug", "jug", 1, 3),
            ("mug", "mgu", 1, 3),
            ("mug", "mugs", 1, 4),
            ("ca", "abc", 3, 3),
            ("tea", "coffee", 5, 6),
            ("écharpe", "echarpe", 1, 7),
        ] {
            assert_eq!(compared(a, b).to_bits(), score(edits, longer).to_bits(), "{a} {b}");
        }
        for (edits, longer, expected) in [(3, 30, 0.9), (7, 100, 0.93), (3, 50, 0.94), (3, 20, 0.85), (0, 0, 1.0)] {
            assert_eq!(score(edits, longer).to_bits(), f64::to_bits(expected), "{edits} of {longer}");
        }
    }

    /// Texts of few different characters, so that they have something in common.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof!["[ab ]{0,12}", "[a-cé😀 ]{0,90}", "[ab]{120,140}", any::<String>()]
    }

    proptest! {
        #[test]
        fn the_score_is_symmetric_and_counts_edits(a in text(), b in text()) {
            let (first, second) = (chars(&a), chars(&b));
            let expected = score(edits(&first, &second), first.len().max(second.len()));
            prop_assert_eq!(compared(&a, &b).to_bits(), expected.to_bits());
            prop_assert_eq!(compared(&b, &a).to_bits(), expected.to_bits());
            prop_assert!((0.0..=1.0).contains(&expected));
        }

        #[test]
        fn equal_texts_and_no_others_have_the_score_one(a in text(), b in text()) {
            prop_assert_eq!(compared(&a, &a).to_bits(), 1.0_f64.to_bits());
            prop_assert_eq!(compared(&a, &b) >= 1.0, a == b);
        }

        #[test]
        fn characters_never_promise_more_edits_than_there_are(a in text(), b in text()) {
            let (first, second) = (chars(&a), chars(&b));
            let fewest = Bag::of(&first).fewest_edits(&Bag::of(&second));
            prop_assert!(fewest <= edits(&first, &second));
            prop_assert_eq!(fewest, Bag::of(&second).fewest_edits(&Bag::of(&first)));
            prop_assert_eq!(Bag::of(&first).fewest_edits(&Bag::of(&first)), 0);
        }
    }

    #[test]
    fn a_bag_counts_more_than_it_can_hold() {
        let (many, more) = (vec!['a'; 300], vec!['a'; 500]);
        assert_eq!(Bag::of(&many).fewest_edits(&Bag::of(&more)), 0);
        assert_eq!(Bag::of(&many).fewest_edits(&Bag::of(&['b'; 3])), 255);
    }
}
