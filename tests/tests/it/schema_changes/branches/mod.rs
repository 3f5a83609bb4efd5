//! `orrery migrate diff` and `orrery migrate branch`, and the reading and comparing of schemas behind them.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod branch;
mod changes;
mod command;
mod rows;
mod strange;

use orrery::migrate::{Branch, Folder, LockTimeouts, Migrator};
use orrery::schema::{Schema, difference};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::harness::{Role, TestDatabase};

/// Runs statements in one session.
async fn run(connection: &mut PgConnection, sql: &str) {
    if let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await {
        unreachable!("{sql}\n{error}");
    }
}

/// The schema of the database at `url`.
async fn schema(url: &str) -> Schema {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let schema = Schema::read(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    schema
}

/// The statements that turn one schema into another.
fn statements(from: &Schema, to: &Schema) -> Vec<String> {
    difference(from, to).into_iter().map(|change| change.sql).collect()
}

/// Asserts that there is no difference in either direction.
fn assert_equal(one: &Schema, other: &Schema, what: &str) {
    assert_eq!(statements(one, other), [""; 0], "{what}");
    assert_eq!(statements(other, one), [""; 0], "{what}, back");
}

/// Applies statements one by one, as a person would.
async fn apply(connection: &mut PgConnection, statements: &[String]) {
    for statement in statements {
        run(connection, statement).await;
    }
}

fn operator_url(database: &TestDatabase) -> String {
    database.url(Role::Operator)
}

/// A database on the server that is dropped at the end, as a branch of `database`.
struct Branched {
    branch: Option<Branch>,
    runtime: tokio::runtime::Handle,
}

impl Branched {
    fn new(branch: Branch) -> Self {
        Self { branch: Some(branch), runtime: tokio::runtime::Handle::current() }
    }

    fn url(&self) -> String {
        self.branch.as_ref().unwrap().url()
    }
}

impl Drop for Branched {
    fn drop(&mut self) {
        // In the background and ignoring errors: the server of the tests ends with them.
        let branch = self.branch.take().unwrap();
        self.runtime.spawn(async move { branch.drop().await });
    }
}

/// The first migrations of the repository.
fn first_migrations(count: usize) -> Folder {
    let mut folder = Folder::compiled_in().unwrap();
    folder.migrations.truncate(count);
    folder
}

fn migrator(url: &str, folder: Folder) -> Migrator {
    Migrator::new(url, folder, LockTimeouts::default())
}
