//! Reads from a streaming replica.
//!
//! A [`Replica`] is a pool like the primary's and a task that watches how far the replica has replayed the write-ahead
//! log. A [`ReplicaRoute`] belongs to one call. The call's reads go to the replica once that has replayed what the
//! caller must see. They go to the primary if the replica does not get there in time, cannot serve, or is lost. A call
//! that switched to the primary stays there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::Row as _;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::{CountGuard, Database, Lease, PING_TIMEOUT};
use crate::config::{DatabaseConfig, ServiceConfig};
use crate::consistency::{Provenance, ServedBy};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::lsn::Lsn;
use crate::metrics::Metrics;

/// How often the replica's position is asked for while nobody waits for it.
const INTERVAL: Duration = Duration::from_secs(1);
/// The first pause between two questions while a caller waits. It doubles until the replica has moved.
const FIRST_PAUSE: Duration = Duration::from_millis(4);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// The replay position of a standby; null if the server is not a standby.
const REPLAYED: &str = "select (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() end)::text";

/// A streaming replica of the primary. Cheap to clone; its watching task ends with the last clone.
#[derive(Clone, Debug)]
pub struct Replica {
    watched: Arc<ReplicaState>,
    _task: Arc<WatchTask>,
}

#[derive(Debug)]
struct ReplicaState {
    database: Database,
    /// How long a read waits for it at most.
    wait: Duration,
    /// Its replay position when last asked; `None` while it cannot be read from.
    replayed: watch::Sender<Option<Lsn>>,
    /// How many callers wait for it to replay more.
    waiting: AtomicUsize,
    /// Wakes the watching task.
    wanted: Notify,
}

/// The watching task; dropping this ends it.
#[derive(Debug)]
struct WatchTask(JoinHandle<()>);

impl Drop for WatchTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Replica {
    /// The replica in these settings, if any. A task of this runtime connects to it; until it has answered, reads go to
    /// the primary.
    ///
    /// # Errors
    /// The URL is not a Postgres URL.
    pub fn of(config: &ServiceConfig, metrics: &Metrics) -> Result<Option<Self>, sqlx::Error> {
        let Some(url) = &config.replica.database_replica_url else { return Ok(None) };
        let like_the_primary = DatabaseConfig { database_url: url.clone(), ..config.database.clone() };
        let watched = Arc::new(ReplicaState {
            database: Database::named("replica", &like_the_primary, &config.limits, metrics)?,
            wait: config.replica.database_replica_wait,
            replayed: watch::Sender::new(None),
            waiting: AtomicUsize::new(0),
            wanted: Notify::new(),
        });
        let task = tokio::spawn(Arc::clone(&watched).watch());
        Ok(Some(Self { watched, _task: Arc::new(WatchTask(task)) }))
    }

    /// Its pool, without a fallback to the primary.
    pub(crate) fn database(&self) -> &Database {
        &self.watched.database
    }

    /// Closes its connections; see [`Database::close`].
    pub async fn close(&self) {
        self.watched.database.close().await;
    }

    /// Whether it can be read from and has replayed `lsn`. Waits for that at most half of the time left until the
    /// deadline: the other half is for the primary.
    async fn has_replayed(&self, lsn: Option<Lsn>, deadline: Deadline) -> bool {
        let replayed = *self.watched.replayed.borrow();
        let (Some(replayed), Some(lsn)) = (replayed, lsn) else { return replayed.is_some() };
        replayed >= lsn || Box::pin(self.wait_for(lsn, deadline)).await
    }

    async fn wait_for(&self, lsn: Lsn, deadline: Deadline) -> bool {
        let longest = deadline.remaining().map_or(self.watched.wait, |left| self.watched.wait.min(left / 2));
        let _waiting = CountGuard::new(&self.watched.waiting);
        let mut replayed = self.watched.replayed.subscribe();
        self.watched.wanted.notify_one();
        let reached = replayed.wait_for(|replayed| replayed.is_none_or(|replayed| replayed >= lsn));
        match tokio::time::timeout(longest, reached).await {
            Ok(Ok(replayed)) => replayed.is_some(),
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// Resolves when the replica cannot be read from.
    async fn gone(&self) {
        // An error means that the watching task is gone: the process ends.
        let _ = self.watched.replayed.subscribe().wait_for(Option::is_none).await;
    }
}

impl ReplicaState {
    /// Asks for the replay position on behalf of all callers: one question at a time.
    async fn watch(self: Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        let mut last_ok = None;
        loop {
            let answer = tokio::time::timeout(PING_TIMEOUT, Box::pin(self.ask())).await;
            let answer = answer.unwrap_or_else(|_| Err("no answer in time".to_owned()));
            if last_ok != Some(answer.is_ok()) {
                match &answer {
                    Ok(_) => tracing::info!("the replica answers; it serves eventual reads"),
                    Err(reason) => {
                        tracing::warn!(%reason, "the replica is unavailable; the primary serves its reads");
                    }
                }
                last_ok = Some(answer.is_ok());
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

    /// The replica's replay position, or why it cannot be read from.
    async fn ask(&self) -> Result<Lsn, String> {
        let mut failed = String::new();
        // The connection may have died since the last question; the second attempt then opens a new one.
        for _ in 0..2 {
            let answer = async {
                let mut lease = Lease::new(self.database.probe.acquire().await?, &self.database);
                let row = sqlx::raw_sql(REPLAYED).fetch_one(lease.connection()?).await?;
                lease.mark_clean();
                Ok::<Option<String>, Error>(row.try_get(0)?)
            };
            match answer.await {
                Ok(Some(lsn)) => return lsn.parse().map_err(|_| format!("it reports an invalid position: {lsn:?}")),
                Ok(None) => return Err("it is not a standby".to_owned()),
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
    /// The position that it must have replayed.
    min_lsn: Option<Lsn>,
    /// Records who serves the reads.
    provenance: Provenance,
    /// Whether the call has switched to the primary.
    left: AtomicBool,
}

impl ReplicaRoute {
    /// The reads of a call that `replica` may serve once it has replayed `min_lsn`. Records who serves them.
    pub(crate) fn new(replica: Replica, min_lsn: Option<Lsn>, provenance: Provenance) -> Self {
        Self { replica, min_lsn, provenance, left: AtomicBool::new(false) }
    }

    /// The replica, if it serves the call's reads now. Waits until it has replayed what the call must see.
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

    /// Whether an error comes from the replica alone, so that the call switches to the primary.
    pub(super) fn is_fallback_cause(&self, error: &Error) -> bool {
        // The replica is gone, recovery conflicted with the read, or it lacks a migration that it has not replayed.
        let its_own =
            matches!(error, Error::DatabaseUnavailable(_) | Error::TransactionConflict(_) | Error::Internal(_));
        if !its_own || self.left.swap(true, Ordering::Relaxed) {
            return false;
        }
        tracing::debug!(reason = reason(error), "the replica failed a read; the primary serves it instead");
        self.provenance.served_by(ServedBy::Primary);
        // Let the watching task find out soon whether other reads should still go there.
        self.replica.watched.wanted.notify_one();
        true
    }

    /// Resolves when the replica that this call reads from is lost.
    pub(super) async fn lost(&self) {
        self.replica.gone().await;
        if self.left.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}
