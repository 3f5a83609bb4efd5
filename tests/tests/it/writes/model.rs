//! A model of the chunked write of products: a sequential program that writes one row after the other into a map. The
//! service's responses and rows are compared with it.

use std::collections::{BTreeMap, HashMap};

use orrery_proto::catalog::v1::Product;
use orrery_proto::r#type::v1::{ErrorReason, RowErrorPolicy, Status as Phase, WriteMode};
use prost_types::value::Kind;
use prost_types::{Struct, Value};

use super::stream::Totals;

/// A stored row, as far as clients can write it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Stored {
    pub(crate) name: Option<String>,
    pub(crate) phase: String,
    pub(crate) details: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// A row as sent, in short texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) key: u8,
    pub(crate) name: &'static str,
    pub(crate) phase: &'static str,
    pub(crate) details: Vec<(&'static str, &'static str)>,
    pub(crate) labels: Vec<(&'static str, &'static str)>,
    pub(crate) annotations: Vec<(&'static str, &'static str)>,
    pub(crate) fault: Fault,
}

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// It is invalid.
    Invalid,
    /// It has an etag that no row has.
    Stale,
}

/// The settings of a write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameters {
    pub(crate) mode: WriteMode,
    pub(crate) policy: RowErrorPolicy,
    pub(crate) mask: &'static [&'static str],
}

fn owned(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

impl Row {
    pub(crate) fn message(&self, prefix: &str) -> Product {
        let map = |entries| owned(entries).into_iter().collect::<HashMap<_, _>>();
        let value = |text: String| Value { kind: Some(Kind::StringValue(text)) };
        let details =
            Struct { fields: owned(&self.details).into_iter().map(|(key, text)| (key, value(text))).collect() };
        let status =
            Phase { phase: self.phase.to_owned(), details: Some(details).filter(|details| !details.fields.is_empty()) };
        Product {
            uid: if self.fault == Fault::Invalid { "prd_\0".to_owned() } else { format!("prd_{prefix}-{}", self.key) },
            name: self.name.to_owned(),
            status: Some(status),
            labels: map(&self.labels),
            annotations: map(&self.annotations),
            etag: if self.fault == Fault::Stale { "stale".to_owned() } else { String::new() },
            ..Product::default()
        }
    }

    fn name(&self) -> Option<String> {
        (!self.name.is_empty()).then(|| self.name.to_owned())
    }

    fn phase(&self) -> String {
        if self.phase.is_empty() { "active".to_owned() } else { self.phase.to_owned() }
    }

    fn created(&self) -> Stored {
        Stored {
            name: self.name(),
            phase: self.phase(),
            details: owned(&self.details),
            labels: owned(&self.labels),
            annotations: owned(&self.annotations),
        }
    }

    /// Without a mask: all set fields are overwritten.
    fn populated(&self, stored: &mut Stored) {
        if let Some(name) = self.name() {
            stored.name = Some(name);
        }
        if !self.phase.is_empty() {
            self.phase.clone_into(&mut stored.phase);
        }
        for (new, old) in [
            (&self.details, &mut stored.details),
            (&self.labels, &mut stored.labels),
            (&self.annotations, &mut stored.annotations),
        ] {
            if !new.is_empty() {
                *old = owned(new);
            }
        }
    }

    fn masked(&self, path: &str, stored: &mut Stored) {
        let one = |new: &[(&'static str, &'static str)], key: &str, old: &mut BTreeMap<String, String>| {
            old.remove(key);
            old.extend(owned(new).remove_entry(key));
        };
        match path {
            "name" => stored.name = self.name(),
            "status" => (stored.phase, stored.details) = (self.phase(), owned(&self.details)),
            "status.phase" => stored.phase = self.phase(),
            "status.details" => stored.details = owned(&self.details),
            "labels" => stored.labels = owned(&self.labels),
            "annotations" => stored.annotations = owned(&self.annotations),
            other => match other.split_once('.').unwrap() {
                ("labels", key) => one(&self.labels, key, &mut stored.labels),
                ("annotations", key) => one(&self.annotations, key, &mut stored.annotations),
                (_, key) => one(&self.details, key.strip_prefix("details.").unwrap(), &mut stored.details),
            },
        }
    }

    fn updated(&self, mask: &[&str], stored: &Stored) -> Stored {
        let mut new = stored.clone();
        match mask {
            [] => self.populated(&mut new),
            ["*"] => ["name", "status", "labels", "annotations"].iter().for_each(|path| self.masked(path, &mut new)),
            paths => paths.iter().for_each(|path| self.masked(path, &mut new)),
        }
        new
    }
}

/// The response to a chunk.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// created, updated, unchanged, rejected, superseded
    pub(crate) counts: [i64; 5],
    pub(crate) errors: Vec<(i64, ErrorReason)>,
    /// Whether the stream ends here.
    pub(crate) refused: bool,
}

/// The table by key.
pub(crate) type Table = BTreeMap<u8, Stored>;

/// Writes one chunk.
pub(crate) fn apply(table: &mut Table, parameters: Parameters, offset: i64, rows: &[Row]) -> Answer {
    let mut answer = Answer::default();
    let mut next = table.clone();
    let valid = |row: &Row| row.fault != Fault::Invalid;
    let stop = parameters.policy == RowErrorPolicy::Stop;
    for (at, row) in rows.iter().enumerate() {
        if !valid(row) {
            answer.errors.push((offset + at as i64, ErrorReason::FieldInvalid));
        }
    }
    if !stop || answer.errors.is_empty() {
        for (at, row) in rows.iter().enumerate().filter(|(_, row)| valid(row)) {
            let place = offset + at as i64;
            if rows[at + 1..].iter().any(|later| valid(later) && later.key == row.key) {
                answer.counts[4] += 1;
                continue;
            }
            if row.fault == Fault::Stale {
                answer.errors.push((place, ErrorReason::EtagMismatch));
                continue;
            }
            match (next.get(&row.key), parameters.mode) {
                (Some(_), WriteMode::Create) => answer.errors.push((place, ErrorReason::ResourceExists)),
                (None, WriteMode::Update) => answer.errors.push((place, ErrorReason::ResourceNotFound)),
                (None, _) => {
                    answer.counts[0] += 1;
                    next.insert(row.key, row.created());
                }
                (Some(stored), _) => {
                    let new = row.updated(parameters.mask, stored);
                    answer.counts[if new == *stored { 2 } else { 1 }] += 1;
                    next.insert(row.key, new);
                }
            }
        }
    }
    answer.errors.sort_by_key(|(place, _)| *place);
    answer.counts[3] = answer.errors.len() as i64;
    if stop && !answer.errors.is_empty() {
        answer.counts = [0, 0, 0, answer.counts[3], 0];
        answer.refused = true;
    } else {
        *table = next;
    }
    answer
}

/// The sum of several responses, in the form of a stream's result.
pub(crate) fn summed(answers: &[Answer]) -> ([i64; 5], Vec<(i64, ErrorReason)>) {
    let mut counts = [0; 5];
    for answer in answers {
        for (sum, count) in counts.iter_mut().zip(answer.counts) {
            *sum += count;
        }
    }
    (counts, answers.iter().flat_map(|answer| answer.errors.iter().copied()).collect())
}

/// The errors of a stream, in the model's form.
pub(crate) fn errors(totals: &Totals) -> Vec<(i64, ErrorReason)> {
    totals.errors.iter().map(|error| (error.offset, error.reason())).collect()
}
