//! How long to wait between attempts, and when to give up.

use std::time::{Duration, Instant};

/// Exponential backoff with jitter. Gives up after a limit without progress.
#[derive(Debug)]
pub(crate) struct Backoff {
    limit: Duration,
    /// The limit for a service that was never reached.
    first_limit: Duration,
    wait: Duration,
    progress: Instant,
    reached: bool,
}

const MIN_WAIT: Duration = Duration::from_millis(100);
const MAX_WAIT: Duration = Duration::from_secs(10);

impl Backoff {
    /// Gives up after `limit` without progress. If the service was never reached, the address is probably wrong, and
    /// the limit is at most 5 seconds.
    pub(crate) fn new(limit: Duration) -> Self {
        let first_limit = limit.min(Duration::from_secs(5));
        Self { limit, first_limit, wait: MIN_WAIT, progress: Instant::now(), reached: false }
    }

    /// Records progress: the limit and the waits start again.
    pub(crate) fn reset(&mut self) {
        self.reached = true;
        self.progress = Instant::now();
        self.wait = MIN_WAIT;
    }

    /// How long to wait before the next attempt, at least `asked`, the delay that the service asked for. None: give up.
    pub(crate) fn next_wait(&mut self, asked: Duration) -> Option<Duration> {
        let limit = if self.reached { self.limit } else { self.first_limit };
        let wait = self.wait.mul_f64(rand::random_range(0.75..1.25)).max(asked);
        self.wait = (self.wait * 2).min(MAX_WAIT);
        (self.progress.elapsed() + wait <= limit).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_limit_and_start_again_with_progress() {
        let mut backoff = Backoff::new(Duration::from_secs(60));
        let mut waits = Vec::new();
        for _ in 0..10 {
            waits.extend(backoff.next_wait(Duration::ZERO));
        }
        assert!(waits[4] > waits[0] * 4, "{waits:?}");
        assert!(waits.len() < 10, "a service that was never reached is given up soon: {waits:?}");
        backoff.reset();
        assert!(backoff.next_wait(Duration::ZERO).is_some_and(|wait| wait < MIN_WAIT * 2));
        assert_eq!(backoff.next_wait(Duration::from_secs(30)), Some(Duration::from_secs(30)));
        assert_eq!(backoff.next_wait(Duration::from_secs(300)), None);
    }
}
