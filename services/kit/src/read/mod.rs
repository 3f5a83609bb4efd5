//! Reading: one resource or many, by key or page by page, the same way for every resource.
//!
//! - [`order`], [`filter`], [`view`]: what is asked for
//! - [`extent`]: how much of that an answer holds which has to fit
//! - [`scan`]: pages in order, each a query of its own
//! - `query`, `fetch`: what those queries ask for, and their rows on the way into a page
//! - `parts`: what belongs to rows and stands in other tables
//! - [`list`] and [`stream`]: pages as answers, with tokens
//! - [`point`] and [`loader`]: by key
//! - [`measured`]: rows that a write changes and returns
//! - [`mod@check`]: whether keys exist

pub mod check;
pub mod extent;
mod fetch;
pub mod filter;
mod gathering;
pub mod list;
pub mod loader;
pub mod measured;
pub mod order;
mod parts;
pub mod point;
mod query;
pub mod scan;
pub mod stream;
pub mod tokens;
pub mod view;
