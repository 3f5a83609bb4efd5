//! Where long CPU work runs. A worker thread of the runtime serves many calls, and all of them wait while it works on
//! one. So large work runs on other threads, as many at a time as the machine has processors. Small work runs on the
//! worker itself, since switching threads and back costs about 20 µs.

use std::panic::resume_unwind;
use std::sync::{Arc, LazyLock};
use std::thread::available_parallelism;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::{block_in_place, spawn_blocking};

use crate::error::Error;

/// The most bytes that a worker encodes or decodes without a pause.
pub const INLINE_BYTES: usize = 32 * 1024;

/// Permits for large work. More threads than processors would only hold more memory at the same time.
static TURNS: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from))));

/// Runs `work`, which handles `bytes` bytes, on another thread if they are many. Work that has begun runs to its end,
/// even if nobody waits for it any more.
///
/// # Errors
/// [`Error::Internal`] if the runtime shuts down.
pub async fn offload<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    if bytes <= INLINE_BYTES {
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

/// Like [`offload`], for work that borrows. If the bytes are many, this thread hands its other tasks to another thread.
/// In a runtime with one thread the work runs directly.
pub async fn run_in_place<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes <= INLINE_BYTES {
        return work();
    }
    // Fails only if the semaphore is closed, which it never is.
    let _turn = TURNS.acquire().await;
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => work(),
        _ => block_in_place(work),
    }
}

/// Yields to other tasks now and then, between pieces of work that are small alone and large together.
#[derive(Debug, Default)]
pub struct Yielder {
    since: usize,
}

impl Yielder {
    /// Counts `bytes`, and yields if more than [`INLINE_BYTES`] were handled since the last pause.
    pub async fn after(&mut self, bytes: usize) {
        self.since += bytes;
        if self.since > INLINE_BYTES {
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

    async fn where_offloaded(bytes: usize) -> ThreadId {
        offload(bytes, || thread::current().id()).await.expect("the runtime goes on")
    }

    #[tokio::test]
    async fn only_what_is_large_leaves_the_worker() {
        let here = thread::current().id();
        assert_eq!(where_offloaded(INLINE_BYTES).await, here);
        assert_ne!(where_offloaded(INLINE_BYTES + 1).await, here);
        assert_eq!(run_in_place(INLINE_BYTES + 1, || thread::current().id()).await, here);
    }

    /// The only worker runs other tasks while blocking work waits for one of them.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn others_go_on_meanwhile() {
        for large in [false, true] {
            let (done, other) = std::sync::mpsc::channel();
            let work = async move {
                tokio::spawn(async move { done.send(()) });
                let wait = move || other.recv_timeout(Duration::from_secs(30)).is_ok();
                if large {
                    offload(INLINE_BYTES + 1, wait).await.expect("it goes on")
                } else {
                    run_in_place(INLINE_BYTES + 1, wait).await
                }
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
                tokio::spawn(offload(INLINE_BYTES + 1, move || {
                    let _ = begun.send(());
                    ends.lock().is_ok_and(|ends| ends.recv().is_ok())
                }))
            })
            .collect();
        for _ in 0..processors {
            begins.recv().expect("it begins");
        }
        // The others get no permit before one ends.
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
        let mut yielder = Yielder::default();
        for _ in 0..10 * INLINE_BYTES / 1024 {
            yielder.after(1024).await;
            turns = others.load(std::sync::atomic::Ordering::Relaxed);
        }
        other.abort();
        assert!((8..=10).contains(&turns), "{turns}");
    }

    #[tokio::test]
    #[should_panic(expected = "as it was")]
    async fn a_panic_comes_through() {
        let _ = offload(INLINE_BYTES + 1, || unreachable!("as it was")).await;
    }
}
