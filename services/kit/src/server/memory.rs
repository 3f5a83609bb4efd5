//! Memory that is given back to the system. The allocator keeps what is freed; after a burst of work that is many times
//! what the work to come needs.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics::resident_bytes;

/// A process that has grown by so much since memory was given back last has something to give.
const WORTH: f64 = (8 << 20) as f64;
/// How often that is done at most: pages that are needed again soon cost time to get back.
const SELDOM: Duration = Duration::from_secs(5);

/// When memory was given back last, and what the process had then. One for all servers of a process.
static LAST: Mutex<Option<(Instant, f64)>> = Mutex::new(None);

/// Gives memory back if there may be much of it. Takes a millisecond or so.
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
        // What it fell to by itself is what it needs.
        Some((when, then)) if resident < then => *last = Some((when, resident)),
        Some(_) => {}
    }
}
