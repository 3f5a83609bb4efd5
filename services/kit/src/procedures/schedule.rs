//! Schedules: when procedures run by themselves. However many processes look, each run is started once: the update that
//! moves a schedule on also creates the execution.

use std::time::Duration;

use orrery_proto::procedures::v1::ProcedureSchedule;
use sqlx::Row as _;

use super::parameters::{Parameters, to_struct};
use super::procedure::Procedure;
use super::{Shared, execution};
use crate::db::array::ArrayParameter;
use crate::db::{Statement, Transaction, TransactionEnd};
use crate::deadline::Deadline;
use crate::error::{Error, Violation};
use crate::timestamp;

/// The least interval.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// The greatest interval.
const MAX_INTERVAL: Duration = Duration::from_hours(366 * 24);

/// When a procedure runs by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The time from one start to the next, from a second to 366 days; `None` if it does not run by itself.
    pub interval: Option<Duration>,
    /// Each start is later by a random part of this, at most the interval.
    pub jitter: Duration,
}

impl Schedule {
    /// It does not run by itself.
    #[must_use]
    pub const fn never() -> Self {
        Self { interval: None, jitter: Duration::ZERO }
    }

    /// It runs every `interval`; each start is later by a random part of a tenth of it.
    #[must_use]
    pub fn every(interval: Duration) -> Self {
        Self { interval: Some(interval), jitter: interval / 10 }
    }

    /// The time to the next start.
    fn pause(self) -> Option<Duration> {
        Some(self.interval? + self.jitter.mul_f64(rand::random::<f64>()))
    }
}

/// A schedule as it is stored.
pub(super) struct StoredSchedule {
    pub(super) procedure: String,
    pub(super) message: ProcedureSchedule,
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn of_micros(micros: i64) -> Duration {
    Duration::from_micros(micros.unsigned_abs())
}

/// A duration of the contract; `None` if it is negative or malformed. The conversion of prost-types cannot take the
/// least number of seconds.
fn of_message(duration: prost_types::Duration) -> Option<Duration> {
    let nanos = u32::try_from(duration.nanos).ok().filter(|&nanos| nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(duration.seconds).ok()?, nanos))
}

fn to_timestamp(micros: i64) -> prost_types::Timestamp {
    let (seconds, nanos) = timestamp::from_postgres(micros);
    prost_types::Timestamp { seconds, nanos }
}

/// Checks a schedule of the contract. `Err` has the violations, below `schedule`.
pub(super) fn checked(
    procedure: &dyn Procedure,
    message: Option<&ProcedureSchedule>,
) -> Result<(Schedule, Parameters), Error> {
    let mut violations = Vec::new();
    let mut duration = |name: &str, value: Option<&prost_types::Duration>| {
        let value = value.copied().unwrap_or_default();
        of_message(value).unwrap_or_else(|| {
            violations.push(Violation::new(format!("schedule.{name}"), "must not be negative"));
            Duration::ZERO
        })
    };
    let interval = duration("interval", message.and_then(|message| message.interval.as_ref()));
    let jitter = duration("jitter", message.and_then(|message| message.jitter.as_ref()));
    if interval != Duration::ZERO && !(MIN_INTERVAL..=MAX_INTERVAL).contains(&interval) {
        violations.push(Violation::new("schedule.interval", "must be 0, or from a second to 366 days"));
    }
    if jitter > interval {
        violations.push(Violation::new("schedule.jitter", "must not be longer than the interval"));
    }
    let given = message.and_then(|message| message.parameters.as_ref());
    let parameters = Parameters::of_message(procedure.parameters(), given, "schedule.parameters");
    match parameters {
        Ok(parameters) if violations.is_empty() => {
            Ok((Schedule { interval: (interval != Duration::ZERO).then_some(interval), jitter }, parameters))
        }
        Ok(_) => Err(Error::Invalid(violations)),
        Err(Error::Invalid(more)) => Err(Error::Invalid(violations.into_iter().chain(more).collect())),
        Err(error) => Err(error),
    }
}

/// The stored schedules.
pub(super) async fn read(shared: &Shared, deadline: Deadline) -> Result<Vec<StoredSchedule>, Error> {
    let sql = format!(
        "select t.procedure, t.interval_micros, t.jitter_micros, t.parameters::text,
       (extract(epoch from t.next_ts - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint,
       (extract(epoch from t.update_ts - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint
  from {}.procedure_schedule as t
 where t.procedure = any ($1)",
        shared.context.schema
    );
    let select = Statement::new(sql, shared.procedures.len()).bind(ArrayParameter::texts(shared.names()))?;
    let rows = shared.context.database().fetch(&select, deadline).await?;
    let schedule = |row: &sqlx::postgres::PgRow| {
        let interval = row.try_get::<Option<i64>, _>(1)?.map(of_micros);
        let (jitter, parameters) = (of_micros(row.try_get(2)?), row.try_get::<String, _>(3)?);
        let parameters = match serde_json::from_str(&parameters) {
            Ok(serde_json::Value::Object(object)) => Some(to_struct(&object)),
            _ => None,
        };
        let message = ProcedureSchedule {
            interval: interval.and_then(|interval| prost_types::Duration::try_from(interval).ok()),
            jitter: prost_types::Duration::try_from(jitter).ok(),
            parameters,
            next_ts: row.try_get::<Option<i64>, _>(4)?.map(to_timestamp),
            update_ts: row.try_get::<Option<i64>, _>(5)?.map(to_timestamp),
        };
        Ok(StoredSchedule { procedure: row.try_get(0)?, message })
    };
    rows.iter().map(schedule).collect()
}

/// Stores a schedule.
pub(super) async fn set(
    transaction: &mut Transaction<'_>,
    schema: &str,
    procedure: &str,
    (schedule, parameters): (Schedule, &Parameters),
) -> Result<(), Error> {
    let sql = format!(
        "insert into {schema}.procedure_schedule as s (procedure, interval_micros, jitter_micros, parameters, next_ts)
values ($1, $2, $3, $4::text::jsonb, now() + $5 * interval '1 microsecond')
    on conflict (procedure) do update
   set interval_micros = excluded.interval_micros, jitter_micros = excluded.jitter_micros,
       parameters = excluded.parameters, next_ts = excluded.next_ts, update_ts = excluded.update_ts"
    );
    let insert = Statement::new(sql, 1)
        .bind(procedure)?
        .bind(schedule.interval.map(micros))?
        .bind(micros(schedule.jitter))?
        .bind(parameters.stored())?
        .bind(schedule.pause().map(|pause| micros(pause) as f64))?;
    transaction.write(insert).await.map(drop)
}

/// Stores the default schedules of procedures that have none.
pub(super) async fn set_defaults(shared: &Shared, deadline: Deadline) -> Result<(), Error> {
    let sql = format!(
        "insert into {}.procedure_schedule as s (procedure, interval_micros, jitter_micros, next_ts)
select i.procedure, i.interval_micros, i.jitter_micros, now() + i.pause * interval '1 microsecond'
  from unnest($1::text[], $2::bigint[], $3::bigint[], $4::double precision[])
       as i (procedure, interval_micros, jitter_micros, pause)
    on conflict (procedure) do nothing",
        shared.context.schema
    );
    let schedules: Vec<Schedule> = shared.procedures.iter().map(|procedure| procedure.default_schedule()).collect();
    let intervals: Vec<Option<i64>> = schedules.iter().map(|schedule| schedule.interval.map(micros)).collect();
    let jitters: Vec<i64> = schedules.iter().map(|schedule| micros(schedule.jitter)).collect();
    let pauses: Vec<Option<f64>> =
        schedules.iter().map(|schedule| schedule.pause().map(|pause| micros(pause) as f64)).collect();
    let insert = Statement::new(sql, shared.procedures.len())
        .bind(ArrayParameter::texts(shared.names()))?
        .bind(intervals)?
        .bind(jitters)?
        .bind(pauses)?;
    shared
        .context
        .database()
        .transaction(deadline, move |transaction| {
            Box::pin(async move { transaction.write(insert).await.map(|_| TransactionEnd::Commit(())) })
        })
        .await
}

/// A schedule whose time has come.
struct Due {
    procedure: String,
    parameters: String,
    schedule: Schedule,
    next_micros: i64,
}

/// Starts the procedures whose time has come, and returns how many executions that made. Each schedule is moved on by
/// whoever is first; a run is left out if an execution of the procedure has not ended.
pub(super) async fn start_due(shared: &Shared, deadline: Deadline) -> Result<usize, Error> {
    let (schema, database) = (shared.context.schema, shared.context.database());
    let sql = format!(
        "select t.procedure, t.parameters::text, t.interval_micros, t.jitter_micros,
       (extract(epoch from t.next_ts) * 1000000)::bigint
  from {schema}.procedure_schedule as t
 where t.procedure = any ($1)
   and t.next_ts <= now()
   and t.interval_micros > 0"
    );
    let select = Statement::new(sql, shared.procedures.len()).bind(ArrayParameter::texts(shared.names()))?;
    let mut started = 0;
    for row in database.fetch(&select, deadline).await? {
        let interval = Some(of_micros(row.try_get(2)?));
        let due = Due {
            procedure: row.try_get(0)?,
            parameters: row.try_get(1)?,
            schedule: Schedule { interval, jitter: of_micros(row.try_get(3)?) },
            next_micros: row.try_get(4)?,
        };
        started += usize::from(
            database
                .transaction(deadline, move |transaction| {
                    Box::pin(async move { Ok(TransactionEnd::Commit(start(transaction, schema, &due).await?)) })
                })
                .await?,
        );
    }
    Ok(started)
}

/// Moves a schedule on and creates its execution. False if another process has moved it, or nothing is to be run.
async fn start(transaction: &mut Transaction<'_>, schema: &str, due: &Due) -> Result<bool, Error> {
    let sql = format!(
        "update {schema}.procedure_schedule as t
   set next_ts = now() + $3 * interval '1 microsecond'
 where t.procedure = $1
   and (extract(epoch from t.next_ts) * 1000000)::bigint = $2
returning 1"
    );
    let pause = due.schedule.pause().map(|pause| micros(pause) as f64);
    let moved = Statement::new(sql, 1).bind(&due.procedure)?.bind(due.next_micros)?.bind(pause)?;
    if transaction.write(moved).await?.is_empty() {
        return Ok(false);
    }
    execution::delete_old(transaction, schema).await?;
    execution::insert_unless_unfinished(transaction, schema, &due.procedure, &due.parameters).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_neither_negative_nor_malformed() {
        let of = |seconds, nanos| of_message(prost_types::Duration { seconds, nanos });
        assert_eq!(of(1, 500_000_000), Some(Duration::from_millis(1_500)));
        assert_eq!(of(i64::MAX, 999_999_999), Some(Duration::new(i64::MAX.unsigned_abs(), 999_999_999)));
        for (seconds, nanos) in [(-1, 0), (i64::MIN, 0), (0, -1), (0, i32::MIN), (1, 1_000_000_000)] {
            assert_eq!(of(seconds, nanos), None);
        }
    }

    #[test]
    fn a_start_is_late_by_a_part_of_the_jitter() {
        let schedule = Schedule::every(Duration::from_hours(1));
        for _ in 0..1_000 {
            let pause = schedule.pause().unwrap_or_default();
            assert!((Duration::from_hours(1)..=Duration::from_mins(66)).contains(&pause), "{pause:?}");
        }
        assert_eq!(Schedule::never().pause(), None);
    }
}
