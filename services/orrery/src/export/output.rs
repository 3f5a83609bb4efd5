//! The output of an export: standard output, a file that gets its name when it is complete, or a pipe or device.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::terminal::{file_of, was_closed};

/// An open output.
#[derive(Debug)]
pub(crate) struct ExportOutput {
    sink: Sink,
    /// The temporary name and the final name of a file.
    names: Option<(PathBuf, PathBuf)>,
    /// The same file, for removing an incomplete end.
    file: File,
    /// The length of the file up to the last complete page.
    whole: u64,
}

type Target = BufWriter<File>;

#[derive(Debug)]
enum Sink {
    Plain(Target),
    Gzip(GzEncoder<Target>),
}

impl ExportOutput {
    /// Opens an output; `-` is standard output. `append` continues the file of an export that ended early.
    pub(crate) fn create(path: &Path, gzip: bool, append: bool) -> anyhow::Result<Self> {
        let (file, names) = if path == Path::new("-") {
            anyhow::ensure!(
                !was_closed(io::stdout()),
                "standard output is closed; name a file with --output (/dev/null, if \
                 nothing is to be kept)"
            );
            (file_of(io::stdout()).context("standard output cannot be written")?, None)
        } else {
            open(path, append)?
        };
        let whole = if names.is_some() { file.metadata().map_or(0, |metadata| metadata.len()) } else { 0 };
        let again = file.try_clone().with_context(|| format!("{} cannot be written", path.display()))?;
        let target = BufWriter::with_capacity(128 * 1024, file);
        let sink = if gzip { Sink::Gzip(GzEncoder::new(target, Compression::default())) } else { Sink::Plain(target) };
        Ok(Self { sink, names, file: again, whole })
    }

    /// Writes the lines of a page. Unless the output is compressed, all of them have been passed to the operating
    /// system when this returns.
    pub(crate) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match &mut self.sink {
            Sink::Plain(target) => target.write_all(lines).and_then(|()| target.flush())?,
            Sink::Gzip(target) => target.write_all(lines)?,
        }
        self.whole += lines.len() as u64;
        Ok(())
    }

    /// The temporary name of the file, if it has one.
    pub(crate) fn partial(&self) -> Option<&Path> {
        self.names.as_ref().map(|(partial, _)| partial.as_path())
    }

    /// Ends an incomplete output. An uncompressed file keeps its complete pages. Compressed output is left without its
    /// trailer, so that readers notice that it is incomplete.
    pub(crate) fn abandon(self) {
        match self.sink {
            Sink::Plain(target) => {
                // Skips the destructor, which would try to write again.
                let (_file, _unwritten) = target.into_parts();
                if self.names.is_some() {
                    // If this fails too, the last line is incomplete, which a JSONL reader refuses.
                    let _ = self.file.set_len(self.whole);
                }
            }
            // Skips the destructor, which would write the trailer.
            Sink::Gzip(encoder) => std::mem::forget(encoder),
        }
    }

    /// Completes the output.
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

/// Opens a file under its temporary name and returns both names. A pipe or a device is opened directly.
fn open(path: &Path, append: bool) -> anyhow::Result<(File, Option<(PathBuf, PathBuf)>)> {
    let cannot = |path: &Path| format!("{} cannot be written", path.display());
    if let Ok(metadata) = fs::metadata(path) {
        anyhow::ensure!(!metadata.is_dir(), "{} is a folder; --output must be a file", path.display());
        if !metadata.is_file() {
            let file = OpenOptions::new().write(true).open(path).with_context(|| cannot(path))?;
            return Ok((file, None));
        }
    }
    anyhow::ensure!(path.file_name().is_some(), "{} is not a file name", path.display());
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let mut options = OpenOptions::new();
    if append {
        options.append(true)
    } else {
        options.write(true).truncate(true)
    };
    let file = options.create(true).open(&partial).with_context(|| cannot(&partial))?;
    Ok((file, Some((partial, path.to_owned()))))
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
        let mut output = ExportOutput::create(&path, true, false).unwrap();
        output.write(b"{}\n").unwrap();
        assert!(!path.exists());
        output.finish().unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(File::open(&path).unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "{}\n");

        let path = folder.path().join("y.jsonl");
        let mut output = ExportOutput::create(&path, false, false).unwrap();
        output.write(b"{}\n").unwrap();
        output.abandon();
        assert!(!path.exists());

        let path = folder.path().join("z.jsonl.gz");
        let mut output = ExportOutput::create(&path, true, false).unwrap();
        output.write(b"{}\n").unwrap();
        output.abandon();
        let packed = File::open(folder.path().join("z.jsonl.gz.partial")).unwrap();
        assert!(flate2::read::GzDecoder::new(packed).read_to_string(&mut text).is_err());
    }

    #[test]
    fn what_was_left_is_gone_on_with_behind_its_last_whole_page() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        let mut output = ExportOutput::create(&path, false, false).unwrap();
        output.write(b"{\"uid\":1}\n").unwrap();
        // As if the disk had become full.
        (&output.file).write_all(b"{\"uid\":2").unwrap();
        output.abandon();
        let mut output = ExportOutput::create(&path, false, true).unwrap();
        output.write(b"{\"uid\":2}\n").unwrap();
        output.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"uid\":1}\n{\"uid\":2}\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_device_stays_what_it_is_and_a_folder_is_refused_at_once() {
        let mut output = ExportOutput::create(Path::new("/dev/null"), false, false).unwrap();
        output.write(b"{}\n").unwrap();
        assert!(output.partial().is_none());
        output.finish().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let full = ExportOutput::create(Path::new("/dev/full"), false, false).unwrap().write(b"{}\n").unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        let folder = tempfile::tempdir().unwrap();
        let refused = ExportOutput::create(folder.path(), false, false).unwrap_err().to_string();
        assert!(refused.contains("is a folder"), "{refused}");
    }
}
