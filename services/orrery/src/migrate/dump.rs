//! `orrery migrate dump`: writes the schema of a database as SQL, as `dbmate dump` does: what pg_dump prints, without
//! the lines that name its version, and then the applied migrations.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, bail};
use sqlx::Connection as _;

use super::history;
use crate::{cluster, database};

/// The name of the file in the folder of the migrations. It is no migration: it does not start with a digit.
pub(super) const FILE: &str = "schema.sql";

/// A program pg_dump.
struct Program {
    path: PathBuf,
    /// The major version.
    major: u32,
}

/// Returns the schema of the database at `url`.
///
/// # Errors
///
/// The database cannot be reached, or there is no pg_dump for it.
pub async fn dump(url: &str) -> anyhow::Result<String> {
    let mut connection = database::connect(url).await?;
    let versions = history::applied(&mut connection).await?;
    let number: String = sqlx::query_scalar("show server_version_num").fetch_one(&mut connection).await?;
    connection.close().await?;
    let server = number.parse::<u32>().context("the server's version is not a number")? / 10_000;

    let (location, password) = split_password(url);
    let mut command = Command::new(choose(all(), server)?.path);
    command.args(["--format=plain", "--encoding=UTF8", "--schema-only", "--no-privileges", "--no-owner", &location]);
    if let Some(password) = password {
        // Other users of the machine see the arguments.
        command.env("PGPASSWORD", password);
    }
    let output = tokio::process::Command::from(command).output().await.context("cannot run pg_dump")?;
    if !output.status.success() {
        bail!("pg_dump failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let schema = String::from_utf8(output.stdout).context("pg_dump wrote text that is not UTF-8")?;
    Ok(tidy(&schema) + &ledger(versions))
}

/// All programs pg_dump: first those of PATH, then those of installed Postgres servers.
fn all() -> Vec<Program> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).chain(cluster::installed_folders()).collect();
    let version = |path: PathBuf| {
        let output = Command::new(&path).arg("--version").output().ok()?;
        let major = major(&String::from_utf8_lossy(&output.stdout))?;
        Some(Program { path, major })
    };
    folders.into_iter().map(|folder| folder.join("pg_dump")).filter(|path| path.is_file()).filter_map(version).collect()
}

/// The first of `programs` that can read a server of the major version `server`.
fn choose(programs: Vec<Program>, server: u32) -> anyhow::Result<Program> {
    let newest = programs.iter().map(|program| program.major).max();
    match (programs.into_iter().find(|program| program.major >= server), newest) {
        (Some(program), _) => Ok(program),
        (None, Some(newest)) => bail!(
            "the server is Postgres {server}, and pg_dump {newest} is too old for it: install the client programs of \
             Postgres {server} or newer"
        ),
        (None, None) => bail!(
            "pg_dump is neither on PATH nor in a folder of Postgres: install the client programs of Postgres {server}, \
             for example the package postgresql-client-{server}"
        ),
    }
}

/// The major version in the output of `pg_dump --version`.
fn major(output: &str) -> Option<u32> {
    let version = output.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// A URL without its password, and the password.
fn split_password(url: &str) -> (String, Option<String>) {
    let parts = || {
        let (scheme, rest) = url.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (account, _) = rest[..end].rsplit_once('@')?;
        let (user, password) = account.split_once(':')?;
        Some((format!("{scheme}://{user}{}", &rest[account.len()..]), decoded(password)?))
    };
    parts().map_or_else(|| (url.to_owned(), None), |(url, password)| (url, Some(password)))
}

/// A text without percent-encoding.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

/// The output of pg_dump without the comments at its start, and without white space at the end of lines.
fn tidy(schema: &str) -> String {
    let mut text = String::with_capacity(schema.len());
    for line in schema.lines().skip_while(|line| line.is_empty() || line.starts_with("--")) {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The applied migrations as an insert statement.
fn ledger(versions: impl IntoIterator<Item = String>) -> String {
    let mut text = "\n--\n-- Dbmate schema migrations\n--\n\n".to_owned();
    let rows: Vec<_> = versions.into_iter().map(|version| format!("('{}')", version.replace('\'', "''"))).collect();
    if !rows.is_empty() {
        let _ = writeln!(text, "INSERT INTO {} (version) VALUES\n    {};", history::TABLE, rows.join(",\n    "));
    }
    text
}

/// Writes a schema to `file`.
pub(super) fn write(file: &Path, schema: &str) -> anyhow::Result<()> {
    fs::write(file, schema).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn programs(majors: &[u32]) -> Vec<Program> {
        majors.iter().map(|major| Program { path: PathBuf::from(format!("/{major}")), major: *major }).collect()
    }

    #[test]
    fn the_first_program_that_is_not_older_than_the_server_is_chosen() {
        assert_eq!(choose(programs(&[13, 15, 17]), 15).unwrap().path, Path::new("/15"));
        assert_eq!(choose(programs(&[17, 15]), 15).unwrap().path, Path::new("/17"));
        let old = choose(programs(&[13, 14]), 15).err().unwrap().to_string();
        assert!(old.starts_with("the server is Postgres 15, and pg_dump 14 is too old"), "{old}");
        let none = choose(programs(&[]), 15).err().unwrap().to_string();
        assert!(none.contains("postgresql-client-15"), "{none}");
    }

    #[test]
    fn a_version_is_read() {
        assert_eq!(major("pg_dump (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"), Some(15));
        assert_eq!(major("pg_dump (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("no version"), None);
    }

    #[test]
    fn a_password_is_not_an_argument() {
        let split = |url: &str| split_password(url);
        let found = split("postgres://me:a%40b%3A:c@host:1/db?sslmode=disable");
        assert_eq!(found, ("postgres://me@host:1/db?sslmode=disable".to_owned(), Some("a@b::c".to_owned())));
        for url in ["postgres://host/db", "postgres://me@host/a:b@c", "host=a", "postgres://me:%zz@host/db"] {
            assert_eq!(split(url), (url.to_owned(), None));
        }
    }

    #[test]
    fn the_start_and_the_ends_of_lines_are_tidied() {
        assert_eq!(tidy("--\n-- PostgreSQL\n\nSET a = 1; \n\n-- b\n"), "SET a = 1;\n\n-- b\n");
        assert_eq!(ledger([]), "\n--\n-- Dbmate schema migrations\n--\n\n");
        let rows = ledger(["1".to_owned(), "it's".to_owned()]);
        assert!(rows.ends_with("INSERT INTO public.schema_migrations (version) VALUES\n    ('1'),\n    ('it''s');\n"));
    }
}
