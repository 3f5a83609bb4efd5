//! Orders: what is particular to them.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod lifecycle;
