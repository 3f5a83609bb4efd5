//! The shutdown of a process: what clients see, how long it takes, and that a rolling restart loses and repeats
//! nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod flowing;
mod no_replica;
mod rolling;
mod signal;
mod streams;
