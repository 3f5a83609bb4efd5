//! End-to-end tests: a file per behaviour, all against real servers. What they share is in [`harness`].

mod cancellation;
mod dbmate;
mod decimal;
mod faults;
mod filters;
mod foreign_rows;
mod harness;
mod health;
mod import;
mod label_selector;
mod lists;
mod loader;
mod metrics;
mod migrations;
mod plans;
mod point_reads;
mod read_masks;
mod single_writes;
mod slices;
mod slow_readers;
mod sparse_filters;
mod streams;
mod timestamp;
mod tokens;
mod up;
mod writes;
