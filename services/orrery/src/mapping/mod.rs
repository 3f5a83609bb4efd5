//! The mapping language: a TOML file that says which column of a file becomes which field of a resource. It works for
//! all resources: the allowed paths are read from the contract.
//!
//! ```toml
//! [source]                      # Optional, and so is each setting in it.
//! format = "csv"                # "csv" or "jsonl". Default: by the file's name. Gzip is detected.
//! delimiter = ";"               # CSV only. Default ",", or a tab for a file named .tsv. A first line `sep=;` wins.
//! quoting = "none"              # CSV only. "double" (the default): cells may be quoted. "none": quotes are ordinary.
//! encoding = "windows-1252"     # A label of the WHATWG standard. Default "utf-8". A byte order mark wins.
//!
//! [group]                       # Optional. Without it each record is one row.
//! by = "uid"                    # All records with the same value of this field make one row.
//! consecutive = true            # The records of a group are consecutive. Default false: they may be anywhere.
//!
//! [fields]                      # Path in the resource = rule.
//! uid = { column = ["StockCode", "SKU"], transforms = ["lower", "key"], prefix = "prd_", same = "letter-case" }
//! name = { column = "Description", transforms = ["trim"], pick = "first-non-empty" }
//! "status.phase" = { column = "State", transforms = [{ map = { live = "active", "*" = "archived" } }], on = "create" }
//! "labels.shop" = { value = "north" }
//! "labels.tag/*" = { column = "Tags", split = ",", transforms = ["label"], value = "true", most = 50 }
//! ```
//!
//! The lists of a row are described in sections with their names. Each section makes one element of the list, either
//! for each record of the row or for the row as a whole.
//!
//! ```toml
//! [[line_items]]
//! each = "record"               # One element for each record (the default), or for each "row".
//! on = "create"                 # Optional: only new rows take the list. The same in all sections of a list.
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
//! An element is left out if all its columns are empty. The elements of the row come first, then those of the records
//! in file order.
//!
//! # Paths
//!
//! A path names a field of the resource as in the contract: `name`, `status.phase`, `create_ts`. After a map (`labels`,
//! `annotations`) and after `status.details`, the rest of the path is the key, with its dots and slashes:
//! `annotations.source/stock-code`. In TOML a path with dots must be quoted. A path below a map that ends in `*` makes
//! one key for each part of a split text. The key field (`uid`) is required; output-only fields are not allowed. A list
//! of messages is not a path but has its own section.
//!
//! # Rules
//!
//! | setting | meaning |
//! | --- | --- |
//! | `column` | CSV: the name of a column in the header. JSONL: a key, or a dotted path to one. Numbers and booleans are taken as written; null is empty. A list of names: the file must have exactly one of them. |
//! | `optional` | `true`: a CSV file may lack the column, which is then empty. A JSON record may always lack a key. |
//! | `transforms` | A list, applied from left to right; see below. |
//! | `prefix` | Text before the result, unless that is empty. |
//! | `pick` | With `[group]`: the record whose value the row takes: `first-non-empty` (the default), `first`, `last-non-empty`, `last`, `earliest`, `latest` (times only). |
//! | `value` | Without `column`: a constant. On a path that ends in `*`: the value of each key; the default is the original part. |
//! | `json` | `true`: the column has a message as JSON, such as all of `design_asset`. The path names that message. |
//! | `split` | On a path that ends in `*`, and on a path of product tags: the separator of the parts. A JSON list needs none. Empty parts are dropped. |
//! | `most` | On a path that ends in `*`: the most keys that a record makes. Further keys are left out and counted. |
//! | `same` | On a uid: different texts that may become the same uid: `letter-case` (they differ only in letter case) or `all`. See "Keys". |
//! | `on` | `create`: only new rows take the field. See "Existing rows". |
//!
//! A path may have a list of rules. A list of texts gets one element from each rule, and a path that ends in `*` gets
//! the keys of each. Any other field takes the first result that is not empty: `"status.phase" = [{ column =
//! "Cancelled", ... }, { column = "Paid", ... }]`.
//!
//! If two parts of a text become the same key with different values, the first is used and the other is counted as left
//! out. A key that is named exactly takes precedence over the same key of a path that ends in `*`.
//!
//! Empty text leaves a field unset. Other text is parsed by the field's type: RFC 3339 for a time, digits for a number,
//! `true` or `false`, the name of an enum value in any letter case, with or without the beginning that all names of the
//! enum share (`ADDRESS_KIND_BILLING` or `billing`).
//!
//! # Tags
//!
//! Files name tags where the contract has uids. A product tag has `tag_uid` or `tag_name`; the name is used if the uid
//! is empty. A tag has a `category_name` beside its own fields, and `name` can be its key in place of `uid`: the tag
//! with that name, in any letter case, is updated in the other fields, and keeps the spelling of its name.
//!
//! A record of product tags makes a row, or with `split` one for each part. Blanks around the parts are removed. A
//! record without a tag makes no row. A tag that a record names again, or with `[group]` another record of the same
//! product, makes no further row; letter case makes no difference.
//!
//! ```toml
//! [group]                       # Optional; needed by --mode replace.
//! by = "product_uid"
//!
//! [fields]
//! product_uid = { column = "Handle", transforms = ["lower", "key"], prefix = "prd_" }
//! tag_name = { column = "Tags", split = "," }
//! ```
//!
//! # Payloads
//!
//! An artifact has one payload, which says its kind: `design_asset`, `combo_template` and so on. A mapping names the
//! fields of a payload (`"design_asset.content_hash"`) or, with `json`, all of it (`design_asset`), and may do so for
//! several kinds. A record with values for two kinds is refused.
//!
//! # Keys
//!
//! Two different texts of a file must not become the same uid: they would become one row, or one line of an order, or
//! reference one product. The second of such texts is refused, and the refusal shows both texts and both lines. The
//! same text may occur again. This applies to the key field, to the field of `by`, and to each field named `uid` or
//! ending in `_uid`; the uids of list elements are compared within their row. The records of a group must have the same
//! key, unless `pick` says which one to use. White space at the ends and the composition of characters (`é`, or `e`
//! with an accent: Unicode's NFC) never make a difference; `same` allows more. The check needs about 80 bytes of memory
//! for each different uid. It is not needed for rules with only `trim` and `key`, which keep different texts apart (nor
//! with `lower` before them and `same = "letter-case"`). A key cannot be a constant and cannot have a `default`.
//!
//! The check covers one file. Across files only `key` keeps different texts apart, because a stored row does not record
//! the text of its uid.
//!
//! # Existing rows
//!
//! An import overwrites what its mapping names and keeps everything else. Labels and annotations with other keys are
//! kept. A named key that is no longer in the file is removed; `labels.tag/*` covers every key that begins with `tag/`.
//! Any other field that a row leaves unset keeps its stored value. A list that has a section is replaced as a whole if
//! the row has elements of it. `on = "create"` limits a field to new rows, so that people can change it afterwards,
//! such as a phase. All rules of a path, and all sections of a list, must have the same `on`. `create_ts` is always
//! limited to new rows. JSONL that is imported without a mapping overwrites each field that is set in a row, and all
//! labels.
//!
//! # Transforms
//!
//! A text that a transform cannot convert is refused. Only `default` changes an empty text.
//!
//! | transform | meaning |
//! | --- | --- |
//! | `trim`, `lower`, `upper` | Remove white space at the ends; convert to lower case; convert to upper case. |
//! | `key` | For uids. Keeps a text of a-z, 0-9 and single `-`; adds a digest to any other text, so that different texts stay different. White space at the ends is removed. |
//! | `label` | For names and values of labels: lower case, other characters become `-`, at most 63 characters. A text with letters or signs that a label cannot have gets a digest. Letter case, white space and punctuation make no difference. |
//! | `slug` | Lower case, each run of characters other than a-z and 0-9 becomes one `-`, at the ends too. A text without letters and digits is refused. Different texts can have the same slug. |
//! | `decimal` | An exact number such as `12.50`. Other notations are refused. Zeros after the fourth decimal place are removed. |
//! | `{ decimal = { mark = ",", group = ".", currency = ["€"], parentheses = true, trailing-minus = true, digits = 2 } }` | The decimal mark (default "."); the group separator (default none; " " is a space of any width); currency signs and codes, before or after; whether `(5)` and `5-` are -5; the most decimal places, after which only zeros are allowed. U+2212 is a minus as well. |
//! | `{ timestamp = { format = "%Y-%m-%d %H:%M:%S", zone = "Europe/London" } }` | strftime, or "rfc3339"; see below. |
//! | `{ strip-prefix = "#" }`, `{ strip-suffix = ".0" }` | Removes that text at the beginning or end, if it is there. |
//! | `{ trim-characters = "-" }` | Removes these characters at both ends. |
//! | `{ replace = { "_" = "-" } }` | Replaces each of these texts by another, the longest first. |
//! | `{ truncate = 63 }` | Keeps the first characters. |
//! | `{ map = { "C*" = "returned", "*" = "fulfilled" } }` | Replaces an exact match first, then the longest matching pattern; other texts are refused. "" makes the field empty. |
//! | `{ default = "draft" }` | Replaces empty text. |
//!
//! A `timestamp` has a whole date. The time of day is whole or missing, which means midnight. Contradictory parts (a
//! wrong day of the week, `%p` beside `%H`) are refused, and so are leap seconds, which cannot be stored. `%y` 69 is
//! 2069, and 70 is 1970. Texts without an offset (`%z`) are times in `zone`. An abbreviation (`%Z`) has the meaning of
//! `zone` at that time, or else its general meaning (UTC, GMT, CET, EST, PST and similar); unknown and ambiguous ones,
//! such as IST, are refused. A local time that occurs twice when clocks are set back is the first one, unless `%Z`
//! decides. A time that is skipped when clocks are set forward is read as if they had not been. `clock-change =
//! "refuse"` refuses both.
//!
//! # Records that cannot be read
//!
//! A record is refused, and adds nothing to its group, if its key is empty or a text cannot be converted as its rule
//! says; if a cell that is read is not valid in the file's encoding, or continues after its closing quote; if a CSV
//! record has more cells than the header and these have content; or if a line of JSONL is not a JSON object. Missing
//! cells at the end of a CSV record are empty. A record with only empty cells is skipped.
//!
//! If each record makes an element of a list, a row that lacks a record is wrong, so the group of a refused record is
//! refused as well. If the group is unknown, because the key or the whole record cannot be read, all groups are refused
//! that the record may belong to: all groups of the file, or with `consecutive` the group before and the group after
//! it. If records do not make elements, the other records of the group still make its row.
//!
//! # Memory
//!
//! Memory holds one record, or with `[group]` the unfinished groups up to a limit (`--group-memory`). A group takes
//! about as much memory as the columns that are read. Groups beyond the limit are sorted in temporary files
//! (`--temp-dir`), which have no name, so that none is left behind. With `consecutive`, memory holds one group and
//! about 40 bytes for each earlier one. A group that continues after another one has begun ends the import, although
//! its first part was already sent.

mod decimal;
mod document;
mod fields;
mod group;
mod key;
mod members;
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
pub(crate) use group::{Group, GroupContent, GroupMemory, Groups};
pub(crate) use plan::{Plan, ROW_LIMIT, Values};
pub(crate) use rule::MappedColumn;
pub(crate) use sources::{Collision, Sources};
pub(crate) use target::{read_scalar, value_of};

use std::borrow::Cow;
use std::fmt;

/// The value of a record in one column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    /// Text, which may be empty.
    Text(String),
    /// A JSON list of texts.
    List(Vec<String>),
}

/// Why a transform refused a text. Does not contain the text, so that refusals can be counted by reason.
pub(crate) type Problem = Cow<'static, str>;

/// Values of a record that were left out of its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Omission {
    /// The path that the values were meant for.
    pub(crate) path: String,
    /// The reason. Does not depend on the record.
    pub(crate) problem: Problem,
    /// How many values were left out.
    pub(crate) count: usize,
}

/// Why a record or its row was refused.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RecordRefusal {
    /// The field or column; empty if it is the whole record.
    pub(crate) field: String,
    /// The reason. Does not depend on the record, so that refusals can be counted by it.
    pub(crate) problem: Problem,
    /// The value, shortened.
    pub(crate) value: String,
}

impl RecordRefusal {
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

/// The first characters of a text, with an ellipsis if there are more.
fn shortened(text: &str, most: usize) -> String {
    let mut shown: String = text.chars().take(most).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

impl fmt::Display for RecordRefusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(formatter, "{}: ", self.field)?;
        }
        formatter.write_str(&self.problem)?;
        if self.value.is_empty() { Ok(()) } else { write!(formatter, ": {:?}", self.value) }
    }
}
