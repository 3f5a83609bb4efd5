//! Point reads that share queries. Keys that callers ask for while a query runs are collected, and the next query reads
//! them together. Under load one round trip serves many callers; a single caller does not wait for others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use orrery_proto::wire::Encoded;
use tokio::sync::oneshot;

use super::point::{get_by, put_tuple, with_children};
use crate::context::{Context, Reads};
use crate::db::{Database, Statement};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::resource::Resource;
use crate::resource::key::Key;
use crate::resource::select::Selection;
use crate::work::{self, Yielder};

/// Most queries that run at once. A second one runs only if a whole batch waits or the first one is slow: two small
/// queries cost twice as much as one that reads the same rows.
const MAX_RUNNING: usize = 2;
/// A query that takes longer is slow: other callers do not wait for its end.
const SLOW: Duration = Duration::from_millis(2);
/// The time limit of a query. If its connection has died, the callers wait this long, and then read on their own.
const MAX_TIME: Duration = Duration::from_secs(3);
/// Most keys of one query: that many of the largest rows that can be written fit into a result. Other programs may
/// write larger rows. If a result is too large, its callers read alone, and the next queries read fewer rows.
const MAX_BATCH: usize = 32;

/// The result of a query for one uid.
#[derive(Clone, Debug)]
enum LoadedRow {
    /// The row's message.
    Found(Bytes),
    /// There is no such row.
    Missing,
    /// The query failed. The caller reads its row alone: a row that did not fit into a shared query may be read then;
    /// if not, the caller gets an error of its own.
    Failed,
    /// There is no database. Reading alone would fail too.
    Unavailable,
}

#[derive(Debug)]
struct State {
    running: usize,
    /// The number of slow ones among them.
    slow: usize,
    /// Most uids of the next query.
    most: usize,
    waiting: Vec<(Key, oneshot::Sender<LoadedRow>)>,
}

/// Reads whole rows of a resource by key. Reads of a replica and of the primary are kept apart. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Loader {
    primary: Lane,
    replica: Option<Lane>,
}

impl Loader {
    /// A loader of a resource.
    pub fn new(context: &Context, resource: &'static Resource) -> Self {
        let lane = |database: &Database| Lane::new(database.clone(), resource);
        let replica = context.replica_database().map(lane);
        Self { primary: lane(context.database()), replica }
    }

    /// One row, from the database that `reads` uses.
    ///
    /// # Errors
    /// As [`get`](super::point::get).
    pub(crate) async fn get(&self, reads: &Reads, key: &Key, deadline: Deadline) -> Result<Encoded, Error> {
        if let Some(lane) = &self.replica
            && reads.route().replica(deadline).await.is_some()
            // Boxed: rarely needed, and as large as everything else.
            && let Some(outcome) = reads.attempt_read(Box::pin(lane.get(key, deadline))).await
        {
            return outcome;
        }
        self.primary.get(key, deadline).await
    }
}

/// The point reads of one database.
#[derive(Clone, Debug)]
struct Lane {
    database: Database,
    resource: &'static Resource,
    selection: Arc<Selection>,
    sql: Arc<str>,
    state: Arc<Mutex<State>>,
}

impl Lane {
    fn new(database: Database, resource: &'static Resource) -> Self {
        let selection = Selection::whole(resource);
        let table = resource.description.table;
        let whose = resource.key_in_arrays(1);
        let sql = format!("select {}\n  from {table} as t\n where {whose}", selection.sql).into();
        let state = State { running: 0, slow: 0, most: MAX_BATCH, waiting: Vec::new() };
        Self { database, resource, selection: Arc::new(selection), sql, state: Arc::new(Mutex::new(state)) }
    }

    async fn get(&self, key: &Key, deadline: Deadline) -> Result<Encoded, Error> {
        let mut answer = self.enqueue(key);
        let mut early = false;
        let answer = loop {
            tokio::select! {
                answer = &mut answer => break answer.unwrap_or(LoadedRow::Failed),
                () = deadline.with_margin().passed(), if !early => {
                    if self.database.has_waiters() {
                        break LoadedRow::Unavailable;
                    }
                    early = true;
                }
                () = deadline.passed() => return Err(Error::DeadlineExceeded),
            }
        };
        match answer {
            LoadedRow::Found(body) => Ok(Encoded { body, tail: Bytes::new(), rows: 1 }),
            LoadedRow::Missing => {
                let name = self.resource.name_of(key.tuple());
                Err(Error::NotFound { resource: self.resource.description.message, name })
            }
            // Boxed: rarely needed, and many times as large as the rest.
            LoadedRow::Failed => {
                Box::pin(get_by(self.database.route(), self.resource, &self.selection, key, deadline)).await
            }
            LoadedRow::Unavailable => Err(Error::DatabaseUnavailable(sqlx::Error::PoolTimedOut)),
        }
    }

    fn enqueue(&self, key: &Key) -> oneshot::Receiver<LoadedRow> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.push((key.clone(), sender));
        if state.needs_another() {
            self.spawn(&mut state);
        }
        receiver
    }

    /// Starts a task that queries.
    fn spawn(&self, state: &mut State) {
        state.running += 1;
        let lane = self.clone();
        tokio::spawn(async move { lane.run().await });
    }

    /// Marks a query as slow after a while, and starts another one for the callers who wait.
    async fn watch(&self, running: &AtomicBool) {
        tokio::time::sleep(SLOW).await;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.slow += 1;
        running.store(true, Ordering::Relaxed);
        if !state.waiting.is_empty() && state.needs_another() {
            self.spawn(&mut state);
        }
    }

    /// Runs queries until no caller waits.
    async fn run(&self) {
        let mut running = Running { state: &self.state, is_slow: AtomicBool::new(false), ended: false };
        while let Some(batch) = running.next_batch() {
            let (keys, mut callers): (Vec<Key>, Vec<_>) = batch.into_iter().unzip();
            let wanted: Vec<&[u8]> = keys.iter().map(Key::tuple).collect();
            // The callers' deadlines differ. The query is cancelled as soon as no caller waits for it.
            let abandoned = async {
                self.watch(&running.is_slow).await;
                for caller in &mut callers {
                    caller.closed().await;
                }
            };
            let found = tokio::select! {
                biased;
                found = self.query(&wanted) => found,
                () = abandoned => continue,
            };
            let too_much = matches!(&found, Err(error) if keys.len() > 1 && error.may_be_too_large());
            running.learn(keys.len(), too_much);
            for (key, sender) in keys.iter().zip(callers) {
                // The receiver may be gone; the error is ignored.
                let _ = sender.send(match &found {
                    Ok(found) => match found.get(key.tuple()) {
                        Some(Some(message)) => LoadedRow::Found(message.clone()),
                        Some(None) => LoadedRow::Failed,
                        None => LoadedRow::Missing,
                    },
                    Err(Error::DatabaseUnavailable(_)) if !too_much => LoadedRow::Unavailable,
                    Err(_) => LoadedRow::Failed,
                });
            }
        }
    }

    /// The rows of some keys as messages; `None` for a row that did not fit beside the others.
    async fn query(&self, keys: &[&[u8]]) -> Result<HashMap<Vec<u8>, Option<Bytes>>, Error> {
        let deadline = Deadline::after(MAX_TIME);
        if !self.selection.children.is_empty() {
            return with_children(self.database.route(), self.resource, &self.selection, keys, MAX_TIME, deadline)
                .await;
        }
        let statement = Statement::new(Arc::clone(&self.sql), MAX_BATCH);
        let statement = self.resource.bind_keys(statement, keys.iter().copied())?;
        let rows = self.database.fetch(&statement, deadline).await?;
        let mut found = HashMap::with_capacity(rows.len());
        let (mut tuple, mut yielder) = (Vec::with_capacity(512), Yielder::default());
        for row in &rows {
            tuple.clear();
            put_tuple(row, self.selection.columns, &mut tuple)?;
            let mut body = Vec::with_capacity(tuple.len() + 64);
            work::run_in_place(tuple.len(), || self.selection.put_message(&tuple, &mut body)).await;
            yielder.after(tuple.len()).await;
            found.insert(self.selection.key(&tuple).to_vec(), Some(body.into()));
        }
        Ok(found)
    }
}

impl State {
    /// Whether the waiting callers need another query besides those that run.
    fn needs_another(&self) -> bool {
        let (running, waiting) = (self.running, self.waiting.len());
        running == 0 || (running < MAX_RUNNING && (running == self.slow || waiting >= self.most))
    }
}

/// A running task. It ends under the same lock under which it sees that no caller waits, so that the next caller starts
/// another task. It also ends if the task panics.
struct Running<'a> {
    state: &'a Mutex<State>,
    /// Whether the current query is slow, and counted as such.
    is_slow: AtomicBool,
    ended: bool,
}

impl Running<'_> {
    fn next_batch(&mut self) -> Option<Vec<(Key, oneshot::Sender<LoadedRow>)>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.slow -= usize::from(self.is_slow.swap(false, Ordering::Relaxed));
        // Callers that are gone need no answer.
        state.waiting.retain(|(_, sender)| !sender.is_closed());
        let count = state.waiting.len().min(state.most);
        if count == 0 {
            state.running -= 1;
            self.ended = true;
            return None;
        }
        Some(state.waiting.drain(..count).collect())
    }

    /// Adapts the size of the next queries: `too_many` says whether `uids` did not fit into one.
    fn learn(&self, uids: usize, too_many: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if too_many {
            state.most = (uids / 2).max(1);
        } else if uids >= state.most {
            state.most = (uids + 1).min(MAX_BATCH);
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running -= 1;
        state.slow -= usize::from(self.is_slow.swap(false, Ordering::Relaxed));
        if state.running == 0 {
            // No task is left that would answer them, so they read on their own.
            state.waiting.clear();
        }
    }
}
