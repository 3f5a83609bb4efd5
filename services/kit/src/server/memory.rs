//! Gives memory back to the system. The allocator keeps what is freed, which after a burst of work may be many times
//! what later work needs.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics::resident_bytes;

/// Memory is given back while the process is larger than it once was by this much.
const WORTH: f64 = (4 << 20) as f64;
/// The pause after memory was given back: pages that are needed again soon cost time to get back.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// The pause if hardly any memory was left to give back, time after time: the process needs what it has.
const LONGEST_PAUSE: Duration = Duration::from_secs(32);

/// What was found the last times. Shared by all servers of a process.
static HISTORY: Mutex<Option<History>> = Mutex::new(None);

struct History {
    /// When memory was given back last.
    last: Instant,
    /// How long to wait from then on.
    pause: Duration,
    /// The smallest size of the process in bytes.
    smallest: f64,
}

/// Makes the threads of this process share memory, so that one uses what another has freed: two threads on one arena of
/// the allocator. Without it a service on 2 processors needs 40 % more, and no less time. To be called first in `main`,
/// before a runtime starts its threads.
pub fn share_arenas() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let _limited = orrery_heap::limit_arenas(u8::try_from(threads.div_ceil(2)).unwrap_or(u8::MAX));
}

/// Gives memory back if the process has grown. Takes about a millisecond.
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
