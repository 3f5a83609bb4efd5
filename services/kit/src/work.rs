//! Work that may take long, and where it is done. A worker of the runtime serves many calls, and each of them waits
//! while it works on one: so what is large is read and written on threads of its own, as many at a time as the machine
//! has processors, and what is small is done at once, since going there and back costs some 20 µs.

use std::panic::resume_unwind;
use std::sync::{Arc, LazyLock};
use std::thread::available_parallelism;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::{block_in_place, spawn_blocking};

use crate::error::Error;

/// Most bytes that a worker reads or writes in one go.
pub const AT_ONCE: usize = 32 * 1024;

/// Turns at large work. Threads are plenty; more of them than processors would only hold more memory at one time.
static TURNS: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from))));

/// Does work on so many bytes, on another thread if they are many. Work that has begun comes to its end, though nobody
/// may wait for it.
///
/// # Errors
/// [`Error::Internal`] if the runtime ends.
pub async fn apart<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    if bytes <= AT_ONCE {
        return Ok(work());
    }
    let turn = Arc::clone(&TURNS).acquire_owned().await.map_err(Error::internal)?;
    let done = spawn_blocking(move || {
        let done = work();
        drop(turn);
        done
    });
    match done.await {
        Ok(done) => Ok(done),
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        Err(error) => Err(Error::internal(error)),
    }
}

/// As [`apart`], for work that borrows: if the bytes are many this thread hands what else it had to do to another one.
/// Where there is no other one, in a runtime of one thread, the work is done as it is.
pub async fn aside<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes <= AT_ONCE {
        return work();
    }
    // Never closed.
    let _turn = TURNS.acquire().await;
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => work(),
        _ => block_in_place(work),
    }
}

/// Lets others have the worker now and then, between pieces of work that are small each and many together.
#[derive(Debug, Default)]
pub struct Pauses {
    since: usize,
}

impl Pauses {
    /// Pauses if as much has been done since the last pause as is done in one go.
    pub async fn after(&mut self, bytes: usize) {
        self.since += bytes;
        if self.since > AT_ONCE {
            self.since = 0;
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread::{self, ThreadId};
    use std::time::Duration;

    use super::*;

    async fn where_apart(bytes: usize) -> ThreadId {
        apart(bytes, || thread::current().id()).await.expect("the runtime goes on")
    }

    #[tokio::test]
    async fn only_what_is_large_leaves_the_worker() {
        let here = thread::current().id();
        assert_eq!(where_apart(AT_ONCE).await, here);
        assert_ne!(where_apart(AT_ONCE + 1).await, here);
        assert_eq!(aside(AT_ONCE + 1, || thread::current().id()).await, here);
    }

    /// The one worker goes on with other tasks while work that holds it up waits for one of them.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn others_go_on_meanwhile() {
        for large in [false, true] {
            let (done, other) = std::sync::mpsc::channel();
            let work = async move {
                tokio::spawn(async move { done.send(()) });
                let wait = move || other.recv_timeout(Duration::from_secs(30)).is_ok();
                if large { apart(AT_ONCE + 1, wait).await.expect("it goes on") } else { aside(AT_ONCE + 1, wait).await }
            };
            assert!(tokio::spawn(work).await.expect("no panic"));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn as_much_is_done_at_one_time_as_there_are_processors() {
        let processors = available_parallelism().map_or(1, usize::from);
        let (begun, begins) = std::sync::mpsc::channel();
        let (end, ends) = std::sync::mpsc::channel();
        let ends = Arc::new(std::sync::Mutex::new(ends));
        let works: Vec<_> = (0..2 * processors)
            .map(|_| {
                let (begun, ends) = (begun.clone(), Arc::clone(&ends));
                tokio::spawn(apart(AT_ONCE + 1, move || {
                    let _ = begun.send(());
                    ends.lock().is_ok_and(|ends| ends.recv().is_ok())
                }))
            })
            .collect();
        for _ in 0..processors {
            begins.recv().expect("it begins");
        }
        // The others have no turn before one ends.
        tokio::task::yield_now().await;
        assert!(begins.try_recv().is_err());
        for _ in &works {
            end.send(()).expect("somebody waits");
        }
        for work in works {
            assert!(work.await.expect("no panic").expect("it goes on"));
        }
    }

    #[tokio::test]
    async fn many_small_pieces_let_others_in_between() {
        let (others, mut turns) = (Arc::new(std::sync::atomic::AtomicUsize::new(0)), 0);
        let counted = Arc::clone(&others);
        let other = tokio::spawn(async move {
            loop {
                counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        let mut pauses = Pauses::default();
        for _ in 0..10 * AT_ONCE / 1024 {
            pauses.after(1024).await;
            turns = others.load(std::sync::atomic::Ordering::Relaxed);
        }
        other.abort();
        assert!((8..=10).contains(&turns), "{turns}");
    }

    #[tokio::test]
    #[should_panic(expected = "as it was")]
    async fn a_panic_comes_through() {
        let _ = apart(AT_ONCE + 1, || unreachable!("as it was")).await;
    }
}
