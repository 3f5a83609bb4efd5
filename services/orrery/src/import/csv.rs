//! Reads the records of a CSV file by its header.

use anyhow::Context as _;

use super::cells::{Cells, NO_QUOTES, Shape};
use super::input::Input;
use super::record::{NextRecord, Record, Warning};
use crate::mapping::{Cell, MappedColumn, Problem, RecordRefusal};

/// The most columns of a file. Spreadsheets have at most 16,384.
const MAX_COLUMNS: usize = 100_000;

/// The syntax of a CSV file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    /// The delimiter between cells. A first line such as `sep=;`, which Excel writes and reads, takes precedence.
    pub(crate) delimiter: u8,
    /// Whether cells may be quoted.
    pub(crate) quoting: bool,
}

/// Reads records with the columns of a header.
pub(crate) struct CsvSource {
    cells: Cells,
    width: usize,
    /// The position in the file of each of the mapping's columns; none for a missing optional column.
    places: Vec<Option<usize>>,
    names: Vec<String>,
    not_text: Problem,
}

impl CsvSource {
    /// Reads the header and finds the columns.
    pub(crate) fn open(input: Input, dialect: Dialect, columns: &[MappedColumn]) -> anyhow::Result<Self> {
        let (input, separator) = input.take::<7, u8>(separator)?;
        let line = if separator.is_some() { 2 } else { 1 };
        let not_text = input.not_text();
        let mut cells = Cells::new(input, separator.unwrap_or(dialect.delimiter), dialect.quoting, line);
        cells.set_width(MAX_COLUMNS);
        let shape = loop {
            match cells.next()? {
                Some(_) if cells.is_blank() => {}
                other => break other,
            }
        };
        let name = &cells.input.name;
        let Some(shape) = shape else { anyhow::bail!("{name} is empty: a CSV file starts with a header") };
        anyhow::ensure!(shape.cells <= MAX_COLUMNS, "{name} has more than {MAX_COLUMNS} columns");
        if let Some(line) = shape.misquoted_line {
            anyhow::bail!("{name}: in the header on line {line} a cell continues after its closing quote; {NO_QUOTES}");
        }
        let header = (0..shape.cells)
            .map(|place| Ok(std::str::from_utf8(cells.cell(place))?.trim().to_owned()))
            .collect::<Result<Vec<_>, std::str::Utf8Error>>()
            .with_context(|| format!("the header of {name} {not_text}; [source] can set another encoding"))?;
        let mut places = Vec::new();
        for column in columns {
            let mut found = header
                .iter()
                .enumerate()
                .filter(|(_, title)| column.names().any(|name| name == **title))
                .map(|(place, _)| place);
            let place = found.next();
            if place.is_none() && !column.optional {
                anyhow::bail!("{name} has no column {}; its header has {}", column.shown(), listed(&header));
            }
            anyhow::ensure!(found.next().is_none(), "{name} has the column {} twice", column.shown());
            places.push(place);
        }
        let names = columns.iter().map(|column| column.name.clone()).collect();
        cells.set_width(shape.cells);
        Ok(Self { cells, width: shape.cells, places, names, not_text })
    }

    /// Reads the next record. Missing cells at the end are empty; a record with only empty cells is skipped.
    pub(crate) fn next(&mut self, record: &mut Record) -> anyhow::Result<NextRecord> {
        let shape = loop {
            match self.cells.next()? {
                None => return Ok(NextRecord::End),
                Some(_) if self.cells.is_blank() => {}
                Some(shape) => break shape,
            }
        };
        record.begin(shape.line);
        record.warning = self.warning(&shape);
        if let Some(refusal) = self.out_of_place(&shape) {
            record.cells.clear();
            return Ok(NextRecord::Refused(refusal));
        }
        record.cells.resize(self.places.len(), Cell::Text(String::new()));
        let mut refusal = None;
        for (column, place) in self.places.iter().enumerate() {
            let bytes = place.map_or(&[][..], |place| self.cells.cell(place));
            let text = std::str::from_utf8(bytes);
            let problem = match (text, place) {
                (Err(_), _) => Some(self.not_text.clone()),
                (_, Some(place)) if shape.misquoted.contains(place) => Some(MISQUOTED.into()),
                _ => None,
            };
            let text = if let Some(problem) = problem {
                record.unreadable.push(column);
                let shown = String::from_utf8_lossy(bytes);
                refusal.get_or_insert_with(|| RecordRefusal::new(self.names[column].clone(), problem, &shown));
                ""
            } else {
                text.unwrap_or_default()
            };
            match &mut record.cells[column] {
                Cell::Text(cell) => {
                    cell.clear();
                    cell.push_str(text);
                }
                cell @ Cell::List(_) => *cell = Cell::Text(text.to_owned()),
            }
        }
        Ok(refusal.map_or(NextRecord::Record, NextRecord::Refused))
    }

    /// Returns a refusal if the cells of a record cannot be assigned to columns.
    fn out_of_place(&self, shape: &Shape) -> Option<RecordRefusal> {
        let Shape { cells, surplus, torn, misquoted_line, .. } = shape;
        if let Some(line) = misquoted_line
            && (*torn || *cells != self.width)
        {
            return Some(RecordRefusal::new("", MISQUOTED, &format!("the quote opens on line {line}")));
        }
        let problem = || format!("has more cells than the header, which has {}", self.width);
        surplus.then(|| RecordRefusal::new("", problem(), &cells.to_string()))
    }

    fn warning(&self, shape: &Shape) -> Option<Warning> {
        if let Some((begin, end)) = shape.suspicious {
            return Some(Warning { line: begin, text: SUSPICIOUS.into(), value: format!("to line {end}"), now: true });
        }
        (shape.cells < self.width).then(|| Warning {
            line: shape.line,
            text: SHORT.into(),
            value: String::new(),
            now: false,
        })
    }
}

const MISQUOTED: &str =
    "continues after its closing quote; if the file does not use quotes, set quoting = \"none\" in [source]";
const SUSPICIOUS: &str = "a quoted cell has many lines, or lines that look like records; if the file does not use \
    quotes, set quoting = \"none\" in [source]";
const SHORT: &str = "a record has fewer cells than the header; the missing cells are empty";

/// The delimiter, if the first line declares it, and the length of that line.
fn separator(beginning: &[u8]) -> Option<(u8, usize)> {
    let (name, rest) = beginning.split_at_checked(4)?;
    if !name.eq_ignore_ascii_case(b"sep=") {
        return None;
    }
    match rest {
        [separator, b'\r', b'\n', ..] if separates(*separator) => Some((*separator, 7)),
        [separator, b'\r' | b'\n', ..] if separates(*separator) => Some((*separator, 6)),
        _ => None,
    }
}

/// Whether a byte can be a delimiter.
pub(crate) fn separates(byte: u8) -> bool {
    byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n' | 0)
}

/// The names in a header, shortened to fit into an error.
fn listed(header: &[String]) -> String {
    const SHOWN: usize = 100;
    let mut known: Vec<String> = header.iter().take(SHOWN).map(|title| format!("`{title}`")).collect();
    if header.len() > SHOWN {
        known.push(format!("and {} others", header.len() - SHOWN));
    }
    let hint = if header.iter().any(|title| title.contains('\0')) {
        "; it looks like UTF-16: [source] can say encoding = \"utf-16\""
    } else {
        ""
    };
    format!("{}{hint}", known.join(", "))
}
