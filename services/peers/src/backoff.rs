//! How long to wait between attempts, and when to give up.

use std::time::{Duration, Instant};

/// Exponential backoff with jitter. Gives up after a limit without progress.
#[derive(Debug)]
pub struct Backoff {
    limit: Duration,
    /// The limit until the first success.
    first_limit: Duration,
    max_wait: Duration,
    wait: Duration,
    progress: Instant,
    reached: bool,
}

const MIN_WAIT: Duration = Duration::from_millis(100);
const MAX_WAIT: Duration = Duration::from_secs(10);

impl Backoff {
    /// Gives up after `limit` without progress. No wait is longer than a fifth of `limit` and 10 seconds.
    pub fn new(limit: Duration) -> Self {
        let max_wait = (limit / 5).clamp(MIN_WAIT, MAX_WAIT);
        Self { limit, first_limit: limit, max_wait, wait: MIN_WAIT, progress: Instant::now(), reached: false }
    }

    /// Gives up after at most `limit` until the first success: for an address that may be wrong.
    #[must_use]
    pub fn with_first_limit(mut self, limit: Duration) -> Self {
        self.first_limit = self.limit.min(limit);
        self
    }

    /// Starts the limit and the waits again.
    pub fn restart(&mut self) {
        self.progress = Instant::now();
        self.wait = MIN_WAIT;
    }

    /// Records progress: the limit and the waits start again.
    pub fn succeeded(&mut self) {
        self.reached = true;
        self.restart();
    }

    /// How long to wait before the next attempt, at least `asked`, the delay that the service asked for. None: give up.
    pub fn next_wait(&mut self, asked: Duration) -> Option<Duration> {
        let limit = if self.reached { self.limit } else { self.first_limit };
        let wait = self.wait.mul_f64(rand::random_range(0.75..1.25)).max(asked);
        self.wait = (self.wait * 2).min(self.max_wait);
        (self.progress.elapsed() + wait <= limit).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn waits_grow_up_to_the_limit_and_start_again_with_progress() {
        let mut backoff = Backoff::new(Duration::from_secs(60)).with_first_limit(Duration::from_secs(5));
        let mut waits = Vec::new();
        for _ in 0..10 {
            waits.extend(backoff.next_wait(Duration::ZERO));
        }
        assert!(waits[4] > waits[0] * 4, "{waits:?}");
        assert!(waits.len() < 10, "a service that was never reached is given up soon: {waits:?}");
        backoff.succeeded();
        assert!(backoff.next_wait(Duration::ZERO).is_some_and(|wait| wait < MIN_WAIT * 2));
        assert_eq!(backoff.next_wait(Duration::from_secs(30)), Some(Duration::from_secs(30)));
        assert_eq!(backoff.next_wait(Duration::from_secs(300)), None);
    }

    #[test]
    fn a_short_limit_has_short_waits() {
        let mut backoff = Backoff::new(Duration::from_secs(5));
        let waits: Vec<Duration> = (0..10).map(|_| backoff.next_wait(Duration::ZERO).unwrap()).collect();
        assert!(waits[9] > Duration::from_millis(700) && waits[9] < Duration::from_millis(1300), "{waits:?}");
    }
}
