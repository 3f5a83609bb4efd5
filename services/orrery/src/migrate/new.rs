//! Creates an empty migration.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};

const EMPTY: &str = "-- migrate:up\n\n\n-- migrate:down\n\n";

/// Creates an empty migration called `name` in `folder` and returns its path. The version is `now` in seconds.
pub(super) fn write(folder: &Path, name: &str, now: DateTime<Utc>) -> anyhow::Result<PathBuf> {
    let name = name.trim().to_ascii_lowercase().replace([' ', '-'], "_");
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
        bail!("a migration's name consists of letters, digits and _, such as add_order_summary");
    }
    if !folder.is_dir() {
        bail!("the folder {} does not exist; set it with --migrations", folder.display());
    }
    let path = folder.join(format!("{}_{name}.sql", now.format("%Y%m%d%H%M%S")));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|mut file| file.write_all(EMPTY.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use chrono::TimeZone as _;

    use super::super::Folder;
    use super::*;

    #[test]
    fn a_new_file_is_a_migration_and_none_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let now = Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap();
        let path = write(folder.path(), "Add order-summary", now).unwrap();
        assert_eq!(path.file_name().unwrap(), "20260102030405_add_order_summary.sql");
        assert_eq!(Folder::read(folder.path()).unwrap().migrations.len(), 1);
        write(folder.path(), "add_order_summary", now).unwrap_err();
        for name in ["", " ", "../up", "naïve", "a.b"] {
            write(folder.path(), name, now).unwrap_err();
        }
        write(&folder.path().join("missing"), "add", now).unwrap_err();
    }
}
