//! Lists and streams in every order of a resource: the rows, their order, the index that is used, and invalid requests.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod literals;
mod pages;
mod plans;
mod refusals;
mod subjects;
