//! Reads from a streaming replica.
//!
//! A [`Replica`] is a pool like the primary's and a task that watches how far the replica has replayed the write-ahead
//! log. A [`ReplicaRoute`] serves one call: its reads go to the replica once that has replayed what the caller has to
//! see, and to the primary if it does not in time, cannot serve, or is found to be gone. A call that went over to the
//! primary stays there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::Row as _;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::{Database, Lease, PING_TIMEOUT, Waiting};
use crate::config::{DatabaseConfig, ServiceConfig};
use crate::consistency::{Provenance, ServedBy};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::lsn::Lsn;
use crate::metrics::Metrics;

/// How often the replica is asked where it stands while nobody waits for it.
const INTERVAL: Duration = Duration::from_secs(1);
/// The first pause between two questions while somebody waits; each further one is twice as long, until the replica has moved.
const FIRST_PAUSE: Duration = Duration::from_millis(4);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// Where a standby stands; null of a server that is none.
const REPLAYED: &str = "select (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() end)::text";

/// A streaming replica of the primary. Cheap to clone; the watching ends with the last clone.
#[derive(Clone, Debug)]
pub struct Replica {
    watched: Arc<Watched>,
    _task: Arc<Watcher>,
}

#[derive(Debug)]
struct Watched {
    database: Database,
    /// The longest that a read waits for it.
    wait: Duration,
    /// Up to where it has replayed, when it was last asked; `None` while it cannot be read from.
    replayed: watch::Sender<Option<Lsn>>,
    /// How many wait for it to replay more.
    waiting: AtomicUsize,
    /// Wakes the task that asks.
    wanted: Notify,
}

/// The task that asks; it ends with this.
#[derive(Debug)]
struct Watcher(JoinHandle<()>);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Replica {
    /// The replica of these settings, if they name one. It is connected to by a task of this runtime; until it has answered, reads go to
    /// the primary.
    ///
    /// # Errors
    /// The URL is not one of Postgres.
    pub fn of(config: &ServiceConfig, metrics: &Metrics) -> Result<Option<Self>, sqlx::Error> {
        let Some(url) = &config.replica.database_replica_url else { return Ok(None) };
        let like_the_primary = DatabaseConfig { database_url: url.clone(), ..config.database.clone() };
        let watched = Arc::new(Watched {
            database: Database::named("replica", &like_the_primary, &config.limits, metrics)?,
            wait: config.replica.database_replica_wait,
            replayed: watch::Sender::new(None),
            waiting: AtomicUsize::new(0),
            wanted: Notify::new(),
        });
        let task = tokio::spawn(Arc::clone(&watched).watch());
        Ok(Some(Self { watched, _task: Arc::new(Watcher(task)) }))
    }

    /// Its pool, without the primary to fall back to.
    pub(crate) fn database(&self) -> &Database {
        &self.watched.database
    }

    /// Closes its connections, as [`Database::close`] does.
    pub async fn close(&self) {
        self.watched.database.close().await;
    }

    /// Whether it can be read from and has replayed `lsn`. Waits for that, no longer than half of what is left of the deadline: the other half is
    /// the primary's.
    async fn has_replayed(&self, lsn: Option<Lsn>, deadline: Deadline) -> bool {
        let replayed = *self.watched.replayed.borrow();
        let (Some(replayed), Some(lsn)) = (replayed, lsn) else { return replayed.is_some() };
        replayed >= lsn || Box::pin(self.wait_for(lsn, deadline)).await
    }

    async fn wait_for(&self, lsn: Lsn, deadline: Deadline) -> bool {
        let longest = deadline.remaining().map_or(self.watched.wait, |left| self.watched.wait.min(left / 2));
        let _waiting = Waiting::new(&self.watched.waiting);
        let mut replayed = self.watched.replayed.subscribe();
        self.watched.wanted.notify_one();
        let reached = replayed.wait_for(|replayed| replayed.is_none_or(|replayed| replayed >= lsn));
        match tokio::time::timeout(longest, reached).await {
            Ok(Ok(replayed)) => replayed.is_some(),
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// Resolves when it cannot be read from.
    async fn gone(&self) {
        // An error says that nobody asks any more: the process ends.
        let _ = self.watched.replayed.subscribe().wait_for(Option::is_none).await;
    }
}

impl Watched {
    /// Asks where the replica stands, for all who want to know: one question at a time.
    async fn watch(self: Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        let mut said = None;
        loop {
            let answer = tokio::time::timeout(PING_TIMEOUT, Box::pin(self.ask())).await;
            let answer = answer.unwrap_or_else(|_| Err("no answer in time".to_owned()));
            if said != Some(answer.is_ok()) {
                match &answer {
                    Ok(_) => tracing::info!("the replica answers; eventual reads go there"),
                    Err(reason) => {
                        tracing::warn!(%reason, "the replica cannot be read from; its reads go to the primary");
                    }
                }
                said = Some(answer.is_ok());
            }
            let replayed = answer.ok();
            let moved = self.replayed.send_replace(replayed) != replayed;
            if self.waiting.load(Ordering::Relaxed) > 0 && replayed.is_some() {
                pause = if moved { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
                tokio::time::sleep(pause).await;
            } else {
                pause = FIRST_PAUSE;
                let _ = tokio::time::timeout(INTERVAL, self.wanted.notified()).await;
            }
        }
    }

    /// Where the replica stands, or why it cannot be read from.
    async fn ask(&self) -> Result<Lsn, String> {
        let mut failed = String::new();
        // The connection may have died since the last time; the second one is new then.
        for _ in 0..2 {
            let answer = async {
                let mut lease = Lease::new(self.database.probe.acquire().await?, &self.database);
                let row = sqlx::raw_sql(REPLAYED).fetch_one(lease.connection()?).await?;
                lease.settle();
                Ok::<Option<String>, Error>(row.try_get(0)?)
            };
            match answer.await {
                Ok(Some(lsn)) => return lsn.parse().map_err(|_| format!("it says that it stands at {lsn:?}")),
                Ok(None) => return Err("it is no standby".to_owned()),
                Err(error) => failed = reason(&error),
            }
        }
        Err(failed)
    }
}

fn reason(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// The part of one call's reads that a replica may serve, until it fails one of them.
#[derive(Debug)]
pub(crate) struct ReplicaRoute {
    replica: Replica,
    /// What it must have replayed.
    min_lsn: Option<Lsn>,
    /// Where it is noted who serves them.
    provenance: Provenance,
    /// Whether the call has gone over to the primary.
    left: AtomicBool,
}

impl ReplicaRoute {
    /// The reads of a call that may come from `replica` once that has replayed `min_lsn`. Who serves them is noted.
    pub(crate) fn new(replica: Replica, min_lsn: Option<Lsn>, provenance: Provenance) -> Self {
        Self { replica, min_lsn, provenance, left: AtomicBool::new(false) }
    }

    /// The replica, if it serves the call's reads now. Waits until it has replayed what the call has to see.
    pub(super) async fn serving(&self, deadline: Deadline) -> Option<&Replica> {
        let left = || self.left.load(Ordering::Relaxed);
        if !left() && self.replica.has_replayed(self.min_lsn, deadline).await && !left() {
            self.provenance.served_by(ServedBy::Replica);
            return Some(&self.replica);
        }
        self.left.store(true, Ordering::Relaxed);
        self.provenance.served_by(ServedBy::Primary);
        None
    }

    /// Whether an error was the replica's alone, so that the call goes over to the primary.
    pub(super) fn is_left_for(&self, error: &Error) -> bool {
        // It is gone, recovery needed what the read held, or it lacks what the primary has: a migration that it has not
        // replayed.
        let its_own =
            matches!(error, Error::DatabaseUnavailable(_) | Error::TransactionConflict(_) | Error::Internal(_));
        if !its_own || self.left.swap(true, Ordering::Relaxed) {
            return false;
        }
        tracing::debug!(reason = reason(error), "the replica failed a read; the primary serves it");
        self.provenance.served_by(ServedBy::Primary);
        // Whether others should still go there is soon known.
        self.replica.watched.wanted.notify_one();
        true
    }

    /// Resolves when the replica that the call reads from is gone.
    pub(super) async fn lost(&self) {
        self.replica.gone().await;
        if self.left.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}
