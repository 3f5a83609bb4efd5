//! The WAL position after a statement that ran alone, which many callers read at once.
//!
//! A position that is read after the answer to a statement is behind that statement, on whatever connection of the pool
//! it is read. So one caller reads it on its connection. Whoever needs a position in the meantime gives its own
//! connection back, and waits for a read that begins later: the one under way may be too early for it. The reader goes
//! on in a task as long as anybody waits, so that nobody needs another connection.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use sqlx::Row as _;
use tokio::sync::oneshot;

use super::{Database, Lease, Statement, within};
use crate::consistency::Provenance;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::lsn::Lsn;

/// The WAL position after a commit: everything committed is before it. It is not the position of the next record, which
/// at the start of a page is behind the page header: an idle replica never reaches that. The written position includes
/// every acknowledged commit, unless `synchronous_commit` is off; then the insert position is needed.
pub(super) const WAL_POSITION: &str = "select (case current_setting('synchronous_commit') when 'off' \
     then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text";

/// How long a reader is waited for. After that its connection may hang: the next caller with a connection reads too.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long a caller whose reader is gone tries to get another connection. The statement is committed: an outage must
/// not hold up its answer for long.
const RECONNECT: Duration = Duration::from_secs(1);

/// A connection on which the position can be read. It is closed when it is dropped.
pub(super) trait PositionSource: Send + Sized + 'static {
    /// Reads the position. After an error the connection cannot be used any more.
    fn read(&mut self) -> BoxFuture<'_, Result<Lsn, Error>>;

    /// Gives the idle connection back.
    fn give_back(self);
}

impl PositionSource for Lease {
    fn read(&mut self) -> BoxFuture<'_, Result<Lsn, Error>> {
        Box::pin(async {
            let mut rows = Vec::new();
            self.fetch(Statement::new(WAL_POSITION, 1), usize::MAX, &mut rows, Error::from).await?;
            let row = rows.first().ok_or_else(|| Error::internal("there is no WAL position"))?;
            row.try_get::<&str, _>(0)?.parse().map_err(Error::internal)
        })
    }

    fn give_back(mut self) {
        self.mark_clean();
    }
}

impl Database {
    /// Ends the use of a connection on which a statement ran alone, and records the WAL position after it. That it
    /// cannot be found out is no error: the statement is committed. `bound` is the time limit of the caller's session.
    pub(super) async fn end_alone(&self, lease: Lease, noted_in: &Provenance, deadline: Deadline, bound: Duration) {
        let another =
            |until| -> BoxFuture<'_, Result<Lease, Error>> { Box::pin(self.route().live_lease(until, bound)) };
        let limit = self.limits.transaction_timeout;
        match self.positions.after_now(lease, another, deadline, limit).await {
            Ok(lsn) => noted_in.committed(lsn),
            Err(error) => tracing::warn!(%error, "a statement is committed, but its WAL position is unknown"),
        }
    }
}

/// What the callers of one pool share. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Positions {
    state: Arc<Mutex<State>>,
    patience: Duration,
}

#[derive(Debug, Default)]
struct State {
    /// How many reads have begun. It is the number of the last one.
    begun: u64,
    /// The number of the last read that succeeded, and its position.
    known: Option<(u64, Lsn)>,
    /// The number of the reader who serves those who wait, and when it took that on.
    reader: Option<(u64, Instant)>,
    /// How many readers there were.
    readers: u64,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    /// The first read that is late enough.
    needed: u64,
    /// It is dropped without a word if this caller should read itself.
    tell: oneshot::Sender<Told>,
}

#[derive(Debug)]
enum Told {
    Position(Lsn),
    /// The server answered with an error, as it would answer others.
    Refused,
}

/// What a caller with a connection does next.
enum Turn {
    /// Nothing: a read that was late enough has ended.
    Known(Lsn),
    /// It reads.
    Reads(Reader),
    /// It gives its connection back and waits.
    Waits(oneshot::Receiver<Told>),
}

impl Default for Positions {
    fn default() -> Self {
        Self { state: Arc::default(), patience: PATIENCE }
    }
}

impl Positions {
    /// A position that is read from now on, on the caller's `own` connection or by another caller. If the reader that
    /// the caller waits for fails, the caller reads on `another` connection, to be had until the given time. `limit` is
    /// how long a read for others may take.
    ///
    /// # Errors
    /// [`Error::DeadlineExceeded`]; errors of the database.
    async fn after_now<'a, C: PositionSource>(
        &self,
        own: C,
        another: impl Fn(Deadline) -> BoxFuture<'a, Result<C, Error>> + Send + Sync,
        deadline: Deadline,
        limit: Duration,
    ) -> Result<Lsn, Error> {
        let needed = self.locked().begun + 1;
        let mut connection = own;
        loop {
            let told = match self.turn(needed) {
                Turn::Known(lsn) => {
                    connection.give_back();
                    return Ok(lsn);
                }
                Turn::Reads(reader) => return reader.read(connection, deadline, limit).await,
                Turn::Waits(told) => told,
            };
            connection.give_back();
            let until = || deadline.min(Deadline::after(RECONNECT));
            let too_slow = async {
                tokio::time::sleep(deadline.bound(self.patience)).await;
                if deadline.expired() { Err(Error::DeadlineExceeded) } else { another(until()).await }
            };
            connection = tokio::select! {
                biased;
                told = told => match told {
                    Ok(Told::Position(lsn)) => return Ok(lsn),
                    Ok(Told::Refused) => return Err(Error::internal("the WAL position was refused to another caller")),
                    Err(_) => another(until()).await?,
                },
                another = too_slow => another?,
            };
        }
    }

    fn turn(&self, needed: u64) -> Turn {
        let mut state = self.locked();
        if let Some((number, lsn)) = state.known
            && number >= needed
        {
            return Turn::Known(lsn);
        }
        if state.reader.is_some_and(|(_, since)| since.elapsed() < self.patience) {
            let (tell, told) = oneshot::channel();
            state.waiting.push(Waiting { needed, tell });
            return Turn::Waits(told);
        }
        state.readers += 1;
        let number = state.readers;
        state.reader = Some((number, Instant::now()));
        Turn::Reads(Reader { positions: self.clone(), number })
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Tells those for whom this read is late enough.
    fn tell(&mut self, read: u64, told: impl Fn() -> Told) {
        for waiting in self.waiting.extract_if(.., |waiting| waiting.needed <= read) {
            // Who is gone needs no position.
            let _ = waiting.tell.send(told());
        }
    }

    fn is_reader(&self, number: u64) -> bool {
        self.reader.is_some_and(|(reader, _)| reader == number)
    }
}

/// The caller, or the task, that reads for all who wait. If it is dropped before, one of them reads.
struct Reader {
    positions: Positions,
    number: u64,
}

impl Reader {
    /// Reads for the caller who owns the connection, and then for those who came in the meantime.
    async fn read<C: PositionSource>(
        self,
        mut connection: C,
        deadline: Deadline,
        limit: Duration,
    ) -> Result<Lsn, Error> {
        let lsn = self.read_once(&mut connection, deadline).await?;
        match self.unless_done() {
            // In a task: this caller has what it needs.
            Some(reader) => drop(tokio::spawn(reader.read_for_others(connection, limit))),
            None => connection.give_back(),
        }
        Ok(lsn)
    }

    async fn read_for_others<C: PositionSource>(mut self, mut connection: C, limit: Duration) {
        loop {
            if let Err(error) = self.read_once(&mut connection, Deadline::after(limit)).await {
                tracing::debug!(%error, "the WAL position could not be read for others");
                return;
            }
            match self.unless_done() {
                Some(reader) => self = reader,
                None => return connection.give_back(),
            }
        }
    }

    async fn read_once(&self, connection: &mut impl PositionSource, deadline: Deadline) -> Result<Lsn, Error> {
        let read = {
            let mut state = self.positions.locked();
            state.begun += 1;
            state.begun
        };
        let outcome = within(deadline, connection.read()).await;
        let mut state = self.positions.locked();
        match &outcome {
            Ok(lsn) => {
                state.known = state.known.max(Some((read, *lsn)));
                state.tell(read, || Told::Position(*lsn));
            }
            Err(error) if error.is_connection_loss() || matches!(error, Error::DeadlineExceeded) => {}
            Err(_) => state.tell(read, || Told::Refused),
        }
        outcome
    }

    /// Itself, if somebody waits whom it has to serve.
    fn unless_done(self) -> Option<Self> {
        let mut state = self.positions.locked();
        state.waiting.retain(|waiting| !waiting.tell.is_closed());
        if !state.is_reader(self.number) {
            return None;
        }
        if state.waiting.is_empty() {
            state.reader = None;
            return None;
        }
        drop(state);
        Some(self)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.positions.locked();
        if state.is_reader(self.number) {
            state.reader = None;
            // The others follow if this one does not read either.
            while state.waiting.pop().is_some_and(|waiting| waiting.tell.is_closed()) {}
        }
    }
}
