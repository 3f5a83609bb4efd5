//! Finds an installed Postgres.

use std::fs;
use std::path::{Path, PathBuf};

use super::account::Account;

/// The oldest supported major version.
const OLDEST: u32 = 14;

/// Where packages install Postgres. `*` stands for the version.
const USUAL_PLACES: &[&str] = &[
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/usr/lib64/postgresql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "/opt/local/lib/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/Library/PostgreSQL/*/bin",
    "/usr/local/pgsql/bin",
];

/// The programs of one Postgres installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    /// The folder with `initdb` and `postgres`.
    pub(super) folder: PathBuf,
    /// The major version, such as 15.
    pub(super) major: u32,
    /// The full version, such as `15.14`.
    pub(super) version: String,
}

impl Binaries {
    /// The programs in `folder`, if they exist and `account` can run them.
    pub(super) fn in_folder(folder: &Path, account: Account) -> Option<Self> {
        if !folder.join("initdb").is_file() {
            return None;
        }
        let output = account.command(&folder.join("postgres")).arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let version = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
        let major = leading_number(version)?;
        Some(Self { folder: folder.to_owned(), major, version: version.to_owned() })
    }

    /// The first of `folders` with a Postgres of major version `wanted`, or of any supported version if `None`.
    pub(super) fn first_in(
        folders: impl IntoIterator<Item = PathBuf>,
        account: Account,
        wanted: Option<u32>,
    ) -> Option<Self> {
        folders
            .into_iter()
            .filter_map(|folder| Self::in_folder(&folder, account))
            .find(|found| found.major >= OLDEST && wanted.is_none_or(|wanted| wanted == found.major))
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// All folders that may hold an installed Postgres: those of `PATH` with links resolved, then the usual ones, newest
/// first.
pub(super) fn installed() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path)
        .filter_map(|folder| {
            fs::canonicalize(folder.join("postgres")).or_else(|_| fs::canonicalize(folder.join("pg_ctl"))).ok()
        })
        .filter_map(|program| program.parent().map(Path::to_owned))
        .collect();
    for place in USUAL_PLACES {
        folders.extend(matching(place));
    }
    folders
}

/// The folders that match `pattern`. With a `*`, the highest version comes first.
fn matching(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![PathBuf::from(pattern)];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let mut found: Vec<(Option<u32>, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let number = leading_number(name.strip_prefix(prefix)?);
            Some((number, PathBuf::from(format!("{parent}/{name}{after}"))))
        })
        .collect();
    found.sort_by(|left, right| right.cmp(left));
    found.into_iter().map(|(_, folder)| folder).collect()
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn the_newest_version_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        for version in ["9.6", "17", "16", "unversioned"] {
            fs::create_dir_all(folder.path().join(version).join("bin")).unwrap();
        }
        let found = matching(&format!("{}/*/bin", folder.path().display()));
        let names: Vec<_> =
            found.iter().map(|path| path.parent().unwrap().file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["17", "16", "9.6", "unversioned"]);
        assert_eq!(matching("/usr/local/pgsql/bin"), [PathBuf::from("/usr/local/pgsql/bin")]);
    }

    #[test]
    fn a_version_is_read_up_to_its_first_dot() {
        assert_eq!(leading_number("15.14 (Debian 15.14-0+deb12u1)"), Some(15));
        assert_eq!(leading_number("18beta1"), Some(18));
        assert_eq!(leading_number("devel"), None);
    }
}
