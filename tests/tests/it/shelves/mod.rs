//! A resource that exists only in the tests, written like one of a slice: a key of three columns of two types,
//! children, a payload, a dependent resource, unique values, references and rules. It shows that kit needs no knowledge
//! of a slice, and tests what kit promises beyond the existing resources.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise, and not every test uses everything"
)]

pub(crate) mod contract;
pub(crate) mod descriptions;
mod fixture;
mod keys;
mod payloads;
mod replace;
mod rules;
mod rules_at_work;
mod service;
mod tables;
mod unique;

pub(crate) use fixture::{SHELVES, STOCKTAKES, Shelves, boxed, shelf};
