//! Orders: what is particular to them.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod claims;
pub(crate) mod fixture;
mod lifecycle;
mod races;
mod single_writes;
mod timer;
mod writes;
