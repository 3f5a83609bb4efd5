//! The SQL that moves an order along its lifecycle.

use orrery_kit::db::Statement;
use orrery_kit::error::Error;
use orrery_kit::resource::MAX_PHASE_BYTES;
use orrery_kit::write::change::touched;

use super::order::ORDER;
use crate::lifecycle::TIMED_PHASES;

/// How many transitions a status keeps.
const MAX_TRANSITIONS: usize = 32;

/// Moves an order from one phase to another, with a reason. The timer is cleared if the order leaves the phases that
/// have one.
///
/// # Errors
/// [`Error::Internal`] if a parameter cannot be encoded.
pub fn transition(uid: &str, from: &str, to: &str, reason: &str) -> Result<Statement, Error> {
    // A phase that another program stored can have any length.
    let from = &from[..from.floor_char_boundary(MAX_PHASE_BYTES)];
    Statement::new(sql(TIMED_PHASES.contains(&to)), 1).bind(uid)?.bind(from)?.bind(to)?.bind(reason)
}

fn sql(keeps_timer: bool) -> String {
    let mut assignments = vec![format!("status = {}", moved("t.status", "$2", "$3", "$4"))];
    assignments.extend(touched(&ORDER));
    if !keeps_timer {
        assignments.push("provision_timer_ts = null".to_owned());
    }
    format!("update orders.order_header as t\n   set {}\n where t.uid = $1", assignments.join(",\n       "))
}

/// SQL for the status of an order after a move, with the move appended to its transitions; the arguments are SQL too.
/// All other keys of the status are kept. If `transitions` is not a list, because another program stored it, it becomes
/// the first entry of the list; a status that is not an object becomes one.
pub(super) fn moved(status: &str, from: &str, to: &str, reason: &str) -> String {
    let kept = MAX_TRANSITIONS - 1;
    let transitions = format!("({status} -> 'transitions')");
    let entry = format!(
        "jsonb_build_object('at', to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), \
                            'from', {from}::text, 'to', {to}::text, 'reason', {reason}::text)"
    );
    // Only a full list is taken apart.
    format!(
        "((case jsonb_typeof({status}) when 'object' then {status} else '{{}}' end) \
          || jsonb_build_object('phase', {to}::text, 'transitions', \
          case \
          when coalesce({transitions}, 'null') = 'null' then '[]' \
          when jsonb_typeof({transitions}) <> 'array' then jsonb_build_array({transitions}) \
          when jsonb_array_length({transitions}) <= {kept} then {transitions} \
          else (select jsonb_agg(e.entry order by e.place) \
             from jsonb_array_elements({transitions}) with ordinality as e (entry, place) \
            where e.place > jsonb_array_length({transitions}) - {kept}) end \
          || {entry}))"
    )
}
