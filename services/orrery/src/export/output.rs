//! Where an export goes: standard output, or a file that takes its name when it is whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flate2::Compression;
use flate2::write::GzEncoder;

/// An output that is being written.
pub(crate) struct Output {
    sink: Sink,
    /// The name that the file has while it is written, and the one it takes.
    names: Option<(PathBuf, PathBuf)>,
}

type Target = BufWriter<Box<dyn Write + Send>>;

enum Sink {
    Plain(Target),
    Gzip(GzEncoder<Target>),
}

impl Output {
    /// Begins an output; `-` is standard output.
    pub(crate) fn create(path: &Path, gzip: bool) -> anyhow::Result<Self> {
        let (target, names): (Box<dyn Write + Send>, _) = if path == Path::new("-") {
            (Box::new(io::stdout()), None)
        } else {
            let mut partial = path.as_os_str().to_owned();
            partial.push(".partial");
            let partial = PathBuf::from(partial);
            let file = File::create(&partial).with_context(|| format!("{} cannot be written", partial.display()))?;
            (Box::new(file), Some((partial, path.to_owned())))
        };
        let target = BufWriter::with_capacity(128 * 1024, target);
        let sink = if gzip { Sink::Gzip(GzEncoder::new(target, Compression::default())) } else { Sink::Plain(target) };
        Ok(Self { sink, names })
    }

    /// Writes some lines.
    pub(crate) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match &mut self.sink {
            Sink::Plain(target) => target.write_all(lines),
            Sink::Gzip(target) => target.write_all(lines),
        }
    }

    /// Not everything was written: what is packed is left without its end, so that no reader takes it for whole.
    pub(crate) fn abandon(self) {
        if let Sink::Gzip(encoder) = self.sink {
            // Its destructor would write the end.
            std::mem::forget(encoder);
        }
    }

    /// Everything was written.
    pub(crate) fn finish(self) -> io::Result<()> {
        let mut target = match self.sink {
            Sink::Plain(target) => target,
            Sink::Gzip(target) => target.finish()?,
        };
        target.flush()?;
        match self.names {
            Some((partial, whole)) => fs::rename(partial, whole),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_file_takes_its_name_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl.gz");
        let mut output = Output::create(&path, true).unwrap();
        output.write(b"{}\n").unwrap();
        assert!(!path.exists());
        output.finish().unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(File::open(&path).unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "{}\n");

        let path = folder.path().join("y.jsonl");
        let mut output = Output::create(&path, false).unwrap();
        output.write(b"{}\n").unwrap();
        output.abandon();
        assert!(!path.exists());

        let path = folder.path().join("z.jsonl.gz");
        let mut output = Output::create(&path, true).unwrap();
        output.write(b"{}\n").unwrap();
        output.abandon();
        let packed = File::open(folder.path().join("z.jsonl.gz.partial")).unwrap();
        assert!(flate2::read::GzDecoder::new(packed).read_to_string(&mut text).is_err());
    }
}
