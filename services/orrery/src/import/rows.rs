//! From a file to encoded rows: reads, maps, groups and encodes records. The order of rows depends only on the file and
//! the mapping, so that an offset means the same row in every run.

use std::collections::VecDeque;
use std::path::Path;

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::MessageDescriptor;
use serde_json::Value as Json;

use super::csv::{CsvSource, Dialect, separates};
use super::input::{Input, extension, format_of};
use super::jsonl::{JsonLines, JsonlSource};
use super::members::{Member, OwnerRows};
use super::omissions::Omissions;
use super::record::{NextRecord, Record, Warning};
use crate::mapping::{
    Collision, Format, Group, GroupContent, GroupMemory, Groups, Mapping, Plan, Quoting, ROW_LIMIT, RecordRefusal,
    Sources, Values,
};
use crate::message::from_json;
use crate::resource::TransferResource;

/// An encoded row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EncodedRow {
    /// The line on which the row, or the first record of its group, begins.
    pub(crate) line: u64,
    /// The encoded message.
    pub(crate) bytes: Bytes,
    /// Whether the row must be in the chunk of the row before, because a write replaces the rows of an owner.
    pub(crate) joins: bool,
}

/// An item read from a file.
#[derive(Debug)]
pub(crate) enum FileItem {
    /// A row.
    Row(EncodedRow),
    /// The record or row that begins on this line was refused.
    Refused(u64, RecordRefusal, Loss),
    /// A warning.
    Warning(Warning),
}

/// What is lost by a refusal. A row is counted once, even if several of its records are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// A record that is a row by itself.
    RecordAndRow,
    /// One of several records of a row.
    Record,
    /// A row whose records were refused.
    RowOfRecords,
    /// A row that its records made.
    Row,
}

/// The rows of a file.
pub(crate) struct FileRows {
    reader: Reader,
    resource: TransferResource,
    message: MessageDescriptor,
    /// The number of records read.
    pub(crate) records: u64,
    omissions: Omissions,
    /// Whether the rows of an owner replace those that are stored.
    replaces: bool,
    /// The items of an owner that was read.
    members: VecDeque<FileItem>,
}

enum Reader {
    /// JSON in the form of the message, without a mapping.
    Plain(JsonLines),
    Mapped(Box<Mapped>),
}

/// Rows made of records by a mapping.
struct Mapped {
    source: Source,
    plan: Plan,
    record: Record,
    groups: Groups,
    /// A warning to return first.
    warnings: VecDeque<Warning>,
    /// What a row is called, and several rows.
    singular: &'static str,
    plural: &'static str,
    sources: Sources,
}

/// Why a record was refused.
struct Refused {
    refusal: RecordRefusal,
    /// Whether the record belongs to the row of its key.
    is_of_group: bool,
    loss: Loss,
}

enum Source {
    Csv(Box<CsvSource>),
    Jsonl(JsonlSource),
}

impl Source {
    fn next(&mut self, record: &mut Record) -> anyhow::Result<NextRecord> {
        match self {
            Self::Csv(source) => source.next(record),
            Self::Jsonl(source) => source.next(record),
        }
    }
}

impl FileRows {
    /// Opens a file. All errors of the mapping are found here, before a row is sent.
    pub(crate) fn open(
        resource: &TransferResource,
        path: &Path,
        input: Input,
        format: Option<Format>,
        mapping: Option<&Mapping>,
    ) -> anyhow::Result<Self> {
        let written = mapping.and_then(|mapping| mapping.source.format);
        let Some(format) = format.or(written).or_else(|| format_of(path)) else {
            anyhow::bail!("{} has no known file name extension; use --format csv or --format jsonl", input.name);
        };
        let input = input.decode(mapping.and_then(|mapping| mapping.source.encoding));
        let reader = match mapping {
            None => {
                let noun = resource.noun();
                anyhow::ensure!(
                    format == Format::Jsonl,
                    "CSV needs --mapping, which maps columns to fields; only JSONL as `orrery export {noun}` \
                     writes it goes without"
                );
                Reader::Plain(JsonLines::new(input))
            }
            Some(mapping) => {
                let plan = Plan::new(mapping, resource)?;
                let source = match format {
                    Format::Csv => {
                        Source::Csv(Box::new(CsvSource::open(input, dialect(mapping, path)?, plan.columns())?))
                    }
                    Format::Jsonl => {
                        let file = mapping.file.display();
                        let source = &mapping.source;
                        let of_csv = [("delimiter", source.delimiter.is_some()), ("quoting", source.quoting.is_some())];
                        if let Some((setting, _)) = of_csv.iter().find(|(_, is_set)| *is_set) {
                            anyhow::bail!("{file}: source.{setting} is not allowed with JSONL");
                        }
                        Source::Jsonl(JsonlSource::new(input, plan.columns()))
                    }
                };
                Reader::Mapped(Box::new(Mapped {
                    source,
                    record: Record::default(),
                    groups: Groups::new(&plan, GroupMemory::default()),
                    plan,
                    warnings: VecDeque::new(),
                    singular: resource.singular,
                    plural: resource.plural,
                    sources: Sources::default(),
                }))
            }
        };
        Ok(Self {
            reader,
            resource: *resource,
            message: resource.descriptor()?,
            records: 0,
            omissions: Omissions::default(),
            replaces: false,
            members: VecDeque::new(),
        })
    }

    /// Makes the rows of an owner those that replace what is stored of it: an owner without rows has one that names
    /// only the owner. Must be called before the first row is read.
    ///
    /// # Errors
    /// The rows of an owner may be anywhere in the file, so that no row has all of them.
    pub(crate) fn set_replace(&mut self) -> anyhow::Result<()> {
        let TransferResource { key, singular, .. } = self.resource;
        let is_grouped = matches!(&self.reader, Reader::Mapped(mapped) if mapped.plan.is_grouped_by_key());
        anyhow::ensure!(
            is_grouped,
            "--mode replace needs a mapping with `by = \"{key}\"` in [group], so that each {singular} of the file is \
             known before those that it replaces are deleted"
        );
        self.replaces = true;
        Ok(())
    }

    /// Sets the memory for groups. Must be called before the first row is read.
    pub(crate) fn set_group_memory(&mut self, memory: GroupMemory) {
        if let Reader::Mapped(mapped) = &mut self.reader {
            mapped.groups = Groups::new(&mapped.plan, memory);
        }
    }

    /// The update_mask: the fields that the mapping names. Empty without a mapping, which means all set fields.
    pub(crate) fn update_mask(&self) -> Vec<String> {
        match &self.reader {
            Reader::Plain(_) => Vec::new(),
            Reader::Mapped(mapped) => mapped.plan.update_mask().to_vec(),
        }
    }

    /// What was left out of the rows read so far.
    pub(crate) fn omissions(&self) -> Omissions {
        self.omissions.clone()
    }

    /// The next row, refusal or warning; none at the end. After an error, nothing more can be read.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<FileItem>> {
        if self.resource.owner.is_none() {
            return self.next_row();
        }
        loop {
            if let Some(item) = self.members.pop_front() {
                return Ok(Some(item));
            }
            match self.next_row()? {
                Some(FileItem::Row(row)) => {
                    let owner = match &self.reader {
                        Reader::Plain(_) => OwnerRows::of_one(Member::decode(row.bytes)?, row.line),
                        Reader::Mapped(_) => OwnerRows::decode(row.bytes)?,
                    };
                    self.members.extend(owner.into_items(self.replaces, row.line));
                }
                other => return Ok(other),
            }
        }
    }

    /// The next row as the file has it, refusal or warning.
    fn next_row(&mut self) -> anyhow::Result<Option<FileItem>> {
        match &mut self.reader {
            Reader::Plain(lines) => {
                let Some((line, json)) = lines.next()? else { return Ok(None) };
                self.records += 1;
                let row = json.map_err(|bad| bad.refusal);
                let row = row.and_then(|json| plain_row(&self.resource, &self.message, &json));
                Ok(Some(item(line, row, Loss::RecordAndRow)))
            }
            Reader::Mapped(mapped) => mapped.next(&mut self.records, &self.omissions),
        }
    }
}

impl Mapped {
    fn next(&mut self, records: &mut u64, omissions: &Omissions) -> anyhow::Result<Option<FileItem>> {
        if let Some(warning) = self.warnings.pop_front() {
            return Ok(Some(FileItem::Warning(warning)));
        }
        if self.plan.is_grouped() {
            return self.next_group(records, omissions);
        }
        let Some(values) = self.next_values(omissions)? else { return Ok(None) };
        *records += 1;
        let values = values.map_err(|refused| refused.refusal);
        let row = values.and_then(|values| self.plan.build(values).map_err(too_large));
        Ok(Some(item(self.record.line, row, Loss::RecordAndRow)))
    }

    /// The values of the next record; none at the end.
    fn next_values(&mut self, omissions: &Omissions) -> anyhow::Result<Option<Result<Values, Refused>>> {
        let refused = |refusal| Refused { refusal, is_of_group: true, loss: Loss::Record };
        let next = self.source.next(&mut self.record)?;
        self.warnings.extend(self.record.warning.take());
        Ok(match next {
            NextRecord::End => None,
            NextRecord::Record => Some(
                self.plan.evaluate(self.record.line, &self.record.cells).map_err(refused).and_then(|mut values| {
                    let line = self.record.line;
                    let added = self.sources.add(line, &std::mem::take(&mut values.sources));
                    added.map_err(|Collision { refusal, is_another_row, is_new }| Refused {
                        refusal,
                        is_of_group: !is_another_row,
                        loss: if is_new { Loss::RecordAndRow } else { Loss::Record },
                    })?;
                    omissions.add(line, std::mem::take(&mut values.omissions));
                    Ok(values)
                }),
            ),
            NextRecord::Refused(refusal) => Some(Err(refused(refusal))),
        })
    }

    /// The next row made of a group, or the next refusal; none at the end. Counts the records read.
    fn next_group(&mut self, records: &mut u64, omissions: &Omissions) -> anyhow::Result<Option<FileItem>> {
        loop {
            if let Some(Group { line, content }) = self.groups.next_whole(&self.plan)? {
                return Ok(Some(match content {
                    GroupContent::Row(values) => item(line, self.plan.build(*values).map_err(too_large), Loss::Row),
                    GroupContent::Refused(refusal) => FileItem::Refused(line, refusal, Loss::RowOfRecords),
                    GroupContent::Nothing => {
                        let refusal = RecordRefusal::new(self.plan.group_path(), "all its records were refused", "");
                        FileItem::Refused(line, refusal, Loss::RowOfRecords)
                    }
                }));
            }
            if self.groups.have_ended() {
                return Ok(None);
            }
            let Some(values) = self.next_values(omissions)? else {
                self.groups.end(&self.plan)?;
                continue;
            };
            *records += 1;
            let line = self.record.line;
            match values {
                Ok(values) => self.groups.add(&self.plan, line, values)?,
                Err(Refused { refusal, is_of_group, loss }) => {
                    if is_of_group {
                        self.lose(line)?;
                    }
                    return Ok(Some(FileItem::Refused(line, refusal, loss)));
                }
            }
        }
    }

    /// Tells the groups that the current record was refused.
    fn lose(&mut self, line: u64) -> anyhow::Result<()> {
        if let Some(key) = self.plan.group_of(&self.record.cells, &self.record.unreadable) {
            return self.groups.refuse(&self.plan, line, &key);
        }
        if self.plan.needs_every_record() && self.groups.refuse_all(&self.plan, line) {
            let (singular, plural) = (self.singular, self.plural);
            let text = format!(
                "a record was refused, and it does not say which {singular} it belongs to. The records of one can be \
                 anywhere in \
                 the file, so that any {singular} may lack it: none is written. Correct the record or take it out, \
                 or, if \
                 the records of each {singular} stand together, say `consecutive = true` in [group]: then only the \
                 {plural} next to it are rejected"
            );
            self.warnings.push_back(Warning { line, text: text.into(), value: String::new(), now: true });
        }
        Ok(())
    }
}

fn plain_row(resource: &TransferResource, message: &MessageDescriptor, json: &Json) -> Result<Vec<u8>, RecordRefusal> {
    let mut row = from_json(message, json)?;
    resource.clear_output_only(&mut row);
    if let Some(owner) = resource.owner
        && !owner.members.iter().any(|member| row.has_field_by_name(member))
    {
        return Err(RecordRefusal::new(owner.members.join(" or "), "is empty", ""));
    }
    if [Some(resource.key), resource.name_key].into_iter().flatten().any(|key| row.has_field_by_name(key)) {
        Ok(row.encode_to_vec())
    } else {
        Err(RecordRefusal::new(resource.key, "is empty", ""))
    }
}

/// Turns a row into an item; `loss` is what is lost if it was refused or is too large.
fn item(line: u64, row: Result<Vec<u8>, RecordRefusal>, loss: Loss) -> FileItem {
    let row = row.and_then(|bytes| {
        if bytes.len() > ROW_LIMIT {
            return Err(too_large(bytes.len()));
        }
        Ok(EncodedRow { line, bytes: bytes.into(), joins: false })
    });
    match row {
        Ok(row) => FileItem::Row(row),
        Err(refusal) => FileItem::Refused(line, refusal, loss),
    }
}

/// The refusal of a row with this many bytes.
fn too_large(bytes: usize) -> RecordRefusal {
    RecordRefusal::new("", format!("the row has more than {} MiB", ROW_LIMIT / 1024 / 1024), &format!("{bytes} bytes"))
}

/// The syntax of a CSV file.
fn dialect(mapping: &Mapping, path: &Path) -> anyhow::Result<Dialect> {
    let delimiter = match mapping.source.delimiter {
        None if extension(path).as_deref() == Some("tsv") => b'\t',
        None => b',',
        Some(delimiter) => match u8::try_from(delimiter) {
            Ok(byte) if separates(byte) => byte,
            _ => anyhow::bail!(
                "{}: source.delimiter: {delimiter:?} is not a delimiter; use one ASCII character",
                mapping.file.display()
            ),
        },
    };
    Ok(Dialect { delimiter, quoting: mapping.source.quoting != Some(Quoting::None) })
}
