//! Moves a database up and down. Each migration is one transaction that first takes the lock, then reads the ledger, so that any number of
//! runs at the same time apply each migration once. A lock that cannot be had within moments is given up and asked for again later,
//! for a waiting DDL statement makes all traffic on its table wait behind it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Transaction};

use super::file::{Migration, Section};
use super::folder::Folder;
use super::{check, ledger, statement};
use crate::database;

/// The advisory lock of migrations: "orrery" in ASCII.
const LOCK: i64 = 0x6f72_7265_7279;
/// SQLSTATEs after which a migration is tried again: a lock was not to be had in time, or a deadlock.
const WORTH_RETRYING: [&str; 2] = ["55P03", "40P01"];
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long to wait for locks.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long one attempt waits for a lock; traffic may wait behind it as long.
    pub lock_timeout: Duration,
    /// How long to go on trying before giving up.
    pub total: Duration,
}

impl Default for Patience {
    /// Two seconds, five minutes.
    fn default() -> Self {
        Self { lock_timeout: Duration::from_secs(2), total: Duration::from_secs(300) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// One attempt's outcome.
enum Step {
    /// This migration was applied or undone.
    Done(String),
    /// There is none left.
    Nothing,
}

/// Why an attempt failed.
enum Failure {
    /// Try again: a lock was not to be had.
    Busy(String),
    /// Trying again is no use.
    Final(anyhow::Error),
}

/// Moves the schema of one database.
#[derive(Clone, Debug)]
pub struct Migrator {
    url: String,
    folder: Folder,
    patience: Patience,
}

impl Migrator {
    /// Moves the database at `url` along the migrations of `folder`.
    pub fn new(url: &str, folder: Folder, patience: Patience) -> Self {
        Self { url: url.to_owned(), folder, patience }
    }

    /// Applies every migration that is not in the ledger, oldest first. `tell` hears a sentence about each. Returns how many were applied
    /// here; others may have applied some at the same time.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached or a migration fails; the message names file and line. What was applied before stays applied.
    pub async fn up(&self, mut tell: impl FnMut(&str)) -> anyhow::Result<usize> {
        let mut count = 0;
        while let Step::Done(name) = self.step(Direction::Up, &mut tell).await? {
            tell(&format!("Applied {name}"));
            count += 1;
        }
        Ok(count)
    }

    /// Undoes the newest applied migration and returns its file's name.
    ///
    /// # Errors
    ///
    /// When nothing is applied, its file is missing, or undoing it fails.
    pub async fn down(&self, mut tell: impl FnMut(&str)) -> anyhow::Result<String> {
        match self.step(Direction::Down, &mut tell).await? {
            Step::Done(name) => {
                tell(&format!("Rolled back {name}"));
                Ok(name)
            }
            Step::Nothing => bail!("no migration is applied, so there is none to roll back"),
        }
    }

    /// Every migration of the folder and whether it is applied, then the versions in the ledger that have no file.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn status(&self) -> anyhow::Result<(Vec<(&Migration, bool)>, Vec<String>)> {
        let mut connection = database::connect(&self.url).await?;
        let mut applied = ledger::applied(&mut connection).await?;
        connection.close().await?;
        let known =
            self.folder.migrations.iter().map(|migration| (migration, applied.remove(&migration.version))).collect();
        Ok((known, applied.into_iter().collect()))
    }

    /// Tries until the step is done or patience ends.
    async fn step(&self, direction: Direction, tell: &mut impl FnMut(&str)) -> anyhow::Result<Step> {
        let deadline = Instant::now() + self.patience.total;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.attempt(direction).await {
                Ok(step) => return Ok(step),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Busy(reason)) if Instant::now() + pause >= deadline => {
                    bail!("{reason}; gave up after {} s", self.patience.total.as_secs());
                }
                Err(Failure::Busy(reason)) => {
                    tell(&format!("{reason}; trying again in {} ms", pause.as_millis()));
                    tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// A connection of its own for each attempt: what one migration sets in its session reaches no other.
    async fn attempt(&self, direction: Direction) -> Result<Step, Failure> {
        let mut connection = database::connect(&self.url).await.map_err(Failure::Final)?;
        let step = self.locked(&mut connection, direction).await;
        // Closing a connection whose transaction failed rolls it back.
        let _ = connection.close().await;
        step
    }

    /// Begins a transaction that holds the lock and waits for no other lock longer than patience allows.
    async fn begin<'c>(&self, connection: &'c mut PgConnection) -> Result<Transaction<'c, Postgres>, Failure> {
        let place = |error| failure(&error, "another run is migrating this database");
        let mut transaction = connection.begin().await.map_err(place)?;
        sqlx::query("select set_config('lock_timeout', $1, true)")
            .bind(format!("{}ms", self.patience.lock_timeout.as_millis()))
            .execute(&mut *transaction)
            .await
            .map_err(place)?;
        sqlx::query("select pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await.map_err(place)?;
        Ok(transaction)
    }

    async fn locked(&self, connection: &mut PgConnection, direction: Direction) -> Result<Step, Failure> {
        // Before anything runs, and before the ledger is made.
        let applied = ledger::applied(connection).await.map_err(|error| failure(&error, "the ledger"))?;
        self.check(direction, &applied)?;
        if !ledger::exists(connection).await.map_err(|error| failure(&error, "the ledger"))? {
            // Committed by itself: a section outside of a transaction writes it from a second connection.
            let mut transaction = self.begin(connection).await?;
            ledger::ensure(&mut transaction).await.map_err(|error| failure(&error, "the ledger"))?;
            transaction.commit().await.map_err(|error| failure(&error, "the ledger"))?;
        }
        let mut transaction = self.begin(connection).await?;
        let applied = ledger::applied(&mut transaction).await.map_err(|error| failure(&error, "the ledger"))?;
        let next = match direction {
            Direction::Up => self.folder.migrations.iter().find(|migration| !applied.contains(&migration.version)),
            Direction::Down => match applied.last() {
                Some(version) => Some(
                    self.folder
                        .find(version)
                        .with_context(|| {
                            format!("version {version} is applied, but {} has no such file", self.folder.path.display())
                        })
                        .map_err(Failure::Final)?,
                ),
                None => None,
            },
        };
        let Some(migration) = next else {
            return Ok(Step::Nothing);
        };
        let section = match direction {
            Direction::Up => &migration.up,
            Direction::Down => &migration.down,
        };
        let name = self.folder.display(migration);
        if section.transaction {
            run_in_transaction(&mut transaction, section, &name, &migration.version).await?;
            record(&mut transaction, direction, &migration.version).await.map_err(|error| failure(&error, &name))?;
        } else {
            self.run_outside(section, &name, direction, &migration.version).await?;
        }
        transaction.commit().await.map_err(|error| failure(&error, &name))?;
        Ok(Step::Done(name))
    }

    /// Checks what is about to run: of files that are not applied both sections, since what goes up must come down; of
    /// the one to roll back that half. A file that dbmate applied long ago is not held against its successors.
    fn check(&self, direction: Direction, applied: &BTreeSet<String>) -> Result<(), Failure> {
        let sections: Vec<(&Migration, &Section)> = match direction {
            Direction::Up => (self.folder.migrations.iter())
                .filter(|migration| !applied.contains(&migration.version))
                .flat_map(|migration| [(migration, &migration.up), (migration, &migration.down)])
                .collect(),
            Direction::Down => (applied.last().and_then(|version| self.folder.find(version)).into_iter())
                .map(|migration| (migration, &migration.down))
                .collect(),
        };
        for (migration, section) in sections {
            if let Err((line, problem)) = check::check(section) {
                let name = self.folder.display(migration);
                return Err(Failure::Final(anyhow::anyhow!("{name}:{line}: {problem}")));
            }
        }
        Ok(())
    }

    /// Runs a section that says `transaction:false` on a second connection, while the first holds the lock in a transaction that has no
    /// snapshot, so that `create index concurrently` does not wait for it. No lock timeout: such statements do not hold traffic up while they wait, and one that is
    /// interrupted leaves an invalid index behind.
    async fn run_outside(
        &self,
        section: &Section,
        name: &str,
        direction: Direction,
        version: &str,
    ) -> Result<(), Failure> {
        let mut connection = database::connect(&self.url).await.map_err(Failure::Final)?;
        execute(&mut connection, section, name).await.map_err(|failure| match failure {
            Failure::Busy(reason) => Failure::Final(anyhow::anyhow!(reason)),
            last @ Failure::Final(_) => last,
        })?;
        let _ = connection.close().await;
        // On a connection of its own: the section may have set a role or anything else in its session.
        let mut connection = database::connect(&self.url).await.map_err(Failure::Final)?;
        record(&mut connection, direction, version).await.map_err(|error| failure(&error, name))?;
        let _ = connection.close().await;
        Ok(())
    }
}

async fn record(connection: &mut PgConnection, direction: Direction, version: &str) -> sqlx::Result<()> {
    match direction {
        Direction::Up => ledger::insert(connection, version).await,
        Direction::Down => ledger::delete(connection, version).await,
    }
}

/// Runs a section and makes sure that it did not end the transaction itself: the ledger would then no longer move with the schema.
async fn run_in_transaction(
    connection: &mut PgConnection,
    section: &Section,
    name: &str,
    version: &str,
) -> Result<(), Failure> {
    let place = |error| failure(&error, name);
    sqlx::query("select set_config('orrery.migration', $1, true)")
        .bind(version)
        .execute(&mut *connection)
        .await
        .map_err(place)?;
    execute(connection, section, name).await?;
    let still: Option<String> = sqlx::query_scalar("select current_setting('orrery.migration', true)")
        .fetch_one(connection)
        .await
        .map_err(place)?;
    if still.as_deref() != Some(version) {
        return Err(Failure::Final(anyhow::anyhow!(
            "{name}: the file ends the transaction that it runs in; leave begin, commit and rollback out of it, or say transaction:false"
        )));
    }
    Ok(())
}

/// Sends a section as it stands, and translates the place of an error into a line of the file.
async fn execute(connection: &mut PgConnection, section: &Section, name: &str) -> Result<(), Failure> {
    let mut finished = 0;
    let mut results = sqlx::raw_sql(AssertSqlSafe(section.sql.clone())).execute_many(connection);
    while let Some(result) = results.next().await {
        match result {
            Ok(_) => finished += 1,
            Err(error) => {
                let line = section.first_line + line_of(&error, &section.sql, finished);
                return Err(failure(&error, &format!("{name}:{line}")));
            }
        }
    }
    Ok(())
}

/// The line of `sql`, from 0, on which the statement failed: where the server points, or else where the statement begins that came
/// after the last one that it finished.
fn line_of(error: &sqlx::Error, sql: &str, finished: usize) -> usize {
    let position = error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>())
        .and_then(sqlx::postgres::PgDatabaseError::position);
    let offset = match position {
        // Counted in characters, from 1.
        Some(sqlx::postgres::PgErrorPosition::Original(position)) => {
            sql.char_indices().nth(position.saturating_sub(1)).map(|(offset, _)| offset)
        }
        _ => statement::statements(sql).get(finished).map(|statement| statement.start),
    };
    sql[..offset.unwrap_or(0)].matches('\n').count()
}

fn failure(error: &sqlx::Error, place: &str) -> Failure {
    let reason = format!("{place}: {}", database::reason(error));
    if database::sql_state(error).is_some_and(|state| WORTH_RETRYING.contains(&state.as_str())) {
        return Failure::Busy(reason);
    }
    Failure::Final(anyhow::anyhow!(reason))
}
