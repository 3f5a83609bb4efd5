//! `orrery` as a program: runs it and reads what it says.

#![allow(clippy::panic, reason = "a test stops at the first surprise")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::program;

/// What a program said and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// How many the summary has of something: of `3,561 created` 3561.
    pub(crate) fn count(&self, what: &str) -> u64 {
        let line = self.stdout.lines().find_map(|line| line.trim().strip_suffix(what));
        let line = line.unwrap_or_else(|| panic!("no {what:?} in {self:?}"));
        line.trim().replace(',', "").parse().unwrap()
    }

    /// How many were created, updated, unchanged and rejected.
    pub(crate) fn counts(&self) -> [u64; 4] {
        ["created", "updated", "unchanged", "rejected"].map(|what| self.count(what))
    }
}

/// The command, to be spawned in the repository's root.
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
pub(crate) async fn run(arguments: &[&str]) -> Ended {
    let child = orrery(arguments).spawn().unwrap();
    ended(child).await
}

/// Waits until a spawned command has ended.
pub(crate) async fn ended(child: Child) -> Ended {
    let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.unwrap().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Seven months of a real shop's invoice lines, which are not in the repository. Where they are missing that is said aloud, and there are
/// none.
pub(crate) fn retail_file() -> Option<PathBuf> {
    let file = repository("../shared/data/online-retail-2010-12_2011-06.csv.gz");
    if file.exists() {
        return Some(file);
    }
    // Past the capture of the test's output, so that it is seen.
    let said = format!("NOT TESTED: {} is missing, so its numbers were not checked\n", file.display());
    std::io::stderr().write_all(said.as_bytes()).unwrap();
    None
}

/// A number below a million as the summary writes it: `3,561`.
pub(crate) fn thousands(number: u64) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", number / 1_000, number % 1_000) }
}
