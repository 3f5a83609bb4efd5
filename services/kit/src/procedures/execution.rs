//! Executions as rows of `procedure_execution`, and the statements that move them.
//!
//! A worker takes an execution by raising its fence, and holds it until its lease ends. Whatever it commits afterwards
//! carries the fence: a worker that was paused so long that another one took over commits nothing more.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use sqlx::Row as _;

use super::procedure::{Next, Position, StepWork};
use crate::context::Context;
use crate::db::array::ArrayParameter;
use crate::db::retry::retried;
use crate::db::{Statement, Transaction, TransactionEnd};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::uid::UidKind;

/// The uids of executions.
pub(super) const EXECUTION_UID: UidKind = UidKind { prefix: "exe_" };
/// The name of executions in errors.
pub(super) const EXECUTION: &str = "orrery.procedures.v1.ProcedureExecution";

/// For how many days executions that have ended are kept.
const RETENTION_DAYS: u32 = 30;
/// How many of them are deleted at once.
const DELETED_AT_ONCE: usize = 100;
/// How many executions a worker looks at to take one.
const CANDIDATES: usize = 16;
/// Most bytes of a stored error.
const MAX_ERROR_BYTES: usize = 2_048;

/// An execution that a worker of this process has taken.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) uid: String,
    pub(super) procedure: String,
    /// The parameters as JSON.
    pub(super) parameters: String,
    pub(super) attempts: i32,
    /// How many workers in a row have ended in the middle of the present step, without a word.
    pub(super) interruptions: i32,
    pub(super) position: Position,
    fence: i64,
}

/// What became of an attempt to commit for an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held<T> {
    /// It was committed.
    Yes(T),
    /// The execution is to be cancelled. Nothing was committed.
    Cancelled,
    /// Another worker has taken the execution over, or it has ended. Nothing was committed.
    No,
}

/// A parameter of microseconds.
fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Creates an execution, or finds the one that the same request_id has created.
///
/// # Errors
/// [`Error::WriteMismatch`] if the request_id was used for something else; the errors of the database.
pub(super) async fn insert(
    transaction: &mut Transaction<'_>,
    schema: &str,
    procedure: &str,
    parameters: &str,
    request_id: &str,
) -> Result<String, Error> {
    let uid = EXECUTION_UID.new_uid();
    let sql = format!(
        "insert into {schema}.procedure_execution as t (uid, procedure, parameters, request_id)
values ($1, $2, $3::text::jsonb, nullif($4, ''))
    on conflict (request_id) where request_id is not null do nothing
returning uid"
    );
    let insert = Statement::new(sql, 1).bind(&uid)?.bind(procedure)?.bind(parameters)?.bind(request_id)?;
    if !transaction.write(insert).await?.is_empty() {
        return Ok(uid);
    }
    let sql = format!(
        "select t.uid, t.procedure = $2 and t.parameters = $3::text::jsonb
  from {schema}.procedure_execution as t
 where t.request_id = $1"
    );
    let select = Statement::new(sql, 1).bind(request_id)?.bind(procedure)?.bind(parameters)?;
    let found = transaction.fetch(select).await?;
    // Deleted a moment ago.
    let row = found.first().ok_or(Error::TransactionConflict(sqlx::Error::RowNotFound))?;
    if row.try_get(1)? { Ok(row.try_get(0)?) } else { Err(Error::WriteMismatch("request_id", "content")) }
}

/// Creates an execution, unless one of the procedure has not ended. Returns whether it did.
pub(super) async fn insert_unless_unfinished(
    transaction: &mut Transaction<'_>,
    schema: &str,
    procedure: &str,
    parameters: &str,
) -> Result<bool, Error> {
    let sql = format!(
        "select 1 from {schema}.procedure_execution as t
 where t.procedure = $1
   and t.phase in ('pending', 'running')
 limit 1"
    );
    if !transaction.fetch(Statement::new(sql, 1).bind(procedure)?).await?.is_empty() {
        return Ok(false);
    }
    insert(transaction, schema, procedure, parameters, "").await.map(|_| true)
}

/// Deletes some executions that have ended long ago.
pub(super) async fn delete_old(transaction: &mut Transaction<'_>, schema: &str) -> Result<(), Error> {
    let most = DELETED_AT_ONCE.min(transaction.max_statement_rows());
    let sql = format!(
        "delete from {schema}.procedure_execution as t
 where t.uid = any (array(
    select o.uid from {schema}.procedure_execution as o
     where o.finish_ts < now() - interval '{RETENTION_DAYS} days'
     order by o.finish_ts, o.uid
     limit {most}))"
    );
    transaction.write(Statement::new(sql, most)).await.map(drop)
}

/// Takes an execution of one of these procedures whose time has come, for `lease`; `None` if there is none. Of two
/// workers that want the same one, one gets it.
pub(super) async fn take(
    context: &Context,
    procedures: &[&str],
    lease: Duration,
    deadline: Deadline,
) -> Result<Option<Taken>, Error> {
    let schema = context.schema;
    // An execution that has begun keeps the others of its procedure waiting.
    let sql = format!(
        "select t.uid, t.fence, t.phase
  from {schema}.procedure_execution as t
 where t.procedure = any ($1)
   and t.phase in ('pending', 'running')
   and t.next_ts <= now()
   and (t.lease_ts is null or t.lease_ts <= now())
   and (t.phase = 'running'
        or t.procedure <> all (array(
            select r.procedure from {schema}.procedure_execution as r where r.phase = 'running')))
 order by t.next_ts, t.uid
 limit {CANDIDATES}"
    );
    let select = Statement::new(sql, CANDIDATES).bind(ArrayParameter::texts(procedures))?;
    for row in context.database().fetch(&select, deadline).await? {
        let (uid, fence, phase): (String, i64, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        match context
            .database()
            .transaction(deadline, move |transaction| {
                Box::pin(async move {
                    let taken = take_one(transaction, schema, &uid, fence, &phase, lease).await?;
                    Ok(TransactionEnd::Commit(taken))
                })
            })
            .await
        {
            // Another execution of the procedure has just begun.
            Ok(None) | Err(Error::RowRefused(_) | Error::TransactionConflict(_)) => {}
            taken => return taken,
        }
    }
    Ok(None)
}

async fn take_one(
    transaction: &mut Transaction<'_>,
    schema: &str,
    uid: &str,
    fence: i64,
    phase: &str,
    lease: Duration,
) -> Result<Option<Taken>, Error> {
    let begun = if phase == "pending" { ", phase = 'running', start_ts = now()" } else { "" };
    let sql = format!(
        "update {schema}.procedure_execution as t
   set fence = t.fence + 1, lease_ts = now() + $4 * interval '1 microsecond', update_ts = now(),
       interruptions = case when t.lease_ts is null then t.interruptions else t.interruptions + 1 end{begun}
 where t.uid = $1
   and t.fence = $2
   and t.phase = $3
   and (t.lease_ts is null or t.lease_ts <= now())
returning t.procedure, t.parameters::text, t.attempts, t.step, t.cursor, t.processed, t.total, t.result::text, t.fence,
          t.interruptions"
    );
    let update = Statement::new(sql, 1).bind(uid)?.bind(fence)?.bind(phase)?.bind(micros(lease))?;
    let taken = transaction.write(update).await?;
    let Some(row) = taken.first() else { return Ok(None) };
    let position = Position {
        step: row.try_get(3)?,
        cursor: row.try_get(4)?,
        processed: row.try_get(5)?,
        total: row.try_get(6)?,
        result: result_of(row.try_get(7)?),
    };
    Ok(Some(Taken {
        uid: uid.to_owned(),
        procedure: row.try_get(0)?,
        parameters: row.try_get(1)?,
        attempts: row.try_get(2)?,
        position,
        fence: row.try_get(8)?,
        interruptions: row.try_get(9)?,
    }))
}

/// The numbers of a stored result.
fn result_of(stored: &str) -> BTreeMap<String, i64> {
    match serde_json::from_str(stored) {
        Ok(Value::Object(object)) => {
            object.into_iter().filter_map(|(name, value)| Some((name, value.as_i64()?))).collect()
        }
        _ => BTreeMap::new(),
    }
}

impl Taken {
    /// Runs the work of a step, and stores what follows in the same transaction.
    ///
    /// # Errors
    /// The errors of the work and of the database: nothing was committed, unless the connection broke at the commit.
    pub(super) async fn commit(
        &self,
        context: &Context,
        work: &StepWork,
        lease: Duration,
        deadline: Deadline,
    ) -> Result<Held<Next>, Error> {
        let schema = context.schema;
        let run = || {
            let (taken, work) = (self.clone(), StepWork::clone(work));
            context.database().transaction(deadline, move |transaction| {
                Box::pin(async move {
                    // First, so that a worker whose execution was taken over waits for nobody.
                    let sql = format!(
                        "select t.cancel_requested from {schema}.procedure_execution as t
 where t.uid = $1 and t.fence = $2 and t.phase = 'running'
   for update"
                    );
                    let lock = Statement::new(sql, 1).bind(&taken.uid)?.bind(taken.fence)?;
                    let locked = transaction.fetch(lock).await?;
                    match locked.first().map(|row| row.try_get::<bool, _>(0)).transpose()? {
                        None => return Ok(TransactionEnd::RollBack(Held::No)),
                        Some(true) => return Ok(TransactionEnd::RollBack(Held::Cancelled)),
                        Some(false) => {}
                    }
                    let next = work(transaction).await?;
                    taken.store(transaction, schema, &next, lease).await?;
                    Ok(TransactionEnd::Commit(Held::Yes(next)))
                })
            })
        };
        retried(deadline, run).await
    }

    /// Stores what follows a step.
    async fn store(
        &self,
        transaction: &mut Transaction<'_>,
        schema: &str,
        next: &Next,
        lease: Duration,
    ) -> Result<(), Error> {
        let (position, moved, time) = match next {
            Next::Step(position) => (position, "lease_ts = now() + $8 * interval '1 microsecond'", lease),
            Next::After(pause, position) => {
                (position, "lease_ts = null, next_ts = now() + $8 * interval '1 microsecond'", *pause)
            }
            Next::Done(position) => (
                position,
                "lease_ts = null, next_ts = null, phase = 'succeeded', \
                 finish_ts = now() + $8 * interval '1 microsecond'",
                Duration::ZERO,
            ),
        };
        let sql = format!(
            "update {schema}.procedure_execution as t
   set step = $3, cursor = $4, processed = $5, total = $6, result = $7::text::jsonb, attempts = 0, error = '',
       interruptions = 0, update_ts = now(), {moved}
 where t.uid = $1
   and t.fence = $2"
        );
        let Position { step, cursor, processed, total, result } = position;
        let result = serde_json::to_string(result).map_err(Error::internal)?;
        let update = Statement::new(sql, 1)
            .bind(&self.uid)?
            .bind(self.fence)?
            .bind(step)?
            .bind(cursor)?
            .bind(processed)?
            .bind(total)?
            .bind(result)?
            .bind(micros(time))?;
        transaction.write(update).await.map(drop)
    }

    /// Holds the execution for another `lease`.
    pub(super) async fn extend(&self, context: &Context, lease: Duration) -> Result<Held<()>, Error> {
        let set = "lease_ts = now() + $3 * interval '1 microsecond'";
        let held = self.update(context, set, |update| update.bind(micros(lease)), lease / 3).await?;
        Ok(match held {
            None => Held::No,
            Some(true) => Held::Cancelled,
            Some(false) => Held::Yes(()),
        })
    }

    /// Gives the execution back, so that any worker can take it at once.
    pub(super) async fn release(&self, context: &Context, patience: Duration) -> Result<(), Error> {
        self.update(context, "lease_ts = null, update_ts = now()", Ok, patience).await.map(drop)
    }

    /// Ends the execution because it is cancelled.
    pub(super) async fn cancelled(&self, context: &Context, patience: Duration) -> Result<(), Error> {
        let set = "phase = 'cancelled', lease_ts = null, next_ts = null, finish_ts = now(), update_ts = now()";
        self.update(context, set, Ok, patience).await.map(drop)
    }

    /// Records a failed attempt. The next one follows after `pause`; without one the execution has failed.
    pub(super) async fn failed(
        &self,
        context: &Context,
        attempts: i32,
        error: &str,
        pause: Option<Duration>,
        patience: Duration,
    ) -> Result<(), Error> {
        let (next, time) = match pause {
            Some(pause) => ("next_ts = now() + $5 * interval '1 microsecond'", pause),
            None => {
                ("phase = 'failed', next_ts = null, finish_ts = now() + $5 * interval '1 microsecond'", Duration::ZERO)
            }
        };
        let set = format!("lease_ts = null, attempts = $3, error = $4, update_ts = now(), {next}");
        // Postgres stores no NUL, and the column is for people.
        let error: String = error.chars().filter(|&character| character != '\0').take(MAX_ERROR_BYTES / 4).collect();
        let bind = |update: Statement| update.bind(attempts)?.bind(error)?.bind(micros(time));
        self.update(context, &set, bind, patience).await.map(drop)
    }

    /// Updates the execution while this worker holds it; returns whether it is to be cancelled, or `None` if another
    /// worker holds it or it has ended.
    async fn update(
        &self,
        context: &Context,
        set: &str,
        bind: impl FnOnce(Statement) -> Result<Statement, Error> + Send,
        patience: Duration,
    ) -> Result<Option<bool>, Error> {
        let sql = format!(
            "update {}.procedure_execution as t
   set {set}
 where t.uid = $1
   and t.fence = $2
   and t.phase = 'running'
returning t.cancel_requested",
            context.schema
        );
        let update = bind(Statement::new(sql, 1).bind(&self.uid)?.bind(self.fence)?)?;
        context
            .database()
            .transaction(Deadline::after(patience), move |transaction| {
                Box::pin(async move {
                    let rows = transaction.write(update).await?;
                    let cancelled = rows.first().map(|row| row.try_get::<bool, _>(0)).transpose()?;
                    Ok(TransactionEnd::Commit(cancelled))
                })
            })
            .await
    }
}

/// Cancels an execution that no worker holds, or asks its worker to.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::PhaseForbids`] if it has ended in another way; the errors of the database.
pub(super) async fn cancel(transaction: &mut Transaction<'_>, schema: &str, uid: &str) -> Result<(), Error> {
    let at_once = format!(
        "update {schema}.procedure_execution as t
   set phase = 'cancelled', cancel_requested = true, fence = t.fence + 1, lease_ts = null, next_ts = null,
       finish_ts = now(), update_ts = now()
 where t.uid = $1
   and t.phase in ('pending', 'running')
   and (t.lease_ts is null or t.lease_ts <= now())
returning 1"
    );
    if !transaction.write(Statement::new(at_once, 1).bind(uid)?).await?.is_empty() {
        return Ok(());
    }
    let soon = format!(
        "update {schema}.procedure_execution as t
   set cancel_requested = true, update_ts = now()
 where t.uid = $1
   and t.phase in ('pending', 'running')
returning 1"
    );
    if !transaction.write(Statement::new(soon, 1).bind(uid)?).await?.is_empty() {
        return Ok(());
    }
    let sql = format!("select t.phase from {schema}.procedure_execution as t where t.uid = $1");
    let found = transaction.fetch(Statement::new(sql, 1).bind(uid)?).await?;
    match found.first().map(|row| row.try_get::<String, _>(0)).transpose()? {
        None => Err(Error::NotFound { resource: EXECUTION, name: uid.to_owned() }),
        Some(phase) if phase == "cancelled" => Ok(()),
        Some(from) => {
            Err(Error::PhaseForbids { resource: EXECUTION, name: uid.to_owned(), from, to: "cancelled".to_owned() })
        }
    }
}
