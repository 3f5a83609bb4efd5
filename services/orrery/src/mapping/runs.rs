//! An external merge sort: sorted runs in temporary files.
//!
//! Temporary files have no name once they are open, so they disappear with the process, and no other process can open
//! them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// How many runs of one size are merged into one of the next size: the number of open files per size.
const FAN_IN: usize = 16;
/// How much is read from or written to a file at once.
const BUFFER: usize = 64 * 1024;

/// An entry, sorted by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunEntry {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// Sorted runs in the order of their creation.
#[derive(Debug)]
pub(crate) struct Runs {
    folder: PathBuf,
    runs: Vec<Run>,
}

#[derive(Debug)]
struct Run {
    file: File,
    /// How often the entries were merged. Earlier runs were merged at least as often.
    merges: u32,
}

impl Runs {
    /// No runs yet. Their files will be in `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), runs: Vec::new() }
    }

    /// Whether there are no runs.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Writes a run. Entries must be sorted by key.
    pub(crate) fn add(&mut self, entries: impl Iterator<Item = RunEntry>) -> anyhow::Result<()> {
        self.write(0, entries.map(Ok))?;
        while let Some(last) = self.runs.last()
            && let merges = last.merges
            && let equal = self.runs.iter().rev().take_while(|run| run.merges == merges).count()
            && equal >= FAN_IN
        {
            let merged = self.runs.split_off(self.runs.len() - equal);
            self.write(merges + 1, Merged::new(merged)?)?;
        }
        Ok(())
    }

    /// All entries sorted by key. Entries with the same key keep their order.
    pub(crate) fn merge(self) -> anyhow::Result<Merged> {
        Merged::new(self.runs)
    }

    fn write(&mut self, merges: u32, entries: impl Iterator<Item = anyhow::Result<RunEntry>>) -> anyhow::Result<()> {
        let cannot = || {
            format!(
                "a temporary file in {} cannot be written; choose another folder with --temp-dir",
                self.folder.display()
            )
        };
        let file = tempfile::tempfile_in(&self.folder).with_context(cannot)?;
        let mut writer = BufWriter::with_capacity(BUFFER, file);
        for entry in entries {
            let RunEntry { key, value } = entry?;
            for part in [key, value] {
                writer
                    .write_all(&(part.len() as u64).to_le_bytes())
                    .and_then(|()| writer.write_all(&part))
                    .with_context(cannot)?;
            }
        }
        let mut file = writer.into_inner().map_err(io::IntoInnerError::into_error).with_context(cannot)?;
        file.rewind().with_context(cannot)?;
        self.runs.push(Run { file, merges });
        Ok(())
    }
}

/// The merged entries of several runs. One value at a time is in memory.
#[derive(Debug)]
pub(crate) struct Merged {
    files: Vec<BufReader<File>>,
    /// The next key of each run that is not finished, with the index of the run. The value of that key is next in the
    /// file.
    next: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
}

impl Merged {
    fn new(runs: Vec<Run>) -> anyhow::Result<Self> {
        let files: Vec<_> = runs.into_iter().map(|run| BufReader::with_capacity(BUFFER, run.file)).collect();
        let mut merged = Self { next: BinaryHeap::with_capacity(files.len()), files };
        for place in 0..merged.files.len() {
            merged.read_key(place).context(NOT_READ)?;
        }
        Ok(merged)
    }

    fn read_key(&mut self, place: usize) -> io::Result<()> {
        let file = &mut self.files[place];
        if !file.fill_buf()?.is_empty() {
            let key = read_part(file)?;
            self.next.push(Reverse((key, place)));
        }
        Ok(())
    }
}

const NOT_READ: &str = "a temporary file cannot be read back";

impl Iterator for Merged {
    type Item = anyhow::Result<RunEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((key, place)) = self.next.pop()?;
        let value = read_part(&mut self.files[place]);
        let entry = value.and_then(|value| self.read_key(place).map(|()| RunEntry { key, value }));
        Some(entry.context(NOT_READ))
    }
}

fn read_part(file: &mut BufReader<File>) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let mut part = Vec::new();
    if file.take(length).read_to_end(&mut part)? as u64 == length {
        Ok(part)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The result equals that of a stable sort, whatever the number of runs.
        #[test]
        fn runs_are_merged_as_a_stable_sort_does(
            runs in prop::collection::vec(prop::collection::vec(0..20_u8, 0..4), 0..600),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut sorted = Runs::new(folder.path());
            let mut expected = Vec::new();
            for (run, keys) in runs.iter().enumerate() {
                let entry = |key: &u8| RunEntry { key: vec![*key; usize::from(*key)], value: run.to_be_bytes().to_vec() };
                let mut entries: Vec<RunEntry> = keys.iter().map(entry).collect();
                entries.sort_by(|one, other| one.key.cmp(&other.key));
                expected.extend(entries.clone());
                sorted.add(entries.into_iter()).unwrap();
                prop_assert!(sorted.runs.len() < 3 * FAN_IN, "{} files are open", sorted.runs.len());
                prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
            }
            expected.sort_by(|one, other| one.key.cmp(&other.key));
            prop_assert_eq!(sorted.merge().unwrap().collect::<anyhow::Result<Vec<_>>>().unwrap(), expected);
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let entry = RunEntry { key: vec![1], value: vec![] };
        let error = Runs::new(Path::new("/nowhere")).add([entry].into_iter()).unwrap_err();
        assert!(format!("{error:#}").contains("/nowhere cannot be written; choose another folder"), "{error:#}");
    }
}
