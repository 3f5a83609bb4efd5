//! Reads rows by key or page by page, in the same way for every resource.
//!
//! - [`order`], [`filter`], [`view`]: the order, rows and fields of a read
//! - [`extent`]: fewer fields if an answer is too large
//! - [`scan`]: pages in order, each from its own query
//! - `query`, `fetch`: these queries, and how their rows are added to a page
//! - `children`, `collector`: the children of rows that were read
//! - [`list`] and [`stream`]: pages as answers, with tokens
//! - [`computed`]: pages of rows that a slice computes
//! - [`point`] and [`loader`]: by key
//! - [`measured`]: rows that a write changes and returns
//! - [`mod@check`]: whether keys exist; `count`: how many rows there are

pub mod check;
mod children;
mod collector;
pub mod computed;
pub(crate) mod count;
pub mod extent;
mod fetch;
pub mod filter;
pub mod list;
pub mod loader;
pub mod measured;
pub mod order;
pub mod point;
mod query;
pub mod scan;
pub mod stream;
pub mod view;
