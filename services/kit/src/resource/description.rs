//! What names cannot say about a resource: the one thing that is written by hand for each.

use std::sync::LazyLock;

use super::Resource;
use super::child_table::ChildDescription;
use super::kind::ColumnKind;
use super::ordering::DeclaredOrder;
use super::rules::{RulesOf, no_rules};

/// What names cannot say about a resource.
#[derive(Debug)]
pub struct Description {
    /// The message's full name, for example `orrery.catalog.v1.Product`.
    pub message: &'static str,
    /// The table with its schema, for example `catalog.product`.
    pub table: &'static str,
    /// The descriptors that hold the message, encoded; those of Orrery's contract unless it says otherwise.
    pub descriptors: &'static [u8],
    /// The key's columns. They are the message's first fields, in this order, and texts or integers.
    pub key: &'static [&'static str],
    /// What each field holds and which rules it follows: by a constructor of [`kind`](super::kind).
    pub fields: &'static [(&'static str, &'static dyn ColumnKind)],
    /// What is unique beside the key.
    pub unique: &'static [Unique],
    /// What rows point at.
    pub references: &'static [Reference],
    /// A timestamp column: a row that is older than the stored one changes nothing.
    pub newest_by: Option<&'static str>,
    /// The columns by which rows are read unless another order is asked for, unique together; empty for the key's.
    pub natural_order: &'static [&'static str],
    /// The other orders that a list or stream can be asked for.
    pub orders: &'static [DeclaredOrder],
    /// Rows of other tables that belong to a row of this one. Their fields are the message's last.
    pub children: &'static [ChildDescription],
    /// Resources of the slice whose keys begin with the key of this one: their rows are deleted with the row of this one.
    pub dependents: &'static [&'static LazyLock<Resource>],
    /// Makes its own rules, beyond those of its columns.
    pub rules: RulesOf,
}

impl Description {
    /// A table without particulars, to be completed with `..`.
    pub const fn new(message: &'static str, table: &'static str) -> Self {
        Self {
            message,
            table,
            descriptors: orrery_proto::FILE_DESCRIPTOR_SET,
            key: &["uid"],
            fields: &[],
            unique: &[],
            references: &[],
            newest_by: None,
            natural_order: &[],
            orders: &[],
            children: &[],
            dependents: &[],
            rules: |_| Ok(no_rules()),
        }
    }
}

/// Columns whose values only one row may have, together. Null is no value.
#[derive(Debug)]
pub struct Unique {
    /// The unique index of the table that keeps it.
    pub index: &'static str,
    /// The columns; errors name the first.
    pub columns: &'static [&'static str],
    /// What is compared: the columns, or expressions over them, as the index has them: `lower(name)`.
    pub expressions: &'static [&'static str],
}

/// A column that holds the key of something else.
#[derive(Debug)]
pub struct Reference {
    /// The column.
    pub column: &'static str,
    /// What it points at.
    pub target: ReferenceTarget,
}

/// What a reference points at.
#[derive(Clone, Copy, Debug)]
pub enum ReferenceTarget {
    /// A table of the slice.
    Table {
        /// The table.
        table: &'static str,
        /// Its key.
        column: &'static str,
    },
    /// Something in another slice, whose service is asked: see [`crate::references`].
    Elsewhere,
}
