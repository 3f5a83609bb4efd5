//! The write of parts, under the lock of their owners. Children of new rows are created. Of existing rows the stored children's keys are
//! read first: then it is known which of the children sent are new, which may differ, and which are there and were not sent.

mod derived;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::Row as _;

pub(super) use self::derived::Derived;
use self::derived::{complete, sum};
use super::rows::{ARRAY_ROWS, Returning, RowStatements, arrays, same_key, unnested};
use crate::db::array::{ArrayParameter, ElementType};
use crate::db::{Statement, Transaction};
use crate::error::{Error, Violation};
use crate::read::point::put_tuple;
use crate::resource::Resource;
use crate::resource::mask::{Reach, Reached, UpdateMask};
use crate::resource::part::{Part, said};
use crate::resource::select::column;
use crate::resource::tuple::{Columns, put_prefixed};
use crate::work;

/// Which rows' children are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaching {
    /// None: a mask names other fields.
    Nothing,
    /// Those that say something of the part.
    Said,
    /// All: a mask names the part. A row that says nothing of it has no children.
    Named,
}

impl Reaching {
    /// Whether a row's children are replaced of which this was said.
    fn reaches(self, said: Option<&[u8]>) -> bool {
        match self {
            Self::Nothing => false,
            Self::Said => said.is_some(),
            Self::Named => true,
        }
    }
}

/// The statements for one part of a resource.
#[derive(Clone, Debug)]
pub(super) struct PartStatements {
    owner: &'static Resource,
    nth: usize,
    reaching: Reaching,
    /// The part that this one is computed from, and how it is reached.
    source: Option<(usize, Reaching)>,
    rows: RowStatements,
    /// The keys of some owners' children, page by page.
    keys: Arc<str>,
    /// Some owners' children as input tuples, page by page.
    stored: Arc<str>,
    delete: Arc<str>,
}

/// Children as whole input tuples, one after the other.
#[derive(Default)]
struct Rows {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Each one's owner, by its place.
    owners: Vec<usize>,
}

impl Rows {
    /// Adds an owner's children.
    fn extend(&mut self, part: &Part, owner: usize, key: &[u8], said: &[u8]) {
        part.rows(key, said, &mut self.bytes, &mut self.ends);
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

impl PartStatements {
    /// The statements for a part of a resource and a mask of the resource.
    pub(super) fn new(owner: &'static Resource, nth: usize, mask: &UpdateMask) -> Self {
        let part = &owner.parts[nth];
        let reaches = |path: &Reached, nth: usize| owner.fields[path.field].part() == Some(nth);
        let reaching = |nth: usize| match mask.paths() {
            None => Reaching::Said,
            Some(paths) if !paths.iter().any(|path| reaches(path, nth)) => Reaching::Nothing,
            Some(_) if mask.keeps_unset() => Reaching::Said,
            Some(_) => Reaching::Named,
        };
        let source = part.derivation.and_then(|derivation| {
            owner
                .parts
                .iter()
                .position(|part| part.name == derivation.source())
                .map(|source| (source, reaching(source)))
        });
        let all = || UpdateMask::Paths(columns_of_their_own(part.resource));
        let whole = part.replaced || part.derivation.is_some() || reaching(nth) == Reaching::Named;
        let child_mask = if whole { all() } else { UpdateMask::Populated };
        let mut rows = RowStatements::new(part.resource, Some(&child_mask), Returning::Places);
        rows.keep_prepared();
        let table = part.resource.description.table;
        let keys: Vec<String> = part.resource.description.key.iter().map(|key| format!("t.{key}")).collect();
        let keys = keys.join(", ");
        let page = |list: &str| {
            let places: Vec<String> = (0..part.resource.key_length()).map(|at| format!("${}", at + 2)).collect();
            format!(
                "select {list} from {table} as t where t.{} = any ($1) and ({keys}) > ({}) order by {keys} limit ${}",
                part.owner(),
                places.join(", "),
                part.resource.key_length() + 2
            )
        };
        let inputs: Vec<String> = part.resource.inputs().map(column).collect();
        let key_fields: Vec<_> = part.resource.inputs().take(part.resource.key_length()).collect();
        let delete = format!(
            "delete from {table} as t using {} where {}",
            unnested(key_fields.into_iter(), false),
            same_key(part.resource)
        );
        Self {
            owner,
            nth,
            reaching: reaching(nth),
            source,
            rows,
            keys: page(&keys).into(),
            stored: page(&inputs.join(", ")).into(),
            delete: delete.into(),
        }
    }

    fn part(&self) -> &'static Part {
        &self.owner.parts[self.nth]
    }

    /// Creates the children of new rows. What lies about under their keys, because another program deleted an owner and nothing else, goes.
    ///
    /// # Errors
    /// As [`RowStatements::create`].
    pub(super) async fn create(
        &self,
        transaction: &mut Transaction<'_>,
        owners: &[&[u8]],
        now: i64,
    ) -> Result<(), Error> {
        let part = self.part();
        let keys: Vec<&[u8]> = owners.iter().map(|tuple| first_column(tuple)).collect();
        let mut left = Vec::new();
        self.read(transaction, &self.keys, part.resource.key_length(), &keys, |key| left.push(key.to_vec())).await?;
        self.delete(transaction, &left.iter().map(Vec::as_slice).collect::<Vec<_>>()).await?;
        let mut rows = Rows::default();
        let children = || {
            for (place, tuple) in owners.iter().enumerate() {
                let own = said(self.owner, self.nth, tuple);
                match part.derivation {
                    Some(derivation) => {
                        let source = self.source.and_then(|(source, _)| said(self.owner, source, tuple));
                        let row = sum(derivation, source.unwrap_or_default())
                            .and_then(|sums| complete(derivation, &sums, own, None))
                            .map_err(|violation| Error::Invalid(vec![violation]))?;
                        rows.extend(part, place, first_column(tuple), &row);
                    }
                    None => rows.extend(part, place, first_column(tuple), own.unwrap_or_default()),
                }
            }
            Ok::<_, Error>(())
        };
        work::aside(bytes_of(owners), children).await?;
        let tuples: Vec<&[u8]> = rows.iter().map(|(_, tuple)| tuple).collect();
        if tuples.is_empty() { Ok(()) } else { self.rows.create(transaction, &tuples, now).await }
    }

    /// Makes the children of existing rows what was said of them, or what was [derived](Self::derive) for them, and notes the owners of
    /// those that changed.
    ///
    /// # Errors
    /// As [`RowStatements::update`].
    pub(super) async fn replace(
        &self,
        transaction: &mut Transaction<'_>,
        owners: &[&[u8]],
        derived: Option<Derived>,
        now: i64,
        touched: &mut [bool],
    ) -> Result<(), Error> {
        let (rows, mut stored) = match derived {
            Some(Derived { rows, stored, .. }) => (rows, stored),
            None => self.said(transaction, owners).await?,
        };
        let key_length = self.part().resource.key_length();
        let (mut new, mut existing) = (Vec::new(), Vec::new());
        for (owner, tuple) in rows.iter() {
            if stored.remove(prefix(tuple, key_length)) {
                existing.push((owner, tuple));
            } else {
                touched[owner] = true;
                new.push(tuple);
            }
        }
        // What is left was not sent.
        if !stored.is_empty() {
            let places: HashMap<&[u8], usize> =
                owners.iter().enumerate().map(|(place, tuple)| (first_column(tuple), place)).collect();
            let absent: Vec<&[u8]> = stored.iter().map(Vec::as_slice).collect();
            for key in &absent {
                if let Some(&owner) = places.get(prefix(key, 1)) {
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

    /// Those of the owners at `places` that were sent with a child under a uid that none is created with, and that have
    /// no such child.
    ///
    /// # Errors
    /// What the database says.
    pub(super) async fn foreign(
        &self,
        transaction: &mut Transaction<'_>,
        owners: &[&[u8]],
        places: &[usize],
    ) -> Result<Vec<(usize, Violation)>, Error> {
        let part = self.part();
        let mut found = Vec::new();
        for &owner in places {
            let tuple = owners[owner];
            let Some(said) = said(self.owner, self.nth, tuple).filter(|said| self.reaching.reaches(Some(said))) else {
                continue;
            };
            for (place, uid, why) in part.foreign_children(said) {
                let mut key = first_column(tuple).to_vec();
                put_prefixed(&mut key, uid);
                found.push((owner, key, place, why));
            }
        }
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let mut keys: Vec<&[u8]> = found.iter().map(|(owner, ..)| first_column(owners[*owner])).collect();
        keys.dedup();
        let mut stored = HashSet::new();
        self.read(transaction, &self.keys, part.resource.key_length(), &keys, |key| {
            stored.insert(key.to_vec());
        })
        .await?;
        found.retain(|(_, key, ..)| !stored.contains(key));
        found.dedup_by_key(|(owner, ..)| *owner);
        Ok(found.into_iter().map(|(owner, _, place, why)| (owner, part.foreign_child(place, why))).collect())
    }

    /// The children that were sent, and the keys of those that are stored, of the rows that the part is replaced of.
    async fn said(
        &self,
        transaction: &mut Transaction<'_>,
        owners: &[&[u8]],
    ) -> Result<(Rows, HashSet<Vec<u8>>), Error> {
        let mut rows = Rows::default();
        let mut replaced = Vec::new();
        let children = || {
            for (place, tuple) in owners.iter().enumerate() {
                let said = said(self.owner, self.nth, tuple);
                if self.reaching.reaches(said) {
                    rows.extend(self.part(), place, first_column(tuple), said.unwrap_or_default());
                    replaced.push(first_column(tuple));
                }
            }
        };
        work::aside(bytes_of(owners), children).await;
        let key_length = self.part().resource.key_length();
        let mut stored = HashSet::new();
        self.read(transaction, &self.keys, key_length, &replaced, |key| {
            stored.insert(key.to_vec());
        })
        .await?;
        Ok((rows, stored))
    }

    /// Reads rows of some owners, which begin with their key, page by page.
    async fn read(
        &self,
        transaction: &mut Transaction<'_>,
        sql: &Arc<str>,
        columns: usize,
        owners: &[&[u8]],
        mut on_row: impl FnMut(&[u8]) + Send,
    ) -> Result<(), Error> {
        let key_length = self.part().resource.key_length();
        for batch in owners.chunks(ARRAY_ROWS) {
            let mut last = vec![String::new(); key_length];
            loop {
                let most = transaction.max_statement_rows().min(2 * ARRAY_ROWS);
                let mut uids = ArrayParameter::with_capacity(ElementType::Text, batch.len() * 32);
                for owner in batch {
                    uids.push_prefixed(owner);
                }
                let mut page = Statement::new(Arc::clone(sql), most).bind(uids)?;
                for text in &last {
                    page = page.bind(text.clone())?;
                }
                let rows = transaction.fetch(page.bind(most as i64)?).await?;
                let mut tuple = Vec::new();
                for row in &rows {
                    tuple.clear();
                    put_tuple(row, columns, &mut tuple)?;
                    on_row(&tuple);
                }
                match rows.last() {
                    Some(row) if rows.len() == most => {
                        for (at, text) in last.iter_mut().enumerate() {
                            *text = row.try_get(at)?;
                        }
                    }
                    _ => break,
                }
            }
        }
        Ok(())
    }

    async fn delete(&self, transaction: &mut Transaction<'_>, keys: &[&[u8]]) -> Result<(), Error> {
        let resource = self.part().resource;
        for batch in keys.chunks(ARRAY_ROWS) {
            let mut delete = Statement::new(Arc::clone(&self.delete), batch.len());
            for array in arrays(resource.inputs().take(resource.key_length()), batch) {
                delete = delete.bind(array)?;
            }
            transaction.write(delete).await?;
        }
        Ok(())
    }
}

/// Every column of a child that may change, the computed ones too.
fn columns_of_their_own(resource: &Resource) -> Vec<Reached> {
    let own = |at: &usize| resource.fields[*at].is_stored() && resource.fields[*at].is_changeable();
    (0..resource.fields.len()).filter(own).map(|field| Reached { field, reach: Reach::Whole }).collect()
}

fn bytes_of(tuples: &[&[u8]]) -> usize {
    tuples.iter().map(|tuple| tuple.len()).sum()
}

/// A tuple's first column, with its length.
fn first_column(tuple: &[u8]) -> &[u8] {
    prefix(tuple, 1)
}

/// A tuple's first columns, with their lengths.
fn prefix(tuple: &[u8], columns: usize) -> &[u8] {
    let mut rest = Columns::new(tuple);
    rest.by_ref().take(columns).for_each(drop);
    &tuple[..tuple.len() - rest.rest().len()]
}
