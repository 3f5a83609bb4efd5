//! The table `orphan`: what was seen, what is confirmed.

use std::time::Duration;

use sqlx::Row as _;

use super::relation::rows_at_once;
use crate::context::Context;
use crate::db::array::ArrayParameter;
use crate::db::{Statement, Transaction};
use crate::deadline::Deadline;
use crate::error::Error;

/// Most orphans that one statement deletes.
const DELETED_AT_ONCE: usize = 5_000;

/// What a window of a relation has seen.
pub(super) struct Seen {
    pub(super) relation: String,
    pub(super) execution_uid: String,
    /// The missing uids, each with a row that refers to it.
    pub(super) orphans: Vec<(String, String)>,
}

/// An orphan that is not confirmed yet, or on which something is to be done.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) relation: String,
    pub(super) missing_uid: String,
    pub(super) child_uid: String,
}

/// Records what was seen: new candidates, and what was seen before.
pub(super) async fn see(transaction: &mut Transaction<'_>, schema: &str, seen: &Seen) -> Result<(), Error> {
    let sql = format!(
        "insert into {schema}.orphan as t (relation, missing_uid, child_uid, execution_uid, last_seen_ts)
select $1, i.missing_uid, i.child_uid, $4, now()
  from unnest($2::text[], $3::text[]) as i (missing_uid, child_uid)
    on conflict (relation, missing_uid) do update
   set child_uid = excluded.child_uid, execution_uid = excluded.execution_uid, last_seen_ts = excluded.last_seen_ts"
    );
    let at_once = transaction.max_statement_rows().max(1);
    for orphans in seen.orphans.chunks(at_once) {
        let insert = Statement::new(sql.clone(), orphans.len())
            .bind(&seen.relation)?
            .bind(ArrayParameter::texts(orphans.iter().map(|(missing, _)| missing)))?
            .bind(ArrayParameter::texts(orphans.iter().map(|(_, child)| child)))?
            .bind(&seen.execution_uid)?;
        transaction.write(insert).await?;
    }
    Ok(())
}

/// Deletes some orphans of a relation that an execution did not see. Returns how many, and whether these were the last.
pub(super) async fn heal(
    transaction: &mut Transaction<'_>,
    schema: &str,
    relation: &str,
    execution_uid: &str,
) -> Result<(i64, bool), Error> {
    let most = DELETED_AT_ONCE.min(transaction.max_statement_rows()).max(1);
    let sql = format!(
        "with gone as (
    delete from {schema}.orphan as t
     where t.relation = $1
       and t.missing_uid = any (array(
        select o.missing_uid from {schema}.orphan as o
         where o.relation = $1 and o.execution_uid <> $2
         order by o.missing_uid
         limit {most}))
    returning 1)
select count(*) as written from gone"
    );
    let delete = Statement::new(sql, most).bind(relation)?.bind(execution_uid)?;
    let rows = transaction.write(delete).await?;
    let deleted: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
    Ok((deleted, deleted < most as i64))
}

/// How long it takes until the youngest candidate of some relations is as old as the grace period; `None` without
/// candidates.
pub(super) async fn grace_left(
    context: &Context,
    relations: &[String],
    grace: Duration,
    deadline: Deadline,
) -> Result<Option<Duration>, Error> {
    let sql = format!(
        "select (extract(epoch from max(t.first_seen_ts) - now()) * 1000000)::bigint
  from {}.orphan as t
 where t.relation = any ($1)
   and t.confirm_ts is null",
        context.schema
    );
    let select = Statement::new(sql, 1).bind(ArrayParameter::texts(relations))?;
    let rows = context.background_reads().fetch(&select, deadline).await?;
    let youngest = rows.first().map(|row| row.try_get::<Option<i64>, _>(0)).transpose()?.flatten();
    // Negative: it was seen so long ago.
    Ok(youngest.map(|micros| grace.saturating_sub(Duration::from_micros(micros.min(0).unsigned_abs()))))
}

/// The next orphans after `after`, a relation and a missing uid, that are not confirmed.
pub(super) async fn candidates(
    context: &Context,
    relations: &[String],
    after: &[String; 2],
    most: usize,
    deadline: Deadline,
) -> Result<Vec<Candidate>, Error> {
    read(context, relations, after, "t.confirm_ts is null", most, deadline).await
}

/// The next orphans after `after` that are confirmed.
pub(super) async fn confirmed(
    context: &Context,
    relation: &str,
    after: &[String; 2],
    most: usize,
    deadline: Deadline,
) -> Result<Vec<Candidate>, Error> {
    read(context, &[relation.to_owned()], after, "t.confirm_ts is not null", most, deadline).await
}

async fn read(
    context: &Context,
    relations: &[String],
    after: &[String; 2],
    condition: &str,
    most: usize,
    deadline: Deadline,
) -> Result<Vec<Candidate>, Error> {
    let most = rows_at_once(context.database(), most);
    let sql = format!(
        "select t.relation, t.missing_uid, coalesce(t.child_uid, '')
  from {}.orphan as t
 where t.relation = any ($1)
   and (t.relation, t.missing_uid) > ($2, $3)
   and {condition}
 order by t.relation, t.missing_uid
 limit {most}",
        context.schema
    );
    let [relation, missing_uid] = after;
    let select = Statement::new(sql, most).bind(ArrayParameter::texts(relations))?.bind(relation)?.bind(missing_uid)?;
    let rows = context.background_reads().fetch(&select, deadline).await?;
    let candidate = |row: &sqlx::postgres::PgRow| {
        Ok(Candidate { relation: row.try_get(0)?, missing_uid: row.try_get(1)?, child_uid: row.try_get(2)? })
    };
    rows.iter().map(candidate).collect()
}

/// The keys of orphans as two parameters.
fn bind_keys(statement: Statement, keys: &[(String, String)]) -> Result<Statement, Error> {
    statement
        .bind(ArrayParameter::texts(keys.iter().map(|(relation, _)| relation)))?
        .bind(ArrayParameter::texts(keys.iter().map(|(_, missing_uid)| missing_uid)))
}

/// Confirms some candidates.
pub(super) async fn confirm(
    transaction: &mut Transaction<'_>,
    schema: &str,
    keys: &[(String, String)],
) -> Result<(), Error> {
    let sql = format!(
        "update {schema}.orphan as t
   set confirm_ts = now(), last_seen_ts = now()
  from unnest($1::text[], $2::text[]) as i (relation, missing_uid)
 where t.relation = i.relation
   and t.missing_uid = i.missing_uid
   and t.confirm_ts is null"
    );
    for keys in keys.chunks(transaction.max_statement_rows().max(1)) {
        transaction.write(bind_keys(Statement::new(sql.clone(), keys.len()), keys)?).await?;
    }
    Ok(())
}

/// Deletes some orphans, and returns how many there were.
pub(super) async fn delete(
    transaction: &mut Transaction<'_>,
    schema: &str,
    keys: &[(String, String)],
) -> Result<i64, Error> {
    let sql = format!(
        "with gone as (
    delete from {schema}.orphan as t
     using unnest($1::text[], $2::text[]) as i (relation, missing_uid)
     where t.relation = i.relation
       and t.missing_uid = i.missing_uid
    returning 1)
select count(*) as written from gone"
    );
    let mut deleted = 0;
    for keys in keys.chunks(transaction.max_statement_rows().max(1)) {
        let rows = transaction.write(bind_keys(Statement::new(sql.clone(), keys.len()), keys)?).await?;
        deleted += rows.first().map_or(Ok(0), |row| row.try_get::<i64, _>(0))?;
    }
    Ok(deleted)
}

/// How many confirmed orphans some relations have. Those without any are left out.
pub(super) async fn count(
    context: &Context,
    relations: &[String],
    deadline: Deadline,
) -> Result<Vec<(String, i64)>, Error> {
    let mut counted = Vec::new();
    for relations in relations.chunks(rows_at_once(context.database(), relations.len())) {
        let sql = format!(
            "select t.relation, count(*)
  from {}.orphan as t
 where t.relation = any ($1)
   and t.confirm_ts is not null
 group by t.relation",
            context.schema
        );
        let select = Statement::new(sql, relations.len()).bind(ArrayParameter::texts(relations))?;
        for row in context.background_reads().fetch(&select, deadline).await? {
            counted.push((row.try_get(0)?, row.try_get(1)?));
        }
    }
    Ok(counted)
}
