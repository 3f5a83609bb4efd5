//! All migrations, from a folder or compiled in.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::file::{FileError, Migration, is_migration_name};
use crate::whole_file::read_text;

/// The largest migration file.
pub(super) const MAX_MIB: u64 = 16;

/// The files of `migrations/` at compile time, in order: name and text.
const COMPILED_IN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// All migrations, ordered by version.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The folder. For compiled-in files, its name in the repository.
    pub path: PathBuf,
    /// The migrations, oldest first.
    pub migrations: Vec<Migration>,
    /// Whether they are the compiled-in ones.
    pub compiled_in: bool,
}

impl Folder {
    /// The compiled-in migrations.
    ///
    /// # Errors
    ///
    /// A file does not follow the format.
    pub fn compiled_in() -> Result<Self, FileError> {
        let migrations =
            COMPILED_IN.iter().map(|(name, text)| Migration::parse(name, text)).collect::<Result<_, _>>()?;
        Ok(Self { path: PathBuf::from("migrations"), migrations, compiled_in: true })
    }

    /// The migrations in the folder `path`. Files that do not start with a digit or do not end in `.sql` are ignored.
    ///
    /// # Errors
    ///
    /// The folder or a file cannot be read, a file does not follow the format, or two files have the same version.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let entries = fs::read_dir(path).with_context(|| format!("cannot read the folder {}", path.display()))?;
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.with_context(|| format!("cannot read the folder {}", path.display()))?.file_name();
            if let Some(name) = name.to_str().filter(|name| is_migration_name(name)) {
                names.push(name.to_owned());
            }
        }
        names.sort();
        let mut migrations: Vec<Migration> = Vec::new();
        for name in names {
            let file = path.join(&name);
            let text = read_text(&file, MAX_MIB).with_context(|| format!("cannot read {}", file.display()))?;
            let migration =
                Migration::parse(&name, &text).with_context(|| format!("in the folder {}", path.display()))?;
            if let Some(last) = migrations.last().filter(|last| last.version == migration.version) {
                bail!("{} and {} in {} have the same version", last.file_name, name, path.display());
            }
            migrations.push(migration);
        }
        Ok(Self { path: path.to_owned(), migrations, compiled_in: false })
    }

    /// The folder given on the command line; else `./migrations` if it contains Orrery's oldest migration; else the
    /// compiled-in files.
    pub(crate) fn choose(named: Option<&Path>) -> anyhow::Result<Self> {
        let here = Path::new("migrations");
        match named {
            Some(path) => Self::read(path),
            None if COMPILED_IN.first().is_some_and(|(oldest, _)| here.join(oldest).is_file()) => Self::read(here),
            None => Ok(Self::compiled_in()?),
        }
    }

    pub(super) fn display(&self, migration: &Migration) -> String {
        self.path.join(&migration.file_name).display().to_string()
    }

    pub(super) fn find(&self, version: &str) -> Option<&Migration> {
        self.migrations.iter().find(|migration| migration.version == version)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn what_is_compiled_in_is_the_folder() {
        let folder = Folder::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations")).unwrap();
        assert!(!folder.migrations.is_empty());
        assert_eq!(Folder::compiled_in().unwrap().migrations, folder.migrations);
    }

    #[test]
    fn two_files_of_one_version_are_refused_and_other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let text = "-- migrate:up\n-- migrate:down\n";
        for name in ["20260102030405_b.sql", "schema.sql", "README.md"] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        assert_eq!(Folder::read(folder.path()).unwrap().migrations.len(), 1);
        fs::write(folder.path().join("20260102030405_a.sql"), text).unwrap();
        assert!(Folder::read(folder.path()).unwrap_err().to_string().contains("the same version"));
    }
}
