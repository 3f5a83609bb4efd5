//! Lists and streams in every order that a resource has: what comes, in which order, by which index, and what is
//! refused.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod literals;
mod pages;
mod plans;
mod refusals;
mod subjects;
