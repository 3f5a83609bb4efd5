//! The allocator of the C library, asked to keep less memory.
//!
//! glibc keeps freed pages for the next allocation, and returns only those at the end of its heap by itself. A process
//! that once used much memory stays that large. `malloc_trim` returns every free page, wherever it is (malloc_trim(3)).
//! It cannot be called without `unsafe`, which the rest of the workspace forbids; so this crate exists for it alone.

/// Returns all free pages to the system, and says whether there were any. It locks the arenas of the allocator one
/// after the other, for about a millisecond in all, so call it from a thread that may block.
///
/// Does nothing with another C library.
#[must_use]
#[allow(unsafe_code, reason = "calls a C function")]
pub fn give_back() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: its argument is a number, not a pointer, and any thread may call it at any time (MT-Safe by its manual
    // page).
    let given_back = unsafe { libc::malloc_trim(0) } == 1;
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let given_back = false;
    given_back
}

/// Limits the number of the allocator's arenas, and returns whether it worked. An arena is a part of the memory with a
/// lock of its own. Freed memory stays in its arena, where only the threads of that arena can use it. Call it before
/// the process has other threads.
///
/// Does nothing with another C library.
#[must_use]
#[allow(unsafe_code, reason = "a call of C")]
pub fn limit_arenas(most: u8) -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes two numbers, no pointer (mallopt(3)).
    let limited = unsafe { libc::mallopt(libc::M_ARENA_MAX, most.into()) } == 1;
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let limited = false;
    limited
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::give_back;

    fn resident_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or_default()
    }

    #[test]
    fn what_was_freed_is_given_back_wherever_it_lies() {
        // Small allocations, of which every hundredth stays: no large block is free at the end of the heap.
        let mut pieces: Vec<Vec<u8>> = (0..100_000).map(|_| vec![7_u8; 1_000]).collect();
        let full = resident_kib();
        let kept: Vec<Vec<u8>> = pieces.drain(..).step_by(100).collect();
        assert!(give_back());
        let after = resident_kib();
        assert!(after + 50_000 < full, "{full} KiB before, {after} KiB after");
        assert_eq!(kept.len(), 1_000);
    }
}
