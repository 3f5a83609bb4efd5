//! How many of the first rows fit into an answer, of rows that are about to be changed and returned with their
//! children. They are measured before the change, so that no row is changed that cannot be returned.

use std::collections::HashMap;
use std::iter::once;

use bytes::Bytes;
use futures::future::BoxFuture;
use orrery_proto::wire::Encoded;
use sqlx::postgres::PgRow;

use super::children::{self, ChildrenByOwner, Owners, ReadChildren};
use super::collector::ReadBudget;
use super::point::{again, put_tuple};
use crate::db::Transaction;
use crate::error::Error;
use crate::resource::Resource;
use crate::resource::key::{Key, compare};
use crate::resource::select::{Selection, put_row_of, row_length};
use crate::work::{self, Yielder};

/// The result of measuring.
#[derive(Debug)]
pub enum Fit {
    /// Some of the rows fit.
    Some(Measured),
    /// Try again with this number of rows. 0: the first row alone is too large.
    Fewer(usize),
}

/// The rows that fit: the first ones of those measured.
#[derive(Debug)]
pub struct Measured {
    resource: &'static Resource,
    keys: Vec<Key>,
    children: ChildrenByOwner,
}

/// Measures rows that were selected by `selection`, in the order in which the caller wants them, and reads their
/// children. Each row may grow by `growth` bytes when it is changed. Their children do not change: the caller holds
/// locks on the rows.
///
/// # Errors
/// [`Error::RowTooLarge`] if the database does not return the children of a single row; the errors of the database.
pub async fn measure(
    transaction: &mut Transaction<'_>,
    resource: &'static Resource,
    selection: &Selection,
    rows: &[PgRow],
    growth: usize,
    max_bytes: usize,
) -> Result<Fit, Error> {
    let mut owners = Owners::default();
    let (mut tuple, mut yielder) = (Vec::new(), Yielder::default());
    for row in rows {
        tuple.clear();
        put_tuple(row, selection.columns, &mut tuple)?;
        work::run_in_place(tuple.len(), || owners.push(selection, &tuple)).await;
        yielder.after(tuple.len()).await;
    }
    // Twice as much is read as fits, because only at the end is it known which rows come first. The result is not cut
    // off: a closed connection keeps its locks for a moment.
    let budget =
        ReadBudget { bytes: max_bytes, first_anyway: false, surplus: max_bytes, cut_off: false, rows: usize::MAX };
    let children = match children::read(transaction, resource, &selection.children, &owners, false, budget).await? {
        ReadChildren::Read(children) if children.taken() == owners.len() => children,
        ReadChildren::Read(children) => return Ok(Fit::Fewer(children.taken())),
        ReadChildren::Fewer(rows) => return Ok(Fit::Fewer(rows)),
        ReadChildren::SmallerPages(error) => return Err(again(error)),
    };
    let mut bytes = 0;
    let fits = |owner: &usize| {
        let pieces = children.of(*owner).map(<[u8]>::len).sum::<usize>();
        bytes += row_length(owners.message(*owner).len() + growth + pieces);
        bytes <= max_bytes
    };
    let keys: Vec<Key> = (0..owners.len()).take_while(fits).map(|owner| Key::of(resource, owners.key(owner))).collect();
    Ok(if keys.is_empty() { Fit::Fewer(0) } else { Fit::Some(Measured { resource, keys, children }) })
}

impl Measured {
    /// The keys of the rows, in the order in which they were measured; at least one.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The rows as they are now, with their children, by key: field 1 of an answer.
    ///
    /// # Errors
    /// [`Error::Internal`] if a row was not measured.
    pub fn answer<'a>(
        &'a self,
        selection: &'a Selection,
        changed: &'a [PgRow],
    ) -> BoxFuture<'a, Result<Encoded, Error>> {
        Box::pin(self.put_together(selection, changed))
    }

    async fn put_together(&self, selection: &Selection, changed: &[PgRow]) -> Result<Encoded, Error> {
        let places: HashMap<&[u8], usize> = self.keys.iter().map(Key::tuple).zip(0..).collect();
        let mut owners = Owners::default();
        let (mut tuple, mut yielder) = (Vec::new(), Yielder::default());
        for row in changed {
            tuple.clear();
            put_tuple(row, selection.columns, &mut tuple)?;
            work::run_in_place(tuple.len(), || owners.push(selection, &tuple)).await;
            yielder.after(tuple.len()).await;
        }
        let mut by_key: Vec<usize> = (0..owners.len()).collect();
        by_key.sort_by(|&a, &b| compare(self.resource, owners.key(a), owners.key(b)));
        let mut body = Vec::with_capacity(owners.bytes());
        for at in by_key {
            let place = places.get(owners.key(at));
            let place = *place.ok_or_else(|| Error::internal("a row was changed that had not been measured"))?;
            put_row_of(once(owners.message(at)).chain(self.children.of(place)), &mut body);
        }
        Ok(Encoded { rows: owners.len() as u64, body: body.into(), tail: Bytes::new() })
    }
}
