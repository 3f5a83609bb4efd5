//! Stored rows within a transaction: locked, and compared with the caller's preconditions.

use std::collections::HashMap;

use super::child_pages::ChildPages;
use super::locking::Locking;
use crate::db::{PageRows, Statement, Transaction};
use crate::error::Error;
use crate::read::point::put_tuple;
use crate::resource::Resource;
use crate::resource::batch::StoredRow;
use crate::resource::decode::Precondition;
use crate::resource::key::Key;
use crate::resource::row::{Children, Row};
use crate::resource::select::Selection;
use crate::resource::tuple::prefix;

/// The number of whole rows that are read at once: 32 of the largest that can be written fit into a result. Other
/// programs may write larger rows: after a result that was too large, fewer are read.
pub(super) const LOCKED_AT_ONCE: usize = 32;

/// Locks a row; `None` if it does not exist. Until the transaction ends, no other one can change the row or its
/// children.
///
/// # Errors
/// [`Error::RowTooLarge`] if the database does not return the row; the errors of the database.
pub async fn lock(
    transaction: &mut Transaction<'_>,
    resource: &'static Resource,
    key: &Key,
) -> Result<Option<StoredRow>, Error> {
    let at_once = PageRows::new(1);
    let mut stored = lock_rows(transaction, resource, &[key.tuple()], &at_once).await?;
    Ok(stored.remove(key.tuple()))
}

/// Checks the preconditions of a row, which may not exist.
///
/// # Errors
/// [`Error::EtagMismatch`], [`Error::RevisionMismatch`].
pub fn check(
    stored: Option<&StoredRow>,
    resource: &Resource,
    key: &[u8],
    demanded: &Precondition,
) -> Result<(), Error> {
    let name = || resource.name_of(key);
    if !demanded.etag.is_empty() && stored.is_none_or(|stored| stored.etag != demanded.etag) {
        return Err(Error::EtagMismatch { resource: resource.description.message, name: name() });
    }
    if demanded.revision != 0 && stored.is_none_or(|stored| stored.revision != demanded.revision) {
        return Err(Error::RevisionMismatch { resource: resource.description.message, name: name() });
    }
    Ok(())
}

/// The statement that locks one row by its key, and selects all of it.
pub(super) fn lock_one(resource: &Resource, selection: &Selection) -> String {
    format!(
        "select {}\n  from {} as t\n where {}\n   for update",
        selection.sql,
        resource.description.table,
        resource.key_equals(1)
    )
}

/// Locks rows by their keys, which are in order, and reads them, a few at a time. Returns them by key.
///
/// # Errors
/// [`Error::RowTooLarge`] if the database does not return a single row; [`Error::TransactionConflict`] if the rows were
/// too large together: the next try reads fewer; the errors of the database.
pub(super) async fn lock_rows(
    transaction: &mut Transaction<'_>,
    resource: &'static Resource,
    keys: &[&[u8]],
    at_once: &PageRows,
) -> Result<HashMap<Vec<u8>, StoredRow>, Error> {
    let selection = Selection::whole(resource);
    let mut stored = HashMap::new();
    for batch in keys.chunks(at_once.now()) {
        let select = match batch {
            [key] => resource.bind_key(Statement::new(lock_one(resource, &selection), 1), key)?,
            keys => {
                let select = Locking::rows(resource, &selection).text(transaction);
                let select = Statement::new(select, keys.len());
                resource.bind_keys(select, keys.iter().copied())?
            }
        };
        let rows = transaction.fetch(select).await.map_err(|error| too_large(error, resource, batch, at_once))?;
        for row in rows {
            let mut tuple = Vec::new();
            put_tuple(&row, selection.columns, &mut tuple)?;
            stored.insert(prefix(&tuple, resource.key_length()).to_vec(), StoredRow::of(resource, &tuple));
        }
    }
    Ok(stored)
}

/// The error of a transaction if the rows of a batch could not be read together.
fn too_large(error: Error, resource: &Resource, batch: &[&[u8]], at_once: &PageRows) -> Error {
    match (error, batch) {
        (Error::ResultTooLarge(_) | Error::ResultRefused(_), [key]) => {
            Error::RowTooLarge { resource: resource.description.message, name: resource.name_of(key) }
        }
        (error, _) if error.may_be_too_large() && at_once.refused(batch.len(), 0) => match error {
            Error::ResultRefused(cause) | Error::DatabaseUnavailable(cause) => Error::TransactionConflict(cause),
            error => Error::TransactionConflict(sqlx::Error::Protocol(error.to_string())),
        },
        (error, _) => error,
    }
}

/// Reads the stored children of some owners, in the order of their keys. Calls `on_row` with each child and the key of
/// its owner, as a tuple.
///
/// # Errors
/// The errors of the database.
pub async fn read_children(
    transaction: &mut Transaction<'_>,
    owner: &'static Resource,
    children: Children,
    owners: &[Key],
    mut on_row: impl FnMut(&[u8], Row<'_>) + Send,
) -> Result<(), Error> {
    let keys: Vec<&[u8]> = owners.iter().map(Key::tuple).collect();
    let pages = ChildPages::of_rows(owner, children.nth);
    let columns = owner.key_length();
    pages.read(transaction, &keys, |tuple| on_row(prefix(tuple, columns), children.row(tuple))).await
}
