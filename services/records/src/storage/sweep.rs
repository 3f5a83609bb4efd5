//! Removes objects that belong to no document: of uploads that nobody finished, and of documents that were deleted or
//! got other content. Any number of replicas may do so at once, at any time: each step can be repeated.

use std::time::Duration;

use orrery_kit::db::Transaction;
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use tokio_util::sync::CancellationToken;

use super::ledger::{SWEEP_ROWS, micros};
use super::removals::{self, Removal};
use super::store::ObjectKey;
use super::{Documents, within};

/// The most batches of one sweep.
const MAX_BATCHES: usize = 20;
/// How long a sweep may take.
const MAX_TIME: Duration = Duration::from_mins(10);
/// A request that was under way when an object was removed may store something afterwards. So each object is removed
/// once more after this time.
const GRACE: Duration = Duration::from_hours(1);
/// When a removal that failed is tried again.
const RETRY_DELAY: Duration = Duration::from_mins(10);
/// After this many failures in a row a sweep ends.
const MAX_FAILURES: usize = 3;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Uploads that had expired.
    pub expired: usize,
    /// Objects that were removed, each counted twice: an hour later they are removed once more.
    pub removed: usize,
    /// Objects that could not be removed, and are tried again later.
    pub failed: usize,
}

impl Documents {
    /// Plans the removal of objects that stop being the content of documents in this transaction: the documents are
    /// deleted, or get other content. A sweep does it after the commit, or [`remove`](Self::remove) at once.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn release<K: AsRef<str>>(transaction: &mut Transaction<'_>, keys: &[K]) -> Result<(), Error> {
        // Other keys were written by other programs, which also remove what they name.
        let keys: Vec<ObjectKey> = keys.iter().filter_map(|key| ObjectKey::parse(key.as_ref())).collect();
        removals::release(transaction, &keys).await
    }

    /// Removes an object that a committed transaction has [released](Self::release). If that fails, a sweep does it.
    pub async fn remove(&self, key: &str, deadline: Deadline) {
        if let Some(key) = ObjectKey::parse(key) {
            self.remove_now(&key, None, deadline).await;
        }
    }

    /// Removes an object whose removal is planned.
    pub(super) async fn remove_now(&self, key: &ObjectKey, multipart_id: Option<&str>, deadline: Deadline) {
        let removed = within(deadline, async { Ok(self.shared.store.remove(key, multipart_id).await?) }).await;
        if let Err(error) = removed {
            tracing::warn!(key = key.as_str(), %error, "an object was not removed yet; it will be tried again");
        }
    }

    /// The database's time, in microseconds since 2000-01-01T00:00:00Z, for [`sweep`](Self::sweep).
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn now(&self, deadline: Deadline) -> Result<i64, Error> {
        self.shared.ledger.now(deadline).await
    }

    /// Removes what belongs to no document at the time `now`, in microseconds since 2000: uploads that have expired,
    /// and objects that are planned to be removed. It takes a limited number of them.
    ///
    /// # Errors
    /// Errors of the database. What is done until then stays done.
    pub async fn sweep(&self, now: i64, deadline: Deadline) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        for _ in 0..MAX_BATCHES {
            let expired = self.shared.ledger.give_up_expired(now, deadline).await?;
            swept.expired += expired;
            if expired < SWEEP_ROWS {
                break;
            }
        }
        for _ in 0..MAX_BATCHES {
            let due = self.shared.ledger.removals(now, GRACE, deadline).await?;
            let is_last_batch = due.len() < SWEEP_ROWS;
            let goes_on = self.remove_due(due, now, &mut swept, deadline).await?;
            if is_last_batch || !goes_on {
                break;
            }
        }
        Ok(swept)
    }

    /// Removes a batch of objects. False if the storage seems to be unavailable.
    async fn remove_due(
        &self,
        due: Vec<Removal>,
        now: i64,
        swept: &mut Swept,
        deadline: Deadline,
    ) -> Result<bool, Error> {
        let (mut done, mut once_more, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        let mut failures = 0;
        for Removal { object_key, multipart_id, is_last } in due {
            let Some(key) = ObjectKey::parse(&object_key) else {
                tracing::error!(key = object_key, "an object to remove has a key of another kind; it is left alone");
                done.push(object_key);
                continue;
            };
            let removed = self.shared.store.remove(&key, multipart_id.as_deref());
            match within(deadline, async { Ok(removed.await?) }).await {
                Ok(()) => {
                    failures = 0;
                    if is_last { done.push(object_key) } else { once_more.push(object_key) }
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error);
                    tracing::warn!(key = object_key, %error, ?cause, "an object was not removed");
                    failures += 1;
                    failed.push(object_key);
                    if failures == MAX_FAILURES {
                        break;
                    }
                }
            }
        }
        swept.removed += done.len() + once_more.len();
        swept.failed += failed.len();
        let ledger = &self.shared.ledger;
        ledger.removed(&done, deadline).await?;
        ledger.put_off(&once_more, now.saturating_add(micros(GRACE)), deadline).await?;
        ledger.put_off(&failed, now.saturating_add(micros(RETRY_DELAY)), deadline).await?;
        Ok(failures < MAX_FAILURES)
    }

    /// Sweeps until `shutdown`, after pauses of `interval` on average. Each replica of a service does; their times
    /// differ by chance. The first pause is a quarter, so that a process that is often restarted sweeps too.
    pub async fn sweep_every(self, interval: Duration, shutdown: CancellationToken) {
        let work = async {
            let mut pause = interval / 4;
            loop {
                tokio::time::sleep(pause.mul_f64(0.5 + rand::random::<f64>())).await;
                pause = interval;
                let deadline = Deadline::after(MAX_TIME);
                let swept = async { self.sweep(self.now(deadline).await?, deadline).await };
                match swept.await {
                    Ok(swept) if swept == Swept::default() => {}
                    Ok(Swept { expired, removed, failed }) => {
                        tracing::info!(expired, removed, failed, "removed objects that belong to no document");
                    }
                    Err(error) => {
                        let cause = std::error::Error::source(&error);
                        tracing::warn!(%error, ?cause, "objects that belong to no document were not removed");
                    }
                }
            }
        };
        shutdown.run_until_cancelled(work).await;
    }
}
