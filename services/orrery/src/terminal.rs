//! Writing to standard output and standard error. Unlike `println!`, nothing here panics: a closed pipe ends the
//! command quietly, and other failures are returned as errors.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::process::ExitCode;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// The exit code if the reader of standard output has gone: the same as a shell reports for SIGPIPE.
pub(crate) const PIPE_CLOSED: u8 = 141;

/// Prints a line for the user. Errors are ignored, for example in `orrery up
/// head`.
pub(crate) fn print_line(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Prints a line to standard error. Errors are ignored, because there is nowhere to report them.
pub(crate) fn eprint_line(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// What a command prints to standard output. The first error is kept and later lines are dropped, so that the command
/// itself still finishes.
#[derive(Debug, Default)]
pub(crate) struct CommandOutput {
    fault: Option<io::Error>,
}

impl CommandOutput {
    /// Adds a line.
    pub(crate) fn line(&mut self, line: impl fmt::Display) {
        if self.fault.is_none() {
            self.fault = write_line(&line).err();
        }
    }

    /// Ends the output.
    ///
    /// # Errors
    /// [`StdoutError`] if a line could not be written.
    pub(crate) fn finish(self) -> Result<(), StdoutError> {
        self.fault.map_or(Ok(()), |fault| Err(StdoutError(fault)))
    }
}

fn write_line(line: &impl fmt::Display) -> io::Result<()> {
    write_stdout(format!("{line}\n").as_bytes())
}

/// Writes to standard output. All of it has been passed to the operating system then.
pub(crate) fn write_stdout(bytes: &[u8]) -> io::Result<()> {
    // `io::stdout()` ignores a descriptor that cannot be written to, so this writes to the file.
    file_of(io::stdout())?.write_all(bytes)
}

/// A standard stream as a file, which reports all errors.
pub(crate) fn file_of(stream: impl AsFd) -> io::Result<File> {
    Ok(File::from(stream.as_fd().try_clone_to_owned()?))
}

/// Standard output cannot be written.
#[derive(Debug)]
pub(crate) struct StdoutError(pub(crate) io::Error);

impl fmt::Display for StdoutError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "standard output cannot be written: {}", self.0)
    }
}

impl std::error::Error for StdoutError {}

/// The exit code for an error. Prints the error unless the reader of standard output has gone.
pub(crate) fn exit_code_of(error: &anyhow::Error) -> ExitCode {
    if let Some(StdoutError(fault)) = error.downcast_ref()
        && fault.kind() == io::ErrorKind::BrokenPipe
    {
        return ExitCode::from(PIPE_CLOSED);
    }
    eprint_line(format_args!("orrery: {}", one_line(error)));
    ExitCode::FAILURE
}

/// An error as one line for a terminal. Control characters are escaped, because the error may quote a file; a long text
/// is shortened.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    const BEGINNING: usize = 2_000;
    const END: usize = 500;
    let mut text = printable(&format!("{error:#}"));
    if text.len() > BEGINNING + END {
        let (begin, end) = (text.floor_char_boundary(BEGINNING), text.floor_char_boundary(text.len() - END));
        text.replace_range(begin..end, " … ");
    }
    text
}

/// A text with its control characters escaped.
pub(crate) fn printable(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

/// Exits with the parser's message: an error on standard error, or the help or version on standard output.
pub(crate) fn exit_with(parsed: &clap::Error) -> ! {
    if !parsed.use_stderr()
        && let Err(fault) = parsed.print().and_then(|()| io::stdout().flush())
    {
        let pipe = fault.kind() == io::ErrorKind::BrokenPipe;
        if !pipe {
            eprint_line(format_args!("orrery: {}", StdoutError(fault)));
        }
        std::process::exit(if pipe { PIPE_CLOSED.into() } else { 1 });
    }
    parsed.exit()
}

/// Whether a standard stream was closed when the process started (`>&-`). The Rust runtime then opens `/dev/null` for
/// reading and writing before `main`. A shell opens `> /dev/null` for writing only, which is not counted. A parent that
/// passes `/dev/null` opened for both cannot be told apart.
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
        let line_of = |text: String| one_line(&anyhow::Error::msg(text));
        assert_eq!(line_of("é: no".into()), "é: no");
        assert_eq!(line_of("a\u{1b}[2Jb\nc\0".into()), "a\\u{1b}[2Jb\\nc\\u{0}");
        let long = line_of(format!("begin{}end", "é".repeat(10_000)));
        assert!(long.starts_with("begin") && long.ends_with("end") && long.contains("é … é"), "{long}");
        assert!((2_400..2_600).contains(&long.len()), "{}", long.len());
    }
}
