//! Deletes rows with everything that belongs to them: their children, and the rows of other tables of the slice that
//! the description names as dependents.
//!
//! A row may have more of them than one transaction can delete in time, because other programs write without limits. A
//! delete of one row then takes several transactions, and deletes the row itself in the last one. An interrupted delete
//! can be called again and continues.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;

use super::child_pages::ChildPages;
use super::rows::{ARRAY_ROWS, unnested};
use super::stored;
use crate::context::Writes;
use crate::db::retry::retried;
use crate::db::{CopySource as _, Statement, Transaction, TransactionEnd};
use crate::deadline::Deadline;
use crate::error::{Error, Violation};
use crate::read::point::put_tuple;
use crate::resource::Resource;
use crate::resource::batch::{Batch, Fate, Origin, Store};
use crate::resource::decode::Precondition;
use crate::resource::key::Key;
use crate::resource::mask::UpdateMask;
use crate::resource::tuple::NULL;
use crate::resource::tuple::prefix;

/// Most rows that one statement deletes.
const MAX_BATCH: usize = 5_000;
/// The share of its time that a transaction spends on deleting children and dependents before it commits: one part in
/// this many. The rest is for its last statement and the commit.
const SHARE_OF_TIME: u32 = 2;

/// A request to delete a row.
#[derive(Clone, Debug)]
pub struct DeleteRequest {
    /// Its key.
    pub key: Key,
    /// The etag and revision that it must have.
    pub precondition: Precondition,
    /// Whether a missing row is no error.
    pub allow_missing: bool,
    /// The deadline.
    pub deadline: Deadline,
}

/// The progress of a transaction.
enum DeleteProgress {
    /// Everything is deleted.
    Done,
    /// Children or dependents are left.
    Partly,
}

/// Deletes one row after its children and dependents. All in one transaction if its time is enough; otherwise children
/// and dependents are deleted first, in several transactions.
///
/// # Errors
/// [`Error::NotFound`], [`Error::EtagMismatch`], [`Error::RevisionMismatch`]. After a late error some children and
/// dependents may be deleted while the row still exists.
pub fn delete<'a>(
    context: &'a Writes,
    resource: &'static Resource,
    request: DeleteRequest,
) -> BoxFuture<'a, Result<(), Error>> {
    Box::pin(delete_row(context, resource, request))
}

async fn delete_row(context: &Writes, resource: &'static Resource, request: DeleteRequest) -> Result<(), Error> {
    if request.precondition.etag.contains('\0') {
        return Err(Error::Invalid(vec![Violation::new("etag", "must not hold NUL characters")]));
    }
    if request.precondition.revision < 0 {
        return Err(Error::Invalid(vec![Violation::new("revision", "must not be negative")]));
    }
    let deadline = request.deadline;
    let name = resource.name_of(request.key.tuple());
    let request = Arc::new(request);
    // Once something is deleted, the delete is completed even if the row has changed in the meantime.
    let mut begun = false;
    loop {
        let ended = retried(deadline, || {
            let (request, name) = (Arc::clone(&request), name.clone());
            context.transaction(deadline, move |transaction| {
                Box::pin(async move {
                    let until = until_commit(deadline.bound(transaction.limits().transaction_timeout));
                    let Some(row) = stored::lock(transaction, resource, &request.key).await? else {
                        let missing = Error::NotFound { resource: resource.description.message, name };
                        let accepted = request.allow_missing || begun;
                        return if accepted {
                            Ok(TransactionEnd::RollBack(DeleteProgress::Done))
                        } else {
                            Err(missing)
                        };
                    };
                    if !begun {
                        stored::check(Some(&row), resource, request.key.tuple(), &request.precondition)?;
                        if let Some(refusal) = ask_rules(transaction, resource, &request.key).await? {
                            return Err(refusal);
                        }
                    }
                    Ok(TransactionEnd::Commit(delete_locked(transaction, resource, &request.key, until).await?))
                })
            })
        })
        .await
        .map_err(|error| error.of_refused_row(resource, &name, ""))?;
        match ended {
            DeleteProgress::Done => return Ok(()),
            DeleteProgress::Partly => begun = true,
        }
    }
}

/// Deletes a locked row that the rules let go, after its children and dependents: as many of these as the time until
/// `until` is enough for.
async fn delete_locked(
    transaction: &mut Transaction<'_>,
    resource: &'static Resource,
    key: &Key,
    until: Instant,
) -> Result<DeleteProgress, Error> {
    for dependent in dependents(resource) {
        let progress = delete_dependents(transaction, resource, dependent, key, until);
        if matches!(progress.await?, DeleteProgress::Partly) {
            return Ok(DeleteProgress::Partly);
        }
    }
    let delete = Statement::new(delete_one(resource), 1);
    transaction.write(resource.bind_key(delete, key.tuple())?).await?;
    Ok(DeleteProgress::Done)
}

/// What became of a row that was to be deleted within a transaction.
#[derive(Debug)]
pub(crate) enum Deleted {
    /// It is deleted.
    Whole,
    /// Some of its children and dependents are deleted. The rest is for another transaction.
    Partly,
    /// The resource's own rules keep it, and nothing of it was deleted.
    Refused(Error),
}

/// Deletes a row that is locked, in the transaction of the caller, as [`delete`] does. Statements begin until `until`.
///
/// # Errors
/// The errors of the database and of the rules.
pub(crate) async fn delete_within(
    transaction: &mut Transaction<'_>,
    resource: &'static Resource,
    key: &Key,
    until: Instant,
) -> Result<Deleted, Error> {
    if let Some(refusal) = ask_rules(transaction, resource, key).await? {
        return Ok(Deleted::Refused(refusal));
    }
    Ok(match delete_locked(transaction, resource, key, until).await? {
        DeleteProgress::Done => Deleted::Whole,
        DeleteProgress::Partly => Deleted::Partly,
    })
}

/// When the last statement of a transaction that deletes children and dependents may begin, if it begins now.
pub(crate) fn until_commit(limit: Duration) -> Instant {
    Instant::now() + limit / SHARE_OF_TIME
}

/// Applies the resource's own rules to the delete of one row, as in a chunked write. Returns why they refuse it.
async fn ask_rules(
    transaction: &mut Transaction<'_>,
    resource: &'static Resource,
    key: &Key,
) -> Result<Option<Error>, Error> {
    let unset = resource.inputs().count() - resource.key_length() + resource.child_tables.len();
    let tuple = [key.tuple(), &NULL.to_be_bytes().repeat(unset)].concat();
    let mask = UpdateMask::Paths(Vec::new());
    let mut batch = Batch::new(resource, Origin::Single, &mask, std::iter::once(tuple.as_slice()));
    batch.entries_mut().iter_mut().for_each(|entry| entry.exists = true);
    resource.rules.prepare_delete(&mut batch, &mut Store::within(transaction)).await?;
    match batch.entries_mut().first_mut().map(|entry| std::mem::take(&mut entry.fate)) {
        Some(Fate::Refused(refusal)) => Ok(Some(refusal.error)),
        _ => Ok(None),
    }
}

/// The tables whose rows are deleted with a row of a resource: its child tables, and the dependents that its
/// description names.
fn dependents(resource: &'static Resource) -> impl Iterator<Item = &'static Resource> {
    let children = resource.child_tables.iter().map(|table| table.resource);
    let others = resource.description.dependents.iter().map(|dependent| -> &'static Resource { dependent });
    children.chain(others)
}

fn delete_one(resource: &Resource) -> String {
    format!("delete from {} as t\n where {}", resource.description.table, resource.key_equals(1))
}

/// `t.order_uid = $1`: the condition that a row belongs to the owner whose key is in the first parameters.
fn of_owner(owner: &Resource, dependent: &Resource) -> String {
    let columns = dependent.description.key.iter().take(owner.key_length()).zip(1..);
    columns.map(|(column, number)| format!("t.{column} = ${number}")).collect::<Vec<_>>().join(" and ")
}

/// The statement that finds the last key of a limited number of an owner's rows; after a key, if `after`.
fn last_of_batch(owner: &Resource, dependent: &Resource, batch: usize, after: bool) -> String {
    let (table, keys) = (dependent.description.table, dependent.key_columns("t"));
    let behind = if after { format!("\n   and ({keys}) > ({})", numbers(owner, dependent)) } else { String::new() };
    format!(
        "select {keys}\n  from {table} as t\n where {}{behind}\n order by {keys}\noffset {} limit 1",
        of_owner(owner, dependent),
        batch - 1
    )
}

/// The statement that deletes an owner's rows up to a key, or all of them.
fn delete_up_to(owner: &Resource, dependent: &Resource, up_to: bool) -> String {
    let (table, keys) = (dependent.description.table, dependent.key_columns("t"));
    let before = if up_to { format!("\n   and ({keys}) <= ({})", numbers(owner, dependent)) } else { String::new() };
    format!("delete from {table} as t\n where {}{before}", of_owner(owner, dependent))
}

/// The parameter numbers of a key of the dependent, after those of the owner's key.
fn numbers(owner: &Resource, dependent: &Resource) -> String {
    let first = owner.key_length() + 1;
    let numbers = (first..first + dependent.key_length()).map(|number| format!("${number}"));
    numbers.collect::<Vec<_>>().join(", ")
}

/// Deletes an owner's rows in the order of their keys, a limited number at a time, until none is left or the time is
/// over. Runs at least one statement.
async fn delete_dependents(
    transaction: &mut Transaction<'_>,
    owner: &'static Resource,
    dependent: &'static Resource,
    key: &Key,
    until: Instant,
) -> Result<DeleteProgress, Error> {
    let batch = MAX_BATCH.min(transaction.limits().max_statement_rows);
    if dependent.key_length() == owner.key_length() {
        let delete = Statement::new(delete_up_to(owner, dependent, false), 1);
        transaction.write(owner.bind_key(delete, key.tuple())?).await?;
        return Ok(DeleteProgress::Done);
    }
    loop {
        // The last key is looked up first, so that the statement needs no limit.
        let last = Statement::new(last_of_batch(owner, dependent, batch, false), 1);
        let last = transaction.fetch(owner.bind_key(last, key.tuple())?).await?;
        let Some(last) = last.first() else {
            let delete = Statement::new(delete_up_to(owner, dependent, false), batch);
            transaction.write(owner.bind_key(delete, key.tuple())?).await?;
            return Ok(DeleteProgress::Done);
        };
        let mut up_to = Vec::new();
        put_tuple(last, dependent.key_length(), &mut up_to)?;
        let delete = Statement::new(delete_up_to(owner, dependent, true), batch);
        let delete = dependent.bind_key(owner.bind_key(delete, key.tuple())?, &up_to)?;
        transaction.write(delete).await?;
        if Instant::now() >= until {
            return Ok(DeleteProgress::Partly);
        }
    }
}

/// Deletes rows of a resource, given their keys in order, with children and dependents. The rows are locked.
#[derive(Debug)]
pub(super) struct DeleteStatements {
    resource: &'static Resource,
    rows: Arc<str>,
    /// Each dependent, the keys of some owners' rows, and their delete statement.
    dependents: Vec<(&'static Resource, ChildPages, Arc<str>)>,
}

impl DeleteStatements {
    pub(super) fn new(resource: &'static Resource) -> Self {
        let pages = |dependent: &'static Resource| {
            (dependent, ChildPages::of_keys(dependent, resource.key_length()), delete_many(dependent).into())
        };
        Self { resource, rows: delete_many(resource).into(), dependents: dependents(resource).map(pages).collect() }
    }

    /// Deletes the rows of these keys with their children and dependents.
    ///
    /// # Errors
    /// The errors of the database.
    pub(super) async fn run(&self, transaction: &mut Transaction<'_>, keys: &[&[u8]]) -> Result<(), Error> {
        for (dependent, pages, delete) in &self.dependents {
            let mut found: Vec<Vec<u8>> = Vec::new();
            pages.read(transaction, keys, |key| found.push(prefix(key, dependent.key_length()).to_vec())).await?;
            let found: Vec<&[u8]> = found.iter().map(Vec::as_slice).collect();
            run_delete(transaction, dependent, delete, &found).await?;
        }
        run_delete(transaction, self.resource, &self.rows, keys).await
    }

    /// The statements, each with a name, for people who read them.
    pub(super) fn sql(&self) -> Vec<(String, Arc<str>)> {
        let mut all = vec![("delete rows".to_owned(), Arc::clone(&self.rows))];
        for (dependent, pages, delete) in &self.dependents {
            let noun = dependent.noun();
            all.extend(pages.sql().map(|(page, sql)| (format!("delete rows: {noun} of them, {page}"), sql)));
            all.push((format!("delete rows: {noun} of them"), Arc::clone(delete)));
        }
        all
    }
}

async fn run_delete(
    transaction: &mut Transaction<'_>,
    resource: &'static Resource,
    sql: &Arc<str>,
    keys: &[&[u8]],
) -> Result<(), Error> {
    for batch in keys.chunks(ARRAY_ROWS.min(transaction.max_statement_rows())) {
        let delete = Statement::new(Arc::clone(sql), batch.len());
        transaction.write(resource.bind_keys(delete, batch.iter().copied())?).await?;
    }
    Ok(())
}

/// The statement that deletes rows by their keys.
pub(super) fn delete_many(resource: &Resource) -> String {
    let keys: Vec<_> = resource.key_fields().collect();
    format!(
        "delete from {} as t\n using {}\n where {}",
        resource.description.table,
        unnested(keys.into_iter(), false),
        resource.same_key("t", "i")
    )
}
