//! Splits a CSV file into records and cells, as bytes. Quoting follows RFC 4180: quotes are doubled, and delimiters and
//! line breaks may be within quotes. A record ends with LF or CRLF, or with CR in a file whose first line ends so.
//! Empty lines are skipped.
//!
//! Existing parsers accept wrong quoting silently, and count lines differently from editors. A misplaced quote could
//! swallow the records after it unnoticed. This parser therefore reports where a quoted cell is not closed, where it
//! continues after its closing quote, and where it seems to contain records.

use std::io::{self, BufRead};

use anyhow::Context as _;

use super::input::Input;
use super::record::RECORD_LIMIT;

/// A quoted cell with more line breaks than this is reported.
const MAX_BREAKS: u64 = 20;

/// Facts about a record other than its cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The line on which the record begins.
    pub(crate) line: u64,
    /// The number of cells.
    pub(crate) cells: usize,
    /// Whether a cell beyond the width of the header has content.
    pub(crate) surplus: bool,
    /// The cells within the width that continue after their closing quote.
    pub(crate) misquoted: Vec<usize>,
    /// The line on which the first such cell begins, even beyond the width.
    pub(crate) misquoted_line: Option<u64>,
    /// Whether such a cell has line breaks within its quotes, so that it may contain other records.
    pub(crate) torn: bool,
    /// The first and last line of a quoted cell that is long or seems to contain records.
    pub(crate) suspicious: Option<(u64, u64)>,
}

/// Reads a file record by record.
pub(crate) struct Cells {
    pub(crate) input: Input,
    parser: Parser,
}

impl Cells {
    /// Reads from `input`, whose next line has the number `line`.
    pub(crate) fn new(input: Input, delimiter: u8, quoting: bool, line: u64) -> Self {
        Self { input, parser: Parser::new(delimiter, quoting, line) }
    }

    /// Sets how many cells of a record are kept. Of the others only is kept whether they have content.
    pub(crate) fn set_width(&mut self, width: usize) {
        self.parser.width = width;
    }

    /// Reads the next record; none at the end of the file. After an error, nothing more can be read.
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
                        anyhow::bail!("{name}: the quote opened on line {quote} is never closed; {NO_QUOTES}")
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

    /// A cell of the current record; empty if the record has fewer cells.
    pub(crate) fn cell(&self, place: usize) -> &[u8] {
        self.parser.cell(place)
    }

    /// Whether the current record contains only delimiters and blanks.
    pub(crate) fn is_blank(&self) -> bool {
        !self.parser.shape.surplus && self.parser.text.trim_ascii().is_empty()
    }
}

/// Advice for files in which quotes have no meaning.
pub(crate) const NO_QUOTES: &str = "if the file does not use quotes, set quoting = \"none\" in [source]";

/// The parser's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a record.
    Between,
    /// At the start of a cell.
    Begin,
    /// In an unquoted cell.
    Plain,
    Quoted,
    /// After a quote in a quoted cell.
    Quote,
    /// After a closing quote and blanks.
    Closed,
    /// After a CR that may end the record; true if the cell was quoted.
    Return(bool),
}

/// The quoted cell that was opened last.
#[derive(Debug, Default)]
struct Quote {
    line: u64,
    breaks: u64,
    /// The delimiters since the last line break.
    delimiters: usize,
    /// Whether all lines so far have as many delimiters as if the quote had no meaning.
    like_records: bool,
}

struct Parser {
    delimiter: u8,
    quoting: bool,
    width: usize,
    /// The line of the next byte.
    line: u64,
    /// Whether the last byte was a CR. A following LF belongs to the same line break.
    after_return: bool,
    /// Whether a lone CR ends a line. The first line break decides; unknown before. In other files a lone CR is part of
    /// the cell.
    lone_returns: Option<bool>,
    state: State,
    quote: Quote,
    shape: Shape,
    /// The raw bytes of the current record.
    size: usize,
    /// The cells, concatenated, and the end of each.
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

    /// Parses some of `bytes`: returns how many, and whether a record ends there.
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

    /// Handles the end of the file: returns the last record if there is one. The error is the line of an unclosed
    /// quote.
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

    /// The line of the open quote, if there is one.
    fn open_quote(&self) -> Option<u64> {
        (self.state == State::Quoted).then_some(self.quote.line)
    }

    /// Adds content to the current cell.
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

    /// Counts a line break: LF, CRLF, or a lone CR if that ends lines.
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

    /// Handles the byte after an unquoted CR.
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
            // The limit of bytes bounds a record first: see RECORD_LIMIT.
            self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
        }
    }

    /// Handles the byte after a cell.
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

    /// Handles a quote, delimiter or line break within quotes.
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
        if breaks > MAX_BREAKS || (breaks > 0 && like_records) {
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

/// The number of bytes before the first that ends the run.
fn run(bytes: &[u8], ends: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| ends(*byte)).unwrap_or(bytes.len())
}

/// The available bytes; empty at the end of the file.
fn fill(reader: &mut impl BufRead) -> io::Result<&[u8]> {
    // Calls fill_buf twice, because the borrow checker rejects a loop that returns the buffer.
    while let Err(error) = reader.fill_buf() {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    reader.fill_buf()
}
