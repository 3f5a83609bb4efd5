//! The rows of a chunk: decoded, checked, hashed, and with each key only once.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::mentions::Mention;
use super::refusal::{Refusals, row_error};
use crate::budget::{HeldMemory, MemoryShare};
use crate::error::Error;
use crate::resource::Resource;
use crate::resource::decode::{KeyPolicy, Precondition};
use crate::resource::key::compare;
use crate::resource::mask::UpdateMask;
use crate::resource::tuple::Columns;
use crate::timestamp;

/// The hash in the ledger for an invalid row. Such a row has no canonical form to hash, and nothing of it was stored.
/// If it is sent again after it was corrected, its hash differs.
pub(super) const REFUSED: u64 = 0;

/// How the rows of a write are read.
#[derive(Clone, Copy, Debug)]
pub struct RowForm<'w> {
    /// The keys that they may have.
    pub keys: KeyPolicy,
    /// The fields that are decoded; `None` for all.
    pub update: Option<&'w UpdateMask>,
    /// Whether the rows of an owner replace those that are stored.
    pub replaces: bool,
}

/// One row of a chunk that is ready to be written.
#[derive(Debug)]
pub struct ChunkRow {
    /// Its offset in the write.
    pub offset: i64,
    /// The etag and revision that the stored row must have.
    pub precondition: Precondition,
    pub(super) start: usize,
    end: usize,
    pub(super) key_end: usize,
}

/// A chunk that is ready to be written, or its remainder if its first rows were written before.
#[derive(Debug)]
pub struct Chunk {
    /// The offset of its first row.
    pub first_offset: i64,
    /// The offset of the message that contained it. Places in the message count from there.
    pub message_offset: i64,
    /// The rows that passed every check, each key once, in the order of their keys.
    pub rows: Vec<ChunkRow>,
    /// A hash of each row's content, valid or not.
    pub hashes: Vec<u64>,
    /// The refusals of the other rows.
    pub refusals: Refusals,
    /// The number of rows that were dropped for another row with the same key.
    pub superseded: usize,
    /// If the write replaces the rows of owners: what rows that are not written say about them. In no order.
    pub(super) mentions: Vec<Mention>,
    /// How many columns of the key are those of the owner, if the write replaces rows; otherwise 0.
    pub(super) owner_columns: usize,
    pub(super) tuples: Vec<u8>,
    /// Counts its bytes while it exists.
    held: Option<HeldMemory>,
}

impl Chunk {
    /// Decodes and checks the rows of a chunk.
    pub fn decode(resource: &Resource, form: RowForm<'_>, first_offset: i64, messages: &[&[u8]]) -> Self {
        let RowForm { keys, update, replaces } = form;
        let mut tuples = Vec::with_capacity(messages.iter().map(|message| message.len()).sum::<usize>() * 5 / 4);
        let mut rows: Vec<ChunkRow> = Vec::with_capacity(messages.len());
        let mut hashes = Vec::with_capacity(messages.len());
        let mut refusals = Refusals::default();
        let mut mentions = Vec::new();
        for (offset, message) in (first_offset..).zip(messages) {
            let start = tuples.len();
            let decoded = resource.decode(message, keys, update, &mut tuples).and_then(|decoded| {
                // The hash of the values that were sent, before rules changed them.
                let hash = content_hash(&tuples[start..], &decoded.precondition);
                resource.check(&mut tuples, start, update).map(|()| (decoded, hash))
            });
            match decoded {
                Ok((decoded, hash)) => {
                    let tuple = &tuples[start..];
                    hashes.push(hash);
                    let key_end = start + key_length(resource, tuple);
                    rows.push(ChunkRow {
                        offset,
                        precondition: decoded.precondition,
                        start,
                        end: tuples.len(),
                        key_end,
                    });
                }
                Err(violations) => {
                    let mention = if replaces { Mention::read(resource, message, offset, &mut tuples) } else { None };
                    if mention.as_ref().is_some_and(Mention::is_of_nothing) {
                        hashes.push(content_hash(&tuples[start..], &Precondition::default()));
                        mentions.extend(mention);
                        continue;
                    }
                    mentions.extend(mention);
                    hashes.push(REFUSED);
                    refusals.push(|| {
                        let violation = violations
                            .first()
                            .cloned()
                            .unwrap_or_else(|| crate::error::Violation::new("", "breaks a rule"));
                        let invalid = Error::Invalid(vec![violation.clone()]);
                        row_error(offset, &invalid, &violation)
                    });
                }
            }
        }
        // The chunk may wait for a long time.
        tuples.shrink_to_fit();
        let message_offset = first_offset;
        let owner_columns = if replaces { resource.owner_length() } else { 0 };
        let mut chunk = Self {
            first_offset,
            message_offset,
            rows,
            hashes,
            refusals,
            superseded: 0,
            mentions,
            owner_columns,
            tuples,
            held: None,
        };
        chunk.keep_one_of_each_key(resource);
        chunk.settle_mentions(resource);
        chunk
    }

    /// Keeps the last row of each key. If the resource keeps the newest, keeps the last of the newest.
    fn keep_one_of_each_key(&mut self, resource: &Resource) {
        // Rows in the order of their keys, which is common, have no duplicates.
        if self.rows.is_sorted_by(|a, b| compare(resource, self.key(a), self.key(b)).is_lt()) {
            return;
        }
        let newest = resource.description.newest_by.and_then(|name| resource.input_position(name));
        let now = timestamp::now();
        let age = |tuple: &[u8]| -> i64 {
            let Some(at) = newest else { return 0 };
            let value = Columns::new(tuple).nth(at).flatten();
            // An unset time means now.
            value.and_then(|value| value.try_into().ok()).map_or(now, i64::from_be_bytes)
        };
        let mut kept: HashMap<&[u8], (i64, i64), FxBuildHasher> =
            HashMap::with_capacity_and_hasher(self.rows.len(), FxBuildHasher);
        for row in &self.rows {
            let this = (age(&self.tuples[row.start..row.end]), row.offset);
            let best = kept.entry(&self.tuples[row.start..row.key_end]).or_insert(this);
            *best = this.max(*best);
        }
        let before = self.rows.len();
        if kept.len() < before {
            let keep: Vec<bool> =
                self.rows.iter().map(|row| kept[&self.tuples[row.start..row.key_end]].1 == row.offset).collect();
            let mut keep = keep.into_iter();
            self.rows.retain(|_| keep.next().unwrap_or(true));
            self.superseded = before - self.rows.len();
        }
        let tuples = &self.tuples;
        let key = |row: &ChunkRow| &tuples[row.start..row.key_end];
        self.rows.sort_by(|a, b| compare(resource, key(a), key(b)));
    }

    /// Removes the rows before an offset within the chunk, and returns their hashes.
    pub fn take_before(&mut self, offset: i64) -> Vec<u64> {
        let rest = self.hashes.split_off(usize::try_from(offset - self.first_offset).unwrap_or_default());
        let taken = std::mem::replace(&mut self.hashes, rest);
        self.first_offset = offset;
        let (before, rest) = std::mem::take(&mut self.rows).into_iter().partition(|row| row.offset < offset);
        self.rows = rest;
        self.remember_committed(offset, before);
        self.refusals.keep_from(offset, self.hashes.iter().filter(|hash| **hash == REFUSED).count());
        self.superseded = self.hashes.len() - self.rows.len() - self.of_nothing().count() - self.refusals.count();
        taken
    }

    /// The number of rows that were sent, valid or not.
    pub fn sent_rows(&self) -> usize {
        self.hashes.len()
    }

    /// The offset after its last row.
    pub fn end_offset(&self) -> i64 {
        self.first_offset + self.hashes.len() as i64
    }

    /// The memory that it takes, decoded, in bytes. This is the size that counts while it waits, not the size on the
    /// wire.
    pub fn decoded_bytes(&self) -> usize {
        self.tuples.capacity()
            + self.rows.capacity() * size_of::<ChunkRow>()
            + self.rows.iter().map(|row| row.precondition.etag.len()).sum::<usize>()
            + self.hashes.len() * size_of::<u64>()
            + self.mentions.capacity() * size_of::<Mention>()
            + self.refusals.bytes()
    }

    /// Counts its decoded bytes against the memory limit of its connection until it is dropped.
    pub(super) fn count_against(&mut self, share: &MemoryShare) {
        self.held = Some(share.hold(self.decoded_bytes()));
    }

    /// A row's input tuple.
    pub fn tuple(&self, row: &ChunkRow) -> &[u8] {
        &self.tuples[row.start..row.end]
    }

    /// A row's key, as a prefix of its tuple.
    pub fn key(&self, row: &ChunkRow) -> &[u8] {
        &self.tuples[row.start..row.key_end]
    }
}

fn key_length(resource: &Resource, tuple: &[u8]) -> usize {
    let mut columns = Columns::new(tuple);
    columns.by_ref().take(resource.key_length()).for_each(drop);
    tuple.len() - columns.rest().len()
}

/// A hash of a row. Unset fields at its end do not count, so a row keeps its hash if a field is added to the contract.
fn content_hash(tuple: &[u8], precondition: &Precondition) -> u64 {
    let mut columns = Columns::new(tuple);
    let mut end = 0;
    while let Some(column) = columns.next() {
        if column.is_some() {
            end = tuple.len() - columns.rest().len();
        }
    }
    let Precondition { etag, revision } = precondition;
    let seed = if etag.is_empty() { 0 } else { xxh3_64(etag.as_bytes()) };
    xxh3_64_with_seed(&tuple[..end], seed.wrapping_add(u64::from(revision.unsigned_abs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(columns: &[Option<&str>]) -> Vec<u8> {
        let mut tuple = Vec::new();
        for column in columns {
            tuple.extend_from_slice(&column.map_or(-1, |text| text.len() as i32).to_be_bytes());
            tuple.extend_from_slice(column.unwrap_or_default().as_bytes());
        }
        tuple
    }

    #[test]
    fn a_field_that_is_added_later_does_not_change_a_rows_hash() {
        let hash = |columns: &[Option<&str>]| content_hash(&tuple(columns), &Precondition::default());
        assert_eq!(hash(&[Some("a"), None, Some("b")]), hash(&[Some("a"), None, Some("b"), None, None]));
        assert_ne!(hash(&[Some("a"), None, Some("b")]), hash(&[Some("a"), Some("b")]));
        assert_ne!(hash(&[Some("a")]), hash(&[Some("a"), Some("")]));
        for (etag, revision) in [("etag", 0), ("", 1)] {
            let precondition = Precondition { etag: etag.to_owned(), revision };
            assert_ne!(hash(&[Some("a")]), content_hash(&tuple(&[Some("a")]), &precondition));
        }
        assert_ne!(hash(&[]), REFUSED);
    }
}
