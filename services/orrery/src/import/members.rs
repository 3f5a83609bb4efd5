//! The rows that belong to one owner: the tags of a product, of which a file may have several in one record.

use std::collections::HashSet;

use prost::Message as _;
use prost_types::Timestamp;

use super::names::check_name;
use super::rows::{EncodedRow, FileItem, Loss};
use crate::mapping::{ROW_LIMIT, RecordRefusal};
use crate::resource::PRODUCT_TAGS;

/// A product with its tags, as [`crate::contract`] describes it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct OwnerRows {
    #[prost(string, tag = "1")]
    product_uid: String,
    #[prost(message, repeated, tag = "2")]
    rows: Vec<Member>,
}

/// `orrery.records.v1.ProductTag` with what a file says beside it: see [`crate::contract`].
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Member {
    #[prost(string, tag = "1")]
    pub(crate) product_uid: String,
    #[prost(string, tag = "2")]
    pub(crate) tag_uid: String,
    #[prost(message, optional, tag = "3")]
    pub(crate) create_ts: Option<Timestamp>,
    /// The name of the tag. Only used without a uid.
    #[prost(string, tag = "1000")]
    pub(crate) tag_name: String,
    /// The line of the record; 0 if it is the owner's.
    #[prost(uint64, tag = "1001")]
    line: u64,
}

impl OwnerRows {
    /// An owner of which the file has one row here.
    pub(crate) fn of_one(row: Member, line: u64) -> Self {
        Self { product_uid: row.product_uid.clone(), rows: vec![Member { line, ..row }] }
    }

    /// The rows to write, and the refused ones. A tag counts once, in any letter case. If the rows replace those that
    /// are stored, they stay together, and an owner without rows says so.
    pub(crate) fn into_items(self, replaces: bool, line: u64) -> Vec<FileItem> {
        let mut seen = HashSet::new();
        let mut items = Vec::new();
        let mut rows = 0;
        for mut row in self.rows {
            let line = if row.line == 0 { line } else { row.line };
            if row.tag_uid.is_empty() {
                if row.tag_name.is_empty() || !seen.insert((false, row.tag_name.to_lowercase())) {
                    continue;
                }
                if let Err(problem) = check_name(&row.tag_name) {
                    let refusal = RecordRefusal::new("tag_name", problem, &row.tag_name);
                    items.push(FileItem::Refused(line, refusal, Loss::Row));
                    continue;
                }
            } else if !seen.insert((true, row.tag_uid.clone())) {
                continue;
            } else {
                row.tag_name.clear();
            }
            let row = Member { product_uid: self.product_uid.clone(), line: 0, ..row };
            items.push(item(line, &row, replaces && rows > 0));
            rows += 1;
        }
        if replaces && rows == 0 {
            items.push(item(line, &Member { product_uid: self.product_uid, ..Member::default() }, false));
        }
        items
    }
}

fn item(line: u64, row: &Member, joins: bool) -> FileItem {
    let bytes = row.encode_to_vec();
    if bytes.len() > ROW_LIMIT {
        let refusal = RecordRefusal::new(PRODUCT_TAGS.key, "the row is too large", &format!("{} bytes", bytes.len()));
        return FileItem::Refused(line, refusal, Loss::Row);
    }
    FileItem::Row(EncodedRow { line, bytes: bytes.into(), joins })
}
