//! `orrery migrate up` that is interrupted: the next run says what it found and finishes.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use orrery::migrate::{Folder, LockTimeouts, Migrator};
use sqlx::PgConnection;
use tokio::task::JoinHandle;

use crate::harness::operator::{ended, orrery};
use crate::harness::{Role, TestDatabase, until_waiting};
use crate::migrations::{applied, folder_of, run};

const INDEX: &str = "-- migrate:up transaction:false\n\
                     create index concurrently if not exists \"T idx\" on public.t (a);\n\
                     -- migrate:down transaction:false\n\
                     drop index concurrently if exists public.\"T idx\";\n";

/// A database with a table, a migration that builds an index on it, and a transaction that the build waits for.
struct Fixture {
    database: TestDatabase,
    operator: PgConnection,
    holder: PgConnection,
}

/// A run of the migrator and what it told.
struct Started {
    task: JoinHandle<anyhow::Result<usize>>,
    told: Arc<Mutex<Vec<String>>>,
}

impl Started {
    fn told(&self) -> String {
        self.told.lock().unwrap().join("\n")
    }

    async fn until_told(&self, what: &str) {
        let begun = Instant::now();
        while !self.told().contains(what) {
            assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", self.told());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Fixture {
    async fn new() -> Self {
        let database = TestDatabase::create_empty().await;
        let mut operator = database.connect(Role::Operator).await;
        run(&mut operator, "create table public.t (a int); insert into public.t select generate_series(1, 1000)").await;
        let mut holder = database.connect(Role::Operator).await;
        run(&mut holder, "set idle_in_transaction_session_timeout = 0; begin; update public.t set a = 0 where a = 1")
            .await;
        Self { database, operator, holder }
    }

    fn migrator(&self) -> Migrator {
        let folder = folder_of(&[("20260101000000_index.sql", INDEX)]);
        Migrator::new(&self.database.url(Role::Operator), folder, LockTimeouts::default())
    }

    fn start(&self) -> Started {
        let (migrator, told) = (self.migrator(), Arc::new(Mutex::new(Vec::new())));
        let heard = Arc::clone(&told);
        let task = tokio::spawn(async move { migrator.up(|line| heard.lock().unwrap().push(line.to_owned())).await });
        Started { task, told }
    }

    /// Waits until the build of the index waits for the transaction.
    async fn until_it_builds(&mut self) {
        until_waiting(&mut self.operator, Role::Operator, 1).await;
    }

    /// Whether there are a valid and an invalid index.
    async fn indexes(&mut self) -> Vec<bool> {
        sqlx::query_scalar("select indisvalid from pg_index where indrelid = 'public.t'::regclass")
            .fetch_all(&mut self.operator)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn an_index_whose_build_was_interrupted_is_built_again() {
    let mut fixture = Fixture::new().await;
    let started = fixture.start();
    fixture.until_it_builds().await;
    let end = "select pg_terminate_backend(pid) from pg_stat_activity \
               where datname = current_database() and pid <> pg_backend_pid() \
                 and query like '%create index concurrently%'";
    run(&mut fixture.operator, end).await;
    started.task.await.unwrap().unwrap_err();
    run(&mut fixture.holder, "rollback").await;
    assert_eq!(fixture.indexes().await, [false], "an invalid index");
    assert!(applied(&mut fixture.operator).await.is_empty());

    let again = fixture.start();
    again.until_told("index.sql: the index public.\"T idx\" is invalid: its build was interrupted").await;
    assert_eq!(again.task.await.unwrap().unwrap(), 1);
    assert_eq!(fixture.indexes().await, [true]);
    assert_eq!(applied(&mut fixture.operator).await, ["20260101000000"]);
}

/// The server goes on with the statement of a client that was killed.
#[tokio::test]
async fn a_build_that_the_server_finishes_is_waited_for() {
    let mut fixture = Fixture::new().await;
    let started = fixture.start();
    fixture.until_it_builds().await;
    started.task.abort();
    let again = fixture.start();
    again.until_told("another session is building the index public.\"T idx\"; waiting for it").await;
    assert_eq!(fixture.indexes().await, [false], "not dropped");
    run(&mut fixture.holder, "rollback").await;
    again.until_told("the index public.\"T idx\" is there already").await;
    assert_eq!(again.task.await.unwrap().unwrap(), 1);
    assert_eq!(fixture.indexes().await, [true]);
    assert_eq!(applied(&mut fixture.operator).await, ["20260101000000"]);
}

/// Such a server ends the transaction that keeps other migrators out.
#[tokio::test]
async fn other_migrators_stay_out_of_a_build_that_takes_longer_than_a_transaction_may() {
    let mut fixture = Fixture::new().await;
    let limit = format!("alter database {} set idle_in_transaction_session_timeout = '8s'", fixture.database.name());
    run(&mut fixture.operator, &limit).await;
    let started = fixture.start();
    fixture.until_it_builds().await;
    let begun = Instant::now();
    let other = fixture.start();
    while begun.elapsed() < Duration::from_secs(20) {
        assert!(!other.task.is_finished() && !started.task.is_finished());
        assert_eq!(fixture.indexes().await, [false]);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    other.until_told("another run is migrating this database; trying again").await;
    assert!(!other.told().contains("building the index"), "{}", other.told());
    run(&mut fixture.holder, "rollback").await;
    assert_eq!((started.task.await.unwrap().unwrap(), other.task.await.unwrap().unwrap()), (1, 0));
    assert_eq!(fixture.indexes().await, [true]);
}

/// Killed at any moment, whatever it does: the schema and the ledger stay together.
#[tokio::test]
async fn a_migrator_that_is_killed_again_and_again_finishes() {
    let database = TestDatabase::create_empty().await;
    let mut operator = database.connect(Role::Operator).await;
    let url = database.url(Role::Operator);
    let count = Folder::compiled_in().unwrap().migrations.len();
    let mut kills = 0;
    // Later and later, until the machine is fast enough.
    for delay in (0_i32..).map(|round| Duration::from_millis(12).mul_f64(f64::from(round % 25) * 1.03_f64.powi(round)))
    {
        let mut child = orrery(&["migrate", "up", "--database-url", &url]).spawn().unwrap();
        tokio::time::sleep(delay).await;
        if child.try_wait().unwrap().is_some() {
            let result = ended(child).await;
            assert_eq!(result.code, Some(0), "{result:?}");
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        assert!(kills < 500);
    }
    assert!(kills >= 3, "{kills}");
    assert_eq!(applied(&mut operator).await.len(), count);
    let invalid: i64 = sqlx::query_scalar("select count(*) from pg_index where not indisvalid")
        .fetch_one(&mut operator)
        .await
        .unwrap();
    assert_eq!(invalid, 0);
    let untouched = TestDatabase::create().await;
    let mut other = untouched.connect(Role::Operator).await;
    let (found, expected) = (columns(&mut operator).await, columns(&mut other).await);
    assert!(found == expected && !found.is_empty(), "{} columns, not {}", found.len(), expected.len());
}

/// All columns and indexes outside of the system's schemas.
async fn columns(connection: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar(
        "select format('%s.%s %s %s', n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod))
           from pg_attribute as a
           join pg_class as c on c.oid = a.attrelid
           join pg_namespace as n on n.oid = c.relnamespace
          where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and a.attnum > 0 and not a.attisdropped
          order by 1",
    )
    .fetch_all(connection)
    .await
    .unwrap()
}
