//! A CSV file taken apart: records and their cells, as bytes. Cells may be quoted as RFC 4180 has it: doubled quotes,
//! delimiters and line breaks within quotes; a record ends with LF or CRLF, or with CR in a file whose first line does;
//! empty lines are passed over.
//!
//! Parsers at hand forgive what is quoted wrongly, and count lines otherwise than editors do. Here a quote that is not
//! meant as one would take in records that follow, of which nobody would know, so that this one tells: where a quoted
//! cell began that is never closed, that goes on behind its closing quote, or in which there seem to be records.

use std::io::{self, BufRead};

use anyhow::Context as _;

use super::input::Input;
use super::record::RECORD_LIMIT;

/// How many line breaks a quoted cell may have before that is told.
const MOST_BREAKS: u64 = 20;

/// What there is to know of a record besides its cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The line on which it begins.
    pub(crate) line: u64,
    /// How many cells it has.
    pub(crate) cells: usize,
    /// Whether one of those beyond the width has content.
    pub(crate) surplus: bool,
    /// The cells within the width that go on behind their closing quote.
    pub(crate) misquoted: Vec<usize>,
    /// The line on which the first such cell begins, within the width or not.
    pub(crate) misquoted_line: Option<u64>,
    /// Whether such a cell has line breaks within its quotes, so that it may hold other records.
    pub(crate) torn: bool,
    /// The lines on which a quoted cell begins and ends that is long or seems to hold records.
    pub(crate) suspicious: Option<(u64, u64)>,
}

/// Reads a file record by record.
pub(crate) struct Cells {
    pub(crate) input: Input,
    parser: Parser,
}

impl Cells {
    /// Reads a file of which the line `line` is next.
    pub(crate) fn new(input: Input, delimiter: u8, quoting: bool, line: u64) -> Self {
        Self { input, parser: Parser::new(delimiter, quoting, line) }
    }

    /// How many cells a record has: of further ones only that they have content is kept.
    pub(crate) fn set_width(&mut self, width: usize) {
        self.parser.width = width;
    }

    /// Reads the next record; none at the end. An error is a file that cannot be read on.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Shape>> {
        let Self { input: Input { name, reader, .. }, parser } = self;
        parser.clear();
        loop {
            let line = parser.line;
            let bytes = fill(reader).with_context(|| format!("{name} cannot be read after line {line}"))?;
            if bytes.is_empty() {
                return match parser.end() {
                    Ok(shape) => Ok(shape),
                    Err(quote) => {
                        anyhow::bail!("{name}: the quote that opens on line {quote} is never closed; {NO_QUOTES}")
                    }
                };
            }
            let (used, done) = parser.take(bytes);
            reader.consume(used);
            if parser.size > RECORD_LIMIT {
                let (line, limit) = (parser.shape.line, RECORD_LIMIT / 1024 / 1024);
                let quote = parser.open_quote();
                let quote = quote
                    .map(|quote| format!("; a quote opens on line {quote} and is not closed by then; {NO_QUOTES}"));
                anyhow::bail!(
                    "{name}: the record that begins on line {line} has more than {limit} MiB{}",
                    quote.unwrap_or_default()
                );
            }
            if done {
                return Ok(Some(parser.shape.clone()));
            }
        }
    }

    /// A cell of the present record; empty if the record ends before it.
    pub(crate) fn cell(&self, place: usize) -> &[u8] {
        self.parser.cell(place)
    }

    /// Whether the present record has nothing but delimiters and blanks.
    pub(crate) fn is_blank(&self) -> bool {
        !self.parser.shape.surplus && self.parser.text.trim_ascii().is_empty()
    }
}

/// What to do about quotes that are none.
pub(crate) const NO_QUOTES: &str = "if the file does not quote, say quoting = \"none\" in [source]";

/// Where the parser stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a record.
    Between,
    /// At the beginning of a cell.
    Begin,
    /// In a cell that is not quoted.
    Plain,
    Quoted,
    /// Behind a quote within a quoted cell.
    Quote,
    /// Behind a closing quote and blanks.
    Closed,
    /// Behind a CR that may end the record; true if the cell was quoted.
    Return(bool),
}

/// The quoted cell that was begun last.
#[derive(Debug, Default)]
struct Quote {
    line: u64,
    breaks: u64,
    /// Delimiters since the last line break.
    delimiters: usize,
    /// Whether each line so far has as many delimiters as if the quote were not one.
    like_records: bool,
}

struct Parser {
    delimiter: u8,
    quoting: bool,
    width: usize,
    /// The line on which the next byte stands.
    line: u64,
    /// Whether the last byte was a CR, with which an LF is one break.
    after_return: bool,
    /// Whether a CR alone ends a line, as the first end of a line has it; not known before that. In other files it is a
    /// character: it would make two records of one.
    lone_returns: Option<bool>,
    state: State,
    quote: Quote,
    shape: Shape,
    /// The bytes of the record so far, as they stand in the file.
    size: usize,
    /// The cells one after the other, and where each ends.
    text: Vec<u8>,
    ends: Vec<u32>,
}

impl Parser {
    fn new(delimiter: u8, quoting: bool, line: u64) -> Self {
        Self {
            delimiter,
            quoting,
            width: usize::MAX,
            line,
            after_return: false,
            lone_returns: None,
            state: State::Between,
            quote: Quote::default(),
            shape: Shape::default(),
            size: 0,
            text: Vec::new(),
            ends: Vec::new(),
        }
    }

    fn clear(&mut self) {
        self.shape = Shape::default();
        self.size = 0;
        self.text.clear();
        self.ends.clear();
    }

    fn cell(&self, place: usize) -> &[u8] {
        let Some(end) = self.ends.get(place) else { return &[] };
        let begin = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[begin as usize..*end as usize]
    }

    /// Takes bytes in: how many, and whether a record ends with them.
    fn take(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let rest = &bytes[at..];
            let used = match self.state {
                State::Between if is_break(byte) => self.count_break(byte),
                State::Between => {
                    self.shape.line = self.line;
                    self.state = State::Begin;
                    0
                }
                State::Begin if byte == b'"' && self.quoting => self.open(),
                State::Begin | State::Plain => {
                    let delimiter = self.delimiter;
                    let run = run(rest, |byte| byte == delimiter || is_break(byte));
                    self.keep(&rest[..run]);
                    self.state = State::Plain;
                    match rest.get(run) {
                        Some(b'\r') => {
                            self.state = State::Return(false);
                            run + 1
                        }
                        Some(&byte) => run + self.end_cell(byte),
                        None => run,
                    }
                }
                State::Return(quoted) => self.behind_return(quoted, byte),
                State::Quoted => {
                    let delimiter = self.delimiter;
                    let run = run(rest, |byte| byte == b'"' || byte == delimiter || is_break(byte));
                    self.keep(&rest[..run]);
                    match rest.get(run) {
                        Some(&byte) => run + self.in_quotes(byte),
                        None => run,
                    }
                }
                State::Quote if byte == b'"' => {
                    self.keep(b"\"");
                    self.state = State::Quoted;
                    1
                }
                State::Quote | State::Closed if byte == b'\r' => {
                    self.state = State::Return(true);
                    1
                }
                State::Quote | State::Closed if byte == self.delimiter || byte == b'\n' => {
                    self.close();
                    self.end_cell(byte)
                }
                State::Quote | State::Closed if byte == b' ' => {
                    self.keep(b" ");
                    self.state = State::Closed;
                    1
                }
                State::Quote | State::Closed => {
                    self.misquote();
                    self.state = State::Plain;
                    0
                }
            };
            at += used;
            if self.state != State::Between {
                self.size += used;
            } else if self.shape.cells > 0 {
                return (at, true);
            }
        }
        (at, false)
    }

    /// The file has ended: what there is of a record. An error is the line of a quote that was not closed.
    fn end(&mut self) -> Result<Option<Shape>, u64> {
        match self.state {
            State::Between => return Ok(None),
            State::Quoted => return Err(self.quote.line),
            State::Quote | State::Closed | State::Return(true) => self.close(),
            State::Begin | State::Plain | State::Return(false) => {}
        }
        self.count_cell();
        self.state = State::Between;
        Ok(Some(self.shape.clone()))
    }

    /// The line of the quote within which the file stands.
    fn open_quote(&self) -> Option<u64> {
        (self.state == State::Quoted).then_some(self.quote.line)
    }

    /// Takes content of a cell in.
    fn keep(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.after_return = false;
            self.store(bytes);
        }
    }

    fn store(&mut self, bytes: &[u8]) {
        if self.shape.cells < self.width {
            self.text.extend_from_slice(bytes);
        } else {
            self.shape.surplus |= !bytes.trim_ascii().is_empty();
        }
    }

    /// Counts a line break: LF, alone or behind a CR, or a CR alone where that is one.
    fn count_break(&mut self, byte: u8) -> usize {
        let counts = match (self.lone_returns, byte) {
            (Some(false), byte) => byte == b'\n',
            (_, b'\n') => !self.after_return,
            _ => true,
        };
        self.line += u64::from(counts);
        self.after_return = byte == b'\r';
        1
    }

    /// The byte behind a CR that is not within quotes.
    fn behind_return(&mut self, quoted: bool, byte: u8) -> usize {
        let with_feed = byte == b'\n';
        if !with_feed && !*self.lone_returns.get_or_insert(true) {
            if quoted {
                self.misquote();
            }
            self.keep(b"\r");
            self.state = State::Plain;
            return 0;
        }
        if quoted {
            self.close();
        }
        if with_feed {
            return self.end_cell(byte);
        }
        self.end_cell(b'\r');
        0
    }

    fn count_cell(&mut self) {
        self.shape.cells += 1;
        if self.shape.cells <= self.width {
            // A record has far fewer bytes: see RECORD_LIMIT.
            self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
        }
    }

    /// The byte behind a cell.
    fn end_cell(&mut self, byte: u8) -> usize {
        self.count_cell();
        if byte == self.delimiter {
            self.after_return = false;
            self.state = State::Begin;
            return 1;
        }
        self.state = State::Between;
        self.lone_returns.get_or_insert(byte == b'\r');
        self.count_break(byte)
    }

    fn open(&mut self) -> usize {
        self.after_return = false;
        self.quote = Quote { line: self.line, like_records: true, ..Quote::default() };
        self.state = State::Quoted;
        1
    }

    /// A quote, delimiter or line break within quotes.
    fn in_quotes(&mut self, byte: u8) -> usize {
        if byte == b'"' {
            self.after_return = false;
            self.state = State::Quote;
            return 1;
        }
        if byte == self.delimiter {
            self.keep(&[byte]);
            self.quote.delimiters += 1;
            return 1;
        }
        self.store(&[byte]);
        let before = self.line;
        self.count_break(byte);
        if self.line > before {
            let place = if self.quote.breaks == 0 { self.shape.cells } else { 0 };
            let expected = self.width.checked_sub(place + 1);
            self.quote.like_records &= expected == Some(self.quote.delimiters);
            self.quote.breaks += 1;
            self.quote.delimiters = 0;
        }
        1
    }

    fn close(&mut self) {
        let Quote { line, breaks, delimiters, like_records } = self.quote;
        let like_records = like_records && self.width > 1 && delimiters == self.shape.cells;
        if breaks > MOST_BREAKS || (breaks > 0 && like_records) {
            self.shape.suspicious.get_or_insert((line, line + breaks));
        }
    }

    fn misquote(&mut self) {
        self.shape.misquoted_line.get_or_insert(self.quote.line);
        self.shape.torn |= self.quote.breaks > 0;
        if self.shape.cells < self.width {
            self.shape.misquoted.push(self.shape.cells);
        }
    }
}

fn is_break(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// How many bytes there are before the first that ends the run.
fn run(bytes: &[u8], ends: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| ends(*byte)).unwrap_or(bytes.len())
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
