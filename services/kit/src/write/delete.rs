//! Delete of one resource, with all that belongs to it.

use sqlx::Row as _;

use super::attempts::retried;
use super::locked::Locked;
use crate::context::Context;
use crate::db::{CopySource as _, Ending, Statement, Transaction};
use crate::deadline::Deadline;
use crate::error::{Error, Violation};
use crate::resource::decode::Precondition;
use crate::resource::{Kind, Resource, TextRule};
use crate::uid::UidKind;

/// Most rows that one statement deletes.
const MAX_BATCH: usize = 5_000;

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

/// Deletes one resource, after its parts and what else the service says must go with it.
///
/// # Errors
/// [`Error::Invalid`] for `uid`, [`Error::NotFound`], [`Error::EtagMismatch`].
pub async fn delete(
    context: &Context,
    resource: &'static Resource,
    request: DeleteRequest,
    dependents: &'static [Dependent],
) -> Result<(), Error> {
    let kind = own_kind(resource).ok_or_else(|| Error::internal("the resource has no uid"))?;
    kind.check(&request.uid).map_err(|why| Error::invalid("uid", why))?;
    if request.precondition.etag.contains('\0') {
        return Err(Error::Invalid(vec![Violation::new("etag", "must not hold NUL characters")]));
    }
    if request.precondition.revision < 0 {
        return Err(Error::Invalid(vec![Violation::new("revision", "must not be negative")]));
    }
    let deadline = request.deadline;
    retried(deadline, || {
        let DeleteRequest { uid, precondition, allow_missing, .. } = request.clone();
        context.database.transaction(deadline, move |transaction| {
            Box::pin(async move {
                let Some(stored) = Locked::of(transaction, resource, &uid).await? else {
                    let missing = Error::NotFound { resource: resource.description.message, name: uid };
                    return if allow_missing { Ok(Ending::RollBack(())) } else { Err(missing) };
                };
                stored.check(resource, &uid, &precondition)?;
                for part in &resource.parts {
                    let (table, owner) = (part.resource.description.table, part.owner());
                    Dependent { table, owner }.delete(transaction, &uid).await?;
                }
                for dependent in dependents {
                    dependent.delete(transaction, &uid).await?;
                }
                let table = resource.description.table;
                let delete = Statement::new(format!("delete from {table} where uid = $1"), 1).bind(&uid)?;
                transaction.fetch(delete).await?;
                Ok(Ending::Commit(()))
            })
        })
    })
    .await
}

fn own_kind(resource: &Resource) -> Option<UidKind> {
    resource.fields.iter().find_map(|field| match field.kind {
        Kind::Text(TextRule::Uid(kind, true)) => Some(kind),
        _ => None,
    })
}

/// Rows of another table of the slice that go when the resource they belong to goes.
#[derive(Debug)]
pub struct Dependent {
    /// The table.
    pub table: &'static str,
    /// Its column that names the owner, the first of its key.
    pub owner: &'static str,
}

impl Dependent {
    /// Deletes an owner's rows, a bounded number at a time.
    async fn delete(&self, transaction: &mut Transaction<'_>, uid: &str) -> Result<(), Error> {
        let batch = MAX_BATCH.min(transaction.limits().max_statement_rows);
        let (table, owner) = (self.table, self.owner);
        loop {
            let delete = Statement::new(
                format!(
                    "with gone as (delete from {table} where ctid = any (array(\
                     select ctid from {table} where {owner} = $1 limit {batch} for update)) returning 1) \
                     select count(*) from gone"
                ),
                batch,
            )
            .bind(uid)?;
            let rows = transaction.fetch(delete).await?;
            let deleted: i64 = rows.first().ok_or_else(|| Error::internal("a delete returned no count"))?.try_get(0)?;
            if deleted < batch as i64 {
                return Ok(());
            }
        }
    }
}
