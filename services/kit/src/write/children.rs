//! Writes children while their owners are locked. The children of new rows are created. For existing rows the keys of
//! the stored children are read first. Then it is known which of the children that were sent are new, which may differ,
//! and which stored ones were not sent.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::child_pages::ChildPages;
use super::delete::delete_many;
use super::rows::{ARRAY_ROWS, Returning, RowStatements};
use crate::db::{Statement, Transaction};
use crate::error::{Error, Violation};
use crate::resource::Resource;
use crate::resource::batch::{Entry, Replacing};
use crate::resource::child_table::ChildTable;
use crate::resource::mask::{MaskPath, Reach, UpdateMask};
use crate::resource::tuple::prefix;
use crate::resource::tuple::put_prefixed;
use crate::work;

/// The statements for one child table of a resource.
#[derive(Clone, Debug)]
pub(super) struct ChildStatements {
    owner: &'static Resource,
    nth: usize,
    replacing: Replacing,
    rows: RowStatements,
    /// The keys of some owners' children, page by page.
    keys: ChildPages,
    delete: Arc<str>,
}

/// Children as whole input tuples, one after the other.
#[derive(Default)]
struct ChildTuples {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// The place of each child's owner.
    owners: Vec<usize>,
}

impl ChildTuples {
    /// Adds an owner's children.
    fn extend(&mut self, child_table: &ChildTable, owner: usize, key: &[u8], children: &[u8]) {
        child_table.rows(key, children, &mut self.bytes, &mut self.ends);
        self.owners.resize(self.ends.len(), owner);
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut start = 0;
        self.owners.iter().zip(&self.ends).map(move |(&owner, &end)| {
            let tuple = &self.bytes[start..end];
            start = end;
            (owner, tuple)
        })
    }
}

impl ChildStatements {
    /// The statements for one child table and a mask of the owners.
    pub(super) fn new(owner: &'static Resource, nth: usize, mask: &UpdateMask) -> Self {
        let child_table = &owner.child_tables[nth];
        let field = owner.fields.iter().position(|field| field.child_table() == Some(nth));
        let replacing = field.map_or(Replacing::Nothing, |field| Replacing::of(mask, field));
        let whole = child_table.replaced || replacing == Replacing::Named;
        let child_mask =
            if whole { UpdateMask::Paths(own_columns(child_table.resource)) } else { UpdateMask::Populated };
        let mut rows = RowStatements::new(child_table.resource, Some(&child_mask), Returning::Places);
        rows.keep_prepared();
        let keys = ChildPages::of_keys(child_table.resource, owner.key_length());
        Self { owner, nth, replacing, rows, keys, delete: delete_many(child_table.resource).into() }
    }

    fn child_table(&self) -> &'static ChildTable {
        &self.owner.child_tables[self.nth]
    }

    /// How existing owners' children are treated.
    pub(super) fn replacing(&self) -> Replacing {
        self.replacing
    }

    /// The statements, each with a name, for people who read them.
    pub(super) fn sql(&self) -> Vec<(String, Arc<str>)> {
        let name = self.child_table().name;
        let keys = self.keys.sql().map(|(page, sql)| (format!("{name}: keys of some owners' children, {page}"), sql));
        let mut all: Vec<_> = keys.collect();
        all.push((format!("{name}: delete"), Arc::clone(&self.delete)));
        all.extend(self.rows.sql().into_iter().map(|(what, sql)| (format!("{name}: {what}"), sql)));
        all
    }

    /// Creates the children of new rows. Before that, deletes children whose owner another program deleted.
    ///
    /// # Errors
    /// As [`RowStatements::create`].
    pub(super) async fn create(
        &self,
        transaction: &mut Transaction<'_>,
        owners: &[&Entry<'_>],
        now: i64,
    ) -> Result<(), Error> {
        let child_table = self.child_table();
        let keys: Vec<&[u8]> = owners.iter().map(|owner| self.owner_key(owner)).collect();
        let mut left = Vec::new();
        self.keys.read(transaction, &keys, |key| left.push(key.to_vec())).await?;
        self.delete(transaction, &left.iter().map(Vec::as_slice).collect::<Vec<_>>()).await?;
        let mut rows = ChildTuples::default();
        let children = || {
            for (place, owner) in owners.iter().enumerate() {
                let children = owner.children(self.owner, self.nth).unwrap_or_default();
                rows.extend(child_table, place, self.owner_key(owner), children);
            }
        };
        work::run_in_place(bytes_of(owners), children).await;
        let tuples: Vec<&[u8]> = rows.iter().map(|(_, tuple)| tuple).collect();
        if tuples.is_empty() { Ok(()) } else { self.rows.create(transaction, &tuples, now).await }
    }

    /// Replaces the children of existing rows by those that were sent or set by rules. Marks the owners whose children
    /// changed in `touched`.
    ///
    /// # Errors
    /// As [`RowStatements::update`].
    pub(super) async fn replace(
        &self,
        transaction: &mut Transaction<'_>,
        owners: &[&Entry<'_>],
        now: i64,
        touched: &mut [bool],
    ) -> Result<(), Error> {
        let (rows, mut stored) = self.replacements(transaction, owners).await?;
        let key_length = self.child_table().resource.key_length();
        let (mut new, mut existing) = (Vec::new(), Vec::new());
        for (owner, tuple) in rows.iter() {
            if stored.remove(prefix(tuple, key_length)) {
                existing.push((owner, tuple));
            } else {
                touched[owner] = true;
                new.push(tuple);
            }
        }
        // The remaining stored children were not sent.
        if !stored.is_empty() {
            let places: HashMap<&[u8], usize> =
                owners.iter().enumerate().map(|(place, owner)| (self.owner_key(owner), place)).collect();
            let absent: Vec<&[u8]> = stored.iter().map(Vec::as_slice).collect();
            for key in &absent {
                if let Some(&owner) = places.get(prefix(key, self.child_table().owner_columns)) {
                    touched[owner] = true;
                }
            }
            self.delete(transaction, &absent).await?;
        }
        if !new.is_empty() {
            self.rows.create(transaction, &new, now).await?;
        }
        let tuples: Vec<&[u8]> = existing.iter().map(|(_, tuple)| *tuple).collect();
        self.rows.update(transaction, &tuples, &[], |place| touched[existing[place].0] = true).await?;
        Ok(())
    }

    /// The owners at `places` that have a new child whose uid breaks the grammar of new uids. A child that is stored
    /// already is accepted.
    ///
    /// # Errors
    /// The errors of the database.
    pub(super) async fn foreign(
        &self,
        transaction: &mut Transaction<'_>,
        entries: &[Entry<'_>],
        places: &[usize],
    ) -> Result<Vec<(usize, Violation)>, Error> {
        let child_table = self.child_table();
        let mut found = Vec::new();
        for &at in places {
            let owner = &entries[at];
            let Some(children) = owner.children(self.owner, self.nth) else { continue };
            if !self.replacing.applies(true) {
                continue;
            }
            for (place, uid, why) in child_table.foreign_children(children) {
                let mut key = self.owner_key(owner).to_vec();
                put_prefixed(&mut key, uid);
                found.push((at, key, place, why));
            }
        }
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let mut keys: Vec<&[u8]> = found.iter().map(|(at, ..)| self.owner_key(&entries[*at])).collect();
        keys.dedup();
        let mut stored = HashSet::new();
        self.keys
            .read(transaction, &keys, |key| {
                stored.insert(key.to_vec());
            })
            .await?;
        found.retain(|(_, key, ..)| !stored.contains(key));
        found.dedup_by_key(|(at, ..)| *at);
        Ok(found.into_iter().map(|(at, _, place, why)| (at, child_table.foreign_child(place, why))).collect())
    }

    /// The provided children and the keys of the stored children, for the owners whose children are replaced.
    async fn replacements(
        &self,
        transaction: &mut Transaction<'_>,
        owners: &[&Entry<'_>],
    ) -> Result<(ChildTuples, HashSet<Vec<u8>>), Error> {
        let mut rows = ChildTuples::default();
        let mut replaced = Vec::new();
        let children = || {
            for (place, owner) in owners.iter().enumerate() {
                let children = owner.children(self.owner, self.nth);
                if owner.set_children(self.nth).is_some() || self.replacing.applies(children.is_some()) {
                    rows.extend(self.child_table(), place, self.owner_key(owner), children.unwrap_or_default());
                    replaced.push(self.owner_key(owner));
                }
            }
        };
        work::run_in_place(bytes_of(owners), children).await;
        let mut stored = HashSet::new();
        self.keys
            .read(transaction, &replaced, |key| {
                stored.insert(key.to_vec());
            })
            .await?;
        Ok((rows, stored))
    }

    async fn delete(&self, transaction: &mut Transaction<'_>, keys: &[&[u8]]) -> Result<(), Error> {
        for batch in keys.chunks(ARRAY_ROWS.min(transaction.max_statement_rows())) {
            let delete = Statement::new(Arc::clone(&self.delete), batch.len());
            let delete = self.child_table().resource.bind_keys(delete, batch.iter().copied())?;
            transaction.write(delete).await?;
        }
        Ok(())
    }

    fn owner_key<'e>(&self, owner: &'e Entry<'_>) -> &'e [u8] {
        prefix(owner.tuple(), self.child_table().owner_columns)
    }
}

/// Every column of a child that may change, computed ones too.
fn own_columns(resource: &Resource) -> Vec<MaskPath> {
    let own = |at: &usize| resource.fields[*at].is_stored() && resource.fields[*at].is_changeable();
    (0..resource.fields.len()).filter(own).map(|field| MaskPath { field, reach: Reach::Whole }).collect()
}

fn bytes_of(owners: &[&Entry<'_>]) -> usize {
    owners.iter().map(|owner| owner.bytes()).sum()
}
