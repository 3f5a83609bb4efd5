//! Delete of one resource, with all that belongs to it.
//!
//! What belongs to it may be more than a transaction has time for: other programs write as much as they like. Then it goes in several
//! transactions, and the resource itself in the last one, so that a delete that was interrupted can be called again and goes on.

use std::time::Instant;

use futures::future::BoxFuture;
use sqlx::Row as _;

use super::attempts::retried;
use super::locked::Locked;
use crate::context::Writes;
use crate::db::{CopySource as _, Ending, Statement, Transaction};
use crate::deadline::Deadline;
use crate::error::{Error, Violation};
use crate::resource::Resource;
use crate::resource::decode::Precondition;
use crate::uid::check_key;

/// Most rows that one statement deletes.
const MAX_BATCH: usize = 5_000;
/// Which part of its time a transaction deletes what belongs to a resource for, before it commits that: one in so many. The rest is for
/// its last statement, and for the commit.
const SHARE_OF_TIME: u32 = 2;

/// A delete.
#[derive(Clone, Debug)]
pub struct DeleteRequest {
    /// Which.
    pub uid: String,
    /// What it must be like.
    pub precondition: Precondition,
    /// Whether a missing one is no error.
    pub allow_missing: bool,
    /// Until when.
    pub deadline: Deadline,
}

/// How far a transaction came.
enum Progress {
    /// To the end.
    Done,
    /// Something that belongs to the resource is left.
    Partly,
}

/// Deletes one resource, after its parts and what else the service says must go with it. All of it goes in one transaction where the
/// time of one is enough; else what belongs to the resource goes first, in several.
///
/// # Errors
/// [`Error::Invalid`] for `uid`, [`Error::NotFound`], [`Error::EtagMismatch`]. After an error that came late some of what belongs to the
/// resource may be gone, and the resource is there.
pub fn delete<'a>(
    context: &'a Writes,
    resource: &'static Resource,
    request: DeleteRequest,
    dependents: &'static [Dependent],
) -> BoxFuture<'a, Result<(), Error>> {
    Box::pin(delete_row(context, resource, request, dependents))
}

async fn delete_row(
    context: &Writes,
    resource: &'static Resource,
    request: DeleteRequest,
    dependents: &'static [Dependent],
) -> Result<(), Error> {
    check_key(&request.uid).map_err(|why| Error::invalid("uid", why))?;
    if request.precondition.etag.contains('\0') {
        return Err(Error::Invalid(vec![Violation::new("etag", "must not hold NUL characters")]));
    }
    if request.precondition.revision < 0 {
        return Err(Error::Invalid(vec![Violation::new("revision", "must not be negative")]));
    }
    let deadline = request.deadline;
    // Once something is gone the delete goes through, whatever the row became meanwhile.
    let mut begun = false;
    loop {
        let ended = retried(deadline, || {
            let DeleteRequest { uid, precondition, allow_missing, .. } = request.clone();
            context.transaction(deadline, move |transaction| {
                Box::pin(async move {
                    let until =
                        Instant::now() + deadline.bound(transaction.limits().transaction_timeout) / SHARE_OF_TIME;
                    let Some(stored) = Locked::of(transaction, resource, &uid).await? else {
                        let missing = Error::NotFound { resource: resource.description.message, name: uid };
                        let accepted = allow_missing || begun;
                        return if accepted { Ok(Ending::RollBack(Progress::Done)) } else { Err(missing) };
                    };
                    if !begun {
                        stored.check(resource, &uid, &precondition)?;
                    }
                    let parts = resource.parts.iter().map(|part| part.resource.description);
                    let parts = parts.map(|part| Dependent { table: part.table, key: part.key });
                    for dependent in parts.chain(dependents.iter().copied()) {
                        if matches!(dependent.delete(transaction, &uid, until).await?, Progress::Partly) {
                            return Ok(Ending::Commit(Progress::Partly));
                        }
                    }
                    let table = resource.description.table;
                    let delete = Statement::new(format!("delete from {table} where uid = $1"), 1).bind(&uid)?;
                    transaction.write(delete).await?;
                    Ok(Ending::Commit(Progress::Done))
                })
            })
        })
        .await
        .map_err(|error| error.of_refused_row(resource, &request.uid, ""))?;
        match ended {
            Progress::Done => return Ok(()),
            Progress::Partly => begun = true,
        }
    }
}

/// Rows of another table of the slice that go when the resource they belong to goes.
#[derive(Clone, Copy, Debug)]
pub struct Dependent {
    /// The table.
    pub table: &'static str,
    /// Its key, whose first column names the owner. All its columns are texts.
    pub key: &'static [&'static str],
}

impl Dependent {
    /// Deletes an owner's rows in the order of their keys, a bounded number at a time, until none is left or it is so late. At least one
    /// statement's worth goes.
    async fn delete(&self, transaction: &mut Transaction<'_>, uid: &str, until: Instant) -> Result<Progress, Error> {
        let batch = MAX_BATCH.min(transaction.limits().max_statement_rows);
        let Some((owner, rest)) = self.key.split_first() else { return Ok(Progress::Done) };
        let table = self.table;
        if rest.is_empty() {
            let delete = Statement::new(format!("delete from {table} where {owner} = $1"), 1).bind(uid)?;
            transaction.write(delete).await?;
            return Ok(Progress::Done);
        }
        let columns = rest.join(", ");
        let places = |from: usize| (from..from + rest.len()).map(|at| format!("${at}")).collect::<Vec<_>>().join(", ");
        // The first key of the table is greater than nothing at all.
        let mut after = vec![String::new(); rest.len()];
        loop {
            // Where the statement stops is looked up first: then it needs no limit, and no row is visited twice.
            let mut last = Statement::new(
                format!(
                    "select {columns} from {table} where {owner} = $1 and ({columns}) >= ({}) order by {columns} offset {} limit 1",
                    places(2),
                    batch - 1
                ),
                1,
            )
            .bind(uid)?;
            for value in &after {
                last = last.bind(value.clone())?;
            }
            let last = transaction.fetch(last).await?;
            let Some(last) = last.first() else {
                let delete = Statement::new(format!("delete from {table} where {owner} = $1"), batch).bind(uid)?;
                transaction.write(delete).await?;
                return Ok(Progress::Done);
            };
            let last = (0..rest.len()).map(|at| last.try_get(at)).collect::<Result<Vec<String>, _>>()?;
            let mut delete = Statement::new(
                format!(
                    "delete from {table} where {owner} = $1 and ({columns}) >= ({}) and ({columns}) <= ({})",
                    places(2),
                    places(2 + rest.len())
                ),
                batch,
            )
            .bind(uid)?;
            for value in after.iter().chain(&last) {
                delete = delete.bind(value.clone())?;
            }
            transaction.write(delete).await?;
            after = last;
            if Instant::now() >= until {
                return Ok(Progress::Partly);
            }
        }
    }
}
