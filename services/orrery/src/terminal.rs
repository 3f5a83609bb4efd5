//! Standard output and standard error. Nothing here panics, as `println!` does where nobody reads or a disk is full:
//! who has stopped reading ends the command quietly, and what could not be written is an error.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::process::ExitCode;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// The exit code where the reader of standard output went away, as the shell has it for SIGPIPE.
pub(crate) const PIPE_CLOSED: u8 = 141;

/// Says a line to the person at the terminal. One who has stopped listening (`orrery up | head`) is no error.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Says a line on standard error. Where nobody can be told there is nobody to tell that.
pub(crate) fn tell(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// What a command answers on standard output. The first line that cannot be written is remembered, further ones are
/// left out, so that what the command does comes to its end in any case.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    fault: Option<io::Error>,
}

impl Answer {
    /// Adds a line.
    pub(crate) fn line(&mut self, line: impl fmt::Display) {
        if self.fault.is_none() {
            self.fault = write_line(&line).err();
        }
    }

    /// The command has come to its end.
    ///
    /// # Errors
    /// [`Unwritten`] if a line could not be written.
    pub(crate) fn finish(self) -> Result<(), Unwritten> {
        self.fault.map_or(Ok(()), |fault| Err(Unwritten(fault)))
    }
}

fn write_line(line: &impl fmt::Display) -> io::Result<()> {
    // Past the library's own standard output, which takes a descriptor that cannot be written to for written.
    file_of(io::stdout())?.write_all(format!("{line}\n").as_bytes())
}

/// A standard stream as a file, which reports every error.
pub(crate) fn file_of(stream: impl AsFd) -> io::Result<File> {
    Ok(File::from(stream.as_fd().try_clone_to_owned()?))
}

/// Standard output could not be written.
#[derive(Debug)]
pub(crate) struct Unwritten(pub(crate) io::Error);

impl fmt::Display for Unwritten {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "standard output cannot be written: {}", self.0)
    }
}

impl std::error::Error for Unwritten {}

/// The exit code of a command that ended with an error, which is told; not where somebody has stopped reading.
pub(crate) fn end_with(error: &anyhow::Error) -> ExitCode {
    if let Some(Unwritten(fault)) = error.downcast_ref()
        && fault.kind() == io::ErrorKind::BrokenPipe
    {
        return ExitCode::from(PIPE_CLOSED);
    }
    tell(format_args!("orrery: {}", shown(error)));
    ExitCode::FAILURE
}

/// An error in one line that a terminal can show: it may quote what stands in a file, which may be long, and hold
/// characters that a terminal obeys.
pub(crate) fn shown(error: &anyhow::Error) -> String {
    const BEGINNING: usize = 2_000;
    const END: usize = 500;
    let mut text = format!("{error:#}");
    if text.contains(char::is_control) {
        text =
            text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect();
    }
    if text.len() > BEGINNING + END {
        let (begin, end) = (text.floor_char_boundary(BEGINNING), text.floor_char_boundary(text.len() - END));
        text.replace_range(begin..end, " … ");
    }
    text
}

/// Ends the process with what the parser of the command line says: a fault on standard error, or the help or version.
pub(crate) fn exit_with(parsed: &clap::Error) -> ! {
    if !parsed.use_stderr()
        && let Err(fault) = parsed.print().and_then(|()| io::stdout().flush())
    {
        let pipe = fault.kind() == io::ErrorKind::BrokenPipe;
        if !pipe {
            tell(format_args!("orrery: {}", Unwritten(fault)));
        }
        std::process::exit(if pipe { PIPE_CLOSED.into() } else { 1 });
    }
    parsed.exit()
}

/// Whether a standard stream was closed when the process began (`>&-`). The Rust runtime then opens `/dev/null` in its
/// place, for reading and writing, before anything of this program runs. A shell's `> /dev/null` is opened for writing
/// alone and is not meant; programs that hand over `/dev/null` opened for both cannot be told apart.
pub(crate) fn was_closed(stream: impl AsFd) -> bool {
    let is_null = || -> io::Result<bool> {
        let flags = OFlag::from_bits_retain(fcntl(stream.as_fd(), FcntlArg::F_GETFL)?);
        let (opened, null) = (file_of(stream)?.metadata()?, fs::metadata("/dev/null")?);
        let same = opened.file_type().is_char_device() && opened.rdev() == null.rdev();
        Ok(same && flags & OFlag::O_ACCMODE == OFlag::O_RDWR)
    };
    is_null().unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_of_bounded_length() {
        let shown_of = |text: String| shown(&anyhow::Error::msg(text));
        assert_eq!(shown_of("é: no".into()), "é: no");
        assert_eq!(shown_of("a\u{1b}[2Jb\nc\0".into()), "a\\u{1b}[2Jb\\nc\\u{0}");
        let long = shown_of(format!("begin{}end", "é".repeat(10_000)));
        assert!(long.starts_with("begin") && long.ends_with("end") && long.contains("é … é"), "{long}");
        assert!((2_400..2_600).contains(&long.len()), "{}", long.len());
    }
}
