//! Reading by key: one row, or the rows of some keys.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use orrery_proto::requests::{KeyValue, Keys, key_message};
use orrery_proto::wire::Encoded;
use sqlx::postgres::PgRow;
use sqlx::{Row as _, ValueRef as _};

use super::children::{self, ChildrenByOwner, Owners, ReadChildren};
use super::collector::ReadBudget;
use super::filter::Filter;
use super::order::Order;
use super::scan::Scan;
use crate::answer::AnswerLimit;
use crate::context::Reads;
use crate::db::{CopyEnd, CopySource as _, Route, Statement, Transaction};
use crate::deadline::Deadline;
use crate::error::{Error, Violation};
use crate::resource::Resource;
use crate::resource::key::Key;
use crate::resource::mask::MaskPath;
use crate::resource::select::{Selection, row_length};
use crate::work;

/// Most keys of one batch.
const MAX_BATCH: usize = 1_000;
/// Most bytes of rows with their children in one read by key. The first row may be larger.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Appends a row as a tuple; its first `columns` columns.
pub(crate) fn put_tuple(row: &PgRow, columns: usize, tuple: &mut Vec<u8>) -> Result<(), Error> {
    (0..columns).try_for_each(|at| put_column(row, at, tuple))
}

/// Appends one column of a row to a tuple.
pub(crate) fn put_column(row: &PgRow, at: usize, tuple: &mut Vec<u8>) -> Result<(), Error> {
    let value = row.try_get_raw(at)?;
    if value.is_null() {
        tuple.extend_from_slice(&(-1_i32).to_be_bytes());
    } else {
        let bytes = value.as_bytes().map_err(Error::Internal)?;
        tuple.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
        tuple.extend_from_slice(bytes);
    }
    Ok(())
}

/// One row by its uid.
///
/// # Errors
/// [`Error::Invalid`] for `uid`, [`Error::NotFound`], [`Error::RowTooLarge`].
pub fn get<'a>(
    reads: &'a Reads,
    resource: &'static Resource,
    selection: &'a Selection,
    key: &'a Key,
    deadline: Deadline,
) -> BoxFuture<'a, Result<Encoded, Error>> {
    Box::pin(get_by(reads.route(), resource, selection, key, deadline))
}

/// As [`get`].
pub(super) async fn get_by(
    route: Route<'_>,
    resource: &'static Resource,
    selection: &Selection,
    key: &Key,
    deadline: Deadline,
) -> Result<Encoded, Error> {
    let name = || resource.name_of(key.tuple());
    let missing = || Error::NotFound { resource: resource.description.message, name: name() };
    if !selection.children.is_empty() {
        let timeout = route.limits().statement_timeout;
        let mut found = with_children(route, resource, selection, &[key.tuple()], timeout, deadline).await?;
        let body = found.remove(key.tuple()).flatten().ok_or_else(missing)?;
        return Ok(Encoded { body, tail: Bytes::new(), rows: 1 });
    }
    let mut statement = resource.bind_key(Statement::new(select_one(resource, selection), 1), key.tuple())?;
    // Only the statement for the whole row is kept prepared: masks come from callers and vary.
    statement.keep_prepared = selection.is_whole();
    let rows = route.fetch(&statement, deadline).await.map_err(|error| match error {
        Error::ResultTooLarge(_) | Error::ResultRefused(_) => {
            Error::RowTooLarge { resource: resource.description.message, name: name() }
        }
        error => error,
    })?;
    let row = rows.first().ok_or_else(missing)?;
    Ok(Encoded { body: message(row, selection).await?, tail: Bytes::new(), rows: 1 })
}

/// The statement that selects one row by its key.
pub(crate) fn select_one(resource: &Resource, selection: &Selection) -> String {
    format!("select {}\n  from {} as t\n where {}", selection.sql, resource.description.table, resource.key_equals(1))
}

/// A row as a message.
pub(crate) async fn message(row: &PgRow, selection: &Selection) -> Result<Bytes, Error> {
    let mut tuple = Vec::with_capacity(512);
    put_tuple(row, selection.columns, &mut tuple)?;
    let mut body = Vec::with_capacity(tuple.len() + 64);
    work::run_in_place(tuple.len(), || selection.put_message(&tuple, &mut body)).await;
    Ok(body.into())
}

/// The rows of some keys as messages with their children, all as of one snapshot. Rows that do not fit into the budget
/// beside others are `None`; a row that is read alone always fits.
pub(super) async fn with_children(
    route: Route<'_>,
    resource: &'static Resource,
    selection: &Selection,
    keys: &[&[u8]],
    timeout: Duration,
    deadline: Deadline,
) -> Result<HashMap<Vec<u8>, Option<Bytes>>, Error> {
    loop {
        let read = route.read(|| read_with_children(route, resource, selection, keys, timeout, deadline)).await?;
        // Otherwise the next try asks for smaller pages.
        if let Some(found) = read {
            return Ok(found);
        }
    }
}

/// `None` if the server refused a page for its size.
async fn read_with_children(
    route: Route<'_>,
    resource: &'static Resource,
    selection: &Selection,
    keys: &[&[u8]],
    timeout: Duration,
    deadline: Deadline,
) -> Result<Option<HashMap<Vec<u8>, Option<Bytes>>>, Error> {
    let table = resource.description.table;
    let condition = resource.key_in_literals(resource.description.key, keys.iter().copied());
    let order = resource.key_columns("t");
    let select = format!("select {} from {table} as t where {condition} order by {order}", selection.sql);
    let mut snapshot = route.snapshot(timeout, deadline).await?;
    let mut owners = Owners::default();
    let end = snapshot.copy_out(&select, |tuple| {
        owners.push(selection, tuple);
        Ok(ControlFlow::Continue(()))
    });
    match (end.await?, keys) {
        (CopyEnd::Broken(Error::ResultTooLarge(_) | Error::ResultRefused(_)), [key]) => {
            return Err(Error::RowTooLarge { resource: resource.description.message, name: resource.name_of(key) });
        }
        (CopyEnd::Broken(error), _) => return Err(error),
        (CopyEnd::Whole | CopyEnd::Stopped, _) => {}
    }
    let budget = ReadBudget {
        bytes: BATCH_BYTES,
        first_anyway: true,
        surplus: BATCH_BYTES,
        cut_off: true,
        rows: children::MAX_ROWS,
    };
    let mut found = HashMap::with_capacity(owners.len());
    let (read, taken) =
        match children::read(&mut snapshot, resource, &selection.children, &owners, false, budget).await? {
            ReadChildren::Read(children) => {
                snapshot.release().await;
                let taken = children.taken();
                (Some(children), taken)
            }
            ReadChildren::Fewer(_) => (None, 0),
            ReadChildren::SmallerPages(_) => return Ok(None),
        };
    for owner in 0..owners.len() {
        let message = read.as_ref().filter(|_| owner < taken).map(|children| joined(&owners, children, owner).into());
        found.insert(owners.key(owner).to_vec(), message);
    }
    Ok(Some(found))
}

/// A row's message with its children.
fn joined(owners: &Owners, children: &ChildrenByOwner, owner: usize) -> Vec<u8> {
    let pieces = children.of(owner);
    let length = owners.message(owner).len() + pieces.clone().map(<[u8]>::len).sum::<usize>();
    let mut message = Vec::with_capacity(length);
    message.extend_from_slice(owners.message(owner));
    pieces.for_each(|piece| message.extend_from_slice(piece));
    message
}

/// A row as a transaction sees it.
#[derive(Clone, Debug)]
pub enum Stored {
    /// There is no such row.
    Nothing,
    /// Its message would exceed the limit: it has at least this many bytes.
    Larger(usize),
    /// Its message.
    Row(Bytes),
}

/// The selected fields of a row with its children, as a transaction sees them, in at most `max_bytes`.
///
/// # Errors
/// [`Error::RowTooLarge`] beyond the limit of a result; [`Error::TransactionConflict`] if the server refused a page for
/// its size: the next try asks for smaller ones; the errors of the database.
pub fn stored<'a>(
    transaction: &'a mut Transaction<'_>,
    resource: &'static Resource,
    selection: &'a Selection,
    key: &'a Key,
    max_bytes: usize,
) -> BoxFuture<'a, Result<Stored, Error>> {
    Box::pin(read_stored(transaction, resource, selection, key, max_bytes))
}

async fn read_stored(
    transaction: &mut Transaction<'_>,
    resource: &'static Resource,
    selection: &Selection,
    key: &Key,
    max_bytes: usize,
) -> Result<Stored, Error> {
    let select = select_one(resource, selection);
    let rows = transaction.fetch(resource.bind_key(Statement::new(select, 1), key.tuple())?).await?;
    let Some(row) = rows.first() else { return Ok(Stored::Nothing) };
    let mut tuple = Vec::new();
    put_tuple(row, selection.columns, &mut tuple)?;
    let mut owners = Owners::default();
    work::run_in_place(tuple.len(), || owners.push(selection, &tuple)).await;
    if owners.message(0).len() > max_bytes {
        return Ok(Stored::Larger(owners.message(0).len()));
    }
    // Nothing is cut off: the transaction goes on.
    let bytes = row_length(max_bytes);
    let budget = ReadBudget { bytes, first_anyway: false, surplus: 0, cut_off: false, rows: children::MAX_ROWS };
    let children = match children::read(transaction, resource, &selection.children, &owners, false, budget).await? {
        ReadChildren::Read(children) if children.taken() > 0 => children,
        ReadChildren::Read(_) | ReadChildren::Fewer(_) => return Ok(Stored::Larger(max_bytes + 1)),
        ReadChildren::SmallerPages(error) => return Err(again(error)),
    };
    let message = joined(&owners, &children, 0);
    Ok(if message.len() > max_bytes { Stored::Larger(message.len()) } else { Stored::Row(message.into()) })
}

/// The error that ends a transaction which may succeed if it runs again.
pub(super) fn again(refused: Error) -> Error {
    match refused {
        Error::ResultRefused(cause) | Error::DatabaseUnavailable(cause) => Error::TransactionConflict(cause),
        error => error,
    }
}

/// The rows of some keys, in the order of the keys, as field 1 of the answer; the keys without a row as field 2: texts,
/// or messages of their columns, as in the request.
///
/// # Errors
/// [`Error::Invalid`] for the keys; [`Error::AnswerTooLarge`].
pub fn batch_get<'a>(
    reads: &'a Reads,
    resource: &'static Resource,
    mask: &'a [MaskPath],
    keys: &'a Keys,
    answers: AnswerLimit,
    deadline: Deadline,
) -> BoxFuture<'a, Result<Encoded, Error>> {
    Box::pin(read_batch(reads, resource, mask, keys, answers, deadline))
}

async fn read_batch(
    reads: &Reads,
    resource: &'static Resource,
    mask: &[MaskPath],
    wanted: &Keys,
    answers: AnswerLimit,
    deadline: Deadline,
) -> Result<Encoded, Error> {
    let keys = check_keys(resource, wanted, MAX_BATCH)?;
    let filter = Filter::default().keys(resource, &keys);
    let scan = Scan::new(reads, resource, mask, filter, Order::NATURAL, answers).keeping_keys();
    let page = scan.whole(MAX_BATCH, answers, deadline).await.map_err(|error| match &keys[..] {
        [key] => error.for_row(resource.description.message, resource.name_of(key.tuple())),
        _ => error,
    })?;
    let rows = Bytes::from(page.body);
    let mut found = HashMap::with_capacity(page.keys.len());
    let mut start = 0;
    for (key, end) in page.keys {
        found.insert(key, rows.slice(start..end));
        start = end;
    }
    // A key that is given twice returns its row twice.
    let bytes = keys.iter().filter_map(|key| found.get(key.tuple())).map(Bytes::len).sum();
    answers.check(bytes)?;
    let mut body = Vec::with_capacity(bytes);
    let mut tail = Vec::new();
    let mut rows = 0;
    for (key, values) in keys.iter().zip(&wanted.rows) {
        match found.get(key.tuple()) {
            Some(row) => {
                body.extend_from_slice(row);
                rows += 1;
            }
            None => match &values[..] {
                [KeyValue::Text(uid)] if wanted.are_uids() => prost::encoding::string::encode(2, uid, &mut tail),
                values => prost::encoding::bytes::encode(2, &key_message(values), &mut tail),
            },
        }
    }
    Ok(Encoded { body: body.into(), tail: tail.into(), rows })
}

/// The places of the keys without a row, in order.
///
/// # Errors
/// The errors of the database.
pub fn missing<'a>(
    reads: &'a Reads,
    resource: &'static Resource,
    keys: &'a [Key],
    deadline: Deadline,
) -> BoxFuture<'a, Result<Vec<usize>, Error>> {
    Box::pin(read_missing(reads, resource, keys, deadline))
}

async fn read_missing(
    reads: &Reads,
    resource: &'static Resource,
    keys: &[Key],
    deadline: Deadline,
) -> Result<Vec<usize>, Error> {
    let statement = Statement::new(select_keys(resource), keys.len());
    let statement = resource.bind_keys(statement, keys.iter().map(Key::tuple))?;
    let mut found = HashSet::with_capacity(keys.len());
    for row in reads.fetch(&statement, deadline).await? {
        let mut key = Vec::new();
        put_tuple(&row, resource.key_length(), &mut key)?;
        found.insert(key);
    }
    let is_missing = |at: &usize| !found.contains(keys[*at].tuple());
    Ok((0..keys.len()).filter(is_missing).collect())
}

/// The statement that selects those of some keys that are stored.
pub(crate) fn select_keys(resource: &Resource) -> String {
    let keys = resource.key_columns("t");
    format!("select {keys}\n  from {} as t\n where {}", resource.description.table, resource.key_in_arrays(1))
}

/// The keys that a request names.
///
/// # Errors
/// [`Error::Invalid`] for the field that holds them; [`Error::Internal`] if their columns are not those of the
/// resource's key: a mistake in the contract.
pub fn check_keys(resource: &Resource, wanted: &Keys, most: usize) -> Result<Vec<Key>, Error> {
    let Keys { field, columns, rows } = wanted;
    if *columns != resource.description.key {
        return Err(Error::internal(format!("{} has other key columns than {columns:?}", resource.noun())));
    }
    if rows.is_empty() || rows.len() > most {
        return Err(Error::invalid(*field, format!("must hold 1 to {most} {field}, not {}", rows.len())));
    }
    let (mut keys, mut violations) = (Vec::with_capacity(rows.len()), Vec::new());
    for (at, row) in rows.iter().enumerate() {
        let path = format!("{field}[{at}]");
        match resource.key(row) {
            Ok(key) => keys.push(key),
            // A text has no fields: the entry itself is invalid.
            Err(Error::Invalid(broken)) if wanted.are_uids() => {
                violations
                    .extend(broken.into_iter().map(|Violation { description, .. }| Violation::new(&path, description)));
            }
            Err(Error::Invalid(broken)) => {
                violations.extend(broken.into_iter().map(|violation| violation.within(&path)));
            }
            Err(error) => return Err(error),
        }
    }
    if violations.is_empty() { Ok(keys) } else { Err(Error::Invalid(violations)) }
}
