//! Returns memory to the system. The allocator keeps freed memory: after a burst of work, many times more than later
//! work needs.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics::resident_bytes;

/// Memory is returned while the process is larger by this many bytes than it once was.
const WORTH: f64 = (4 << 20) as f64;
/// The pause after memory was returned. Pages that are needed again soon cost time to get.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, after several calls that returned hardly any memory: it is in use.
const LONGEST_PAUSE: Duration = Duration::from_secs(32);

/// The history of earlier calls. All servers of a process share it.
static HISTORY: Mutex<Option<History>> = Mutex::new(None);

struct History {
    /// When memory was returned last.
    last: Instant,
    /// How long to wait after that.
    pause: Duration,
    /// The smallest size of the process in bytes.
    smallest: f64,
}

/// Lets two threads share one arena of the allocator, so that each can use memory that the other has freed. Without it,
/// a service on 2 processors needs 40 % more memory and the same time. Call it first in `main`, before the runtime
/// starts its threads.
pub fn share_arenas() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let _limited = orrery_heap::limit_arenas(u8::try_from(threads.div_ceil(2)).unwrap_or(u8::MAX));
}

/// Returns memory to the system if the process has grown. Takes about a millisecond.
pub(super) fn look() {
    let mut history = HISTORY.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(resident) = resident_bytes() else { return };
    let History { last, pause, smallest } =
        history.get_or_insert_with(|| History { last: Instant::now(), pause: SHORTEST_PAUSE, smallest: resident });
    *smallest = smallest.min(resident);
    if resident <= *smallest + WORTH || last.elapsed() < *pause {
        return;
    }
    let given_back = orrery_heap::give_back();
    let left = resident_bytes().unwrap_or(resident);
    tracing::debug!(given_back, before = resident, left, "gave memory back to the system");
    *pause = if resident - left >= WORTH / 4.0 { SHORTEST_PAUSE } else { (*pause * 2).min(LONGEST_PAUSE) };
    *last = Instant::now();
    *smallest = smallest.min(left);
}
