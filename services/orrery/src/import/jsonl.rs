//! Reads the records of a JSONL file, one JSON object per line.

use std::io::{BufRead, Read as _};

use anyhow::Context as _;
use serde_json::Value as Json;

use super::input::Input;
use super::record::{NextRecord, Record};
use crate::mapping::{Cell, MappedColumn, RecordRefusal};

/// The most bytes of a line. An exported order with 100,000 lines has about 35 million.
const LINE_LIMIT: usize = 64 * 1024 * 1024;
/// The most values of a line, counted by commas. A value needs many times the memory of its text. That order has about
/// 2 million.
const VALUES_LIMIT: usize = 4 * 1024 * 1024;

/// A refused line, with what can still be read of it.
#[derive(Debug)]
pub(crate) struct BadLine {
    pub(crate) refusal: RecordRefusal,
    /// The line with U+FFFD in place of invalid bytes, if that is JSON and all its keys are valid.
    pub(crate) legible: Option<Json>,
}

/// Reads JSON values line by line. Empty lines are skipped.
pub(crate) struct JsonLines {
    input: Input,
    line: u64,
    bytes: Vec<u8>,
}

impl JsonLines {
    pub(crate) fn new(input: Input) -> Self {
        Self { input, line: 0, bytes: Vec::new() }
    }

    /// The next value and its line number.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<(u64, Result<Json, BadLine>)>> {
        loop {
            self.bytes.clear();
            let name = &self.input.name;
            let read = self
                .input
                .reader
                .by_ref()
                .take(LINE_LIMIT as u64 + 1)
                .read_until(b'\n', &mut self.bytes)
                .with_context(|| format!("{name} cannot be read after line {}", self.line))?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            anyhow::ensure!(
                self.bytes.len() <= LINE_LIMIT,
                "{name}: line {} has more than {} MiB",
                self.line,
                LINE_LIMIT / 1024 / 1024
            );
            if self.bytes.trim_ascii().is_empty() {
                continue;
            }
            let refused = |refusal| BadLine { refusal, legible: None };
            #[expect(clippy::naive_bytecount, reason = "counting is a small part of reading JSON")]
            let values = self.bytes.iter().filter(|byte| **byte == b',').count();
            if values > VALUES_LIMIT {
                let problem = format!("has more than {VALUES_LIMIT} values");
                return Ok(Some((self.line, Err(refused(RecordRefusal::new("", problem, ""))))));
            }
            let Ok(text) = std::str::from_utf8(&self.bytes) else {
                let text = String::from_utf8_lossy(&self.bytes);
                let refusal = RecordRefusal::new("", self.input.not_text(), &text);
                let legible = serde_json::from_str(&text).ok().filter(keys_are_legible);
                return Ok(Some((self.line, Err(BadLine { refusal, legible }))));
            };
            let value = serde_json::from_str(text).map_err(|error| {
                let message = error.to_string().replace(" at line 1 column ", ", column ");
                refused(RecordRefusal::new("", "is not JSON", &message))
            });
            return Ok(Some((self.line, value)));
        }
    }
}

/// Reads records by the keys that a mapping names.
pub(crate) struct JsonlSource {
    lines: JsonLines,
    columns: Vec<MappedColumn>,
}

impl JsonlSource {
    pub(crate) fn new(input: Input, columns: &[MappedColumn]) -> Self {
        Self { lines: JsonLines::new(input), columns: columns.to_vec() }
    }

    /// Reads the next record.
    pub(crate) fn next(&mut self, record: &mut Record) -> anyhow::Result<NextRecord> {
        let Some((line, json)) = self.lines.next()? else { return Ok(NextRecord::End) };
        record.begin(line);
        record.cells.clear();
        let (json, refusal) = match json {
            Ok(json) => (json, None),
            Err(BadLine { refusal, legible: Some(json) }) => (json, Some(refusal)),
            Err(BadLine { refusal, legible: None }) => return Ok(NextRecord::Refused(refusal)),
        };
        if !json.is_object() {
            return Ok(NextRecord::Refused(
                refusal.unwrap_or_else(|| RecordRefusal::new("", "is not a JSON object", "")),
            ));
        }
        record.cells.extend(self.columns.iter().map(|column| cell(column.names().find_map(|name| find(&json, name)))));
        if refusal.is_some() {
            let unreadable = |cell: &Cell| match cell {
                Cell::Text(text) => !is_legible(text),
                Cell::List(texts) => !texts.iter().all(|text| is_legible(text)),
            };
            let places = record.cells.iter().enumerate().filter(|(_, cell)| unreadable(cell));
            record.unreadable.extend(places.map(|(place, _)| place));
        }
        Ok(refusal.map_or(NextRecord::Record, NextRecord::Refused))
    }
}

fn is_legible(text: &str) -> bool {
    !text.contains(char::REPLACEMENT_CHARACTER)
}

/// Whether all keys are valid. Under a damaged key a value would not be found.
fn keys_are_legible(json: &Json) -> bool {
    match json {
        Json::Object(object) => object.iter().all(|(key, value)| is_legible(key) && keys_are_legible(value)),
        Json::Array(values) => values.iter().all(keys_are_legible),
        _ => true,
    }
}

/// Finds the value of a key, or else of a dotted path.
fn find<'a>(json: &'a Json, path: &str) -> Option<&'a Json> {
    if let Some(value) = json.get(path) {
        return Some(value);
    }
    path.match_indices('.').find_map(|(dot, _)| find(json.get(&path[..dot])?, &path[dot + 1..]))
}

fn cell(json: Option<&Json>) -> Cell {
    match json {
        Some(Json::Array(values)) => Cell::List(values.iter().map(text).collect()),
        Some(value) => Cell::Text(text(value)),
        None => Cell::Text(String::new()),
    }
}

fn text(json: &Json) -> String {
    match json {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}
