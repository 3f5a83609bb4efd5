//! Reads a whole file, with a limit, because a device may be endless, and with a timeout, because a pipe may have no
//! writer.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

/// How long to wait for a writer of a pipe.
const WRITER_TIMEOUT: Duration = Duration::from_secs(10);
const MIB: u64 = 1024 * 1024;

/// Reads a text file of at most `mib` MiB.
///
/// # Errors
/// An error of the operating system, or a sentence to put after the file's name: the file is too large, is a folder, is
/// not UTF-8, or is a pipe without a writer.
pub(crate) fn read_text(path: &Path, mib: u64) -> io::Result<String> {
    String::from_utf8(read(path, mib)?).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Reads a file of at most `mib` MiB.
///
/// # Errors
/// As for [`read_text`], except for UTF-8.
pub(crate) fn read(path: &Path, mib: u64) -> io::Result<Vec<u8>> {
    let file = open(path, WRITER_TIMEOUT)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
    }
    let mut bytes = Vec::new();
    let read = file.take(mib * MIB + 1).read_to_end(&mut bytes)?;
    if read as u64 > mib * MIB {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {mib} MiB")));
    }
    Ok(bytes)
}

/// The last bytes of a file, at most `most`.
pub(crate) fn read_end(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn open(path: &Path, writer: Duration) -> io::Result<File> {
    if !fs::metadata(path)?.file_type().is_fifo() {
        return File::open(path);
    }
    // Opening a pipe waits for a writer. A thread that still waits ends with the process.
    let (sender, receiver) = mpsc::channel();
    let path = path.to_owned();
    std::thread::spawn(move || sender.send(File::open(path)));
    receiver.recv_timeout(writer).unwrap_or_else(|_| {
        let seconds = writer.as_secs();
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("it is a pipe without a writer for {seconds} s")))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn what_has_no_end_is_not_read_to_it() {
        let error = read_text(Path::new("/dev/zero"), 1).unwrap_err();
        assert_eq!(error.to_string(), "it has more than 1 MiB");
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read_text(folder.path(), 1).unwrap_err().to_string(), "it is a folder");
        let file = folder.path().join("x");
        fs::write(&file, vec![b'a'; MIB as usize]).unwrap();
        assert_eq!(read_text(&file, 1).unwrap().len() as u64, MIB, "exactly as much is read");
        fs::write(&file, vec![b'a'; MIB as usize + 1]).unwrap();
        read_text(&file, 1).unwrap_err();
        assert_eq!(read_end(&file, 10).unwrap(), b"aaaaaaaaaa");
        assert_eq!(read_end(&file, 2 * MIB).unwrap().len() as u64, MIB + 1);
        fs::write(&file, b"\xff").unwrap();
        assert_eq!(read_text(&file, 1).unwrap_err().to_string(), "it is not UTF-8");
        assert_eq!(read_text(&folder.path().join("y"), 1).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(read_text(Path::new("/dev/null"), 1).unwrap(), "");
    }

    #[test]
    fn a_pipe_is_read_where_somebody_writes_into_it() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        let error = open(&pipe, Duration::from_millis(20)).unwrap_err();
        assert!(error.to_string().contains("a pipe without a writer"), "{error}");
        let other = folder.path().join("other");
        mkfifo(&other, Mode::S_IRWXU).unwrap();
        let writer = std::thread::spawn({
            let other = other.clone();
            move || fs::write(other, "text").unwrap()
        });
        assert_eq!(read_text(&other, 1).unwrap(), "text");
        writer.join().unwrap();
    }
}
