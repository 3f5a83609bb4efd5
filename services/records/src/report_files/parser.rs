//! Splits CSV into records, in whatever pieces its bytes arrive. Quoting follows RFC 4180: quotes are doubled, and
//! delimiters and line breaks may be within quotes. A record ends with LF, CRLF or CR. Empty lines are skipped, and so
//! is a byte order mark at the beginning.
//!
//! Existing parsers accept wrong quotes silently, and one misplaced quote could swallow the records after it. This one
//! says where such a quote opens. The tests compare its records with those of `csv-core` for files with right quotes.
//!
//! Only the current record is in memory, and no more of it than [`MAX_RECORD_BYTES`] and [`MAX_CELLS`]. A record that
//! is longer, or wrongly quoted, is returned with its fault; the next one begins where it ends.

/// Maximum length of a record in bytes, without what ends it.
pub const MAX_RECORD_BYTES: usize = 4 << 20;
/// Maximum number of cells that are kept of a record.
pub const MAX_CELLS: usize = 64;

const BYTE_ORDER_MARK: [u8; 3] = *b"\xef\xbb\xbf";

/// What is wrong with a record as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It has more than [`MAX_RECORD_BYTES`] bytes. Its cells are dropped.
    TooLong,
    /// A cell continues after its closing quote. The quote opens on this line.
    Misquoted(u64),
    /// The file ends within quotes, which open on this line.
    Unclosed(u64),
}

/// A record: its cells, and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The line that it begins on, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub fault: Option<Fault>,
    /// The number of cells, with those that are not kept.
    pub cells: usize,
    /// Whether a cell beyond [`MAX_CELLS`] has content.
    pub surplus: bool,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Record {
    /// A cell; empty if the record has fewer.
    pub fn cell(&self, place: usize) -> &[u8] {
        let Some(&end) = self.ends.get(place) else { return &[] };
        let start = place.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.text.get(start..end).unwrap_or_default()
    }

    /// Whether it has nothing but blanks and delimiters.
    pub fn is_blank(&self) -> bool {
        self.fault.is_none() && !self.surplus && self.text.trim_ascii().is_empty()
    }

    /// The bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.ends.len() * size_of::<usize>()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a record.
    Between,
    /// Before the first byte of a cell.
    Begin,
    /// In a cell without quotes.
    Plain,
    /// Within quotes.
    Quoted,
    /// After a quote within quotes: the closing one, or the first of two.
    Quote,
}

/// Splits bytes into records.
#[derive(Debug)]
pub struct Parser {
    delimiter: u8,
    state: State,
    record: Record,
    /// The bytes of the current record so far.
    size: usize,
    /// The line of the next byte.
    line: u64,
    /// The line of the last opening quote.
    quote_line: u64,
    /// Whether the last byte was a CR: an LF after it belongs to the same line break.
    after_return: bool,
    /// How much of a byte order mark was seen; `None` once it is behind.
    mark: Option<usize>,
}

impl Parser {
    /// A parser at the beginning of a file.
    pub fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            state: State::Between,
            record: Record::default(),
            size: 0,
            line: 1,
            quote_line: 1,
            after_return: false,
            mark: Some(0),
        }
    }

    /// Takes bytes up to the end of the next record. Returns how many it took: all, if it returns no record.
    pub fn take(&mut self, bytes: &[u8]) -> (usize, Option<Record>) {
        for (at, &byte) in bytes.iter().enumerate() {
            if let Some(record) = self.byte(byte) {
                return (at + 1, Some(record));
            }
        }
        (bytes.len(), None)
    }

    /// The last record, if the file does not end with a line break.
    pub fn end(&mut self) -> Option<Record> {
        if let Some(seen) = self.mark.take().filter(|&seen| seen > 0) {
            self.repeat_mark(seen);
        }
        match self.state {
            State::Between => None,
            State::Quoted => {
                self.record.fault.get_or_insert(Fault::Unclosed(self.quote_line));
                Some(self.end_record())
            }
            State::Begin | State::Plain | State::Quote => Some(self.end_record()),
        }
    }

    fn byte(&mut self, byte: u8) -> Option<Record> {
        if let Some(seen) = self.mark {
            if BYTE_ORDER_MARK.get(seen) == Some(&byte) {
                self.mark = Some(seen + 1).filter(|&seen| seen < BYTE_ORDER_MARK.len());
                return None;
            }
            self.mark = None;
            self.repeat_mark(seen);
        }
        self.character(byte)
    }

    /// Takes the first bytes of a byte order mark as text: no whole one followed. None of them ends a record.
    fn repeat_mark(&mut self, seen: usize) {
        for &byte in BYTE_ORDER_MARK.iter().take(seen) {
            self.character(byte);
        }
    }

    fn character(&mut self, byte: u8) -> Option<Record> {
        let is_break = matches!(byte, b'\r' | b'\n');
        let is_second = byte == b'\n' && self.after_return;
        self.after_return = byte == b'\r';
        let line = self.line;
        if is_break && !is_second {
            self.line += 1;
        }
        if self.state == State::Between {
            if is_break {
                return None;
            }
            self.record.line = line;
            self.state = State::Begin;
        }
        match self.state {
            State::Begin if byte == b'"' => {
                self.count(1);
                self.quote_line = line;
                self.state = State::Quoted;
            }
            State::Quoted if byte == b'"' => {
                self.count(1);
                self.state = State::Quote;
            }
            State::Quoted => self.keep(byte),
            State::Quote if byte == b'"' => {
                self.keep(byte);
                self.state = State::Quoted;
            }
            _ if byte == self.delimiter => {
                self.count(1);
                self.end_cell();
                self.state = State::Begin;
            }
            _ if is_break => return Some(self.end_record()),
            State::Quote => {
                self.record.fault.get_or_insert(Fault::Misquoted(self.quote_line));
                self.keep(byte);
                self.state = State::Plain;
            }
            State::Between | State::Begin | State::Plain => {
                self.keep(byte);
                self.state = State::Plain;
            }
        }
        None
    }

    /// Counts a byte of the record. One that is too long is dropped.
    fn count(&mut self, bytes: usize) {
        self.size += bytes;
        if self.size > MAX_RECORD_BYTES && self.record.fault != Some(Fault::TooLong) {
            self.record.fault = Some(Fault::TooLong);
            self.record.text = Vec::new();
            self.record.ends = Vec::new();
        }
    }

    fn keep(&mut self, byte: u8) {
        self.count(1);
        if self.record.fault == Some(Fault::TooLong) {
            return;
        }
        if self.record.cells < MAX_CELLS {
            self.record.text.push(byte);
        } else {
            self.record.surplus |= !byte.is_ascii_whitespace();
        }
    }

    fn end_cell(&mut self) {
        self.record.cells += 1;
        if self.record.cells <= MAX_CELLS && self.record.fault != Some(Fault::TooLong) {
            self.record.ends.push(self.record.text.len());
        }
    }

    fn end_record(&mut self) -> Record {
        self.end_cell();
        self.state = State::Between;
        self.size = 0;
        std::mem::take(&mut self.record)
    }
}
