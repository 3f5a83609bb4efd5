//! Finds products by what other systems call them: what is known of the names of one request while the products are
//! read, one after the other. It knows no database.
//!
//! - [`normal`]: the normal form of a name
//! - [`score`]: how similar two normal forms are
//! - [`search`]: the names that are looked for, and the products that fit them
//!
//! The score, its default and the margin were chosen by the titles of a real shop; `deploy/adr/0012-resolving-names.md`
//! has the numbers.

pub mod normal;
pub mod score;
pub mod search;

use orrery_proto::catalog::v1::resolved_product::Candidate;
use orrery_proto::catalog::v1::{MatchKind, ResolvedProduct};

/// The most candidates of one name.
pub const MAX_CANDIDATES: usize = 5;
/// If the scores of the two most similar products differ by less than this, neither is chosen.
const MARGIN: f64 = 0.02;
/// A difference of two scores is only as exact as they are.
const ROUNDING: f64 = 1e-9;

/// Whether neither of two similar products is chosen: the second is hardly less similar than the best one.
fn is_tie(best: f64, second: f64) -> bool {
    best - second < MARGIN - ROUNDING
}

/// What was found for a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// How well the first candidate fits.
    pub kind: MatchKind,
    /// The products that fit, the best first.
    pub candidates: Vec<Candidate>,
}

impl Default for Found {
    /// Nothing.
    fn default() -> Self {
        Self::similar(Vec::new())
    }
}

impl Found {
    /// Products that fit equally well, each in the way that `kind` says: a match if there is one, a tie if there are
    /// several, and nothing if there is none.
    pub fn equal(kind: MatchKind, candidates: Vec<Candidate>) -> Self {
        let kind = match candidates.len() {
            0 => MatchKind::None,
            1 => kind,
            _ => MatchKind::Ambiguous,
        };
        Self { kind, candidates }
    }

    /// Similar products, the most similar first.
    pub fn similar(candidates: Vec<Candidate>) -> Self {
        let kind = match &candidates[..] {
            [] => MatchKind::None,
            [best, second, ..] if is_tie(best.score, second.score) => MatchKind::Ambiguous,
            _ => MatchKind::Similar,
        };
        Self { kind, candidates }
    }

    /// The resolution of `name`.
    pub fn resolution(self, name: String) -> ResolvedProduct {
        let best = self.candidates.first();
        let is_chosen = matches!(self.kind, MatchKind::Exact | MatchKind::Normalized | MatchKind::Similar);
        ResolvedProduct {
            name,
            product_uid: best.filter(|_| is_chosen).map(|best| best.product_uid.clone()).unwrap_or_default(),
            r#match: self.kind.into(),
            score: best.map_or(0.0, |best| best.score),
            candidates: self.candidates,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(scores: &[f64]) -> Vec<Candidate> {
        let candidate =
            |(at, &score): (usize, &f64)| Candidate { product_uid: format!("prd_{at}"), name: String::new(), score };
        scores.iter().enumerate().map(candidate).collect()
    }

    #[test]
    fn one_is_a_match_and_several_are_a_tie() {
        for (count, expected) in [(0, MatchKind::None), (1, MatchKind::Exact), (2, MatchKind::Ambiguous)] {
            assert_eq!(Found::equal(MatchKind::Exact, candidates(&vec![1.0; count])).kind, expected);
        }
    }

    #[test]
    fn the_most_similar_is_chosen_if_it_is_ahead() {
        for (scores, expected) in [
            (&[][..], MatchKind::None),
            (&[0.9], MatchKind::Similar),
            (&[0.95, 0.925], MatchKind::Similar),
            (&[0.95, 0.94], MatchKind::Ambiguous),
            // Three and four edits in 50 characters.
            (&[0.94, 0.92], MatchKind::Similar),
            (&[0.9, 0.9], MatchKind::Ambiguous),
        ] {
            assert_eq!(Found::similar(candidates(scores)).kind, expected, "{scores:?}");
        }
    }

    #[test]
    fn only_a_match_names_a_product_and_every_answer_its_candidates() {
        let resolution = Found::similar(candidates(&[0.95, 0.9])).resolution("a".to_owned());
        assert_eq!((resolution.product_uid.as_str(), resolution.candidates.len()), ("prd_0", 2));
        assert!(resolution.score > 0.94);
        let resolution = Found::similar(candidates(&[0.9, 0.9])).resolution("a".to_owned());
        assert_eq!((resolution.product_uid.as_str(), resolution.candidates.len()), ("", 2));
        assert!(resolution.score > 0.89);
        let resolution = Found::similar(Vec::new()).resolution("a".to_owned());
        assert_eq!(resolution, ResolvedProduct { name: "a".to_owned(), r#match: 5, ..ResolvedProduct::default() });
    }
}
