//! The mapping language: a TOML file that says which column of a file becomes which field of a resource. It knows no
//! resource: the paths that it may name are read off the contract.
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
//! [fields]                      # Path in the resource = rule. uid = { column = ["StockCode", "SKU"], transforms =
//! ["trim", "lower", "key"], prefix = "prd_", same = "letter-case" } name = { column = "Description", transforms =
//! ["trim"], pick = "first-non-empty" } "status.phase" = { column = "State", transforms = [{ map = { "live" =
//! "active", "*" = "archived" } }], on = "create" } "labels.shop" = { value = "north" } "labels.tag/*" = { column =
//! "Tags", split = ",", transforms = ["label"], value = "true", most = 50 }
//! ```
//!
//! A row that has lists of parts gets them from sections of their names. Each makes one element of the list: of each
//! record, so that a row that stands on many lines has as many elements, or of the row as a whole.
//!
//! ```toml
//! [[line_items]] each = "record"               # One element of each record (the default), or of each "row". on =
//! "create"                 # Optional: only rows that are created take the list. The same in all sections of a list.
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
//! An element to which no column gives anything is left out. Elements of records come in the order of the file, behind
//! those of the row.
//!
//! # Paths
//!
//! A path names a field of the resource as the contract does: `name`, `status.phase`, `create_ts`. After a map
//! (`labels`, `annotations`) and after `status.details` the rest of the path is the key, dots and slashes included:
//! `annotations.source/stock-code`. TOML wants a path of several parts in quotes. A path under a map that ends in `*`
//! makes one key of each part of a split text. The key field (`uid`) must be there; fields that are output only must
//! not. A list of parts is no path, it has its section.
//!
//! # Rules
//!
//! | setting | meaning |
//! | --- | --- |
//! | `column` | CSV: the name of a column in the header. JSONL: a key, or a dotted path to one. A number or truth value is taken as it is written, null as nothing. A list of names: the one that the file has; a CSV file that has two of them is refused. |
//! | `optional` | `true`: a CSV file without the column is taken as one where it is empty. A JSON record may always lack a key. |
//! | `transforms` | A list, applied from left to right; see below. |
//! | `prefix` | Put before the result, unless that is empty. |
//! | `pick` | With `[group]`: which record's value the row takes: `first-non-empty` (the default), `first`, `last-non-empty`, `last`, `earliest`, `latest` (times only). |
//! | `value` | Without `column`: a constant. On a path that ends in `*`: what each key is set to; default is the part as it stood. |
//! | `split` | On a path that ends in `*`: what separates the parts. A JSON list is split already. Empty parts are dropped. |
//! | `most` | On a path that ends in `*`: how many keys a record makes at most. Those beyond are left out, and counted at the end. |
//! | `same` | On a uid: which different texts are one key all the same: `letter-case`, those that differ in it alone; `all`, those that become one. See "Keys". |
//! | `on` | `create`: only rows that are created take the field. See "Rows that exist". |
//!
//! A path may have a list of rules. A field that is a list of texts gets an element of each, a path that ends in `*`
//! the keys of each, and any other field takes the first that gives something: `"status.phase" = [{ column =
//! "Cancelled", ... }, { column = "Paid", ... }]`.
//!
//! Of two parts of one text that become one key with different values the first stays, and the other is counted as left
//! out. A key that a path names exactly goes before the same key of a path that ends in `*`.
//!
//! Text that comes out empty leaves its field unset. What a text becomes depends on the field: RFC 3339 for a time,
//! digits for a number, `true` or `false`, the name of an enum's value.
//!
//! # Keys
//!
//! Two different texts of a file must not become one uid: they would be one row, or one line of an order, or point at
//! one product. So the second of two texts that do is refused, with both texts and both lines named; that the same text
//! comes again is not. This holds for the key field, for what groups are made by, and for every field called `uid` or
//! ending in `_uid`, the uids of parts within their row. Records of one group must have one key, unless `pick` says
//! whose counts. White space at either end tells no texts apart, nor does it whether a character is composed (`é`, or
//! `e` and an accent: Unicode's NFC); `same` says what else does not. Memory holds some 80 bytes for each different
//! uid, and nothing for rules of `trim` and `key` alone, which cannot make one uid of two texts (nor can they with
//! `lower` before them and `same = "letter-case"`). A key cannot be a constant, and has no `default`.
//!
//! What is looked at is one file. That texts of two files do not become one uid only `key` promises: a row does not say
//! which text its uid was made of.
//!
//! # Rows that exist
//!
//! An import overwrites what its mapping names and leaves all else as it is: a label or annotation under another key
//! stays, one that is named and that the file does not give any more is taken away (`labels.tag/*` owns every key that
//! begins with `tag/`), and any other field that a row leaves unset stays as it is stored. A list that has a section is
//! replaced as a whole by rows that have elements of it. What has `on = "create"` only new rows take, so that people
//! can change it afterwards: a phase above all. All rules of one path, and all sections of one list, have it or none.
//! `create_ts` is taken by new rows only in any case. JSONL that is imported without a mapping overwrites every field
//! that is set in a row, all labels together.
//!
//! # Transforms
//!
//! A text that a transform can make nothing of is refused. None but `default` touches an empty text.
//!
//! | transform | meaning |
//! | --- | --- |
//! | `trim`, `lower`, `upper` | Without white space at either end; in lower case; in upper case. |
//! | `key` | For uids. A text of a-z, 0-9 and single `-` as it is, any other one with a digest, so that no two texts become one. White space at either end goes. |
//! | `label` | For labels' names and values: lower case, other characters as `-`, at most 63. A text of letters and signs that a label cannot have gets a digest. Letter case, white space and punctuation tell nothing apart. |
//! | `slug` | Lower case, every run of other characters than a-z and 0-9 as one `-`, at the ends too. Text without any letter or digit is refused. Texts that differ may have one slug. |
//! | `decimal` | An exact number as `12.50`. What is written otherwise is refused; zeros behind the fourth digit after the point are left out. |
//! | `{ decimal = { mark = ",", group = ".", currency = ["€"], parentheses = true, trailing-minus = true, digits = 2 } }` | The decimal mark (default "."); what groups thousands (default nothing; " " is a space of any width); signs and codes of currencies, before or behind; whether `(5)` and `5-` are -5; the most digits after the point, behind which only zeros may stand. A minus may be U+2212. |
//! | `{ timestamp = { format = "%Y-%m-%d %H:%M:%S", zone = "Europe/London" } }` | strftime, or "rfc3339"; see below. |
//! | `{ strip-prefix = "#" }`, `{ strip-suffix = ".0" }` | Without that text at the beginning, or end, if it is there. |
//! | `{ trim-characters = "-" }` | Without any of these characters at either end. |
//! | `{ replace = { "_" = "-" } }` | Every text of these by another, the longest first. |
//! | `{ truncate = 63 }` | The first so many characters. |
//! | `{ map = { "C*" = "returned", "*" = "fulfilled" } }` | The exact text first, then the longest pattern; others are refused. "" is nothing. |
//! | `{ default = "draft" }` | This text where there is none. |
//!
//! A `timestamp` has a whole date and, if it has a part of it, a whole time of day; without one it is midnight. Parts
//! that contradict each other (a day of the week, `%p` beside `%H`) are refused, and so are leap seconds, which stored
//! times do not have. `%y` of 69 is 2069, of 70 is 1970. Texts without an offset (`%z`) are times of `zone`. `%Z`, an
//! abbreviation, is honoured: as what `zone` calls so at that time, else as what it means everywhere (UTC, GMT, CET,
//! EST, PST and the like); one of several meanings, as IST, or of none is refused. A local time that comes twice when
//! clocks go back is the first of the two unless `%Z` tells, one that clocks going forward skip is read as if they had
//! not; `clock-change = "refuse"` refuses both.
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
//! Memory holds one record, or with `[group]` what groups will be, up to a bound (`--group-memory`): their mapped
//! values, and the encoded elements of their records, which together are about as large as the columns that are read.
//! What is more goes to temporary files (`--temp-dir`), twice at the most, without a name, so that none is left. With
//! `consecutive` memory holds one group and some 40 bytes for each of those before; a group that goes on after another
//! has begun ends the import, although it was sent without what comes then.

mod decimal;
mod document;
mod fields;
mod group;
mod key;
mod plan;
mod rule;
mod runs;
mod sources;
mod target;
mod timestamp;
mod transform;
mod update;
mod zone;

pub(crate) use document::{Format, Mapping, Quoting};
pub(crate) use group::{Content, Group, GroupMemory, Groups};
pub(crate) use plan::{Plan, ROW_LIMIT, Values};
pub(crate) use rule::Column;
pub(crate) use sources::{Collision, Sources};
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

/// A part of a record that had to be left out of its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Omission {
    /// The path that it would have gone to.
    pub(crate) path: String,
    /// What was the matter, in words that do not depend on the record.
    pub(crate) problem: Problem,
    /// How many values were left out.
    pub(crate) count: usize,
}

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
    /// A refusal of `value` in `field`. What the mapping puts into the words, a format or the texts of a map, is
    /// shortened too: they are kept for every reason, and written for every record with `--rejects`.
    pub(crate) fn new(field: impl Into<String>, problem: impl Into<Problem>, value: &str) -> Self {
        const SHOWN: usize = 80;
        const WORDS: usize = 500;
        let (field, problem) = (field.into(), problem.into());
        let problem = if problem.len() > WORDS { shortened(&problem, WORDS).into() } else { problem };
        Self { field: shortened(&field, WORDS), problem, value: shortened(value, SHOWN) }
    }
}

/// The first characters of a text, and a sign that there were more.
fn shortened(text: &str, most: usize) -> String {
    let mut shown: String = text.chars().take(most).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
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
