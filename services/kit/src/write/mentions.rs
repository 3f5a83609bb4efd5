//! What the rows of a chunk say about owners beyond the rows that are written, if the write replaces the rows of
//! owners: that an owner has no rows; which refused rows it would have.

use std::collections::{HashMap, HashSet};

use rustc_hash::FxBuildHasher;

use super::chunk::{Chunk, ChunkRow, REFUSED};
use super::refusal::{Refusals, row_error};
use crate::error::{Error, Violation};
use crate::resource::Resource;
use crate::resource::key::compare;
use crate::resource::owner::OwnerRow;
use crate::resource::tuple::prefix;

/// What a row that is not written says about its owner.
#[derive(Debug)]
pub(super) struct Mention {
    /// The row's offset in the write.
    pub(super) offset: i64,
    pub(super) says: OwnerRow,
    /// Whether the rows of the owner are replaced because of it. False for a row that was committed before.
    pub(super) names_owner: bool,
    /// Where the columns of the key that are known stand among the chunk's tuples.
    start: usize,
    end: usize,
}

impl Mention {
    /// What a row says that could not be decoded; `None` if it does not name its owner. Appends what it names to
    /// `tuples`.
    pub(super) fn read(resource: &Resource, message: &[u8], offset: i64, tuples: &mut Vec<u8>) -> Option<Self> {
        let start = tuples.len();
        let says = resource.owner_row(message, tuples)?;
        Some(Self { offset, says, names_owner: true, start, end: tuples.len() })
    }

    /// Whether it says that the owner has no rows.
    pub(super) fn is_of_nothing(&self) -> bool {
        self.says == OwnerRow::Nothing
    }
}

impl Chunk {
    /// The columns of a mention's key that are known; at least the owner's.
    pub(super) fn mentioned(&self, mention: &Mention) -> &[u8] {
        &self.tuples[mention.start..mention.end]
    }

    /// The columns of the owner in a key.
    pub(super) fn owner<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        prefix(key, self.owner_columns)
    }

    /// The mentions that say that an owner has no rows.
    pub(super) fn of_nothing(&self) -> impl Iterator<Item = &Mention> {
        self.mentions.iter().filter(|mention| mention.is_of_nothing())
    }

    /// The owners whose rows the chunk replaces, some of them several times.
    pub(super) fn owners(&self) -> impl Iterator<Item = &[u8]> {
        let of_rows = self.rows.iter().map(|row| self.key(row));
        let naming = self.mentions.iter().filter(|mention| mention.names_owner);
        of_rows.chain(naming.map(|mention| self.mentioned(mention))).map(|key| self.owner(key))
    }

    /// What no two chunks that share a commit have in common, so that each is written as if it were alone: the keys of
    /// their rows, or their owners if the write replaces rows.
    pub(super) fn scopes(&self) -> Box<dyn Iterator<Item = &[u8]> + '_> {
        if self.owner_columns == 0 {
            Box::new(self.rows.iter().map(|row| self.key(row)))
        } else {
            Box::new(self.owners())
        }
    }

    /// The first and the last one of these, in the order of keys.
    pub(super) fn scope_bounds(&self, resource: &Resource) -> Option<(&[u8], &[u8])> {
        if self.owner_columns == 0 {
            return Some((self.key(self.rows.first()?), self.key(self.rows.last()?)));
        }
        let first = self.owners().min_by(|a, b| compare(resource, a, b))?;
        let last = self.owners().max_by(|a, b| compare(resource, a, b))?;
        Some((first, last))
    }

    /// Keeps the last of several rows that say that an owner has no rows. Refuses such a row if the chunk holds rows of
    /// the owner.
    pub(super) fn settle_mentions(&mut self, resource: &Resource) {
        if self.of_nothing().next().is_none() {
            return;
        }
        let written = self.rows.iter().map(|row| self.key(row));
        let mentioned = self.mentions.iter().filter(|mention| !mention.is_of_nothing());
        let others: HashSet<&[u8], FxBuildHasher> =
            written.chain(mentioned.map(|mention| self.mentioned(mention))).map(|key| self.owner(key)).collect();
        let mut last: HashMap<&[u8], i64, FxBuildHasher> = HashMap::default();
        for mention in self.of_nothing() {
            last.insert(self.mentioned(mention), mention.offset);
        }
        let fate = |mention: &Mention| {
            let owner = self.mentioned(mention);
            match (mention.is_of_nothing(), others.contains(owner)) {
                (false, _) => NothingFate::Kept,
                (true, true) => NothingFate::Refused(resource.name_of(owner)),
                (true, false) if last.get(owner) == Some(&mention.offset) => NothingFate::Kept,
                (true, false) => NothingFate::Superseded,
            }
        };
        let fates: Vec<NothingFate> = self.mentions.iter().map(fate).collect();
        let mut refusals = Refusals::default();
        for (mention, fate) in std::mem::take(&mut self.mentions).into_iter().zip(fates) {
            match fate {
                NothingFate::Kept => self.mentions.push(mention),
                NothingFate::Superseded => self.superseded += 1,
                NothingFate::Refused(owner) => {
                    let offset = mention.offset;
                    if let Some(hash) =
                        usize::try_from(offset - self.first_offset).ok().and_then(|at| self.hashes.get_mut(at))
                    {
                        *hash = REFUSED;
                    }
                    refusals.push(|| {
                        let field = resource.description.key.get(self.owner_columns).copied().unwrap_or_default();
                        let why = format!("is unset, as if {owner} had no rows, but the chunk holds rows of it");
                        let violation = Violation::new(field, why);
                        row_error(offset, &Error::Invalid(vec![violation.clone()]), &violation)
                    });
                    self.mentions.push(Mention { says: OwnerRow::UnknownKey, ..mention });
                }
            }
        }
        self.refusals.merge(&refusals);
    }

    /// Remembers rows before an offset, which were committed: those that were sent in one message with rows that are
    /// still to be written. They stay when these replace the rows of their owner.
    pub(super) fn remember_committed(&mut self, offset: i64, before: Vec<ChunkRow>) {
        if self.owner_columns == 0 {
            return;
        }
        let mut mentions = std::mem::take(&mut self.mentions);
        mentions.retain(|mention| mention.offset >= offset || !mention.is_of_nothing());
        for mention in &mut mentions {
            mention.names_owner &= mention.offset >= offset;
        }
        mentions.extend(before.into_iter().map(|row| Mention {
            offset: row.offset,
            says: OwnerRow::Key,
            names_owner: false,
            start: row.start,
            end: row.key_end,
        }));
        self.mentions = mentions;
        let named: HashSet<&[u8], FxBuildHasher> = self.owners().collect();
        let is_named = |mention: &Mention| named.contains(self.owner(self.mentioned(mention)));
        let keep: Vec<bool> = self.mentions.iter().map(is_named).collect();
        let mut keep = keep.into_iter();
        self.mentions.retain(|_| keep.next().unwrap_or(true));
    }
}

/// What becomes of a row that says that its owner has no rows.
enum NothingFate {
    Kept,
    /// Another one says the same.
    Superseded,
    /// The chunk holds rows of the owner, which has this name.
    Refused(String),
}
