//! Applies and rolls back migrations. Each migration is one transaction, which first takes the lock and then reads the
//! table of applied migrations, so that concurrent runs apply each migration once. An attempt waits only a short time
//! for a lock and is repeated later, because a waiting DDL statement blocks all traffic on its table.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Transaction};

use super::file::{Migration, Section};
use super::folder::Folder;
use super::{check, history, statement};
use crate::database;

/// The advisory lock of migrations: "orrery" in ASCII.
const LOCK: i64 = 0x6f72_7265_7279;
/// SQLSTATEs after which a migration is tried again: lock not available, and deadlock detected.
const WORTH_RETRYING: [&str; 2] = ["55P03", "40P01"];
const MIN_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// How long to wait for locks.
#[derive(Clone, Copy, Debug)]
pub struct LockTimeouts {
    /// How long one attempt waits for a lock. Traffic on the table may be blocked that long.
    pub lock_timeout: Duration,
    /// How long to keep trying.
    pub total: Duration,
}

impl Default for LockTimeouts {
    /// Two seconds, and five minutes.
    fn default() -> Self {
        Self { lock_timeout: Duration::from_secs(2), total: Duration::from_secs(300) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// The result of an attempt.
enum Step {
    /// This migration was applied or rolled back.
    Done(String),
    /// There is nothing left to do.
    Nothing,
}

/// Why an attempt failed.
enum Failure {
    /// A lock was not available: try again.
    Busy(String),
    /// Trying again does not help.
    Final(anyhow::Error),
}

/// Migrates the schema of one database.
#[derive(Clone, Debug)]
pub struct Migrator {
    url: String,
    folder: Folder,
    timeouts: LockTimeouts,
}

impl Migrator {
    /// Migrates the database at `url` with the migrations of `folder`.
    pub fn new(url: &str, folder: Folder, timeouts: LockTimeouts) -> Self {
        Self { url: url.to_owned(), folder, timeouts }
    }

    /// Applies all pending migrations, oldest first. Calls `tell` with a message about each. Returns how many were
    /// applied; other processes may have applied some at the same time.
    ///
    /// # Errors
    ///
    /// The database cannot be reached or a migration fails; the error names file and line. Migrations applied before
    /// that remain applied.
    pub async fn up(&self, mut tell: impl FnMut(&str)) -> anyhow::Result<usize> {
        let mut count = 0;
        while let Step::Done(name) = self.step(Direction::Up, &mut tell).await? {
            tell(&format!("Applied {name}"));
            count += 1;
        }
        Ok(count)
    }

    /// Rolls back the newest applied migration and returns its file name.
    ///
    /// # Errors
    ///
    /// Nothing is applied, the file is missing, or rolling back fails.
    pub async fn down(&self, mut tell: impl FnMut(&str)) -> anyhow::Result<String> {
        match self.step(Direction::Down, &mut tell).await? {
            Step::Done(name) => {
                tell(&format!("Rolled back {name}"));
                Ok(name)
            }
            Step::Nothing => bail!("no migration is applied, so nothing can be rolled back"),
        }
    }

    /// All migrations of the folder with whether they are applied, then the applied versions that have no file.
    ///
    /// # Errors
    ///
    /// The database cannot be reached.
    pub async fn status(&self) -> anyhow::Result<(Vec<(&Migration, bool)>, Vec<String>)> {
        let mut connection = database::connect(&self.url).await?;
        let mut applied = history::applied(&mut connection).await?;
        connection.close().await?;
        let known =
            self.folder.migrations.iter().map(|migration| (migration, applied.remove(&migration.version))).collect();
        Ok((known, applied.into_iter().collect()))
    }

    /// Tries until the step is done or the time is over.
    async fn step(&self, direction: Direction, tell: &mut impl FnMut(&str)) -> anyhow::Result<Step> {
        let deadline = Instant::now() + self.timeouts.total;
        let mut pause = MIN_PAUSE;
        loop {
            match self.attempt(direction).await {
                Ok(step) => return Ok(step),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Busy(reason)) if Instant::now() + pause >= deadline => {
                    bail!("{reason}; gave up after {} s", self.timeouts.total.as_secs());
                }
                Err(Failure::Busy(reason)) => {
                    tell(&format!("{reason}; trying again in {} ms", pause.as_millis()));
                    tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
        }
    }

    /// Each attempt has its own connection, so that session settings of one migration do not affect another.
    async fn attempt(&self, direction: Direction) -> Result<Step, Failure> {
        let mut connection = database::connect(&self.url).await.map_err(Failure::Final)?;
        let step = self.locked(&mut connection, direction).await;
        // Closing the connection rolls a failed transaction back.
        let _ = connection.close().await;
        step
    }

    /// Begins a transaction that holds the lock, and that waits for other locks no longer than `lock_timeout`.
    async fn begin<'c>(&self, connection: &'c mut PgConnection) -> Result<Transaction<'c, Postgres>, Failure> {
        let place = |error| failure(&error, "another run is migrating this database");
        let mut transaction = connection.begin().await.map_err(place)?;
        sqlx::query("select set_config('lock_timeout', $1, true)")
            .bind(format!("{}ms", self.timeouts.lock_timeout.as_millis()))
            .execute(&mut *transaction)
            .await
            .map_err(place)?;
        sqlx::query("select pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await.map_err(place)?;
        Ok(transaction)
    }

    async fn locked(&self, connection: &mut PgConnection, direction: Direction) -> Result<Step, Failure> {
        // Before anything runs, and before the table of applied migrations is created.
        let applied =
            history::applied(connection).await.map_err(|error| failure(&error, "public.schema_migrations"))?;
        self.check(direction, &applied)?;
        if !history::exists(connection).await.map_err(|error| failure(&error, "public.schema_migrations"))? {
            // Committed separately, because a section outside of a transaction writes to the table from a second
            // connection.
            let mut transaction = self.begin(connection).await?;
            history::ensure(&mut transaction).await.map_err(|error| failure(&error, "public.schema_migrations"))?;
            transaction.commit().await.map_err(|error| failure(&error, "public.schema_migrations"))?;
        }
        let mut transaction = self.begin(connection).await?;
        let applied =
            history::applied(&mut transaction).await.map_err(|error| failure(&error, "public.schema_migrations"))?;
        let next = match direction {
            Direction::Up => self.folder.migrations.iter().find(|migration| !applied.contains(&migration.version)),
            Direction::Down => match applied.last() {
                Some(version) => Some(
                    self.folder
                        .find(version)
                        .with_context(|| {
                            format!(
                                "version {version} is applied, but its file is missing in {}",
                                self.folder.path.display()
                            )
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

    /// Checks what is about to run: both sections of pending files, because they may have to be rolled back later; the
    /// `down` section of a file to roll back. Files that were applied earlier, perhaps by dbmate, are not checked.
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

    /// Runs a section with `transaction:false` on a second connection. The first connection holds the lock in a
    /// transaction without a snapshot, so that `create index concurrently` does not wait for it. There is no lock
    /// timeout: such statements do not block traffic while they wait, and an interrupted one leaves an invalid index.
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
        // On its own connection: the section may have changed session settings, such as the role.
        let mut connection = database::connect(&self.url).await.map_err(Failure::Final)?;
        record(&mut connection, direction, version).await.map_err(|error| failure(&error, name))?;
        let _ = connection.close().await;
        Ok(())
    }
}

async fn record(connection: &mut PgConnection, direction: Direction, version: &str) -> sqlx::Result<()> {
    match direction {
        Direction::Up => history::insert(connection, version).await,
        Direction::Down => history::delete(connection, version).await,
    }
}

/// Runs a section and checks that it did not end the transaction itself. Otherwise the schema and the table of applied
/// migrations could differ.
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
            "{name}: the file ends the transaction in which it runs; remove begin, commit and rollback, or add \
             transaction:false"
        )));
    }
    Ok(())
}

/// Sends a section unchanged, and maps the position of an error to a line of the file.
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

/// The line of `sql`, from 0, of the failed statement: at the position that the server reports, or else where the
/// statement after the last completed one begins.
fn line_of(error: &sqlx::Error, sql: &str, finished: usize) -> usize {
    let position = error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>())
        .and_then(sqlx::postgres::PgDatabaseError::position);
    let offset = match position {
        // In characters, from 1.
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
