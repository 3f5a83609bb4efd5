//! End-to-end tests: a file per behaviour, all against real servers. What they share is in [`harness`].

mod harness;
mod migrations;
