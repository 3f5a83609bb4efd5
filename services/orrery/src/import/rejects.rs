//! Refused rows: counted by reason, with examples, and if asked written to a file one by one.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use crate::mapping::Refusal;

/// How many examples are kept of each reason.
const EXAMPLES: usize = 5;
/// How many reasons are told apart.
const REASONS: usize = 50;

/// All refused rows of an import.
#[derive(Default)]
pub(crate) struct Rejects {
    reasons: Vec<Reason>,
    /// Rows whose reason came after there were too many to tell apart.
    others: u64,
    file: Option<BufWriter<File>>,
    /// Why the file is not whole.
    fault: Option<io::Error>,
}

struct Reason {
    text: String,
    count: u64,
    examples: Vec<String>,
}

/// A line of `--rejects FILE`.
#[derive(Serialize)]
struct Reject<'a> {
    /// The line of the imported file on which the record, or the first of its group, begins.
    line: Option<u64>,
    /// The field or column at fault; absent if it is the whole row.
    #[serde(skip_serializing_if = "str::is_empty")]
    field: &'a str,
    /// Why.
    problem: &'a str,
    /// What was there; absent if that does not help.
    #[serde(skip_serializing_if = "str::is_empty")]
    value: &'a str,
}

impl Rejects {
    /// Also writes each refused row to a file, which is made anew.
    pub(crate) fn to_file(path: Option<&Path>) -> anyhow::Result<Self> {
        let file = match path {
            None => None,
            Some(path) => {
                let file = File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
                Some(BufWriter::new(file))
            }
        };
        Ok(Self { file, ..Self::default() })
    }

    /// Takes a refused row in.
    pub(crate) fn add(&mut self, line: Option<u64>, refusal: &Refusal) {
        let Refusal { field, problem, value } = refusal;
        let text = if field.is_empty() { problem.to_string() } else { format!("{field}: {problem}") };
        let place = self.reasons.iter().position(|reason| reason.text == text);
        let place = place.or_else(|| {
            (self.reasons.len() < REASONS).then(|| {
                self.reasons.push(Reason { text, count: 0, examples: Vec::new() });
                self.reasons.len() - 1
            })
        });
        match place.map(|place| &mut self.reasons[place]) {
            None => self.others += 1,
            Some(reason) => {
                reason.count += 1;
                if reason.examples.len() < EXAMPLES {
                    let line = line.map_or_else(|| "an unknown line".to_owned(), |line| format!("line {line}"));
                    reason.examples.push(if value.is_empty() { line } else { format!("{line} ({value:?})") });
                }
            }
        }
        if let Some(file) = &mut self.file {
            let written = serde_json::to_writer(&mut *file, &Reject { line, field, problem, value })
                .map_err(io::Error::from)
                .and_then(|()| file.write_all(b"\n"));
            if let Err(error) = written {
                self.fault.get_or_insert(error);
            }
        }
    }

    /// Finishes the file.
    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        let flushed = self.file.take().map_or(Ok(()), |mut file| file.flush());
        self.fault.take().map_or(flushed, Err).context("the rejected rows cannot be written")
    }

    /// The reasons, the most frequent first, a line each.
    pub(crate) fn reasons(&mut self) -> Vec<String> {
        self.reasons.sort_by_key(|reason| std::cmp::Reverse(reason.count));
        let mut lines: Vec<String> = self
            .reasons
            .iter()
            .map(|reason| {
                let more = if reason.count > reason.examples.len() as u64 { ", ..." } else { "" };
                format!("{} rejected: {}: {}{more}", reason.count, reason.text, reason.examples.join(", "))
            })
            .collect();
        if self.others > 0 {
            lines.push(format!("{} rejected for other reasons", self.others));
        }
        lines
    }
}
