//! Counts the rows of `COPY ... FROM STDIN` while they are sent. A client's pieces need not end at rows.

/// The length of signature, flags and header extension (manual, COPY, "Binary Format").
const HEADER: usize = 19;
/// The trailer, where the column count of another row would be.
const END: [u8; 2] = [0xff, 0xff];

/// A copy to the server.
pub(super) enum CopyIn {
    /// Each line is a row. Line breaks within quotes are counted as well.
    Text {
        rows: u64,
    },
    Binary(Tuples),
}

impl CopyIn {
    /// The format is in the server's CopyInResponse.
    pub(super) fn new(body: &[u8]) -> Self {
        match body.first() {
            Some(1) => Self::Binary(Tuples { rows: 0, next: Next::Header, skip: 0, part: Vec::with_capacity(HEADER) }),
            _ => Self::Text { rows: 0 },
        }
    }

    /// Handles sent bytes and returns the number of rows started so far.
    pub(super) fn take(&mut self, bytes: &[u8]) -> u64 {
        match self {
            Self::Text { rows } => {
                *rows += bytes.split(|&byte| byte == b'\n').skip(1).count() as u64;
                *rows
            }
            Self::Binary(tuples) => {
                tuples.take(bytes);
                tuples.rows
            }
        }
    }
}

/// The position in the binary format.
pub(super) struct Tuples {
    rows: u64,
    next: Next,
    /// The remaining bytes of a value.
    skip: usize,
    /// The bytes of the next item so far.
    part: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Next {
    Header,
    /// The column count of a row.
    Row,
    /// The length of a value, with the number of values after it in the row.
    Value(u16),
}

impl Tuples {
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let wanted = match self.next {
                Next::Header => HEADER,
                Next::Row => 2,
                Next::Value(_) => 4,
            };
            let taken = (wanted - self.part.len()).min(bytes.len());
            self.part.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.part.len() == wanted {
                self.step();
                self.part.clear();
            }
        }
    }

    fn step(&mut self) {
        let last = |bytes: &[u8]| bytes.last_chunk().map_or(0, |length| i32::from_be_bytes(*length));
        match self.next {
            Next::Header => {
                self.skip = last(&self.part) as usize;
                self.next = Next::Row;
            }
            Next::Row if self.part == END => {}
            Next::Row => {
                self.rows += 1;
                let columns = u16::from_be_bytes([self.part[0], self.part[1]]);
                self.next = columns.checked_sub(1).map_or(Next::Row, Next::Value);
            }
            Next::Value(more) => {
                // -1 is null, which has no bytes.
                self.skip = last(&self.part).max(0) as usize;
                self.next = more.checked_sub(1).map_or(Next::Row, Next::Value);
            }
        }
    }
}

/// A copy from the server, which sends one row per message. In binary format the header comes before the first (manual,
/// 55.2.6).
pub(super) struct CopyOut {
    binary: bool,
    first: bool,
}

impl CopyOut {
    /// The format is in the server's CopyOutResponse.
    pub(super) fn new(body: &[u8]) -> Self {
        Self { binary: body.first() == Some(&1), first: true }
    }

    /// Whether a message with this beginning is a row.
    pub(super) fn is_row(&mut self, body: &[u8]) -> bool {
        if !self.binary {
            return true;
        }
        let row = if std::mem::take(&mut self.first) { body.get(HEADER..).unwrap_or_default() } else { body };
        row.first_chunk().is_some_and(|count: &[u8; 2]| *count != END)
    }
}
