//! Applies and rolls back migrations. Each migration is one transaction, which first takes the lock and then reads the
//! table of applied migrations, so that concurrent runs apply each migration once. An attempt waits only a short time
//! for a lock and is repeated later, because a waiting DDL statement blocks all traffic on its table.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, bail};
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};

use super::failure::{Failure, Retries, failure};
use super::file::{Migration, Section};
use super::folder::Folder;
use super::lock::{self, Outside};
use super::run;
use super::undone::back;
use super::{check, history, unfinished};
use crate::database;

/// How long to wait for locks.
#[derive(Clone, Copy, Debug)]
pub struct LockTimeouts {
    /// How long one attempt waits for locks. Traffic on the table may be blocked that long.
    pub lock_timeout: Duration,
    /// How long to keep trying.
    pub total: Duration,
}

impl Default for LockTimeouts {
    /// Half a second, and five minutes.
    fn default() -> Self {
        Self { lock_timeout: Duration::from_millis(500), total: Duration::from_secs(300) }
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

/// Migrates the schema of one database.
#[derive(Clone, Debug)]
pub struct Migrator {
    url: String,
    folder: Folder,
    timeouts: LockTimeouts,
    /// The versions that may be applied or rolled back, if not all.
    reviewed: Option<BTreeSet<String>>,
}

impl Migrator {
    /// Migrates the database at `url` with the migrations of `folder`.
    pub fn new(url: &str, folder: Folder, timeouts: LockTimeouts) -> Self {
        Self { url: url.to_owned(), folder, timeouts, reviewed: None }
    }

    /// As this one, but applies and rolls back only these versions: where another one is next, that is an error.
    pub(super) fn reviewed(&self, versions: &[String]) -> Self {
        Self { reviewed: Some(versions.iter().cloned().collect()), ..self.clone() }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn lock_timeout(&self) -> Duration {
        self.timeouts.lock_timeout
    }

    /// How long to keep trying to get locks.
    pub(super) fn patience(&self) -> Duration {
        self.timeouts.total
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
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
        let mut connection = database::connect(&self.url).await?;
        let applied = history::applied(&mut connection).await?;
        connection.close().await?;
        back::of_applied(&self.url, &applied, self.timeouts.total, &mut tell).await?;
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

    async fn step(&self, direction: Direction, tell: &mut impl FnMut(&str)) -> anyhow::Result<Step> {
        let mut retries = Retries::new(self.timeouts.total);
        loop {
            match self.attempt(direction, tell).await {
                Ok(step) => return Ok(step),
                Err(failure) => retries.pause_after(failure, tell).await?,
            }
        }
    }

    /// Runs `work` in a transaction that holds the lock of migrations, and tries again while locks are not available.
    pub(super) async fn locked<T>(
        &self,
        tell: &mut impl FnMut(&str),
        work: impl AsyncFn(&mut PgConnection) -> Result<T, Failure>,
    ) -> anyhow::Result<T> {
        let commit = async |gate: Transaction<'_, Postgres>| {
            gate.commit().await.map_err(|error| failure(&error, "the change cannot be committed"))
        };
        self.locked_until(tell, work, commit).await.map(|(result, ())| result)
    }

    /// As [`Self::locked`], and keeps other migrators out after the transaction, until the second result is dropped.
    pub(super) async fn locked_on<T>(
        &self,
        tell: &mut impl FnMut(&str),
        work: impl AsyncFn(&mut PgConnection) -> Result<T, Failure>,
    ) -> anyhow::Result<(T, Outside)> {
        let go_outside = async |gate: Transaction<'_, Postgres>| Outside::enter(&self.url, gate).await;
        self.locked_until(tell, work, go_outside).await
    }

    /// Runs `work` in a transaction that holds the lock of migrations, and ends the transaction by `end`.
    async fn locked_until<T, E>(
        &self,
        tell: &mut impl FnMut(&str),
        work: impl AsyncFn(&mut PgConnection) -> Result<T, Failure>,
        end: impl AsyncFn(Transaction<'_, Postgres>) -> Result<E, Failure>,
    ) -> anyhow::Result<(T, E)> {
        let mut retries = Retries::new(self.timeouts.total);
        loop {
            let mut connection = database::connect(&self.url).await?;
            let attempt = async {
                let mut gate = lock::begin(&mut connection, self.timeouts.lock_timeout).await?;
                let result = work(&mut gate).await?;
                Ok((result, end(gate).await?))
            };
            let result = attempt.await;
            // Closing the connection rolls a failed transaction back.
            let _ = connection.close().await;
            match result {
                Ok(result) => return Ok(result),
                Err(failure) => retries.pause_after(failure, tell).await?,
            }
        }
    }

    /// Each attempt has its own connection, so that session settings of one migration do not affect another.
    async fn attempt(&self, direction: Direction, tell: &mut impl FnMut(&str)) -> Result<Step, Failure> {
        let mut connection = database::connect(&self.url).await.map_err(Failure::Final)?;
        let step = self.next(&mut connection, direction, tell).await;
        // Closing the connection rolls a failed transaction back.
        let _ = connection.close().await;
        step
    }

    /// Applies the oldest pending migration, or rolls the newest one back.
    async fn next(
        &self,
        connection: &mut PgConnection,
        direction: Direction,
        tell: &mut impl FnMut(&str),
    ) -> Result<Step, Failure> {
        // Before anything runs, and before the table of applied migrations is created.
        let applied =
            history::applied(connection).await.map_err(|error| failure(&error, "public.schema_migrations"))?;
        self.check(direction, &applied)?;
        if !history::exists(connection).await.map_err(|error| failure(&error, "public.schema_migrations"))? {
            // Committed separately, because a section outside of a transaction writes to the table from a second
            // connection.
            let mut transaction = lock::begin(connection, self.timeouts.lock_timeout).await?;
            history::ensure(&mut transaction).await.map_err(|error| failure(&error, "public.schema_migrations"))?;
            transaction.commit().await.map_err(|error| failure(&error, "public.schema_migrations"))?;
        }
        let mut transaction = lock::begin(connection, self.timeouts.lock_timeout).await?;
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
        if self.reviewed.as_ref().is_some_and(|reviewed| !reviewed.contains(&migration.version)) {
            let name = self.folder.display(migration);
            let problem = match direction {
                Direction::Up => "is pending, but it was not reviewed; deploy again",
                Direction::Down => "was applied meanwhile, and it is not to be rolled back; undo again",
            };
            return Err(Failure::Final(anyhow::anyhow!("{name} {problem}")));
        }
        let section = match direction {
            Direction::Up => &migration.up,
            Direction::Down => &migration.down,
        };
        let name = self.folder.display(migration);
        if !section.transaction {
            self.run_outside(transaction, section, (&name, &migration.version), direction, tell).await?;
            return Ok(Step::Done(name));
        }
        let patience = self.timeouts.lock_timeout;
        run::in_transaction(&mut transaction, section, &name, &migration.version, patience).await?;
        if direction == Direction::Up {
            back::with_its_migration(&mut transaction, &migration.version, tell).await?;
        }
        record(&mut transaction, direction, &migration.version).await.map_err(|error| failure(&error, &name))?;
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

    /// Runs a section with `transaction:false`, while `gate` keeps other migrators out. There is no lock timeout: such
    /// statements do not block traffic while they wait, and an interrupted one leaves an invalid index.
    async fn run_outside(
        &self,
        gate: Transaction<'_, Postgres>,
        section: &Section,
        migration: (&str, &str),
        direction: Direction,
        tell: &mut impl FnMut(&str),
    ) -> Result<(), Failure> {
        let (name, version) = migration;
        let outside = Outside::enter(&self.url, gate).await?;
        let mut connection = database::connect(&self.url).await.map_err(Failure::Final)?;
        unfinished::clear(&mut connection, section, name, self.timeouts.total, tell).await?;
        run::outside(&mut connection, section, name).await?;
        let _ = connection.close().await;
        // On its own connection: the section may have changed session settings, such as the role.
        let mut connection = database::connect(&self.url).await.map_err(Failure::Final)?;
        record(&mut connection, direction, version).await.map_err(|error| failure(&error, name))?;
        let _ = connection.close().await;
        drop(outside);
        Ok(())
    }
}

async fn record(connection: &mut PgConnection, direction: Direction, version: &str) -> sqlx::Result<()> {
    match direction {
        Direction::Up => history::insert(connection, version).await,
        Direction::Down => history::delete(connection, version).await,
    }
}
