//! Point reads that share queries. While a query is under way the uids that are asked for meanwhile gather, and the next query
//! takes them together: under load a round trip serves many callers, and a lone caller waits for nobody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use orrery_proto::wire::Encoded;
use tokio::sync::oneshot;

use super::point::{get_by, put_tuple, with_parts};
use crate::context::{Context, Reads};
use crate::db::{Database, Statement};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::resource::Resource;
use crate::resource::key::Key;
use crate::resource::select::Selection;
use crate::work::{self, Yielder};

/// Queries under way at once.
const MAX_RUNNING: usize = 2;
/// How long a query may take. One that hangs, on a connection that died without a word, holds up all who wait behind it; after this
/// time its callers read on their own.
const MAX_TIME: Duration = Duration::from_secs(3);
/// Most uids of one query: as many of the largest rows that can be written stay within a result's limit. Other programs write larger ones;
/// where a result is too large, its callers read alone and fewer uids are asked for together.
const MAX_BATCH: usize = 32;

/// What a query said of a uid.
#[derive(Clone, Debug)]
enum Answer {
    /// Its message.
    Found(Bytes),
    /// That there is none.
    Missing,
    /// Nothing: the query failed. A row too large for company may come alone, and an error of one's own tells why.
    Failed,
    /// Nothing, and no other query would: there is no database.
    Unavailable,
}

#[derive(Debug)]
struct State {
    running: usize,
    /// Most uids of the next query.
    most: usize,
    waiting: Vec<(Key, oneshot::Sender<Answer>)>,
}

/// Reads whole resources of one kind by uid: those of a replica apart from those of the primary. Cheap to clone.
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

    /// One resource, from where `reads` come from.
    ///
    /// # Errors
    /// As [`get`](super::point::get).
    pub(crate) async fn get(&self, reads: &Reads, key: &Key, deadline: Deadline) -> Result<Encoded, Error> {
        if let Some(lane) = &self.replica
            && reads.route().replica(deadline).await.is_some()
            && let Some(outcome) = reads.attempt_read(lane.get(key, deadline)).await
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
        let state = State { running: 0, most: MAX_BATCH, waiting: Vec::new() };
        Self { database, resource, selection: Arc::new(selection), sql, state: Arc::new(Mutex::new(state)) }
    }

    async fn get(&self, key: &Key, deadline: Deadline) -> Result<Encoded, Error> {
        let mut answer = self.enqueue(key);
        let mut early = false;
        let answer = loop {
            tokio::select! {
                answer = &mut answer => break answer.unwrap_or(Answer::Failed),
                () = deadline.with_margin().passed(), if !early => {
                    if self.database.has_waiters() {
                        break Answer::Unavailable;
                    }
                    early = true;
                }
                () = deadline.passed() => return Err(Error::DeadlineExceeded),
            }
        };
        match answer {
            Answer::Found(body) => Ok(Encoded { body, tail: Bytes::new(), rows: 1 }),
            Answer::Missing => {
                let name = self.resource.name_of(key.tuple());
                Err(Error::NotFound { resource: self.resource.description.message, name })
            }
            // Boxed: rarely needed, and many times as large as the rest.
            Answer::Failed => {
                Box::pin(get_by(self.database.route(), self.resource, &self.selection, key, deadline)).await
            }
            Answer::Unavailable => Err(Error::DatabaseUnavailable(sqlx::Error::PoolTimedOut)),
        }
    }

    fn enqueue(&self, key: &Key) -> oneshot::Receiver<Answer> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.push((key.clone(), sender));
        if state.running < MAX_RUNNING {
            state.running += 1;
            let lane = self.clone();
            tokio::spawn(async move { lane.run().await });
        }
        receiver
    }

    /// Queries until nobody waits.
    async fn run(&self) {
        let mut running = Running { state: &self.state, ended: false };
        while let Some(batch) = running.next_batch() {
            let (keys, mut callers): (Vec<Key>, Vec<_>) = batch.into_iter().unzip();
            let wanted: Vec<&[u8]> = keys.iter().map(Key::tuple).collect();
            // The callers' deadlines differ, and each stops waiting by itself. A query that nobody waits for any more is let go.
            let abandoned = async {
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
                // A caller who has gone does not mind.
                let _ = sender.send(match &found {
                    Ok(found) => match found.get(key.tuple()) {
                        Some(Some(message)) => Answer::Found(message.clone()),
                        Some(None) => Answer::Failed,
                        None => Answer::Missing,
                    },
                    Err(Error::DatabaseUnavailable(_)) if !too_much => Answer::Unavailable,
                    Err(_) => Answer::Failed,
                });
            }
        }
    }

    /// The rows of some keys as messages; those that are too large for company come without.
    async fn query(&self, keys: &[&[u8]]) -> Result<HashMap<Vec<u8>, Option<Bytes>>, Error> {
        let deadline = Deadline::after(MAX_TIME);
        if !self.selection.parts.is_empty() {
            return with_parts(self.database.route(), self.resource, &self.selection, keys, MAX_TIME, deadline).await;
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

/// A task's place among those that run. It is given up in the same breath in which nobody is found waiting, so that whoever comes next
/// starts another; or when the task panics.
struct Running<'a> {
    state: &'a Mutex<State>,
    ended: bool,
}

impl Running<'_> {
    fn next_batch(&mut self) -> Option<Vec<(Key, oneshot::Sender<Answer>)>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has given up needs no answer.
        state.waiting.retain(|(_, sender)| !sender.is_closed());
        let count = state.waiting.len().min(state.most);
        if count == 0 {
            state.running -= 1;
            self.ended = true;
            return None;
        }
        Some(state.waiting.drain(..count).collect())
    }

    /// Takes note whether `uids` were too many for one query.
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
        if state.running == 0 {
            // Nobody is left to answer them: they read on their own.
            state.waiting.clear();
        }
    }
}
