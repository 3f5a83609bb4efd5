//! Records of a JSONL file: one JSON object a line.

use std::io::{BufRead, Read as _};

use anyhow::Context as _;
use serde_json::Value as Json;

use super::input::Input;
use super::record::{Next, Record};
use crate::mapping::{Cell, Column, Refusal};

/// How many bytes one line may have. An order of 100,000 lines, as an export writes it, has some 35 million.
const LINE_LIMIT: usize = 64 * 1024 * 1024;

/// Reads JSON values line by line; empty lines are passed over.
pub(crate) struct JsonLines {
    input: Input,
    line: u64,
    bytes: Vec<u8>,
}

impl JsonLines {
    pub(crate) fn new(input: Input) -> Self {
        Self { input, line: 0, bytes: Vec::new() }
    }

    /// The next value, and the line it stands on.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<(u64, Result<Json, Refusal>)>> {
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
            let Ok(text) = std::str::from_utf8(&self.bytes) else {
                return Ok(Some((
                    self.line,
                    Err(Refusal::new("", "is not UTF-8", &String::from_utf8_lossy(&self.bytes))),
                )));
            };
            let value = serde_json::from_str(text).map_err(|error| {
                Refusal::new("", "is no JSON", &error.to_string().replace(" at line 1 column ", ", column "))
            });
            return Ok(Some((self.line, value)));
        }
    }
}

/// Reads records by the keys that a mapping names.
pub(crate) struct JsonlSource {
    lines: JsonLines,
    columns: Vec<String>,
}

impl JsonlSource {
    pub(crate) fn new(input: Input, columns: &[Column]) -> Self {
        Self { lines: JsonLines::new(input), columns: columns.iter().map(|column| column.name.clone()).collect() }
    }

    /// Reads the next record.
    pub(crate) fn next(&mut self, record: &mut Record) -> anyhow::Result<Next> {
        let Some((line, json)) = self.lines.next()? else { return Ok(Next::End) };
        record.line = line;
        record.cells.clear();
        let json = match json {
            Ok(json @ Json::Object(_)) => json,
            Ok(_) => return Ok(Next::Refused(Refusal::new("", "is no JSON object", ""))),
            Err(refusal) => return Ok(Next::Refused(refusal)),
        };
        record.cells.extend(self.columns.iter().map(|column| cell(find(&json, column))));
        Ok(Next::Record)
    }
}

/// The value of a key: the key as it stands, or a dotted path to it.
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
