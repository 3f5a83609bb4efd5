//! dbmate works on the same folder and table of applied migrations, before and after `orrery migrate`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod alternating;
mod dump;
mod odd_files;

use std::path::{Path, PathBuf};
use std::process::Command;

use orrery::migrate::{Folder, LockTimeouts, Migrator};
use orrery_tests_needs::{self as needs, Need};
use sqlx::AssertSqlSafe;
use tokio::sync::OnceCell;

use crate::harness::{Role, TestDatabase};

const VERSION: &str = "2.36.0";

static DBMATE: OnceCell<Result<PathBuf, String>> = OnceCell::const_new();

/// dbmate, installed through npm beside the test's executable. `None`, with the test noted as not run, if npm cannot
/// install it.
async fn dbmate() -> Option<&'static Path> {
    if !needs::met(&[Need::Npm]) {
        return None;
    }
    let install = || async {
        let folder = std::env::current_exe().unwrap().parent().unwrap().join(format!("dbmate-{VERSION}"));
        let program = folder.join("node_modules/.bin/dbmate");
        if program.exists() {
            return Ok(program);
        }
        let output = needs::program(Need::Npm)
            .command()
            .args(["install", "--no-save", "--no-audit", "--no-fund", "--prefix"])
            .arg(&folder)
            .arg(format!("dbmate@{VERSION}"))
            .output()
            .unwrap();
        let complaint = || format!("npm could not install it: {}", String::from_utf8_lossy(&output.stderr));
        output.status.success().then_some(program).ok_or_else(complaint)
    };
    match DBMATE.get_or_init(install).await {
        Ok(program) => Some(program),
        Err(reason) => {
            needs::lacks("dbmate", reason);
            None
        }
    }
}

fn migrations() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations")
}

/// Runs dbmate on the repository's migrations as the role in `url`, and returns its output or its error.
fn run_dbmate(program: &Path, url: &str, arguments: &[&str]) -> Result<String, String> {
    run_dbmate_in(program, &migrations(), url, arguments)
}

/// Runs dbmate on the migrations in `folder`.
fn run_dbmate_in(program: &Path, folder: &Path, url: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .arg("--url")
        .arg(format!("{url}?sslmode=disable"))
        .arg("--migrations-dir")
        .arg(folder)
        .arg("--no-dump-schema")
        .args(arguments)
        .current_dir(std::env::temp_dir())
        .env_remove("DATABASE_URL")
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(text) } else { Err(text) }
}

fn orrery(database: &TestDatabase) -> Migrator {
    orrery_in(&migrations(), database)
}

fn orrery_in(folder: &Path, database: &TestDatabase) -> Migrator {
    Migrator::new(&database.url(Role::Operator), Folder::read(folder).unwrap(), LockTimeouts::default())
}

/// The migrations that `orrery migrate status` shows as applied.
async fn status(migrator: &Migrator) -> Vec<bool> {
    let (known, unknown) = migrator.status().await.unwrap();
    assert!(unknown.is_empty());
    known.iter().map(|(_, applied)| *applied).collect()
}

#[tokio::test]
async fn dbmate_goes_on_where_orrery_stopped() {
    let Some(program) = dbmate().await else { return };
    let database = TestDatabase::create_empty().await;
    let (url, orrery) = (database.url(Role::Operator), orrery(&database));
    let count = orrery.up(|_| ()).await.unwrap();

    let output = run_dbmate(program, &url, &["status"]).unwrap();
    assert!(output.contains(&format!("Applied: {count}\nPending: 0")), "{output}");
    for undone in 1..=count {
        run_dbmate(program, &url, &["rollback"]).unwrap();
        assert_eq!(status(&orrery).await.iter().filter(|applied| !**applied).count(), undone);
    }
    run_dbmate(program, &url, &["up"]).unwrap();
    assert_eq!(status(&orrery).await, vec![true; count]);
}

#[tokio::test]
async fn orrery_goes_on_where_dbmate_stopped() {
    let Some(program) = dbmate().await else { return };
    let database = TestDatabase::create_empty().await;
    let (url, orrery) = (database.url(Role::Operator), orrery(&database));

    // One session of dbmate that starts in a database with the server's search path, and several that find it changed.
    run_dbmate(program, &url, &["up"]).unwrap();
    let count = status(&orrery).await.len();
    assert_eq!(status(&orrery).await, vec![true; count]);
    assert_eq!(orrery.up(|_| ()).await.unwrap(), 0);
    run_dbmate(program, &url, &["rollback"]).unwrap();
    orrery.down(|_| ()).await.unwrap();
    let output = run_dbmate(program, &url, &["status"]).unwrap();
    assert!(output.contains("Pending: 2"), "{output}");
    assert_eq!(orrery.up(|_| ()).await.unwrap(), 2);
    assert!(run_dbmate(program, &url, &["status", "--exit-code"]).is_ok());

    let mut connection = database.connect(Role::Operator).await;
    let ledgers: Vec<String> =
        sqlx::query_scalar("select schemaname::text from pg_tables where tablename = 'schema_migrations'")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    assert_eq!(ledgers, ["public"]);
}

#[tokio::test]
async fn another_role_s_dbmate_needs_to_be_told_where_the_ledger_is() {
    let Some(program) = dbmate().await else { return };
    let database = TestDatabase::create_empty().await;
    let (role, orrery) = (format!("{}_other", database.name()), orrery(&database));
    let mut connection = database.connect(Role::Operator).await;
    let statement = format!("create role {role} superuser login password 'only-for-this-test'");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    let url = database.url(Role::Operator);
    let other = format!("postgres://{role}:only-for-this-test@{}", url.split_once('@').unwrap().1);
    orrery.up(|_| ()).await.unwrap();

    let table = ["--migrations-table", "public.schema_migrations"];
    let output = run_dbmate(program, &other, &[&table[..], &["status"]].concat()).unwrap();
    assert!(output.contains("Pending: 0"), "{output}");

    // By default it creates a second table in the first schema of the search path, fails at the first file and changes
    // nothing else.
    let output = run_dbmate(program, &other, &["up"]).unwrap_err();
    assert!(output.contains("schema \"catalog\" already exists"), "{output}");
    assert!(status(&orrery).await.iter().all(|applied| *applied));
    assert_eq!(orrery.up(|_| ()).await.unwrap(), 0);
}
