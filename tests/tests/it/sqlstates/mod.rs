//! The errors that clients get for each SQLSTATE that services know by name, each caused on a real server. [`EXPECTED`]
//! lists them, and a test checks that the list is complete. The server's log shows that it reported this SQLSTATE.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod conflicts;
mod driver;
mod endings;
mod plans;
mod resources;
mod sessions;
mod standby;
mod text;

use std::collections::BTreeSet;

use orrery_kit::config::ServiceConfig;
use orrery_kit::db::{Database, Statement, TransactionEnd};
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use sqlx::PgConnection;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{Postgres, Role, Route, TestDatabase, refusal, run};

/// The expected error: code, reason, and whether it has a RetryInfo.
type Expected = (Code, &'static str, bool);

const CONFLICT: Expected = (Code::Aborted, "TRANSACTION_CONFLICT", true);
const UNAVAILABLE: Expected = (Code::Unavailable, "DATABASE_UNAVAILABLE", true);
const LATE: Expected = (Code::DeadlineExceeded, "DEADLINE_EXCEEDED", true);
const TOO_MUCH: Expected = (Code::ResourceExhausted, "ROW_TOO_LARGE", false);
const INVALID: Expected = (Code::InvalidArgument, "FIELD_INVALID", false);
const INTERNAL: Expected = (Code::Internal, "INTERNAL", false);

/// All SQLSTATEs with another code than INTERNAL, and some with INTERNAL.
const EXPECTED: [(&str, Expected); 27] = [
    ("08P01", UNAVAILABLE),
    // For a prepared statement whose table was changed, if no connection accepts it; else INTERNAL.
    ("0A000", CONFLICT),
    ("22021", INVALID),
    ("22P05", INVALID),
    ("25006", UNAVAILABLE),
    ("25P03", LATE),
    ("25P04", LATE),
    ("28000", UNAVAILABLE),
    ("28P01", UNAVAILABLE),
    ("3D000", UNAVAILABLE),
    ("40001", CONFLICT),
    ("40P01", CONFLICT),
    ("42501", INTERNAL),
    ("42P01", INTERNAL),
    ("53100", UNAVAILABLE),
    ("53200", TOO_MUCH),
    ("53300", UNAVAILABLE),
    ("53400", TOO_MUCH),
    ("54000", TOO_MUCH),
    // If it ends the session; else INTERNAL.
    ("55000", UNAVAILABLE),
    ("55P03", CONFLICT),
    ("57014", LATE),
    ("57P01", UNAVAILABLE),
    ("57P02", UNAVAILABLE),
    ("57P03", UNAVAILABLE),
    ("57P04", UNAVAILABLE),
    ("57P05", UNAVAILABLE),
];

/// All SQLSTATEs that the service knows are in the list, and each in the list has a test that names it.
#[test]
fn every_sqlstate_that_is_known_is_provoked() {
    const KNOWN: &str = include_str!("../../../../services/kit/src/error.rs");
    const TESTS: [&str; 8] = [
        include_str!("conflicts.rs"),
        include_str!("driver.rs"),
        include_str!("endings.rs"),
        include_str!("plans.rs"),
        include_str!("resources.rs"),
        include_str!("sessions.rs"),
        include_str!("standby.rs"),
        include_str!("text.rs"),
    ];
    let is_state = |text: &&str| text.len() == 5 && text.starts_with(|first: char| first.is_ascii_digit());
    let known: BTreeSet<&str> = KNOWN.split('"').filter(is_state).collect();
    assert!(known.contains("40P01"), "they are found: {known:?}");
    let told: BTreeSet<&str> = EXPECTED.iter().map(|(state, _)| *state).collect();
    assert_eq!(known.difference(&told).collect::<Vec<_>>(), Vec::<&&str>::new(), "known and not tried");
    let untried = told.iter().filter(|state| !TESTS.iter().any(|test| test.contains(&format!("\"{state}\""))));
    assert_eq!(untried.collect::<Vec<_>>(), Vec::<&&str>::new(), "in the list and not tried");
}

/// The expected error for a SQLSTATE.
fn expected(state: &str) -> Expected {
    EXPECTED.iter().find(|(known, _)| *known == state).unwrap_or_else(|| unreachable!("{state} is not in the list")).1
}

/// Checks that a client gets the expected error for `state`, and that the server reported `state`.
#[track_caller]
fn assert_told(database: &TestDatabase, state: &str, error: Error) {
    assert_status(database, state, &Status::from(error));
}

/// As [`assert_told`], for the status that a client got.
#[track_caller]
fn assert_status(database: &TestDatabase, state: &str, status: &Status) {
    assert_logged(database, state);
    assert_is(status, expected(state), state);
}

/// Checks that the server reported `state`.
#[track_caller]
fn assert_logged(database: &TestDatabase, state: &str) {
    assert_ne!(logged(database, state), 0, "the server never reported {state}");
}

/// How often the server reported `state`.
fn logged(database: &TestDatabase, state: &str) -> usize {
    database.postgres().logged(database.name(), &[state]).len()
}

#[track_caller]
fn assert_is(status: &Status, told: Expected, about: &str) {
    let refused = refusal(status);
    let again = status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some());
    assert_eq!((refused.code, refused.reason.as_str(), again), told, "{about}: {status:?}");
}

/// A database on the shared server that services reach directly, because these errors are about the session itself.
async fn direct() -> TestDatabase {
    TestDatabase::create().await.by(Route::Direct).await
}

/// A database on a separate server.
async fn own() -> (Postgres, TestDatabase) {
    own_with(&[]).await
}

/// As [`own`], with settings.
async fn own_with(settings: &[(&str, &str)]) -> (Postgres, TestDatabase) {
    let postgres = Postgres::own_with(settings).await;
    let database = postgres.create_database().await.by(Route::Direct).await;
    (postgres, database)
}

/// The data layer with one connection and a short wait for a new one.
fn lone(database: &TestDatabase) -> Database {
    database.data_layer(impatient)
}

fn impatient(config: &mut ServiceConfig) {
    config.database.database_pool_max = 1;
    config.database.database_acquire_timeout = std::time::Duration::from_millis(500);
}

/// Changes a setting for new sessions of the catalog in this database.
async fn set(operator: &mut PgConnection, database: &TestDatabase, setting: &str) {
    run(operator, &format!("alter role catalog_service in database {} set {setting}", database.name())).await;
}

/// Runs statements in one transaction.
async fn transaction(pool: &Database, statements: &[&str]) -> Result<(), Error> {
    let statements: Vec<Statement> = statements.iter().map(|sql| Statement::new(*sql, 1)).collect();
    pool.transaction(Deadline::none(), move |transaction| {
        Box::pin(async move {
            for statement in statements {
                transaction.fetch(statement).await?;
            }
            Ok(TransactionEnd::Commit(()))
        })
    })
    .await
}

/// Connects as the operator.
async fn operator(database: &TestDatabase) -> PgConnection {
    database.connect(Role::Operator).await
}
