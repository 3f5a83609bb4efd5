//! What names cannot say about a resource: the one thing that is written by hand for each.

use std::sync::LazyLock;

use super::Resource;
use super::ordering::DeclaredOrder;
use super::part::PartDescription;
use super::rules::{RulesOf, no_rules};
use crate::uid::UidKind;

/// What names cannot say about a resource.
#[derive(Debug)]
pub struct Description {
    /// The message's full name, for example `orrery.catalog.v1.Product`.
    pub message: &'static str,
    /// The table with its schema, for example `catalog.product`.
    pub table: &'static str,
    /// The key's columns. They are the message's first fields, in this order, and texts.
    pub key: &'static [&'static str],
    /// What is particular about fields; those that are not named here follow from their type.
    pub rules: &'static [(&'static str, Rule)],
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
    pub parts: &'static [PartDescription],
    /// Resources of the slice whose keys begin with the key of this one: their rows are deleted with the row of this one.
    pub dependents: &'static [&'static LazyLock<Resource>],
    /// Makes its own rules, beyond those of its columns.
    pub own_rules: RulesOf,
}

impl Description {
    /// A table without particulars, to be completed with `..`.
    pub const fn new(message: &'static str, table: &'static str) -> Self {
        Self {
            message,
            table,
            key: &["uid"],
            rules: &[],
            unique: &[],
            references: &[],
            newest_by: None,
            natural_order: &[],
            orders: &[],
            parts: &[],
            dependents: &[],
            own_rules: |_| Ok(no_rules()),
        }
    }
}

/// What is particular about one field.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// The resource's own uid: checked, and made when a create leaves it empty.
    Uid(UidKind),
    /// The uid of something else.
    UidOf(UidKind),
    /// The uid of something else, or none.
    OptionalUidOf(UidKind),
    /// A text of at most this many bytes; an empty one is stored as null.
    Text(usize),
    /// A text of at most this many bytes; an empty one is stored as such.
    TextNotNull(usize),
    /// A required name: 1 to this many of a-z, 0-9, `_`, `-` and `.`, beginning with a letter.
    Name(usize),
    /// A required code of so many of A-Z.
    Code(usize),
    /// A code of so many of A-Z, or none.
    OptionalCode(usize),
    /// A required text, one of these.
    OneOf(&'static [&'static str]),
    /// A list of texts in a `jsonb` column: at most so many, each of at most so many bytes.
    TextList(usize, usize),
    /// An `integer` column, within these bounds; unset is 0.
    Integer(i32, i32),
    /// An `integer` column, 1 and more; unset is null, which a rule of the resource replaces.
    PositiveInteger,
    /// A required exact decimal in a `numeric` column: most digits before and after the point.
    Decimal(usize, usize),
    /// An amount of money, or part of one: a decimal that fits `numeric(19,4)`; unset is 0.
    Amount,
    /// An amount that is null where it is unset, which a rule of the resource replaces.
    OptionalAmount,
    /// An `integer` that the service computes.
    ComputedInteger,
    /// A `bigint` that the service computes.
    ComputedBigInteger,
    /// A `numeric` that the service computes.
    ComputedDecimal,
    /// How often the row was changed, in an `integer` column: 1 on a new one. A row that demands another one than the stored row's is refused.
    Revision,
    /// A status whose phase on a new row is this one.
    Status(&'static str),
    /// Labels: keys and values to select by.
    Labels,
    /// Annotations.
    Annotations,
    /// A timestamp that is now where a new row leaves it unset, and kept ever after.
    CreatedAt,
    /// A timestamp that the store sets whenever the row changes.
    UpdatedAt,
    /// A timestamp that is now where it is unset.
    MeasuredAt,
    /// A timestamp that the caller sets and clears.
    Timestamp,
    /// A hash of the stored row.
    Etag,
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
    pub target: Target,
}

/// What a reference points at.
#[derive(Clone, Copy, Debug)]
pub enum Target {
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
