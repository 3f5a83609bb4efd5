//! The move of one order along its lifecycle, as SQL.

use orrery_kit::db::Statement;
use orrery_kit::error::Error;
use orrery_kit::resource::MAX_PHASE_BYTES;
use orrery_kit::write::change::touched;

use super::order::ORDER;
use crate::lifecycle::TIMED_PHASES;

/// How many transitions a status remembers.
const MAX_TRANSITIONS: usize = 32;

/// Moves an order from one phase to another for a reason. The timer goes where the order leaves the phases that have
/// one.
///
/// # Errors
/// [`Error::Internal`] if a parameter cannot be encoded.
pub fn transition(uid: &str, from: &str, to: &str, reason: &str) -> Result<Statement, Error> {
    // A phase that another program stored is as long as that program likes.
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

/// The status of an order that moves, with the move entered behind the last ones: SQL, as its arguments are. What else
/// other programs keep in the status stays. If `transitions` is theirs and no list, it becomes the list's first entry;
/// a status that is no object becomes one.
pub(super) fn moved(status: &str, from: &str, to: &str, reason: &str) -> String {
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
