//! From a file to encoded rows: reads records, maps them, groups them, encodes them. Row order depends on the file and the mapping
//! alone, so that an offset names the same row in every run.

use std::path::Path;

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::MessageDescriptor;
use serde_json::Value as Json;

use super::csv::CsvSource;
use super::input::{Input, extension, format_of};
use super::jsonl::{JsonLines, JsonlSource};
use super::record::{Next, Record};
use crate::mapping::{Format, Groups, Mapping, Plan, Refusal, Values};
use crate::message::from_json;
use crate::resource::Resource;

/// How many bytes one row may have: with a margin what a service takes in a message if it is not configured otherwise.
const ROW_LIMIT: usize = 15 * 1024 * 1024;

/// A row that is ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// The line of the file on which it, or the first record of its group, begins.
    pub(crate) line: u64,
    /// The encoded message.
    pub(crate) bytes: Bytes,
}

/// What comes out of a file.
#[derive(Debug)]
pub(crate) enum Item {
    /// A row.
    Row(Row),
    /// A record of this line that gave none.
    Refused(u64, Refusal),
}

/// The rows of a file.
pub(crate) struct Rows {
    reader: Reader,
    resource: Resource,
    message: MessageDescriptor,
    /// How many records were read.
    pub(crate) records: u64,
}

enum Reader {
    /// JSON that is shaped as the message is.
    Plain(JsonLines),
    Mapped(Box<Mapped>),
}

/// Records that become rows by a mapping.
struct Mapped {
    source: Source,
    plan: Plan,
    record: Record,
    groups: Groups,
}

enum Source {
    Csv(Box<CsvSource>),
    Jsonl(JsonlSource),
}

impl Source {
    fn next(&mut self, record: &mut Record) -> anyhow::Result<Next> {
        match self {
            Self::Csv(source) => source.next(record),
            Self::Jsonl(source) => source.next(record),
        }
    }
}

impl Rows {
    /// Makes a file ready to be read. Every fault of the mapping shows here, before a row is sent.
    pub(crate) fn open(
        resource: &Resource,
        path: &Path,
        input: Input,
        format: Option<Format>,
        mapping: Option<&Mapping>,
    ) -> anyhow::Result<Self> {
        let written = mapping.and_then(|mapping| mapping.source.format);
        let Some(format) = format.or(written).or_else(|| format_of(path)) else {
            anyhow::bail!("{} does not say by its name what it is; say --format csv or --format jsonl", input.name);
        };
        let reader = match mapping {
            None => {
                let plural = resource.plural;
                anyhow::ensure!(
                    format == Format::Jsonl,
                    "CSV needs --mapping, which says which column becomes which field; only JSONL as `orrery export {plural}` \
                     writes it goes without"
                );
                Reader::Plain(JsonLines::new(input))
            }
            Some(mapping) => {
                let plan = Plan::new(mapping, resource)?;
                let source = match format {
                    Format::Csv => {
                        Source::Csv(Box::new(CsvSource::open(input, delimiter(mapping, path)?, plan.columns())?))
                    }
                    Format::Jsonl => {
                        let file = mapping.file.display();
                        anyhow::ensure!(
                            mapping.source.delimiter.is_none(),
                            "{file}: source.delimiter has no use with JSONL"
                        );
                        Source::Jsonl(JsonlSource::new(input, plan.columns()))
                    }
                };
                Reader::Mapped(Box::new(Mapped { source, plan, record: Record::default(), groups: Groups::default() }))
            }
        };
        Ok(Self { reader, resource: *resource, message: resource.descriptor()?, records: 0 })
    }

    /// The next row or refusal; none at the end. An error is a file that cannot be read on.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Item>> {
        match &mut self.reader {
            Reader::Plain(lines) => {
                let Some((line, json)) = lines.next()? else { return Ok(None) };
                self.records += 1;
                let row = json.and_then(|json| plain_row(&self.resource, &self.message, &json));
                Ok(Some(item(line, row)))
            }
            Reader::Mapped(mapped) if mapped.plan.is_grouped() => mapped.next_group(&mut self.records),
            Reader::Mapped(mapped) => {
                let Some(values) = mapped.next_values()? else { return Ok(None) };
                self.records += 1;
                Ok(Some(item(mapped.record.line, values.map(|values| mapped.plan.build(values)))))
            }
        }
    }
}

impl Mapped {
    /// What the next record gives; none at the end.
    fn next_values(&mut self) -> anyhow::Result<Option<Result<Values, Refusal>>> {
        Ok(match self.source.next(&mut self.record)? {
            Next::End => None,
            Next::Record => Some(self.plan.evaluate(&self.record.cells)),
            Next::Refused(refusal) => Some(Err(refusal)),
        })
    }

    /// The next row that a group makes, or the next refusal; none at the end. Counts the records that it reads.
    fn next_group(&mut self, records: &mut u64) -> anyhow::Result<Option<Item>> {
        loop {
            if let Some(group) = self.groups.next_whole(self.plan.is_consecutive()) {
                return Ok(Some(item(group.line, group.values.map(|values| self.plan.build(values)))));
            }
            if self.groups.are_done() {
                return Ok(None);
            }
            let Some(values) = self.next_values()? else {
                self.groups.end();
                continue;
            };
            *records += 1;
            let line = self.record.line;
            match values {
                Ok(values) => self.groups.add(&self.plan, line, values)?,
                Err(refusal) => {
                    // A row that lacks a part is worse than none.
                    if self.plan.needs_every_record()
                        && let Some((path, key)) = self.plan.group_of(&self.record.cells)
                    {
                        self.groups.refuse(line, path, &key)?;
                    }
                    return Ok(Some(Item::Refused(line, refusal)));
                }
            }
        }
    }
}

fn plain_row(resource: &Resource, message: &MessageDescriptor, json: &Json) -> Result<Vec<u8>, Refusal> {
    let mut row = from_json(message, json)?;
    resource.clear_output_only(&mut row);
    if row.has_field_by_name(resource.key) {
        Ok(row.encode_to_vec())
    } else {
        Err(Refusal::new(resource.key, "is empty", ""))
    }
}

fn item(line: u64, row: Result<Vec<u8>, Refusal>) -> Item {
    let row = row.and_then(|bytes| {
        if bytes.len() > ROW_LIMIT {
            let problem = format!("the row has more than {} MiB", ROW_LIMIT / 1024 / 1024);
            return Err(Refusal::new("", problem, &format!("{} bytes", bytes.len())));
        }
        Ok(Row { line, bytes: bytes.into() })
    });
    match row {
        Ok(row) => Item::Row(row),
        Err(refusal) => Item::Refused(line, refusal),
    }
}

/// What separates the fields of a CSV file.
fn delimiter(mapping: &Mapping, path: &Path) -> anyhow::Result<u8> {
    match mapping.source.delimiter {
        None if extension(path).as_deref() == Some("tsv") => Ok(b'\t'),
        None => Ok(b','),
        Some(delimiter) if delimiter.is_ascii() && !matches!(delimiter, '"' | '\r' | '\n') => Ok(delimiter as u8),
        Some(delimiter) => {
            anyhow::bail!(
                "{}: source.delimiter: {delimiter:?} cannot separate fields; one ASCII character can",
                mapping.file.display()
            )
        }
    }
}
