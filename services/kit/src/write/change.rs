//! Changes one stored row in a way that the slice defines: a move along a lifecycle, a timer, an acceptance. The row is
//! locked and compared with the caller's preconditions. The step then writes in the same transaction, and the row is
//! returned as it is after that.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::assignment::next_revision;
use super::request_id::LedgerEntry;
use super::returned::{read_masked, returning};
use super::stored;
use crate::answer::{AnswerLimit, WrittenResource};
use crate::context::Writes;
use crate::db::{Transaction, TransactionEnd};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::resource::Resource;
use crate::resource::batch::StoredRow;
use crate::resource::decode::Precondition;
use crate::resource::key::Key;
use crate::resource::mask::MaskPath;

/// A step: it is called with the locked row. It may be called several times, because the transaction is tried again
/// after a conflict.
pub type ChangeStep =
    Arc<dyn for<'t> Fn(&'t mut Transaction<'_>, StoredRow) -> BoxFuture<'t, Result<(), Error>> + Send + Sync>;

/// A step whose answer is another row: it is called as a [`ChangeStep`], and returns the key of that row.
pub type AnsweringStep =
    Arc<dyn for<'t> Fn(&'t mut Transaction<'_>, StoredRow) -> BoxFuture<'t, Result<Key, Error>> + Send + Sync>;

/// A request for a step.
#[derive(Clone, Debug)]
pub struct ChangeRequest {
    /// Which resource.
    pub key: Key,
    /// The etag and revision that it must have.
    pub precondition: Precondition,
    /// The fields of the resource that are returned.
    pub mask: Vec<MaskPath>,
    /// The deadline.
    pub deadline: Deadline,
    /// The size limit of the answer.
    pub answers: AnswerLimit,
    /// The ledger entry that recognises a retry, if the call has a request_id.
    pub entry: Option<LedgerEntry>,
}

/// Runs a step and returns the row, with as many fields as fit. If the call repeats an earlier one, by its ledger
/// entry, no step is run and the row is returned as it is now.
///
/// # Errors
/// [`Error::Invalid`] for an invalid revision, [`Error::NotFound`], [`Error::EtagMismatch`],
/// [`Error::RevisionMismatch`]; [`Error::WriteMismatch`] for a request_id that was used with other parameters; the
/// errors of the step.
pub fn change<'a>(
    context: &'a Writes,
    resource: &'static Resource,
    request: ChangeRequest,
    step: ChangeStep,
) -> BoxFuture<'a, Result<WrittenResource, Error>> {
    let key = request.key.clone();
    let step: AnsweringStep = Arc::new(move |transaction, row| {
        let (step, key) = (Arc::clone(&step), key.clone());
        Box::pin(async move { step(transaction, row).await.map(|()| key) })
    });
    change_answering(context, resource, request, step)
}

/// Runs a step on a row and returns another row of the resource, as [`change`] returns the row itself.
///
/// # Errors
/// As of [`change`]; [`Error::NotFound`] also if the row to be returned does not exist.
pub fn change_answering<'a>(
    context: &'a Writes,
    resource: &'static Resource,
    request: ChangeRequest,
    step: AnsweringStep,
) -> BoxFuture<'a, Result<WrittenResource, Error>> {
    Box::pin(change_row(context, resource, request, step))
}

async fn change_row(
    context: &Writes,
    resource: &'static Resource,
    request: ChangeRequest,
    step: AnsweringStep,
) -> Result<WrittenResource, Error> {
    if request.precondition.revision < 0 {
        return Err(Error::invalid("revision", "must not be negative"));
    }
    let name = resource.name_of(request.key.tuple());
    let (deadline, answers) = (request.deadline, request.answers);
    let request = Arc::new(request);
    let changed = returning(deadline, |extent| {
        let (request, step, name) = (Arc::clone(&request), Arc::clone(&step), name.clone());
        context.transaction(deadline, move |transaction| {
            Box::pin(async move {
                let ChangeRequest { key, mask, entry, .. } = &*request;
                if let Some(entry) = entry
                    && let Some(answered) = entry.enter(transaction, key).await?
                {
                    let now = read_masked(transaction, resource, mask, &answered, answers, extent).await?;
                    return Ok(TransactionEnd::RollBack(now));
                }
                let Some(row) = stored::lock(transaction, resource, key).await? else {
                    return Err(Error::NotFound { resource: resource.description.message, name });
                };
                stored::check(Some(&row), resource, key.tuple(), &request.precondition)?;
                let answered = step(transaction, row).await?;
                if let Some(entry) = entry.as_ref().filter(|_| answered != *key) {
                    entry.enter_existing(transaction, &answered).await?;
                }
                let written = read_masked(transaction, resource, mask, &answered, answers, extent).await?;
                Ok(TransactionEnd::Commit(written))
            })
        })
    });
    changed.await.map_err(|error| error.of_refused_row(resource, &name, ""))
}

/// The assignments of every change: the time, and the revision if there is one.
pub fn touched(resource: &Resource) -> Vec<String> {
    let mut assignments = vec!["update_ts = now()".to_owned()];
    assignments.extend(resource.revision().map(next_revision));
    assignments
}
