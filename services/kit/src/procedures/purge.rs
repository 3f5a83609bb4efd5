//! `purge_archived`: deletes rows that were archived long ago.
//!
//! Rows are deleted as a call deletes them: after the resource's own rules, with children and dependents, and with
//! what the slice frees before that. Everything happens in the transactions of the steps: a worker whose execution was
//! taken over deletes nothing more.

use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use sqlx::Row as _;

use super::parameters::{Parameter, ParameterKind};
use super::procedure::{Job, Next, Position, Procedure, Run, Step};
use crate::db::{CopySource as _, Statement, Transaction};
use crate::error::Error;
use crate::read::point::put_tuple;
use crate::resource::Resource;
use crate::resource::batch::StoredRow;
use crate::resource::key::Key;
use crate::write::delete::{Deleted, delete_within, until_commit};
use crate::write::stored;

/// How many archived rows one step looks at.
const ROWS_AT_ONCE: usize = 500;
/// The most deletions of a run that can be asked for.
const MAX_DELETIONS: i64 = 1_000_000_000;

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "retention",
        kind: ParameterKind::Duration {
            default: Duration::from_hours(90 * 24),
            min: Duration::from_hours(1),
            max: Duration::from_hours(100 * 366 * 24),
        },
        description: "How long after its last change (update_ts) what is archived is kept; at least 1h.",
    },
    Parameter {
        name: "max_deletions",
        kind: ParameterKind::Integer { default: 10_000, min: 1, max: MAX_DELETIONS },
        description: "After so many deletions the run ends; from 1 to 1,000,000,000.",
    },
    Parameter {
        name: "dry_run",
        kind: ParameterKind::Boolean(false),
        description: "Whether rows are only counted, and nothing is deleted.",
    },
];

/// Deletes what the slice has to delete before a row, which is locked and due. False if some of it is left for another
/// transaction.
pub type Freeing =
    for<'t, 'c> fn(&'t mut Transaction<'c>, &'static Resource, &'t StoredRow) -> BoxFuture<'t, Result<bool, Error>>;

/// The procedure, for one resource with a status and an `update_ts`.
#[derive(Debug)]
pub struct PurgeArchived {
    resource: &'static Resource,
    phase: &'static str,
    description: &'static str,
    freeing: Option<Freeing>,
}

impl PurgeArchived {
    /// Deletes rows of a resource in this phase. The description is that of the procedure; see
    /// [`Procedure::description`].
    pub fn new(resource: &'static Resource, phase: &'static str, description: &'static str) -> Self {
        Self { resource, phase, description, freeing: None }
    }

    /// The same, with something that is done before a row is deleted.
    #[must_use]
    pub fn freeing(mut self, freeing: Freeing) -> Self {
        self.freeing = Some(freeing);
        self
    }
}

impl Procedure for PurgeArchived {
    fn name(&self) -> &'static str {
        "purge_archived"
    }

    fn description(&self) -> &'static str {
        self.description
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn begin(&self, job: &Job) -> Result<Box<dyn Run>, Error> {
        Ok(Box::new(Purge {
            resource: self.resource,
            phase: self.phase,
            freeing: self.freeing,
            retention: job.parameters.duration("retention")?,
            max_deletions: job.parameters.integer("max_deletions")?,
            dry_run: job.parameters.boolean("dry_run")?,
        }))
    }
}

/// A run of it.
#[derive(Clone, Copy)]
struct Purge {
    resource: &'static Resource,
    phase: &'static str,
    freeing: Option<Freeing>,
    retention: Duration,
    max_deletions: i64,
    dry_run: bool,
}

impl Run for Purge {
    fn step<'r>(&'r mut self, at: &'r Position) -> BoxFuture<'r, Result<Step, Error>> {
        let (purge, at) = (*self, at.clone());
        let step = Step::that(move |transaction| Box::pin(purge.purge_some(transaction, at.clone())));
        Box::pin(async { Ok(step) })
    }
}

/// What became of a row.
enum Outcome {
    /// It was deleted.
    Deleted,
    /// The rules keep it.
    Refused,
    /// It is not due any more.
    NotDue,
    /// Some of what belongs to it was deleted.
    Partly,
}

impl Purge {
    async fn purge_some(self, transaction: &mut Transaction<'_>, at: Position) -> Result<Next, Error> {
        let mut at = if at.step.is_empty() { at.to_step("purge") } else { at };
        at.add("found", 0);
        at.add("deleted", 0);
        let most = ROWS_AT_ONCE.min(transaction.limits().max_query_rows).min(transaction.max_statement_rows());
        let rows = transaction.fetch(self.archived(&at.cursor, most)?).await?;
        if rows.is_empty() {
            return Ok(Next::Done(at));
        }
        let until = until_commit(transaction.limits().transaction_timeout);
        for row in &rows {
            let mut tuple = Vec::new();
            put_tuple(row, self.resource.key_length(), &mut tuple)?;
            let key = Key::of(self.resource, &tuple);
            if row.try_get(self.resource.key_length())? {
                if self.dry_run {
                    at.add("found", 1);
                } else {
                    if at.result.get("deleted").is_some_and(|deleted| *deleted >= self.max_deletions) {
                        return Ok(Next::Done(at));
                    }
                    match self.purge_one(transaction, &key, until).await? {
                        Outcome::Deleted => ["found", "deleted"].into_iter().for_each(|name| at.add(name, 1)),
                        Outcome::Refused => ["found", "refused"].into_iter().for_each(|name| at.add(name, 1)),
                        Outcome::NotDue => {}
                        // The next step goes on with the same row.
                        Outcome::Partly => return Ok(Next::Step(at)),
                    }
                }
            }
            at = at.processed(1).to_cursor(key.to_text(self.resource));
            if Instant::now() >= until {
                break;
            }
        }
        Ok(Next::Step(at))
    }

    async fn purge_one(self, transaction: &mut Transaction<'_>, key: &Key, until: Instant) -> Result<Outcome, Error> {
        if transaction.fetch(self.lock_due(key)?).await?.is_empty() {
            return Ok(Outcome::NotDue);
        }
        if let Some(freeing) = self.freeing {
            let Some(row) = stored::lock(transaction, self.resource, key).await? else { return Ok(Outcome::NotDue) };
            if !freeing(transaction, self.resource, &row).await? {
                return Ok(Outcome::Partly);
            }
        }
        Ok(match delete_within(transaction, self.resource, key, until).await? {
            Deleted::Whole => Outcome::Deleted,
            Deleted::Partly => Outcome::Partly,
            Deleted::Refused(refusal) => {
                let name = self.resource.name_of(key.tuple());
                tracing::info!(resource = self.resource.description.message, name, %refusal, "is not purged");
                Outcome::Refused
            }
        })
    }

    fn micros(self) -> f64 {
        self.retention.as_secs_f64() * 1e6
    }

    /// The keys of the next archived rows, and whether each is due.
    fn archived(self, cursor: &str, most: usize) -> Result<Statement, Error> {
        let (table, keys) = (self.resource.description.table, self.resource.key_columns("t"));
        let after = if cursor.is_empty() { None } else { Key::from_text(self.resource, cursor) };
        let behind = after.as_ref().map_or_else(String::new, |_| {
            let numbers = (3..3 + self.resource.key_length()).map(|number| format!("${number}"));
            format!("\n   and ({keys}) > ({})", numbers.collect::<Vec<_>>().join(", "))
        });
        let sql = format!(
            "select {keys}, t.update_ts < now() - $2 * interval '1 microsecond'
  from {table} as t
 where (t.status ->> 'phase') = $1{behind}
 order by {keys}
 limit {most}"
        );
        let select = Statement::new(sql, most).bind(self.phase)?.bind(self.micros())?;
        after.map_or(Ok(select.clone()), |after| self.resource.bind_key(select, after.tuple()))
    }

    /// Locks a row if it is still due.
    fn lock_due(self, key: &Key) -> Result<Statement, Error> {
        let (table, resource) = (self.resource.description.table, self.resource);
        let first = resource.key_length() + 1;
        let sql = format!(
            "select 1
  from {table} as t
 where {}
   and (t.status ->> 'phase') = ${first}
   and t.update_ts < now() - ${} * interval '1 microsecond'
   for update",
            resource.key_equals(1),
            first + 1
        );
        resource.bind_key(Statement::new(sql, 1), key.tuple())?.bind(self.phase)?.bind(self.micros())
    }
}
