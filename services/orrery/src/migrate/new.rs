//! Writes an empty migration.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};

const EMPTY: &str = "-- migrate:up\n\n\n-- migrate:down\n\n";

/// Writes an empty migration called `name` into `folder` and returns its path. The version is `now` to the second.
pub(super) fn write(folder: &Path, name: &str, now: DateTime<Utc>) -> anyhow::Result<PathBuf> {
    let name = name.trim().to_ascii_lowercase().replace([' ', '-'], "_");
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
        bail!("a migration's name is made of letters, digits and _, as in add_order_summary");
    }
    if !folder.is_dir() {
        bail!("there is no folder {} to write a migration into; name it with --migrations", folder.display());
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
