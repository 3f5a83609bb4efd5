//! Reading: one resource or many, by key or page by page, the same way for every resource.
//!
//! - [`order`], [`filter`], [`view`]: what is asked for
//! - [`extent`]: how much of that an answer holds which has to fit
//! - [`scan`]: pages in order, each a query of its own
//! - `query`, `fetch`: what those queries ask for, and their rows on the way into a page
//! - `children`: the children of rows that were read
//! - [`list`] and [`stream`]: pages as answers, with tokens
//! - [`point`] and [`loader`]: by key
//! - [`measured`]: rows that a write changes and returns
//! - [`mod@check`]: whether keys exist

pub mod check;
mod children;
mod collector;
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
