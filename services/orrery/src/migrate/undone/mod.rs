//! The schema `undone`: tables and columns that `orrery migrate undo` has set aside with their rows, until their
//! migration is applied again or they are purged.
//!
//! - [`item`]: the list of what is set aside
//! - [`tables`]: a whole table moves into the schema, and back
//! - [`columns`]: the values of a column are copied into a table of the schema, and back
//! - [`windows`]: rows in short transactions, by primary key
//! - [`back`]: what comes back when a migration is applied

pub(super) mod back;
pub(super) mod columns;
pub(super) mod item;
pub(super) mod tables;
mod windows;

/// How much of what was set aside is copied back.
pub(in crate::migrate) enum Copied {
    /// All of it.
    Whole,
    /// Nothing: its table or a column of it is missing, or its rows have no primary key.
    NoPlace,
    /// All but so many rows, which a unique index does not allow beside newer rows.
    Without(u64),
}

/// The schema. Only the role that migrates may use it.
pub(super) const SCHEMA: &str = "undone";
