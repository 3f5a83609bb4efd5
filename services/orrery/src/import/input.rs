//! Opening what is imported: a file or standard input, plain or gzip, in whatever encoding, with or without a byte
//! order mark.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use encoding_rs::{Encoding, UTF_8};
use flate2::bufread::MultiGzDecoder;

use super::decode::Decoded;
use crate::mapping::Format;
use crate::terminal::was_closed;

/// The text of a file, whatever it is packed in.
pub(crate) struct Input {
    /// How it is called in messages.
    pub(crate) name: String,
    /// The text: UTF-8 once [`decode`](Self::decode) was called.
    pub(crate) reader: Box<dyn BufRead + Send>,
    /// What the file is written in.
    pub(crate) encoding: &'static Encoding,
    /// Whether a byte order mark says so.
    marked: bool,
    /// How many bytes of the file were read so far.
    pub(crate) position: Arc<AtomicU64>,
    /// The file's size, where it has one.
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

    /// Takes a file that is open.
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
            anyhow::bail!("{name} is a ZIP archive, as spreadsheets are; unpack it, or save the sheet as CSV");
        }
        let mark = Encoding::for_bom(&beginning);
        reader.consume(mark.map_or(0, |(_, length)| length));
        let encoding = mark.map_or(UTF_8, |(encoding, _)| encoding);
        Ok(Self { name, reader: Box::new(reader), encoding, marked: mark.is_some(), position, size })
    }

    /// Makes UTF-8 of the text. A byte order mark counts more than what the file is said to be; without either it is
    /// UTF-8. Bytes that mean nothing in the encoding become such as UTF-8 does not have.
    pub(crate) fn decode(mut self, written: Option<&'static Encoding>) -> Self {
        if let (false, Some(written)) = (self.marked, written) {
            self.encoding = written;
        }
        if self.encoding != UTF_8 {
            self.reader = Box::new(Decoded::new(self.reader, self.encoding));
        }
        self
    }

    /// Takes the first bytes off and gives them, if they are what `wanted` says: how many of them there are.
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

    /// What is wrong with bytes that are not text.
    pub(crate) fn not_text(&self) -> Cow<'static, str> {
        format!("is not {}", self.encoding.name()).into()
    }
}

/// What a file's name says about its content, before and after the ending of a compressed file.
pub(crate) fn format_of(path: &Path) -> Option<Format> {
    match extension(path)?.as_str() {
        "csv" | "tsv" => Some(Format::Csv),
        "jsonl" | "ndjson" => Some(Format::Jsonl),
        _ => None,
    }
}

/// The ending of a file's name in lower case, without that of a compressed file.
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

/// The first bytes of a reader, fewer if there are fewer, and a reader that still has them.
fn peek<const N: usize>(mut reader: impl BufRead + Send) -> io::Result<(Vec<u8>, impl BufRead + Send)> {
    let mut beginning = Vec::with_capacity(N);
    reader.by_ref().take(N as u64).read_to_end(&mut beginning)?;
    Ok((beginning.clone(), Cursor::new(beginning).chain(reader)))
}
