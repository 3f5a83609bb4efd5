//! Runs the program `orrery` and reads its output.

#![allow(clippy::panic, reason = "a test stops at the first surprise")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::program;

/// The output and exit code of a program.
#[derive(Debug)]
pub(crate) struct CommandResult {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl CommandResult {
    /// The number before a word in the summary: 3561 for `3,561 created`.
    pub(crate) fn count(&self, what: &str) -> u64 {
        let line = self.stdout.lines().find_map(|line| line.trim().strip_suffix(what));
        let line = line.unwrap_or_else(|| panic!("no {what:?} in {self:?}"));
        line.trim().replace(',', "").parse().unwrap()
    }

    /// The numbers of created, updated, unchanged and rejected rows.
    pub(crate) fn counts(&self) -> [u64; 4] {
        ["created", "updated", "unchanged", "rejected"].map(|what| self.count(what))
    }
}

/// The command, to be run in the repository's root.
pub(crate) fn orrery(arguments: &[&str]) -> Command {
    let mut command = Command::new(program("orrery"));
    command
        .args(arguments)
        .current_dir(repository(""))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the command to its end.
pub(crate) async fn run(arguments: &[&str]) -> CommandResult {
    let child = orrery(arguments).spawn().unwrap();
    ended(child).await
}

/// Waits for the end of a running command.
pub(crate) async fn ended(child: Child) -> CommandResult {
    let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.unwrap().unwrap();
    CommandResult {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The path of a file in the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Seven months of invoice lines of a real shop, which are not in the repository. Prints a message if they are missing.
pub(crate) fn retail_file() -> Option<PathBuf> {
    let file = repository("../shared/data/online-retail-2010-12_2011-06.csv.gz");
    if file.exists() {
        return Some(file);
    }
    // Bypasses the capture of test output, so that the message is visible.
    let notice = format!("NOT TESTED: {} is missing, so its numbers were not checked\n", file.display());
    std::io::stderr().write_all(notice.as_bytes()).unwrap();
    None
}

/// A number below a million as the summary prints it: `3,561`.
pub(crate) fn thousands(number: u64) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", number / 1_000, number % 1_000) }
}
