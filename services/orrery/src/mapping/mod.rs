//! The mapping language: a TOML file that says which column of a file becomes which field of a resource. It knows no resource: the
//! paths that it may name are read off the contract.
//!
//! ```toml
//! [source]                      # Optional, as is each setting in it. format = "csv"                # "csv" or
//! "jsonl". Default: by the file's name. Gzip is noticed by itself. delimiter = ";"               # CSV only. Default
//! ",", and a tab for a file named .tsv. A first line `sep=;` counts more. quoting = "none"              # CSV only.
//! "double" (the default): a cell may stand in quotes. "none": a quote is a character. encoding = "windows-1252"     #
//! A label of the WHATWG standard. Default "utf-8". A byte order mark counts more.
//!
//! [group]                       # Optional. Without it each record is one row.
//! by = "uid"                    # All records in which this field comes out the same are one row, wherever they stand.
//! consecutive = true            # They stand together. Default false.
//!
//! [fields]                      # Path in the resource = rule.
//! uid = { column = "StockCode", transforms = ["trim", "slug"], prefix = "prd_" }
//! name = { column = "Description", transforms = ["trim"], pick = "first-non-empty" }
//! "status.phase" = { column = "State", transforms = [{ map = { "live" = "active", "*" = "archived" } }] }
//! "labels.shop" = { value = "north" }
//! "labels.tag/*" = { column = "Tags", split = ",", transforms = ["trim", "slug"], value = "true" }
//! ```
//!
//! A row that has lists of parts gets them from sections of their names. Each makes one element of the list: of each record, so that a
//! row that stands on many lines has as many elements, or of the row as a whole.
//!
//! ```toml
//! [[line_items]]
//! each = "record"               # One element of each record (the default), or of each "row".
//!
//! [line_items.fields]           # Path in the element = rule.
//! sku = { column = "StockCode" }
//! quantity = { column = "Quantity" }
//!
//! [[addresses]]
//! each = "row"
//!
//! [addresses.fields]
//! kind = { value = "billing" }
//! lines = [{ column = "Address1" }, { column = "Address2" }]
//!
//! [[addresses]]                 # Another element of the same list.
//! ```
//!
//! An element to which no column gives anything is left out. Elements of records come in the order of the file, behind those of the row.
//!
//! # Paths
//!
//! A path names a field of the resource as the contract does: `name`, `status.phase`, `create_ts`. After a map (`labels`, `annotations`)
//! and after `status.details` the rest of the path is the key, dots and slashes included: `annotations.source/stock-code`. TOML
//! wants a path of several parts in quotes. A path under a map that ends in `*` makes one key of each part of a split text.
//! The key field (`uid`) must be there; fields that are output only must not. A list of parts is no path, it has its section.
//!
//! # Rules
//!
//! | setting | meaning |
//! | --- | --- |
//! | `column` | CSV: the name of a column in the header. JSONL: a key, or a dotted path to one. A number or truth value is taken as it is written, null as nothing. |
//! | `optional` | `true`: a CSV file without the column is taken as one where it is empty. A JSON record may always lack a key. |
//! | `transforms` | A list, applied from left to right; see below. |
//! | `prefix` | Put before the result, unless that is empty. |
//! | `pick` | With `[group]`: which record's value the row takes: `first-non-empty` (the default), `first`, `last-non-empty`, `last`, `earliest`, `latest` (times only). |
//! | `value` | Without `column`: a constant. On a path that ends in `*`: what each key is set to; default is the part as it stood. |
//! | `split` | On a path that ends in `*`: what separates the parts. A JSON list is split already. Empty parts are dropped. |
//!
//! A path may have a list of rules. A field that is a list of texts gets an element of each, a path that ends in `*` the keys of each, and
//! any other field takes the first that gives something: `"status.phase" = [{ column = "Cancelled", ... }, { column = "Paid", ... }]`.
//!
//! Text that comes out empty leaves its field unset. What a text becomes depends on the field: RFC 3339 for a time, digits for a
//! number, `true` or `false`, the name of an enum's value.
//!
//! # Transforms
//!
//! `trim`, `lower`, `upper`, `slug` (lower case, every run of other characters than a-z and 0-9 becomes one `-`, at the ends too; text without
//! any letter or digit is refused), `decimal` (exact), and with a setting: `{ timestamp = { format = "%Y-%m-%d %H:%M:%S", zone =
//! "Europe/London" } }` (strftime, or "rfc3339"; the zone where the text has no offset; a time that comes twice when clocks go back is the
//! first of the two, one that clocks going forward skip is read as if they had not), `{ strip-prefix = "#" }`, `{ strip-suffix = ".0" }`,
//! `{ trim-characters = "-" }`, `{ truncate = 63 }` (characters), `{ map = { "C*" = "returned", "*" = "fulfilled" } }`
//! (exact text first, then the longest pattern; "" is nothing), `{ default = "draft" }` (where there is no text).
//!
//! # Records that cannot be read
//!
//! A record is refused as a whole, and nothing of it goes into a group, if its key is empty or a text of it cannot
//! become what its rule says; if a cell that is read is not text in the file's encoding, or goes on behind its closing
//! quote; if a CSV record has more cells than the header and those have content; if a line of JSONL is no JSON object.
//! A CSV record that has fewer cells than the header has empty ones at its end, and one of which all cells are empty is
//! passed over.
//!
//! Where each record makes an element, a row that lacks a record is a wrong one, so that the group of a refused record
//! is refused too. If it cannot be told which group that is, because the key is empty or cannot be read or nothing of
//! the record can, every group is refused that the record may be of: all groups of the file; with `consecutive` the one
//! before it and the one after it, or if that is one and the same, that one. Where no record makes an element, the
//! other records of the group still make its row.
//!
//! # Memory
//!
//! Memory holds one record, or with `[group]` what all groups will be: their mapped values, and the encoded elements of their records,
//! which together are about as large as the columns that are read. With `consecutive` it holds one group and the keys of those
//! before; a group that goes on after another has begun ends the import, although it was sent without
//! what comes then.

mod document;
mod fields;
mod group;
mod plan;
mod rule;
mod target;
mod timestamp;
mod transform;

pub(crate) use document::{Format, Mapping, Quoting};
pub(crate) use group::{Content, Group, Groups};
pub(crate) use plan::{Plan, Values};
pub(crate) use rule::Column;
pub(crate) use target::{read_scalar, value_of};

use std::borrow::Cow;
use std::fmt;

/// A record's value in one column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    /// Text; empty where there is none.
    Text(String),
    /// A JSON list of texts.
    List(Vec<String>),
}

/// Why a transform refused a text. It does not repeat the text, so that refusals can be counted by it.
pub(crate) type Problem = Cow<'static, str>;

/// Why a record, or the row made of it, was refused.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    /// The field or column that is at fault; empty if it is the record as a whole.
    pub(crate) field: String,
    /// What is wrong, in words that do not depend on the record, so that refusals can be counted by them.
    pub(crate) problem: Problem,
    /// What the record had there, shortened.
    pub(crate) value: String,
}

impl Refusal {
    /// A refusal of `value` in `field`.
    pub(crate) fn new(field: impl Into<String>, problem: impl Into<Problem>, value: &str) -> Self {
        const SHOWN: usize = 80;
        let mut shown: String = value.chars().take(SHOWN).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        Self { field: field.into(), problem: problem.into(), value: shown }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(formatter, "{}: ", self.field)?;
        }
        formatter.write_str(&self.problem)?;
        if self.value.is_empty() { Ok(()) } else { write!(formatter, ": {:?}", self.value) }
    }
}
