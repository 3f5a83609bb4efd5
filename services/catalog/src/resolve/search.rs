//! The names that are looked for, and the products that fit them. Products are shown to the search one by one, in the
//! order of their uids.
//!
//! A product is compared with few names, however many are looked for: only with those that have the same numbers, a
//! length that can reach the score, and characters that can. Only these are compared edit by edit.

use std::collections::HashMap;
use std::ops::Range;

use orrery_proto::catalog::v1::MatchKind;
use orrery_proto::catalog::v1::resolved_product::Candidate;

use super::normal::{normal_form, write_numbers};
use super::score::{Bag, Comparator, score};
use super::{Found, MAX_CANDIDATES, ROUNDING};

/// A name that is looked for.
struct Name {
    text: String,
    /// The products that have exactly this name.
    exact: Vec<Candidate>,
}

/// The names that have the same normal form.
struct Form {
    chars: Vec<char>,
    names: Vec<Name>,
    /// The products whose names have this form.
    same: Vec<Candidate>,
    /// The products with similar names, the most similar first.
    similar: Vec<Candidate>,
}

/// What decides whether a product is compared with a form edit by edit. It is apart from the form, so that deciding
/// reads little memory.
#[derive(Clone, Copy)]
struct Threshold {
    bag: Bag,
    length: usize,
    /// The least score of a further candidate; infinite if similar products do not matter any more.
    least: f64,
}

/// The names that are looked for, and the products that were found so far.
pub struct Search {
    /// By numbers, then by length.
    forms: Vec<Form>,
    /// The same ones in the same order.
    thresholds: Vec<Threshold>,
    /// The place of each form.
    places: HashMap<String, usize>,
    /// The places of the forms with the same numbers.
    groups: HashMap<String, Range<usize>>,
    min_score: f64,
    /// The bytes of all candidates.
    bytes: usize,
    chars: Vec<char>,
    numbers: String,
}

impl Search {
    /// A search for different names. Similar products need at least the score `min_score`.
    pub fn new(names: impl IntoIterator<Item = String>, min_score: f64) -> Self {
        let mut by_form: HashMap<String, Vec<Name>> = HashMap::new();
        for text in names {
            by_form.entry(normal_form(&text)).or_default().push(Name { text, exact: Vec::new() });
        }
        let mut all: Vec<_> = by_form
            .into_iter()
            .map(|(form, names)| {
                let (chars, mut numbers) = (form.chars().collect::<Vec<_>>(), String::new());
                write_numbers(&chars, &mut numbers);
                (numbers, chars.len(), form, Form { chars, names, same: Vec::new(), similar: Vec::new() })
            })
            .collect();
        all.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
        let mut search = Self {
            forms: Vec::with_capacity(all.len()),
            thresholds: Vec::with_capacity(all.len()),
            places: HashMap::with_capacity(all.len()),
            groups: HashMap::new(),
            min_score,
            bytes: 0,
            chars: Vec::new(),
            numbers: String::new(),
        };
        for (place, (numbers, length, text, form)) in all.into_iter().enumerate() {
            search.groups.entry(numbers).or_insert(place..place).end = place + 1;
            // Nothing is similar to an empty form.
            let least = if length == 0 { f64::INFINITY } else { min_score };
            search.thresholds.push(Threshold { bag: Bag::of(&form.chars), length, least });
            search.places.insert(text, place);
            search.forms.push(form);
        }
        search
    }

    /// How many normal forms are looked for.
    pub fn forms(&self) -> usize {
        self.forms.len()
    }

    /// The bytes of the candidates so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Shows a product to the search. Its uid is behind those of all products that were shown before.
    pub fn consider(&mut self, uid: &str, name: &str) {
        let form = normal_form(name);
        if let Some(&place) = self.places.get(&form) {
            self.add_equal(place, uid, name);
        }
        if form.is_empty() {
            return;
        }
        self.chars.clear();
        self.chars.extend(form.chars());
        write_numbers(&self.chars, &mut self.numbers);
        let Some(group) = self.groups.get(&self.numbers) else { return };
        let (group, length) = (group.clone(), self.chars.len());
        let of_group = &self.thresholds[group.clone()];
        // Lengths that differ so much that the score cannot be reached lie at both ends.
        let too_short = |form: &Threshold| form.length < length && self.too_different(form.length, length);
        let first = group.start + of_group.partition_point(too_short);
        let last = group.start
            + of_group.partition_point(|form| form.length <= length || !self.too_different(length, form.length));
        let bag = Bag::of(&self.chars);
        let mut comparator = None;
        for place in first..last {
            let threshold = self.thresholds[place];
            let longer = length.max(threshold.length);
            // The same as comparing the best possible score, without a division.
            let most_edits = (1.0 - threshold.least) * longer as f64 + ROUNDING;
            if bag.fewest_edits(&threshold.bag) as f64 > most_edits {
                continue;
            }
            let comparator = comparator.get_or_insert_with(|| Comparator::new(&self.chars));
            let score = comparator.score(&self.forms[place].chars);
            if score >= threshold.least {
                self.add_similar(place, uid, name, score);
            }
        }
    }

    /// Whether two lengths alone keep a pair below the least score.
    fn too_different(&self, shorter: usize, longer: usize) -> bool {
        score(longer - shorter, longer) < self.min_score
    }

    /// Adds a product whose name has the form at `place`.
    fn add_equal(&mut self, place: usize, uid: &str, name: &str) {
        let form = &mut self.forms[place];
        let candidate = || Candidate { product_uid: uid.to_owned(), name: name.to_owned(), score: 1.0 };
        let named = form.names.iter_mut().find(|named| named.text == name).map(|named| &mut named.exact);
        // Names without a letter or number have nothing in common.
        let same = (!form.chars.is_empty()).then_some(&mut form.same);
        for candidates in named.into_iter().chain(same) {
            if candidates.len() < MAX_CANDIDATES {
                candidates.push(candidate());
                self.bytes += uid.len() + name.len();
            }
        }
        self.thresholds[place].least = f64::INFINITY;
        self.bytes -= form.similar.drain(..).map(|candidate| size(&candidate)).sum::<usize>();
    }

    /// Adds a product that is similar to the form at `place`.
    fn add_similar(&mut self, place: usize, uid: &str, name: &str, score: f64) {
        let similar = &mut self.forms[place].similar;
        let rank = similar.partition_point(|other| other.score >= score);
        similar.insert(rank, Candidate { product_uid: uid.to_owned(), name: name.to_owned(), score });
        self.bytes += uid.len() + name.len();
        if similar.len() > MAX_CANDIDATES {
            self.bytes -= similar.pop().map_or(0, |last| size(&last));
        }
        // From now on only a better one is of interest: among equal ones the first counts.
        if let [.., last] = &similar[..]
            && similar.len() == MAX_CANDIDATES
        {
            self.thresholds[place].least = last.score.next_up();
        }
    }

    /// What was found for each name.
    pub fn finish(self) -> HashMap<String, Found> {
        let mut all = HashMap::new();
        for Form { names, same, similar, .. } in self.forms {
            for Name { text, exact } in names {
                let found = if !exact.is_empty() {
                    Found::equal(MatchKind::Exact, exact)
                } else if !same.is_empty() {
                    Found::equal(MatchKind::Normalized, same.clone())
                } else {
                    Found::similar(similar.clone())
                };
                all.insert(text, found);
            }
        }
        all
    }
}

fn size(candidate: &Candidate) -> usize {
    candidate.product_uid.len() + candidate.name.len()
}

#[cfg(test)]
mod tests;
