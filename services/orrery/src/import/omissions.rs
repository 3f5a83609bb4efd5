//! Values that were left out of rows that were imported otherwise: counts, and the first lines.

use std::sync::{Arc, Mutex, PoisonError};

use crate::mapping::Omission;
use crate::numbers::grouped;

/// The number of lines kept for each kind.
const EXAMPLES: usize = 5;

/// All omissions of an import. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Omissions(Arc<Mutex<Vec<Kind>>>);

/// The omissions of one path for one reason. There are at most two for each path that ends in `*`.
#[derive(Debug)]
struct Kind {
    path: String,
    problem: String,
    values: u64,
    records: u64,
    lines: Vec<u64>,
}

impl Omissions {
    /// Adds what was left out of the record on a line.
    pub(crate) fn add(&self, line: u64, omissions: Vec<Omission>) {
        if omissions.is_empty() {
            return;
        }
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for Omission { path, problem, count } in omissions {
            let known = kinds.iter().position(|kind| kind.path == path && kind.problem == problem);
            let place = known.unwrap_or_else(|| {
                kinds.push(Kind { path, problem: problem.into_owned(), values: 0, records: 0, lines: Vec::new() });
                kinds.len() - 1
            });
            let kind = &mut kinds[place];
            kind.values += count as u64;
            kind.records += 1;
            if kind.lines.len() < EXAMPLES {
                kind.lines.push(line);
            }
        }
    }

    /// The number of values left out.
    pub(crate) fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|kind| kind.values).sum()
    }

    /// One line of text for each kind.
    pub(crate) fn lines(&self) -> Vec<String> {
        let kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |kind: &Kind| {
            let lines = kind.lines.iter().map(|line| format!("line {line}")).collect::<Vec<_>>().join(", ");
            let more = if kind.records > kind.lines.len() as u64 { ", ..." } else { "" };
            let (values, path, problem) = (grouped(kind.values), &kind.path, &kind.problem);
            format!("{values} left out of written rows: {path}: {problem}: {lines}{more}")
        };
        kinds.iter().map(line).collect()
    }
}
