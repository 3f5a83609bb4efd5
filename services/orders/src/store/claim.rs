//! The statements of ClaimDueOrders: find due orders, and claim them.

use std::time::Duration;

use orrery_kit::db::Statement;
use orrery_kit::db::array::ArrayParameter;
use orrery_kit::db::sql::literal;
use orrery_kit::error::Error;
use orrery_kit::resource::select::Selection;
use orrery_kit::write::change::touched;

use super::order::ORDER;
use super::transition::moved;
use crate::lifecycle::{CONFIRMED, PROVISIONING};

/// Of how many times as many orders a worker on a sharded database picks some.
const CANDIDATES: usize = 4;

/// What to do with rows that others have locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockPolicy {
    /// Skip them.
    Skip,
    /// Wait for them.
    Wait,
}

/// Limits how long a transaction waits for a lock.
///
/// # Errors
/// [`Error::Internal`] if a parameter cannot be encoded.
pub fn wait_at_most(time: Duration) -> Result<Statement, Error> {
    Statement::new("select set_config('lock_timeout', $1, true)", 1).bind(format!("{}ms", time.as_millis()))
}

/// The condition of a due order.
fn is_due() -> String {
    format!(
        "t.provision_timer_ts <= now()
   and t.status ->> 'phase' in ('{CONFIRMED}', '{PROVISIONING}')"
    )
}

/// Which orders are due, the longest due first; `most` is how many, and `$2` which of them to leave out, if any.
fn due_orders(columns: &str, most: &str, passed_over: &[String]) -> String {
    let others = if passed_over.is_empty() { "" } else { "\n   and t.uid <> all ($2)" };
    format!(
        "select {columns}
  from orders.order_header as t
 where {}{others}
 order by t.provision_timer_ts, t.uid
 limit {most}",
        is_due()
    )
}

/// As [`due_orders`], and locks them.
fn locked_due_orders(columns: &str, locked: LockPolicy, passed_over: &[String]) -> String {
    let locked = match locked {
        LockPolicy::Skip => " skip locked",
        LockPolicy::Wait => "",
    };
    due_orders(columns, "$1", passed_over) + "\n   for update" + locked
}

/// The assignments of a claim, besides the status; `lease` is the parameter of its length in microseconds.
fn claimed(lease: &str) -> String {
    let touched = touched(&ORDER).join(",\n       ");
    format!("provision_timer_ts = now() + {lease} * interval '1 microsecond',\n       {touched}")
}

/// The status of a claimed order.
fn claimed_status() -> String {
    let entered = moved("t.status", &literal(CONFIRMED), &literal(PROVISIONING), "'claimed'");
    format!("case when t.status ->> 'phase' = '{CONFIRMED}' then {entered} else t.status end")
}

/// Locks up to `limit` due orders, the longest due first, and selects the columns of `selection`. Rows that another
/// worker is claiming at this moment are skipped, or waited for. The orders in `passed_over` are left out.
///
/// # Errors
/// [`Error::Internal`] if a parameter cannot be encoded.
pub fn due(
    limit: usize,
    selection: &Selection,
    locked: LockPolicy,
    passed_over: &[String],
) -> Result<Statement, Error> {
    let due = Statement::new(locked_due_orders(&selection.sql, locked, passed_over), limit).bind(limit as i64)?;
    if passed_over.is_empty() { Ok(due) } else { due.bind(ArrayParameter::texts(passed_over)) }
}

/// As [`due`], for a sharded database, which neither locks what it selects from several shards nor skips what is
/// locked. An update that changes nothing locks those that are still due. So that workers seldom meet, each picks from
/// [`CANDIDATES`] times as many orders, by a hash that differs between connections. On each server the update takes
/// them in the order of the keys, so that two that meet do not wait for each other.
///
/// # Errors
/// [`Error::Internal`] if a parameter cannot be encoded.
pub fn due_of_shards(limit: usize, selection: &Selection, passed_over: &[String]) -> Result<Statement, Error> {
    let sql = format!(
        "with candidates as materialized (
{}
), due as materialized (
    select uid from candidates order by md5(uid || pg_backend_pid()) limit $1
)
update orders.order_header as t
   set uid = t.uid
 where t.uid = any (array(select uid from due))
   and {}
returning {}",
        due_orders("t.uid", &format!("$1 * {CANDIDATES}"), passed_over),
        is_due(),
        selection.sql
    );
    let due = Statement::new(sql, limit).bind(limit as i64)?;
    if passed_over.is_empty() { Ok(due) } else { due.bind(ArrayParameter::texts(passed_over)) }
}

/// Claims locked orders for `lease_micros` microseconds, and returns the columns of `selection` as they are afterwards,
/// followed by uid and revision. Others see the new timer. The status is computed before the update, as for a
/// [transition](super::transition::transition).
///
/// # Errors
/// [`Error::Internal`] if a parameter cannot be encoded.
pub fn claim(uids: &[String], lease_micros: i64, selection: &Selection) -> Result<Statement, Error> {
    let sql = format!(
        "with claimed as materialized (
    select t.uid, {} as status
      from orders.order_header as t
     where t.uid = any ($1)
)
update orders.order_header as t
   set status = claimed.status,
       {}
  from claimed
 where t.uid = claimed.uid
returning {}, t.uid, t.revision",
        claimed_status(),
        claimed("$2"),
        selection.sql
    );
    Statement::new(sql, uids.len()).bind(ArrayParameter::texts(uids))?.bind(lease_micros as f64)
}

/// Claims up to `limit` due orders in one statement, and returns what [`claim`] returns. Locked ones are skipped. For a
/// join, the planner would read the whole table: it takes a limit that it does not know for a tenth of the rows. It
/// expects an array to be short.
///
/// # Errors
/// [`Error::Internal`] if a parameter cannot be encoded.
pub fn claim_due(limit: usize, lease_micros: i64, selection: &Selection) -> Result<Statement, Error> {
    let sql = format!(
        "with due as materialized (
{}
)
update orders.order_header as t
   set status = {},
       {}
 where t.uid = any (array(select uid from due))
returning {}, t.uid, t.revision",
        locked_due_orders("t.uid", LockPolicy::Skip, &[]),
        claimed_status(),
        claimed("$2"),
        selection.sql
    );
    Statement::new(sql, limit).bind(limit as i64)?.bind(lease_micros as f64)
}

/// The selected columns of those orders that the claim still holds, followed by their uid. The claim is identified by
/// the revisions that it gave the orders. An order whose lease has passed is no longer held, even if nobody has claimed
/// it since.
///
/// # Errors
/// [`Error::Internal`] if a parameter cannot be encoded.
pub fn held(claimed: &[(String, i32)], selection: &Selection) -> Result<Statement, Error> {
    let sql = format!(
        "select {}, t.uid
  from orders.order_header as t
  join unnest($1::text[], $2::integer[]) as c (uid, revision) on c.uid = t.uid and c.revision = t.revision
 where t.uid = any ($1)
   and t.status ->> 'phase' = '{PROVISIONING}'
   and t.provision_timer_ts > now()
 order by t.uid",
        selection.sql
    );
    let (uids, revisions): (Vec<String>, Vec<i32>) = claimed.iter().cloned().unzip();
    Statement::new(sql, claimed.len()).bind(ArrayParameter::texts(&uids))?.bind(revisions)
}
