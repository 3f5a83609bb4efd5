//! Counts refusals by reason, with examples, and writes them to a file if asked. Counts warnings too.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use super::record::Warning;
use super::rows::Loss;
use crate::mapping::RecordRefusal;
use crate::numbers::many;
use crate::resource::TransferResource;

/// The number of examples kept for each reason.
const EXAMPLES: usize = 5;
/// The number of reasons that are counted separately.
const REASONS: usize = 50;

/// All refused records and rejected rows of an import.
pub(crate) struct Rejects {
    resource: TransferResource,
    records: Reasons,
    rows: Reasons,
    warnings: Reasons,
    file: Option<BufWriter<File>>,
    /// The error that kept the file from being complete.
    fault: Option<io::Error>,
}

/// A line of the file of `--rejects`.
#[derive(Serialize)]
struct Reject<'a> {
    /// The line of the imported file on which the record, or the first record of its group, begins.
    line: Option<u64>,
    /// "record" for one of several records of a row, else the kind of row, such as "order".
    kind: &'a str,
    /// The field or column; absent if it is the whole row.
    #[serde(skip_serializing_if = "str::is_empty")]
    field: &'a str,
    /// The reason.
    problem: &'a str,
    /// The value; absent if it does not help.
    #[serde(skip_serializing_if = "str::is_empty")]
    value: &'a str,
}

impl Rejects {
    /// Also writes each refusal to a new file.
    pub(crate) fn to_file(resource: TransferResource, path: Option<&Path>) -> anyhow::Result<Self> {
        let file = match path {
            None => None,
            Some(path) => {
                let file = File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
                Some(BufWriter::new(file))
            }
        };
        let [records, rows, warnings] = std::array::from_fn(|_| Reasons::default());
        Ok(Self { resource, records, rows, warnings, file, fault: None })
    }

    /// Adds a refusal.
    pub(crate) fn add(&mut self, line: Option<u64>, refusal: &RecordRefusal, loss: Loss) {
        let RecordRefusal { field, problem, value } = refusal;
        let text = if field.is_empty() { problem.to_string() } else { format!("{field}: {problem}") };
        let (reasons, kind) = match loss {
            Loss::Record => (&mut self.records, "record"),
            Loss::RecordAndRow | Loss::RowOfRecords | Loss::Row => (&mut self.rows, self.resource.singular),
        };
        reasons.add(text, line, value);
        if let Some(file) = &mut self.file {
            let written = serde_json::to_writer(&mut *file, &Reject { line, kind, field, problem, value })
                .map_err(io::Error::from)
                .and_then(|()| file.write_all(b"\n"));
            if let Err(error) = written {
                self.fault.get_or_insert(error);
            }
        }
    }

    /// Adds a warning and returns whether it is the first of its kind.
    pub(crate) fn warn(&mut self, warning: &Warning) -> bool {
        self.warnings.add(warning.text.to_string(), Some(warning.line), &warning.value)
    }

    /// Completes the file.
    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        let flushed = self.file.take().map_or(Ok(()), |mut file| file.flush());
        self.fault.take().map_or(flushed, Err).context("the rejected rows cannot be written")
    }

    /// The counts as lines of text, the most frequent first.
    pub(crate) fn lines(&mut self) -> Vec<String> {
        let TransferResource { singular, plural, .. } = self.resource;
        let mut lines = self.warnings.lines(|count| format!("warning, {}", many(count, "time", "times")));
        lines.extend(self.records.lines(|count| format!("{} refused", many(count, "record", "records"))));
        lines.extend(self.rows.lines(|count| format!("{} rejected", many(count, singular, plural))));
        lines
    }
}

/// Reasons with counts and examples.
#[derive(Default)]
struct Reasons {
    reasons: Vec<Reason>,
    /// The count of reasons beyond [`REASONS`].
    others: u64,
}

struct Reason {
    text: String,
    count: u64,
    examples: Vec<String>,
}

impl Reasons {
    /// Counts a reason and returns whether it is new.
    fn add(&mut self, text: String, line: Option<u64>, value: &str) -> bool {
        let place = self.reasons.iter().position(|reason| reason.text == text);
        let is_new = place.is_none() && self.reasons.len() < REASONS;
        if is_new {
            self.reasons.push(Reason { text, count: 0, examples: Vec::new() });
        }
        let last = is_new.then(|| self.reasons.len() - 1);
        match place.or(last).map(|place| &mut self.reasons[place]) {
            None => self.others += 1,
            Some(reason) => {
                reason.count += 1;
                if reason.examples.len() < EXAMPLES {
                    let line = line.map_or_else(|| "an unknown line".to_owned(), |line| format!("line {line}"));
                    reason.examples.push(if value.is_empty() { line } else { format!("{line} ({value:?})") });
                }
            }
        }
        is_new
    }

    /// One line for each reason; `so_many` formats a count with its noun.
    fn lines(&mut self, so_many: impl Fn(u64) -> String) -> Vec<String> {
        self.reasons.sort_by_key(|reason| std::cmp::Reverse(reason.count));
        let mut lines: Vec<String> = self
            .reasons
            .iter()
            .map(|Reason { text, count, examples }| {
                let more = if *count > examples.len() as u64 { ", ..." } else { "" };
                format!("{}: {text}: {}{more}", so_many(*count), examples.join(", "))
            })
            .collect();
        if self.others > 0 {
            lines.push(format!("{} for other reasons", so_many(self.others)));
        }
        lines
    }
}
