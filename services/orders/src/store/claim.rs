//! The hand-out of due orders to workers: which are due, and that they are claimed.

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

/// What becomes of rows that somebody else has locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locked {
    /// They are passed over.
    PassedOver,
    /// They are waited for.
    WaitedFor,
}

/// Bounds how long a transaction waits for a lock.
///
/// # Errors
/// [`Error::Internal`] if a parameter cannot be encoded.
pub fn wait_at_most(time: Duration) -> Result<Statement, Error> {
    Statement::new("select set_config('lock_timeout', $1, true)", 1).bind(format!("{}ms", time.as_millis()))
}

/// Locks up to `limit` due orders, those first that have been due for longest, and selects what `selection` says of
/// them. Rows that another worker is claiming at this moment are passed over, or waited for. Those of the uids
/// `passed_over` are not looked at.
///
/// # Errors
/// [`Error::Internal`] if a parameter cannot be encoded.
pub fn due(limit: usize, selection: &Selection, locked: Locked, passed_over: &[String]) -> Result<Statement, Error> {
    let locked = match locked {
        Locked::PassedOver => " skip locked",
        Locked::WaitedFor => "",
    };
    let others = if passed_over.is_empty() { "" } else { "\n   and t.uid <> all($2)" };
    let sql = format!(
        "select {}
  from orders.order_header as t
 where t.provision_timer_ts <= now()
   and t.status ->> 'phase' in ('{CONFIRMED}', '{PROVISIONING}'){others}
 order by t.provision_timer_ts, t.uid
 limit $1
   for update{locked}",
        selection.sql
    );
    let due = Statement::new(sql, limit).bind(limit as i64)?;
    if passed_over.is_empty() { Ok(due) } else { due.bind(ArrayParameter::texts(passed_over)) }
}

/// Claims locked orders for `lease_micros` microseconds, and returns what `selection` says of them afterwards, and behind
/// that their uid and their revision. Whoever comes later sees their new timer.
///
/// # Errors
/// [`Error::Internal`] if a parameter cannot be encoded.
pub fn claim(uids: &[String], lease_micros: i64, selection: &Selection) -> Result<Statement, Error> {
    let entered = moved("t.status", &literal(CONFIRMED), &literal(PROVISIONING), "'claimed'");
    let touched = touched(&ORDER).join(",\n       ");
    let sql = format!(
        "update orders.order_header as t
   set status = case t.status ->> 'phase' when '{CONFIRMED}' then {entered} else t.status end,
       provision_timer_ts = now() + $2 * interval '1 microsecond',
       {touched}
 where t.uid = any($1)
returning {}, t.uid, t.revision",
        selection.sql
    );
    Statement::new(sql, uids.len()).bind(ArrayParameter::texts(uids))?.bind(lease_micros as f64)
}

/// Those of some orders that are still held by the claim which gave them these revisions, by uid: what `selection` says of
/// them, and behind that their uid. An order whose lease has passed is not held any more, although nobody may have claimed
/// it since.
///
/// # Errors
/// [`Error::Internal`] if a parameter cannot be encoded.
pub fn held(claimed: &[(String, i32)], selection: &Selection) -> Result<Statement, Error> {
    let sql = format!(
        "select {}, t.uid
  from orders.order_header as t
  join unnest($1::text[], $2::integer[]) as c (uid, revision) on c.uid = t.uid and c.revision = t.revision
 where t.uid = any($1)
   and t.status ->> 'phase' = '{PROVISIONING}'
   and t.provision_timer_ts > now()
 order by t.uid",
        selection.sql
    );
    let (uids, revisions): (Vec<String>, Vec<i32>) = claimed.iter().cloned().unzip();
    Statement::new(sql, claimed.len()).bind(ArrayParameter::texts(&uids))?.bind(revisions)
}
