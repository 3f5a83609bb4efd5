//! The rows of `COPY ... FROM STDIN`, counted as they are sent. The pieces that a client sends them in need not be rows.

/// The signature, the flags and the length of the header's extension (manual, COPY, "Binary Format").
const HEADER: usize = 19;
/// Where a row's column count would stand after the last row.
const END: [u8; 2] = [0xff, 0xff];

/// A copy that goes to the server.
pub(super) enum CopyIn {
    /// A line is a row; a line break within quotes counts too.
    Text {
        rows: u64,
    },
    Binary(Tuples),
}

impl CopyIn {
    /// As the server's CopyInResponse says.
    pub(super) fn new(body: &[u8]) -> Self {
        match body.first() {
            Some(1) => Self::Binary(Tuples { rows: 0, next: Next::Header, skip: 0, part: Vec::with_capacity(HEADER) }),
            _ => Self::Text { rows: 0 },
        }
    }

    /// Takes what is sent and returns how many rows have begun so far.
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

/// Where in the binary format a copy is.
pub(super) struct Tuples {
    rows: u64,
    next: Next,
    /// How many bytes of a value are to come.
    skip: usize,
    /// The beginning of what is next.
    part: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Next {
    Header,
    /// A row's column count.
    Row,
    /// The length of a value, with as many more values after it in the row.
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

/// A copy that comes from the server, which sends a row in a message, the header of the binary format before the first (manual, 55.2.6).
pub(super) struct CopyOut {
    binary: bool,
    first: bool,
}

impl CopyOut {
    /// As the server's CopyOutResponse says.
    pub(super) fn new(body: &[u8]) -> Self {
        Self { binary: body.first() == Some(&1), first: true }
    }

    /// Whether a message that begins like this is a row.
    pub(super) fn is_row(&mut self, body: &[u8]) -> bool {
        if !self.binary {
            return true;
        }
        let row = if std::mem::take(&mut self.first) { body.get(HEADER..).unwrap_or_default() } else { body };
        row.first_chunk().is_some_and(|count: &[u8; 2]| *count != END)
    }
}
