//! Tests that did not run: recorded by the test processes of one run of cargo, and listed at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};

/// The target folder: a test is `TARGET/PROFILE/deps/NAME-HASH`.
pub(crate) fn target_folder() -> Result<PathBuf, String> {
    let executable = std::env::current_exe().map_err(|error| format!("this program has no path: {error}"))?;
    let target = executable.ancestors().nth(3).map(Path::to_owned);
    target.ok_or_else(|| format!("{} is in no target folder", executable.display()))
}

/// The file in which the test processes of this run of cargo record tests that did not run.
fn notes() -> Result<PathBuf, String> {
    Ok(target_folder()?.join("tests-not-run").join(parent_id().to_string()))
}

/// Records that `test` did not run, and prints it at once, because the list at the end is not reached if a test fails.
pub(crate) fn note(test: &str, need: &str, reason: &str) {
    // Directly to the terminal: the harness hides the output of tests that pass.
    let _ = writeln!(std::io::stderr(), "\nNOT RUN: {test}: {need} is missing: {reason}\n");
    let written = notes().and_then(|notes| {
        let folder = notes.parent().map_or(Ok(()), fs::create_dir_all);
        folder
            .and_then(|()| OpenOptions::new().create(true).append(true).open(&notes))
            // In one write, so that other processes cannot write in between.
            .and_then(|mut file| file.write_all(format!("{need}\t{test}\n").as_bytes()))
            .map_err(|error| format!("{} cannot be written: {error}", notes.display()))
    });
    assert!(written.is_ok(), "a test that did not run cannot be noted: {written:?}");
}

/// The tests recorded in this run as text, which is then deleted; `None` if all tests ran.
///
/// # Errors
/// The reason why the records cannot be read.
pub fn take_report() -> Result<Option<String>, String> {
    let notes = notes()?;
    let text = match fs::read_to_string(&notes) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{} cannot be read: {error}", notes.display())),
    };
    fs::remove_file(&notes).map_err(|error| format!("{} cannot be removed: {error}", notes.display()))?;
    Ok(report(&text))
}

/// `text` has a line for each need of each test: the need, a tab, the test.
fn report(text: &str) -> Option<String> {
    let mut tests: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (need, test) in text.lines().filter_map(|line| line.split_once('\t')) {
        tests.entry(test).or_default().push(need);
    }
    let all: BTreeSet<&str> = tests.values().flatten().copied().collect();
    let all: Vec<&str> = all.into_iter().collect();
    let (were, them) = (if tests.len() == 1 { "test" } else { "tests" }, if all.len() == 1 { "it" } else { "them" });
    let (needs, count) = (all.join(", "), tests.len());
    let mut report =
        format!("{count} {were} did not run, because this machine lacks {needs}: install {them}, or run .ci/run");
    for (test, needs) in &tests {
        report.extend(["\n  ", test, " (", &needs.join(", "), ")"]);
    }
    (count > 0).then_some(report)
}

#[cfg(test)]
mod tests {
    use super::report;

    #[test]
    fn a_report_names_each_test_once_and_what_it_lacks() {
        let text = "haproxy\tdraining::a\nnginx\tdraining::b\nip\tfaults::c\nroot\tfaults::c\n";
        assert_eq!(
            report(text).as_deref(),
            Some(
                "3 tests did not run, because this machine lacks haproxy, ip, nginx, root: install them, or run \
                 .ci/run\n  \
                 draining::a (haproxy)\n  draining::b (nginx)\n  faults::c (ip, root)"
            )
        );
        assert_eq!(report(""), None);
    }
}
