//! One migrator at a time, however many start and whatever pooler is between: all locks belong to transactions.
//!
//! - The *gate* is an advisory lock that each step holds for the length of its transaction.
//! - A statement that cannot run in a transaction, such as `create index concurrently`, can take much longer than a
//!   managed server lets a transaction live. Its run holds the lock *outside*, shared, by transactions of which the
//!   next one begins before the last one ends. Each step looks whether somebody holds it.
//!
//! Migrators of older releases only know the gate.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Transaction};
use tokio_util::task::AbortOnDropHandle;

use super::failure::{Failure, failure};
use crate::database;
use crate::terminal::eprint_line;

/// The gate: "orrery" in ASCII.
const GATE: i64 = 0x6f72_7265_7279;
/// Held by who runs a section outside of a transaction.
const OUTSIDE: i64 = GATE + 1;
/// How old a transaction becomes that holds it. Managed servers end transactions after 20 s.
const RENEWAL: Duration = Duration::from_secs(5);

/// The least time that a statement waits for a lock.
const LEAST_WAIT: Duration = Duration::from_millis(50);

const ANOTHER_RUN: &str = "another run is migrating this database";

/// Begins a transaction that holds the gate, and that waits for other locks no longer than `lock_timeout`.
pub(super) async fn begin(
    connection: &mut PgConnection,
    lock_timeout: Duration,
) -> Result<Transaction<'_, Postgres>, Failure> {
    let place = |error| failure(&error, ANOTHER_RUN);
    let mut transaction = connection.begin().await.map_err(place)?;
    set_lock_timeout(&mut transaction, lock_timeout).await.map_err(place)?;
    sqlx::query("select pg_advisory_xact_lock($1)").bind(GATE).execute(&mut *transaction).await.map_err(place)?;
    // A savepoint gives back what was locked after it.
    sqlx::raw_sql("savepoint look").execute(&mut *transaction).await.map_err(place)?;
    let is_free: bool = sqlx::query_scalar("select pg_try_advisory_xact_lock($1)")
        .bind(OUTSIDE)
        .fetch_one(&mut *transaction)
        .await
        .map_err(place)?;
    sqlx::raw_sql("rollback to savepoint look").execute(&mut *transaction).await.map_err(place)?;
    if is_free { Ok(transaction) } else { Err(Failure::Busy(ANOTHER_RUN.to_owned())) }
}

/// How long the statements of a transaction wait for locks in all: what waits for a lock keeps the locks that it has,
/// and traffic behind them.
pub(super) struct LockBudget {
    begun: Instant,
    total: Duration,
}

impl LockBudget {
    pub(super) fn new(total: Duration) -> Self {
        Self { begun: Instant::now(), total }
    }

    /// Limits the next statement to what is left.
    pub(super) async fn limit_next(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let left = self.total.saturating_sub(self.begun.elapsed()).max(LEAST_WAIT);
        set_lock_timeout(connection, left).await
    }
}

/// Limits how long each following statement of the transaction waits for a lock.
async fn set_lock_timeout(connection: &mut PgConnection, lock_timeout: Duration) -> sqlx::Result<()> {
    let set = format!("set local lock_timeout = {}", lock_timeout.as_millis().max(1));
    sqlx::raw_sql(AssertSqlSafe(set)).execute(connection).await.map(drop)
}

/// Keeps other migrators out while a section runs outside of a transaction. Dropping it lets them in.
pub(super) struct Outside(#[expect(dead_code, reason = "its task holds the lock")] AbortOnDropHandle<()>);

impl Outside {
    /// Goes outside. `gate` is the transaction of this run, which ends.
    pub(super) async fn enter(url: &str, gate: Transaction<'_, Postgres>) -> Result<Self, Failure> {
        let mut holder = hold(url).await?;
        gate.commit().await.map_err(|error| failure(&error, ANOTHER_RUN))?;
        let url = url.to_owned();
        Ok(Self(AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                tokio::time::sleep(RENEWAL).await;
                match hold(&url).await {
                    // The one before ends with its connection.
                    Ok(next) => {
                        let _ = std::mem::replace(&mut holder, next).close().await;
                    }
                    Err(failure) => {
                        let error = anyhow::Error::from(failure);
                        eprint_line(format_args!("the lock of migrations was not renewed, trying again: {error:#}"));
                    }
                }
            }
        }))))
    }
}

/// A connection whose transaction holds the lock. The transaction has no snapshot, so `create index concurrently` does
/// not wait for it.
async fn hold(url: &str) -> Result<PgConnection, Failure> {
    let mut connection = database::connect(url).await.map_err(Failure::Final)?;
    let lock = format!("begin; select pg_advisory_xact_lock_shared({OUTSIDE})");
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut connection).await.map_err(|error| failure(&error, ANOTHER_RUN))?;
    Ok(connection)
}
