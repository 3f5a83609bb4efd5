//! Records of a CSV file (RFC 4180: quotes, doubled quotes, line breaks within quotes, LF or CRLF).

use std::io::{self, BufRead};

use anyhow::Context as _;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::input::Input;
use super::record::{Next, RECORD_LIMIT, Record};
use crate::mapping::{Cell, Column, Refusal};

/// Reads records by the columns of a header. The parser is driven here rather than through the `csv` crate, which counts
/// lines wrongly behind CRLF and has no bound on a record.
pub(crate) struct CsvSource {
    input: Input,
    parser: Reader,
    /// Where the next record begins.
    line: u64,
    header_length: usize,
    /// For each column of the mapping its place in the file; none for an optional one that is missing.
    places: Vec<Option<usize>>,
    names: Vec<String>,
    /// The fields of the present record one after the other, and where each ends.
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl CsvSource {
    /// Reads the header and finds the columns.
    pub(crate) fn open(input: Input, delimiter: u8, columns: &[Column]) -> anyhow::Result<Self> {
        let mut source = Self {
            input,
            parser: ReaderBuilder::new().delimiter(delimiter).build(),
            line: 1,
            header_length: 0,
            places: Vec::new(),
            names: columns.iter().map(|column| column.name.clone()).collect(),
            text: vec![0; 64 * 1024],
            ends: vec![0; 256],
        };
        let Some((_, fields)) = source.next_fields()? else {
            anyhow::bail!("{} is empty: a CSV file begins with a header", source.input.name);
        };
        let name = &source.input.name;
        let header = (0..fields)
            .map(|field| Ok(std::str::from_utf8(source.field(field))?.trim().to_owned()))
            .collect::<Result<Vec<_>, std::str::Utf8Error>>()
            .with_context(|| format!("the header of {name} is not UTF-8"))?;
        for column in columns {
            let mut found =
                header.iter().enumerate().filter(|(_, title)| **title == column.name).map(|(place, _)| place);
            let place = found.next();
            if place.is_none() && !column.optional {
                let known = header.iter().map(|title| format!("`{title}`")).collect::<Vec<_>>().join(", ");
                anyhow::bail!("{name} has no column `{}`; its header has {known}", column.name);
            }
            anyhow::ensure!(found.next().is_none(), "{name} has the column `{}` twice", column.name);
            source.places.push(place);
        }
        source.header_length = fields;
        Ok(source)
    }

    /// Reads the next record.
    pub(crate) fn next(&mut self, record: &mut Record) -> anyhow::Result<Next> {
        let Some((line, fields)) = self.next_fields()? else { return Ok(Next::End) };
        record.line = line;
        if fields != self.header_length {
            record.cells.clear();
            let problem = format!("has another number of fields than the header, which has {}", self.header_length);
            return Ok(Next::Refused(Refusal::new("", problem, &fields.to_string())));
        }
        record.cells.resize(self.places.len(), Cell::Text(String::new()));
        let mut refusal = None;
        for (column, place) in self.places.iter().enumerate() {
            let bytes = place.map_or(&[][..], |place| self.field(place));
            let text = std::str::from_utf8(bytes).unwrap_or_else(|_| {
                let shown = String::from_utf8_lossy(bytes);
                refusal.get_or_insert_with(|| Refusal::new(self.names[column].clone(), "is not UTF-8", &shown));
                ""
            });
            match &mut record.cells[column] {
                Cell::Text(cell) => {
                    cell.clear();
                    cell.push_str(text);
                }
                cell @ Cell::List(_) => *cell = Cell::Text(text.to_owned()),
            }
        }
        Ok(refusal.map_or(Next::Record, Next::Refused))
    }

    fn field(&self, place: usize) -> &[u8] {
        let begin = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.text[begin..self.ends[place]]
    }

    /// Parses the next record: the line it begins on and how many fields it has.
    fn next_fields(&mut self) -> anyhow::Result<Option<(u64, usize)>> {
        let name = &self.input.name;
        let reader = &mut self.input.reader;
        skip_line_breaks(reader, &mut self.line)
            .with_context(|| format!("{name} cannot be read after line {}", self.line))?;
        let begin = self.line;
        let (mut text, mut fields) = (0, 0);
        loop {
            let input = fill(reader).with_context(|| format!("{name} cannot be read after line {begin}"))?;
            let (result, read, written, ended) =
                self.parser.read_record(input, &mut self.text[text..], &mut self.ends[fields..]);
            self.line += line_feeds(&input[..read]);
            reader.consume(read);
            text += written;
            fields += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => {
                    anyhow::ensure!(
                        text < RECORD_LIMIT,
                        "{name}: the record that begins on line {begin} has more than {} MiB; is a quote left open?",
                        RECORD_LIMIT / 1024 / 1024
                    );
                    self.text.resize(self.text.len() * 2, 0);
                }
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => return Ok(Some((begin, fields))),
                ReadRecordResult::End => return Ok(None),
            }
        }
    }
}

/// The bytes at hand, none at the end.
fn fill(reader: &mut impl BufRead) -> io::Result<&[u8]> {
    // Asked twice, since the borrow of a loop that returns what it filled is more than the compiler accepts.
    while let Err(error) = reader.fill_buf() {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    reader.fill_buf()
}

/// Passes over what is left of the last line's end and over empty lines.
fn skip_line_breaks(reader: &mut impl BufRead, line: &mut u64) -> io::Result<()> {
    loop {
        let bytes = fill(reader)?;
        let breaks = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let all = breaks == bytes.len();
        *line += line_feeds(&bytes[..breaks]);
        reader.consume(breaks);
        if !all || breaks == 0 {
            return Ok(());
        }
    }
}

#[expect(clippy::naive_bytecount, reason = "counting is no part of the cost of reading CSV")]
fn line_feeds(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}
