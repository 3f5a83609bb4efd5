//! The move of one resource along the lifecycle of its status.

use super::assignment::next_revision;
use super::locked::Locked;
use super::request_id::Entry;
use super::returned::{Written, read_masked, returning};
use crate::answer::AnswerLimit;
use crate::context::Context;
use crate::db::{Ending, Statement, Transaction};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::lifecycle::Lifecycle;
use crate::resource::decode::Precondition;
use crate::resource::mask::Reached;
use crate::resource::{MAX_PHASE_BYTES, Resource};
use crate::uid::check_key;
use futures::future::BoxFuture;

/// How many transitions a status remembers.
const MAX_TRANSITIONS: usize = 32;
/// Most bytes of a reason.
const MAX_REASON_BYTES: usize = 1_024;

/// A move that is asked for.
#[derive(Clone, Debug)]
pub struct Transition {
    /// Which resource.
    pub uid: String,
    /// The phase to move to.
    pub to_phase: String,
    /// Why, for people; may be empty.
    pub reason: String,
    /// The revision that it must have; 0 if any will do.
    pub revision: i32,
    /// Until when.
    pub deadline: Deadline,
    /// How large the answer may be.
    pub answers: AnswerLimit,
    /// Which fields are returned.
    pub returned: Vec<Reached>,
    /// How a retry is recognised, if the call names itself.
    pub entry: Option<Entry>,
}

/// A column that has a meaning in some phases only, and is cleared by a move out of them.
#[derive(Clone, Copy, Debug)]
pub struct BoundColumn {
    /// The column.
    pub column: &'static str,
    /// The phases in which it stays.
    pub phases: &'static [&'static str],
}

/// Moves a resource along the lifecycle of its status, enters that into the status, and returns the resource, as far as
/// it fits. A call that repeats an earlier one by its entry returns the resource as it stands now.
///
/// # Errors
/// [`Error::Invalid`] for `uid`, `to_phase`, `reason` and `revision`; [`Error::NotFound`], [`Error::RevisionMismatch`],
/// [`Error::PhaseForbids`]; [`Error::WriteMismatch`] for a request_id that was used with other parameters.
pub fn transition<'a>(
    context: &'a Context,
    resource: &'static Resource,
    bound: &'static [BoundColumn],
    request: Transition,
) -> BoxFuture<'a, Result<Written, Error>> {
    Box::pin(move_row(context, resource, bound, request))
}

async fn move_row(
    context: &Context,
    resource: &'static Resource,
    bound: &'static [BoundColumn],
    request: Transition,
) -> Result<Written, Error> {
    let lifecycle = resource.lifecycle().ok_or_else(|| Error::internal("the resource has no lifecycle"))?;
    check(lifecycle, &request)?;
    let (deadline, answers) = (request.deadline, request.answers);
    let moved = returning(deadline, |extent| {
        let Transition { uid, to_phase, reason, revision, returned, entry, .. } = request.clone();
        context.database.transaction(deadline, move |transaction| {
            Box::pin(async move {
                if let Some(entry) = entry
                    && let Some(uid) = entry.enter(transaction, &uid).await?
                {
                    let now = read_masked(transaction, resource, &returned, &uid, answers, extent).await?;
                    return Ok(Ending::RollBack(now));
                }
                let from = lock(transaction, resource, &uid, revision).await?;
                if !lifecycle.allows(&from, &to_phase) {
                    let resource = resource.description.message;
                    return Err(Error::PhaseForbids { resource, name: uid, from, to: to_phase });
                }
                let update = Statement::new(update(resource, bound, &to_phase), 1)
                    .bind(&uid)?
                    .bind(remembered(&from))?
                    .bind(&to_phase)?
                    .bind(&reason)?;
                transaction.write(update).await?;
                Ok(Ending::Commit(read_masked(transaction, resource, &returned, &uid, answers, extent).await?))
            })
        })
    });
    moved.await.map_err(|error| error.of_refused_row(resource, &request.uid, ""))
}

/// What a transition remembers of the phase that it left. What another program stored in place of one is as long as it
/// likes.
fn remembered(from: &str) -> &str {
    &from[..from.floor_char_boundary(MAX_PHASE_BYTES)]
}

fn check(lifecycle: &Lifecycle, request: &Transition) -> Result<(), Error> {
    check_uid(&request.uid)?;
    check_revision(request.revision)?;
    if !lifecycle.knows(&request.to_phase) {
        return Err(Error::invalid("to_phase", format!("must be one of {}", lifecycle.phases.join(", "))));
    }
    if request.reason.len() > MAX_REASON_BYTES || request.reason.contains('\0') {
        return Err(Error::invalid("reason", format!("must be at most {MAX_REASON_BYTES} bytes, without NUL")));
    }
    Ok(())
}

/// Whether a text may be the uid of something that exists.
///
/// # Errors
/// [`Error::Invalid`] for `uid`.
pub fn check_uid(uid: &str) -> Result<(), Error> {
    check_key(uid).map_err(|why| Error::invalid("uid", why))
}

/// Whether a number can be a revision, or says that any will do.
///
/// # Errors
/// [`Error::Invalid`] for `revision`.
pub fn check_revision(revision: i32) -> Result<(), Error> {
    if revision < 0 { Err(Error::invalid("revision", "must not be negative")) } else { Ok(()) }
}

/// Locks a row for a change that depends on its phase, which is returned: as text where other programs stored something
/// else, and empty where they stored none.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::RevisionMismatch`] if `revision` is not 0 and not the row's.
pub fn lock<'a>(
    transaction: &'a mut Transaction<'_>,
    resource: &'static Resource,
    uid: &'a str,
    revision: i32,
) -> BoxFuture<'a, Result<String, Error>> {
    Box::pin(lock_row(transaction, resource, uid, revision))
}

async fn lock_row(
    transaction: &mut Transaction<'_>,
    resource: &'static Resource,
    uid: &str,
    revision: i32,
) -> Result<String, Error> {
    let missing = || Error::NotFound { resource: resource.description.message, name: uid.to_owned() };
    let stored = Locked::of(transaction, resource, uid).await?.ok_or_else(missing)?;
    stored.check(resource, uid, &Precondition { revision, ..Precondition::default() })?;
    Ok(stored.phase)
}

/// The change of one row, `$1`, from the phase `$2` to `$3` for the reason `$4`.
fn update(resource: &Resource, bound: &[BoundColumn], to_phase: &str) -> String {
    let mut assignments = vec![format!("status = {}", moved("t.status", "$2", "$3", "$4"))];
    assignments.extend(touched(resource));
    let cleared = bound.iter().filter(|bound| !bound.phases.contains(&to_phase));
    assignments.extend(cleared.map(|bound| format!("{} = null", bound.column)));
    format!("update {} as t set {} where t.uid = $1", resource.description.table, assignments.join(", "))
}

/// What every change of a row assigns: the time, and the revision where there is one.
pub fn touched(resource: &Resource) -> Vec<String> {
    let mut assignments = vec!["update_ts = now()".to_owned()];
    assignments.extend(resource.revision().map(next_revision));
    assignments
}

/// The status of a row that moves, with the move entered behind the last ones: SQL, as its arguments are. What else
/// other programs keep in the status stays. If `transitions` is theirs and no list, it becomes the list's first entry;
/// a status that is no object becomes one.
pub fn moved(status: &str, from: &str, to: &str, reason: &str) -> String {
    let kept = MAX_TRANSITIONS - 1;
    let before = format!(
        "(case jsonb_typeof(coalesce({status} -> 'transitions', 'null')) \
          when 'array' then {status} -> 'transitions' \
          when 'null' then '[]' \
          else jsonb_build_array({status} -> 'transitions') end)"
    );
    format!(
        "((case jsonb_typeof({status}) when 'object' then {status} else '{{}}' end) \
          || jsonb_build_object('phase', {to}::text, 'transitions', \
          (select coalesce(jsonb_agg(e.entry order by e.place), '[]') \
             from jsonb_array_elements({before}) with ordinality as e (entry, place) \
            where e.place > jsonb_array_length({before}) - {kept}) \
          || jsonb_build_object('at', to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), \
                                'from', {from}::text, 'to', {to}::text, 'reason', {reason}::text)))"
    )
}
