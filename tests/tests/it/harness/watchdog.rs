//! A time limit for each test. A test that hangs would otherwise block the whole run without being named.

use std::io::{Write as _, stderr};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Longer than any test takes, including those that run for minutes.
const BOUND: Duration = Duration::from_secs(600);

/// Ends the process and names the test, unless it is dropped in time.
pub(crate) struct Watchdog {
    _end: Sender<()>,
}

impl Watchdog {
    /// Watches the test of this thread.
    pub(crate) fn new() -> Self {
        Self::within(BOUND, |test| {
            // `eprintln!` would go to the output of the test, which is lost with the process.
            let _ = writeln!(stderr(), "{test} has not ended within {BOUND:?}: the run is given up");
            std::process::exit(101);
        })
    }

    fn within(bound: Duration, late: impl FnOnce(&str) + Send + 'static) -> Self {
        let (end, ended) = channel();
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        std::thread::spawn(move || {
            // It is dropped when its test ends, even after a panic.
            if ended.recv_timeout(bound) == Err(RecvTimeoutError::Timeout) {
                late(&test);
            }
        });
        Self { _end: end }
    }
}

#[test]
fn a_test_that_does_not_end_is_named_and_one_that_does_is_not() {
    let (fired, heard) = channel();
    let watch = |bound| {
        let fired = fired.clone();
        Watchdog::within(bound, move |test| fired.send(test.to_owned()).unwrap())
    };
    drop(watch(BOUND));
    let _slow = watch(Duration::from_millis(1));
    drop(fired);
    let named: Vec<String> = heard.iter().collect();
    assert_eq!(named.len(), 1, "{named:?}");
    assert!(named[0].ends_with("a_test_that_does_not_end_is_named_and_one_that_does_is_not"), "{named:?}");
}
