//! The provisioning timer of an order.

use orrery_kit::db::Statement;
use orrery_kit::error::Error;
use orrery_kit::timestamp;
use orrery_kit::write::change::touched;

use super::order::ORDER;

/// Sets the timer to `time`, in microseconds since 2000-01-01 UTC, or clears it. An order that already has this timer
/// is not changed.
///
/// # Errors
/// [`Error::Internal`] if a parameter cannot be encoded.
pub fn set(uid: &str, time: Option<i64>) -> Result<Statement, Error> {
    let time = time.map_or("null::timestamptz".to_owned(), timestamp::to_sql_literal);
    let touched = touched(&ORDER).join(",\n       ");
    let sql = format!(
        "update orders.order_header as t
   set provision_timer_ts = {time},
       {touched}
 where t.uid = $1
   and t.provision_timer_ts is distinct from {time}"
    );
    let mut statement = Statement::new(sql, 1).bind(uid)?;
    // The text contains the time, so it will not be used again.
    statement.keep_prepared = false;
    Ok(statement)
}
