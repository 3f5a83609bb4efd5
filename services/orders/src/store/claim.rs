//! The hand-out of due orders to workers.

use orrery_kit::db::Statement;
use orrery_kit::db::sql::literal;
use orrery_kit::error::Error;
use orrery_kit::write::transition::{moved, touched};

use super::order::ORDER;
use crate::lifecycle::{CONFIRMED, PROVISIONING};

/// Claims up to `limit` due orders, those first that have been due for longest, for `lease_micros` microseconds, and returns their uids. Rows
/// that another worker is claiming at this moment are passed over; whoever comes after it sees their new timer.
///
/// # Errors
/// [`Error::Internal`] if a parameter cannot be encoded.
pub fn claim(limit: usize, lease_micros: i64) -> Result<Statement, Error> {
    let entered = moved("t.status", &literal(CONFIRMED), &literal(PROVISIONING), "'claimed'");
    let touched = touched(&ORDER).join(",\n       ");
    let sql = format!(
        "with due as materialized (
    select t.uid
      from orders.order_header as t
     where t.provision_timer_ts <= now()
       and t.status ->> 'phase' in ('{CONFIRMED}', '{PROVISIONING}')
     order by t.provision_timer_ts, t.uid
     limit $1
       for update skip locked
)
update orders.order_header as t
   set status = case t.status ->> 'phase' when '{CONFIRMED}' then {entered} else t.status end,
       provision_timer_ts = now() + $2 * interval '1 microsecond',
       {touched}
  from due
 where t.uid = due.uid
returning t.uid"
    );
    Statement::new(sql, limit).bind(limit as i64)?.bind(lease_micros as f64)
}
