//! `orrery migrate dump` and `migrations/schema.sql`.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::Path;

use orrery::migrate::dump;
use orrery_tests_needs as needs;

use super::{dbmate, migrations, orrery, run_dbmate};
use crate::harness::operator::run;
use crate::harness::{Role, TestDatabase};

/// A dump without the lines that differ from one run or release of pg_dump to the next.
fn comparable(text: &str) -> Vec<&str> {
    let differs = ["-- Dumped from database version", "-- Dumped by pg_dump version", "\\restrict ", "\\unrestrict "];
    text.lines().filter(|line| !differs.iter().any(|start| line.starts_with(start))).collect()
}

/// A migrated database, if there is a pg_dump for its server: the package that is fetched for a chosen version has
/// none.
async fn dumpable() -> Option<TestDatabase> {
    let database = TestDatabase::create_empty().await;
    orrery(&database).up(|_| ()).await.unwrap();
    match dump(&database.url(Role::Operator)).await {
        Err(error) if std::env::var_os("ORRERY_TEST_POSTGRES").is_some() && error.to_string().contains("too old") => {
            needs::lacks("pg_dump", &error.to_string());
            None
        }
        _ => Some(database),
    }
}

#[tokio::test]
async fn a_dump_is_the_same_as_dbmate_s() {
    let (Some(program), Some(database)) = (dbmate().await, dumpable().await) else { return };
    let url = database.url(Role::Operator);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("schema.sql");
    let theirs = || {
        run_dbmate(program, &url, &["--schema-file", file.to_str().unwrap(), "dump"]).unwrap();
        fs::read_to_string(&file).unwrap()
    };
    let ours = dump(&url).await.unwrap();
    let theirs = theirs();
    assert!(ours.contains("CREATE TABLE catalog.product"), "{ours}");
    assert_eq!(without_tokens(&ours), without_tokens(&theirs));
}

/// A dump without the random tokens of `\restrict`, which pg_dump writes since August 2025.
fn without_tokens(text: &str) -> String {
    let line = |line: &str| match line.split_once("restrict ") {
        Some((start, _)) if start.starts_with('\\') => format!("{start}restrict\n"),
        _ => format!("{line}\n"),
    };
    text.split_terminator('\n').map(line).collect()
}

#[tokio::test]
async fn the_committed_schema_is_that_of_the_migrations() {
    let Some(database) = dumpable().await else { return };
    let fresh = dump(&database.url(Role::Operator)).await.unwrap();
    let committed = fs::read_to_string(migrations().join("schema.sql")).unwrap_or_default();
    let differs = comparable(&fresh).into_iter().zip(comparable(&committed)).find(|(fresh, old)| fresh != old);
    assert!(
        comparable(&fresh) == comparable(&committed),
        "migrations/schema.sql is not what the migrations make (first difference: {differs:?}). Refresh it with \
         `orrery migrate dump`, from a database with exactly these migrations, such as that of a new `orrery up`"
    );
}

#[tokio::test]
async fn the_command_writes_to_a_file_or_to_standard_output() {
    let Some(database) = dumpable().await else { return };
    let url = database.url(Role::Operator);
    let expected = dump(&url).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();

    let printed = run(&["migrate", "dump", "--database-url", &url, "--output", "-"]).await;
    assert_eq!((printed.code, without_tokens(&printed.stdout)), (Some(0), without_tokens(&expected)));
    let named = run(&["migrate", "dump", "--database-url", &url, "--output", &path("named.sql")]).await;
    assert_eq!((named.code, named.stdout.as_str()), (Some(0), ""), "{named:?}");
    let chosen = run(&["migrate", "dump", "--database-url", &url, "--migrations", &path("")]).await;
    assert_eq!(chosen.code, Some(0), "{chosen:?}");
    for name in ["named.sql", "schema.sql"] {
        let written = fs::read_to_string(Path::new(&path(name))).unwrap();
        assert_eq!(without_tokens(&written), without_tokens(&expected), "{name}");
    }
    let failed = run(&["migrate", "dump", "--database-url", &url, "--output", &path("no/such/folder.sql")]).await;
    assert_eq!(failed.code, Some(1));
    assert!(failed.stderr.contains("cannot write"), "{failed:?}");
}
