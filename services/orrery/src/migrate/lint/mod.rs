//! `orrery migrate lint`: checks migrations against rules before they are merged. The rules of squawk see what blocks
//! traffic or breaks running clients; Orrery's own see what this product does not have, or wants documented.
//!
//! - [`section`]: a parsed section
//! - [`squawk`], [`objects`], [`slices`], [`tables`], [`down`]: the rules
//! - [`allow`], [`baseline`]: exceptions
//! - [`file`](mod@file): all rules on one file
//! - [`rules`], [`finding`]: names and words

mod allow;
mod baseline;
mod down;
mod file;
mod finding;
mod objects;
mod rules;
mod section;
mod slices;
mod squawk;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io, thread};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use self::finding::Finding;
use self::rules::Own;
use self::squawk::Setting;
use super::Migration;
use super::file::is_migration_name;
use super::folder::{Folder, MAX_MIB};
use crate::terminal::CommandOutput;
use crate::whole_file::read_text;

/// The options of `orrery migrate lint`.
#[derive(Debug, Args)]
pub(super) struct LintOptions {
    /// The files to check. Default: all files of the folder --migrations, or of ./migrations.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How to print what was found.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Print the rules instead: which are on, and why others are off.
    #[arg(long, conflicts_with_all = ["files", "format"])]
    rules: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A line for each finding: FILE:LINE: RULE: WHY. Instead: WHAT.
    Text,
    /// An array of objects with the keys file, line, rule, why and instead.
    Json,
}

/// Runs `orrery migrate lint`. The exit code is 1 if something was found.
pub(super) fn run(folder: Option<&Path>, options: &LintOptions) -> anyhow::Result<ExitCode> {
    let mut answer = CommandOutput::default();
    if options.rules {
        print_rules(&mut answer);
        answer.finish()?;
        return Ok(ExitCode::SUCCESS);
    }
    let folder = folder.unwrap_or(Path::new("migrations"));
    let (whole, (files, mut findings)) = match &options.files[..] {
        [] => (true, files_of(folder)?),
        files => (false, (files.to_vec(), Vec::new())),
    };
    findings.extend(on_a_large_stack(|| lint(&files, whole))?);
    findings.sort_by(|left, right| (&left.file, left.line).cmp(&(&right.file, right.line)));
    match options.format {
        Format::Json => answer.line(serde_json::to_string_pretty(&findings)?),
        Format::Text => print_text(&mut answer, &findings, files.len()),
    }
    answer.finish()?;
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the rules find in some migrations of a folder, as lines. The compiled-in ones were checked before this program
/// was built.
pub(super) fn findings_of(folder: &Folder, migrations: &[Migration]) -> anyhow::Result<Vec<String>> {
    if folder.compiled_in {
        return Ok(Vec::new());
    }
    let files: Vec<PathBuf> = migrations.iter().map(|migration| folder.path.join(&migration.file_name)).collect();
    Ok(on_a_large_stack(|| lint(&files, false))?.iter().map(Finding::to_string).collect())
}

/// The migrations of a folder, by name, and the files in it that look like migrations and are ignored.
fn files_of(folder: &Path) -> anyhow::Result<(Vec<PathBuf>, Vec<Finding>)> {
    let context = || format!("cannot read the folder {}", folder.display());
    let (mut files, mut ignored) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let is_sql = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql"));
        if is_migration_name(&name) {
            files.push(path);
        } else if is_sql && name != super::dump::FILE {
            ignored.push(file::whole_file(&path.display().to_string(), 1, Own::IgnoredFile));
        }
    }
    files.sort();
    Ok((files, ignored))
}

/// What the rules find in these files, without what is allowed. `whole` says that these are all files of a folder.
fn lint(files: &[PathBuf], whole: bool) -> anyhow::Result<Vec<Finding>> {
    // Each folder has its own baseline.
    let mut folders: BTreeMap<&Path, Vec<(String, Vec<Finding>)>> = BTreeMap::new();
    for path in files {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let shown = path.display().to_string();
        let mut findings = match read_text(path, MAX_MIB) {
            Ok(text) => file::lint(&shown, &name, &text),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let invalid = file::whole_file(&shown, 1, Own::InvalidFile);
                vec![Finding { why: "the file is not UTF-8".to_owned(), ..invalid }]
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
        };
        let version = name.chars().take_while(char::is_ascii_digit).collect::<String>();
        let folder = folders.entry(path.parent().unwrap_or(Path::new(""))).or_default();
        if folder.iter().any(|(other, _)| *other == version) {
            findings.push(file::whole_file(&shown, 1, Own::DuplicateVersion));
        }
        folder.push((version, findings));
    }
    let mut found = Vec::new();
    for (folder, mut findings) in folders {
        let path = folder.join(baseline::FILE);
        if path.exists() {
            let text = read_text(&path, MAX_MIB).with_context(|| format!("cannot read {}", path.display()))?;
            found.extend(baseline::apply(&path.display().to_string(), &text, &mut findings, whole));
        }
        found.extend(findings.into_iter().flat_map(|(_, findings)| findings));
    }
    Ok(found)
}

/// Runs `work` where deeply nested statements can be parsed.
fn on_a_large_stack<T: Send>(work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    thread::scope(|scope| {
        let spawned = thread::Builder::new().stack_size(section::STACK_BYTES).spawn_scoped(scope, work);
        match spawned.context("cannot start a thread")?.join() {
            Ok(done) => done,
            Err(_) => bail!("the linter panicked; the message is above, and its cause is a defect of this program"),
        }
    })
}

/// Prints findings as lines, with an empty line between files.
fn print_text(answer: &mut CommandOutput, findings: &[Finding], files: usize) {
    for group in findings.chunk_by(|left, right| left.file == right.file) {
        for finding in group {
            answer.line(finding);
        }
        answer.line("");
    }
    let with = findings.chunk_by(|left, right| left.file == right.file).count();
    match findings.len() {
        0 => answer.line(format_args!("{files} files, no findings")),
        count => answer.line(format_args!("{count} findings in {with} of {files} files")),
    }
}

/// Prints all rules: whether each is on, and why, or why not.
fn print_rules(answer: &mut CommandOutput) {
    let own = enum_iterator::all::<Own>().map(|own| (own.to_string(), "on", own.why()));
    let squawk = squawk::rules().map(|(rule, setting)| match setting {
        Setting::On(instead) => (rule.to_string(), "on", instead),
        Setting::Off(why) => (rule.to_string(), "off", why),
    });
    for (title, rules) in [
        ("Rules of Orrery, and why they exist", own.collect::<Vec<_>>()),
        ("Rules of squawk, and what to write instead, or why they are off", squawk.collect()),
    ] {
        answer.line(format_args!("{title}:\n"));
        for (name, state, text) in rules {
            answer.line(format_args!("{state:<4}{name:<48}{text}"));
        }
        answer.line("");
    }
}
