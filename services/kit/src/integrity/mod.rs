//! Integrity without foreign keys. Nothing in the database enforces a reference; each one is documented in the comment
//! of its column, and this module reads and checks these comments.
//!
//! - [`reference`](mod@reference): a reference, and the grammar of comments
//! - [`documented`]: the references of a schema, read from the database
//! - [`references`]: the references that a service works with, read once
//! - [`check`]: what is wrong with the comments of a database
//! - [`graph`]: references as text and for Graphviz
//! - [`required`]: the columns that a service cannot work without
//! - [`orphans`]: the procedure that finds references without targets

pub mod check;
pub mod documented;
pub mod graph;
pub mod orphans;
pub mod reference;
pub mod references;
pub mod required;
#[cfg(test)]
mod tests;

pub use documented::{Documented, ReadError, read};
pub use reference::{Column, InvalidComment, InvalidComments, OnOrphan, Reference, Target};
pub use references::References;
pub use required::{OutdatedSchema, RequiredColumns};
