//! The description of a resource: what does not follow from the names in the contract. It is written by hand.

use std::sync::LazyLock;

use super::Resource;
use super::child_table::ChildDescription;
use super::kind::ColumnKind;
use super::ordering::DeclaredOrder;
use super::rules::{RulesOf, no_rules};

/// The description of a resource: what does not follow from the names in the contract.
#[derive(Debug)]
pub struct Description {
    /// The message's full name, for example `orrery.catalog.v1.Product`.
    pub message: &'static str,
    /// The table with its schema, for example `catalog.product`.
    pub table: &'static str,
    /// The encoded descriptors that contain the message. By default those of Orrery's contract.
    pub descriptors: &'static [u8],
    /// The key's columns. They are the message's first fields, in this order, and texts or integers.
    pub key: &'static [&'static str],
    /// The kind of each field: its type and its rules. Made by the functions in [`kind`](super::kind).
    pub fields: &'static [(&'static str, &'static dyn ColumnKind)],
    /// The columns that name the owner of a row: the first ones of the key, but not all. `WRITE_MODE_REPLACE` replaces
    /// all rows of an owner. Empty if rows have no owner. The contract does not call the key's other fields required,
    /// because a row without them says that its owner has no rows.
    pub owner: &'static [&'static str],
    /// The columns that are unique besides the key.
    pub unique: &'static [Unique],
    /// The references of the rows.
    pub references: &'static [Reference],
    /// A timestamp column. If a row's value is older than the stored one, the row changes nothing.
    pub newest_by: Option<&'static str>,
    /// The default order of reads: columns that are unique together. Empty for the order of the key.
    pub natural_order: &'static [&'static str],
    /// The other orders in which rows can be listed or streamed.
    pub orders: &'static [DeclaredOrder],
    /// The child tables. Their fields are the last ones of the message.
    pub children: &'static [ChildDescription],
    /// Resources of the slice whose keys begin with this one's key. Their rows are deleted together with the row of
    /// this resource.
    pub dependents: &'static [&'static LazyLock<Resource>],
    /// Creates the resource's own rules, in addition to those of its columns.
    pub rules: RulesOf,
}

impl Description {
    /// A description with only a message and a table. Complete it with `..`.
    pub const fn new(message: &'static str, table: &'static str) -> Self {
        Self {
            message,
            table,
            descriptors: orrery_proto::FILE_DESCRIPTOR_SET,
            key: &["uid"],
            fields: &[],
            owner: &[],
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

/// Columns that are unique together. A row without a value in the first column is not compared, and neither is one of
/// which an expression is null.
#[derive(Debug)]
pub struct Unique {
    /// The unique index of the table.
    pub index: &'static str,
    /// The columns; errors name the first.
    pub columns: &'static [&'static str],
    /// The values that are compared: the columns, or expressions over them as in the index, for example `lower(name)`.
    pub expressions: &'static [&'static str],
}

/// A reference: a column that holds the key of another row.
#[derive(Debug)]
pub struct Reference {
    /// The column; or, with its path, a field of a member of a payload, which holds a key or a list of keys:
    /// `circle.center_uid`.
    pub column: &'static str,
    /// The target.
    pub target: ReferenceTarget,
}

/// The target of a reference.
#[derive(Clone, Copy, Debug)]
pub enum ReferenceTarget {
    /// A table of the slice.
    Table {
        /// The table.
        table: &'static str,
        /// Its key.
        column: &'static str,
    },
    /// A row of another slice, whose service is asked: see [`crate::references`].
    Elsewhere,
}
