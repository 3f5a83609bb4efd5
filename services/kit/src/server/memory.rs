//! Gives memory back to the system. The allocator keeps what is freed, which after a burst of work may be many times
//! what later work needs.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics::resident_bytes;

/// Memory is given back when the process has grown by this much since the last time.
const WORTH: f64 = (8 << 20) as f64;
/// The shortest time between two times: pages that are needed again soon cost time to get back.
const SELDOM: Duration = Duration::from_secs(5);

/// When memory was given back last, and the size of the process after that. Shared by all servers of a process.
static LAST: Mutex<Option<(Instant, f64)>> = Mutex::new(None);

/// Makes the threads of this process share memory, so that one uses what another has freed: two threads on one arena of
/// the allocator. Without it a service on 2 processors needs 40 % more, and no less time. To be called first in `main`,
/// before a runtime starts its threads.
pub fn share_arenas() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let _limited = orrery_heap::limit_arenas(u8::try_from(threads.div_ceil(2)).unwrap_or(u8::MAX));
}

/// Gives memory back if the process has grown. Takes about a millisecond.
pub(super) fn look() {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(resident) = resident_bytes() else { return };
    match *last {
        None => *last = Some((Instant::now(), resident)),
        Some((when, then)) if resident > then + WORTH && when.elapsed() >= SELDOM => {
            let given_back = orrery_heap::give_back();
            let left = resident_bytes().unwrap_or(resident);
            tracing::debug!(given_back, before = resident, left, "gave memory back to the system");
            *last = Some((Instant::now(), left));
        }
        // The process has become smaller by itself: measure from there.
        Some((when, then)) if resident < then => *last = Some((when, resident)),
        Some(_) => {}
    }
}
