//! Opens the file to import: a file or standard input, plain or gzip, in any encoding, with or without a byte order
//! mark.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use encoding_rs::{Encoding, UTF_8};
use flate2::bufread::MultiGzDecoder;

use super::decode::Utf8Text;
use crate::mapping::Format;
use crate::terminal::was_closed;

/// The decompressed text of a file.
pub(crate) struct Input {
    /// The name in messages.
    pub(crate) name: String,
    /// The text. It is UTF-8 after [`decode`](Self::decode).
    pub(crate) reader: Box<dyn BufRead + Send>,
    /// The encoding of the file.
    pub(crate) encoding: &'static Encoding,
    /// Whether the encoding was found by a byte order mark.
    marked: bool,
    /// The number of bytes read from the file so far.
    pub(crate) position: Arc<AtomicU64>,
    /// The size of the file, if it has one.
    pub(crate) size: Option<u64>,
}

impl Input {
    /// Opens a file; `-` is standard input.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            anyhow::ensure!(!was_closed(io::stdin()), "standard input is closed; name a file to import");
            return Self::new("standard input".into(), Box::new(io::stdin()), None);
        }
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("{name} cannot be opened"))?;
        let metadata = file.metadata().with_context(|| format!("{name} cannot be read"))?;
        anyhow::ensure!(!metadata.is_dir(), "{name} is a folder");
        Self::new(name, Box::new(file), metadata.is_file().then_some(metadata.len()))
    }

    /// Uses an open file.
    pub(crate) fn new(name: String, file: Box<dyn Read + Send>, size: Option<u64>) -> anyhow::Result<Self> {
        const BUFFER: usize = 128 * 1024;
        let position = Arc::new(AtomicU64::new(0));
        let counted = Counted { file, position: Arc::clone(&position) };
        let cannot = || format!("{name} cannot be read");
        let (beginning, file) = peek::<2>(BufReader::with_capacity(BUFFER, counted)).with_context(cannot)?;
        let text: Box<dyn BufRead + Send> = if beginning == [0x1f, 0x8b] {
            Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(file)))
        } else {
            Box::new(file)
        };
        let (beginning, mut reader) = peek::<3>(text).with_context(cannot)?;
        if beginning == *b"PK\x03" {
            anyhow::bail!("{name} is a ZIP archive, such as a spreadsheet; unpack it, or save the sheet as CSV");
        }
        let mark = Encoding::for_bom(&beginning);
        reader.consume(mark.map_or(0, |(_, length)| length));
        let encoding = mark.map_or(UTF_8, |(encoding, _)| encoding);
        Ok(Self { name, reader: Box::new(reader), encoding, marked: mark.is_some(), position, size })
    }

    /// Decodes the text to UTF-8. A byte order mark takes precedence over the given encoding; the default is UTF-8.
    /// Invalid bytes become bytes that are not UTF-8.
    pub(crate) fn decode(mut self, written: Option<&'static Encoding>) -> Self {
        if let (false, Some(written)) = (self.marked, written) {
            self.encoding = written;
        }
        if self.encoding != UTF_8 {
            self.reader = Box::new(Utf8Text::new(self.reader, self.encoding));
        }
        self
    }

    /// Removes the first bytes and returns what `wanted` made of them, if it accepts them; it says how many to remove.
    pub(crate) fn take<const N: usize, T>(
        mut self,
        wanted: impl FnOnce(&[u8]) -> Option<(T, usize)>,
    ) -> anyhow::Result<(Self, Option<T>)> {
        let (beginning, mut reader) =
            peek::<N>(self.reader).with_context(|| format!("{} cannot be read", self.name))?;
        let found = wanted(&beginning);
        reader.consume(found.as_ref().map_or(0, |(_, length)| *length));
        self.reader = Box::new(reader);
        Ok((self, found.map(|(found, _)| found)))
    }

    /// The reason for refusing bytes that are not valid text.
    pub(crate) fn not_text(&self) -> Cow<'static, str> {
        format!("is not {}", self.encoding.name()).into()
    }
}

/// The format that a file's name implies, ignoring the ending of compressed files.
pub(crate) fn format_of(path: &Path) -> Option<Format> {
    match extension(path)?.as_str() {
        "csv" | "tsv" => Some(Format::Csv),
        "jsonl" | "ndjson" => Some(Format::Jsonl),
        _ => None,
    }
}

/// The lower-case ending of a file's name, ignoring that of compressed files.
pub(crate) fn extension(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.rsplit_once('.').map(|(_, extension)| extension.to_owned())
}

struct Counted {
    file: Box<dyn Read + Send>,
    position: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.position.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// The first bytes of a reader, and a reader that still returns them.
fn peek<const N: usize>(mut reader: impl BufRead + Send) -> io::Result<(Vec<u8>, impl BufRead + Send)> {
    let mut beginning = Vec::with_capacity(N);
    reader.by_ref().take(N as u64).read_to_end(&mut beginning)?;
    Ok((beginning.clone(), Cursor::new(beginning).chain(reader)))
}
