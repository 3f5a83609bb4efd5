//! A bound on every test. One that never ends would keep the whole run from ending, and nobody would learn which it was.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Longer than any test takes, those that are run for minutes included.
const BOUND: Duration = Duration::from_secs(600);

/// Ends the process, and names the test, if it is not dropped in time.
pub(crate) struct Watchdog {
    _end: Sender<()>,
}

impl Watchdog {
    /// Watches the test that this thread runs.
    pub(crate) fn new() -> Self {
        Self::within(BOUND, |test| {
            eprintln!("{test} has not ended within {BOUND:?}: the run is given up");
            std::process::exit(101);
        })
    }

    fn within(bound: Duration, late: impl FnOnce(&str) + Send + 'static) -> Self {
        let (end, ended) = channel();
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        std::thread::spawn(move || {
            // It is dropped where its test ends, however it ends.
            if ended.recv_timeout(bound) == Err(RecvTimeoutError::Timeout) {
                late(&test);
            }
        });
        Self { _end: end }
    }
}

#[test]
fn a_test_that_does_not_end_is_named_and_one_that_does_is_not() {
    let (said, heard) = channel();
    let watch = |bound| {
        let said = said.clone();
        Watchdog::within(bound, move |test| said.send(test.to_owned()).unwrap())
    };
    drop(watch(BOUND));
    let _slow = watch(Duration::from_millis(1));
    drop(said);
    let named: Vec<String> = heard.iter().collect();
    assert_eq!(named.len(), 1, "{named:?}");
    assert!(named[0].ends_with("a_test_that_does_not_end_is_named_and_one_that_does_is_not"), "{named:?}");
}
