#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::task::JoinHandle;

use super::*;

const LIMIT: Duration = Duration::from_secs(30);
const PATIENT: Duration = Duration::from_secs(600);

/// A log and the connections to its database.
#[derive(Default)]
struct Log {
    /// How much is written.
    written: AtomicU64,
    reads: AtomicUsize,
    opened: AtomicUsize,
    given_back: AtomicUsize,
    /// What the next reads wait for, each before its answer. The others wait for nothing.
    gates: Mutex<VecDeque<oneshot::Receiver<Result<(), Error>>>>,
}

impl Log {
    /// Holds the next read up that has not begun, until it is told how to end.
    fn hold(&self) -> oneshot::Sender<Result<(), Error>> {
        let (open, gate) = oneshot::channel();
        self.gates.lock().unwrap().push_back(gate);
        open
    }

    fn count(&self) -> [usize; 3] {
        [&self.reads, &self.opened, &self.given_back].map(|count| count.load(Ordering::SeqCst))
    }
}

struct Connection(Arc<Log>);

impl PositionSource for Connection {
    fn read(&mut self) -> BoxFuture<'_, Result<Lsn, Error>> {
        Box::pin(async {
            self.0.reads.fetch_add(1, Ordering::SeqCst);
            let lsn = Lsn::new(self.0.written.load(Ordering::SeqCst));
            let gate = self.0.gates.lock().unwrap().pop_front();
            match gate {
                Some(gate) => gate.await.unwrap_or(Ok(()))?,
                None => tokio::task::yield_now().await,
            }
            Ok(lsn)
        })
    }

    fn give_back(self) {
        self.0.given_back.fetch_add(1, Ordering::SeqCst);
    }
}

/// The callers of one pool.
#[derive(Clone)]
struct Callers {
    log: Arc<Log>,
    positions: Positions,
}

impl Callers {
    fn new(patience: Duration) -> Self {
        Self { log: Arc::default(), positions: Positions { state: Arc::default(), patience } }
    }

    /// Writes, and returns what is written then and the position.
    async fn write(self, deadline: Deadline) -> (Lsn, Result<Lsn, Error>) {
        let written = Lsn::new(self.log.written.fetch_add(1, Ordering::SeqCst) + 1);
        let another = |_| -> BoxFuture<'_, Result<Connection, Error>> {
            Box::pin(async {
                self.log.opened.fetch_add(1, Ordering::SeqCst);
                Ok(Connection(Arc::clone(&self.log)))
            })
        };
        let own = Connection(Arc::clone(&self.log));
        (written, self.positions.after_now(own, another, deadline, LIMIT).await)
    }

    /// Starts a write, and returns once it reads or waits.
    async fn start(&self) -> JoinHandle<(Lsn, Result<Lsn, Error>)> {
        let write = tokio::spawn(self.clone().write(Deadline::none()));
        tokio::task::yield_now().await;
        write
    }

    fn waiting(&self) -> usize {
        self.positions.locked().waiting.len()
    }
}

fn lost() -> Error {
    Error::DatabaseUnavailable(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()))
}

async fn position(write: JoinHandle<(Lsn, Result<Lsn, Error>)>) -> u64 {
    let (written, position) = write.await.unwrap();
    let position = position.unwrap();
    assert!(position >= written, "{position} is before {written}");
    position.bytes()
}

#[tokio::test]
async fn a_caller_alone_reads_once_on_its_connection_and_in_its_own_task() {
    let callers = Callers::new(PATIENT);
    for n in 1..4 {
        let (written, position) = callers.clone().write(Deadline::none()).await;
        assert_eq!(position.unwrap(), written);
        // A task would not have run yet.
        assert_eq!(callers.log.count(), [n, 0, n]);
    }
}

#[tokio::test]
async fn a_read_that_began_before_a_write_does_not_serve_it() {
    let callers = Callers::new(PATIENT);
    let (first_read, second_read) = (callers.log.hold(), callers.log.hold());
    let first = callers.start().await;
    let (second, third) = (callers.start().await, callers.start().await);
    // Those who wait have given their connections back.
    assert_eq!(callers.log.count(), [1, 0, 2]);
    first_read.send(Ok(())).unwrap();
    assert_eq!(position(first).await, 1);
    tokio::task::yield_now().await;
    assert!(!second.is_finished() && !third.is_finished());
    // The read for them is under way, too early for a fourth.
    let fourth = callers.start().await;
    second_read.send(Ok(())).unwrap();
    assert_eq!((position(second).await, position(third).await), (3, 3));
    assert_eq!(position(fourth).await, 4);
    // One connection served them all.
    while callers.positions.locked().reader.is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(callers.log.count(), [3, 0, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_position_is_behind_the_write_of_its_caller() {
    let callers = Callers::new(PATIENT);
    let writes = (0..32).map(|_| {
        let callers = callers.clone();
        tokio::spawn(async move {
            for _ in 0..500 {
                let (written, position) = callers.clone().write(Deadline::none()).await;
                assert!(position.unwrap() >= written);
            }
        })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap();
    }
    while callers.positions.locked().reader.is_some() {
        tokio::task::yield_now().await;
    }
    let [reads, opened, given_back] = callers.log.count();
    assert!(reads <= 32 * 500, "{reads}");
    assert_eq!((opened, given_back), (0, 32 * 500), "every connection is given back, and no other one is opened");
}

#[tokio::test]
async fn those_who_wait_read_if_their_reader_is_dropped() {
    let callers = Callers::new(PATIENT);
    let _never = callers.log.hold();
    let first = callers.start().await;
    let (second, third) = (callers.start().await, callers.start().await);
    first.abort();
    assert_eq!((position(second).await, position(third).await), (3, 3));
    // One of them has read, on another connection, for both.
    assert_eq!(callers.log.count()[..2], [2, 1]);
}

#[tokio::test]
async fn those_who_wait_read_if_the_connection_breaks() {
    let callers = Callers::new(PATIENT);
    let first_read = callers.log.hold();
    let first = callers.start().await;
    let (second, third) = (callers.start().await, callers.start().await);
    first_read.send(Err(lost())).unwrap();
    assert!(first.await.unwrap().1.unwrap_err().is_connection_loss());
    assert_eq!((position(second).await, position(third).await), (3, 3));
    assert_eq!(callers.log.count()[..2], [2, 1]);
}

#[tokio::test]
async fn they_read_too_if_it_breaks_in_the_read_for_them() {
    let callers = Callers::new(PATIENT);
    let (first_read, second_read) = (callers.log.hold(), callers.log.hold());
    let first = callers.start().await;
    let second = callers.start().await;
    first_read.send(Ok(())).unwrap();
    second_read.send(Err(lost())).unwrap();
    assert_eq!((position(first).await, position(second).await), (1, 2));
    assert_eq!(callers.log.count()[..2], [3, 1]);
}

#[tokio::test]
async fn a_refusal_is_that_of_all_for_whom_it_was_asked() {
    let callers = Callers::new(PATIENT);
    let (first_read, second_read) = (callers.log.hold(), callers.log.hold());
    let first = callers.start().await;
    let (second, third) = (callers.start().await, callers.start().await);
    first_read.send(Ok(())).unwrap();
    assert_eq!(position(first).await, 1);
    second_read.send(Err(Error::internal("permission denied"))).unwrap();
    assert!(second.await.unwrap().1.is_err() && third.await.unwrap().1.is_err());
    assert_eq!(callers.log.count()[..2], [2, 0]);
    // It has no effect on later callers.
    assert_eq!(position(callers.start().await).await, 4);
}

#[tokio::test]
async fn whoever_waits_too_long_reads_on_another_connection() {
    let callers = Callers::new(Duration::from_millis(20));
    let first_read = callers.log.hold();
    let first = callers.start().await;
    let second = callers.start().await;
    assert_eq!(position(second).await, 2);
    assert_eq!(callers.log.count(), [2, 1, 2]);
    // The first reader has lost its place and ends.
    first_read.send(Ok(())).unwrap();
    assert_eq!(position(first).await, 1);
    assert_eq!(callers.log.count(), [2, 1, 3]);
}

#[tokio::test]
async fn the_next_caller_takes_the_place_of_a_reader_that_is_too_slow() {
    let callers = Callers::new(PATIENT);
    let first_read = callers.log.hold();
    let first = callers.start().await;
    let second = callers.start().await;
    let impatient = Callers {
        positions: Positions { state: Arc::clone(&callers.positions.state), patience: Duration::ZERO },
        ..callers.clone()
    };
    let third = impatient.start().await;
    // It has read for the second caller too.
    assert_eq!((position(second).await, position(third).await), (3, 3));
    // A late answer of an early read is not taken for a newer one.
    first_read.send(Ok(())).unwrap();
    assert_eq!(position(first).await, 1);
    assert_eq!(callers.positions.locked().known, Some((2, Lsn::new(3))));
    assert_eq!(callers.log.count(), [2, 0, 3]);
}

#[tokio::test]
async fn nobody_waits_beyond_its_deadline() {
    let callers = Callers::new(PATIENT);
    let first_read = callers.log.hold();
    let first = callers.start().await;
    let (_, late) = callers.clone().write(Deadline::after(Duration::from_millis(5))).await;
    assert!(matches!(late, Err(Error::DeadlineExceeded)), "{late:?}");
    // Nor is anything read for it.
    assert_eq!(callers.waiting(), 1);
    first_read.send(Ok(())).unwrap();
    assert_eq!(position(first).await, 1);
    assert_eq!((callers.waiting(), callers.log.count()), (0, [1, 0, 2]));

    let _never = callers.log.hold();
    let (_, late) = callers.clone().write(Deadline::after(Duration::from_millis(5))).await;
    assert!(matches!(late, Err(Error::DeadlineExceeded)), "{late:?}");
}
