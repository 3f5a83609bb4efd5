//! Executions and orphans as resources, so that they are read like any other rows. Their tables are in each slice's
//! schema, so they are compiled once for each.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use orrery_proto::procedures::v1::{ExecutionPhase, OrphanFilter, ProcedureExecutionFilter};
use orrery_proto::r#type::v1::TimeRange;

use super::execution::{EXECUTION, EXECUTION_UID};
use crate::error::Error;
use crate::read::filter::Filter;
use crate::resource::kind::{ColumnKind, EnumNames};
use crate::resource::{DeclaredOrder, Description, Resource, SortColumn, kind};

/// The stored names of phases.
const PHASES: EnumNames = &[(1, "pending"), (2, "running"), (3, "succeeded"), (4, "failed"), (5, "cancelled")];

/// The phases in which an execution has ended.
pub(super) const ENDED: [ExecutionPhase; 3] =
    [ExecutionPhase::Succeeded, ExecutionPhase::Failed, ExecutionPhase::Cancelled];

/// The resources of the tables of procedures in one schema.
#[derive(Clone, Copy, Debug)]
pub struct ProcedureRecords {
    /// `orrery.procedures.v1.ProcedureExecution` in `procedure_execution`.
    pub executions: &'static Resource,
    /// `orrery.procedures.v1.Orphan` in `orphan`.
    pub orphans: &'static Resource,
}

/// The kinds of an execution's fields.
static EXECUTION_FIELDS: &[(&str, &dyn ColumnKind)] = &[
    ("uid", &kind::uid(EXECUTION_UID)),
    ("procedure", &kind::text_not_null(63)),
    ("parameters", &kind::document(64 * 1024)),
    ("phase", &kind::enumeration(PHASES)),
    ("step", &kind::text_not_null(256)),
    ("processed", &kind::big_integer(0, i64::MAX).computed()),
    ("total", &kind::big_integer(0, i64::MAX).computed()),
    ("result", &kind::document(64 * 1024)),
    ("attempts", &kind::integer(0, i32::MAX).computed()),
    ("error", &kind::text_not_null(4096)),
    ("cancel_requested", &kind::boolean()),
    ("create_ts", &kind::created_at()),
    ("start_ts", &kind::timestamp().computed()),
    ("next_ts", &kind::timestamp().computed()),
    ("update_ts", &kind::updated_at()),
    ("finish_ts", &kind::timestamp().computed()),
];

/// The orders of executions besides that of their uids.
static EXECUTION_ORDERS: &[DeclaredOrder] =
    &[DeclaredOrder { index: "procedure_execution_create_ts_idx", columns: &[SortColumn::plain("create_ts")] }];

/// The kinds of an orphan's fields.
static ORPHAN_FIELDS: &[(&str, &dyn ColumnKind)] = &[
    ("relation", &kind::name(63)),
    ("missing_uid", &kind::name(63)),
    ("child_uid", &kind::text(256 * 1024)),
    ("first_seen_ts", &kind::created_at()),
    ("last_seen_ts", &kind::timestamp().computed()),
    ("confirm_ts", &kind::timestamp().computed()),
];

/// What was compiled already.
static COMPILED: LazyLock<Mutex<HashMap<&'static str, ProcedureRecords>>> = LazyLock::new(Mutex::default);

impl ProcedureRecords {
    /// The resources in the schema of a slice.
    ///
    /// # Panics
    /// If the descriptions do not fit the contract: a mistake in the program.
    pub fn of(schema: &'static str) -> Self {
        let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
        *compiled.entry(schema).or_insert_with(|| Self::compile(schema))
    }

    fn compile(schema: &str) -> Self {
        let compile = |description: Description, plural| -> &'static Resource {
            Box::leak(Box::new(Resource::compile(Box::leak(Box::new(description)), plural)))
        };
        let executions = Description {
            fields: EXECUTION_FIELDS,
            orders: EXECUTION_ORDERS,
            ..Description::new(EXECUTION, format!("{schema}.procedure_execution").leak())
        };
        let orphans = Description {
            key: &["relation", "missing_uid"],
            fields: ORPHAN_FIELDS,
            ..Description::new("orrery.procedures.v1.Orphan", format!("{schema}.orphan").leak())
        };
        Self { executions: compile(executions, "procedure_executions"), orphans: compile(orphans, "orphans") }
    }
}

/// Translates a filter of executions.
///
/// # Errors
/// [`Error::Invalid`] with every violation, below `filter`.
pub(super) fn execution_filter(filter: Option<&ProcedureExecutionFilter>) -> Result<Filter, Error> {
    let Some(filter) = filter else { return Ok(Filter::default()) };
    let mut phases = Vec::new();
    for (nth, phase) in filter.phases.iter().enumerate() {
        match PHASES.iter().find(|(number, _)| number == phase) {
            Some((_, name)) => phases.push((*name).to_owned()),
            None => return Err(Error::invalid(format!("filter.phases[{nth}]"), "must be a phase of executions")),
        }
    }
    Filter::default()
        .names("filter.procedures", "procedure", &filter.procedures)
        .names("filter.phases", "phase", &phases)
        .time_range("filter.created", "create_ts", filter.created.as_ref())
        .checked()
}

/// Translates a filter of orphans.
///
/// # Errors
/// [`Error::Invalid`] with every violation, below `filter`.
pub(super) fn orphan_filter(filter: Option<&OrphanFilter>) -> Result<Filter, Error> {
    let filter = filter.cloned().unwrap_or_default();
    let conditions = Filter::default()
        .names("filter.relations", "relation", &filter.relations)
        .uids("filter.missing_uids", "missing_uid", &filter.missing_uids)
        .time_range("filter.first_seen", "first_seen_ts", filter.first_seen.as_ref());
    // A range without bounds: any time at all.
    let confirmed = (!filter.candidates).then(TimeRange::default);
    conditions.time_range("filter.candidates", "confirm_ts", confirmed.as_ref()).checked()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptions_fit_the_contract() {
        let records = ProcedureRecords::of("test");
        assert_eq!(records.executions.description.table, "test.procedure_execution");
        assert_eq!(records.orphans.description.table, "test.orphan");
    }

    #[test]
    fn orphans_are_confirmed_unless_candidates_are_asked_for() {
        let sql = |candidates| {
            orphan_filter(Some(&OrphanFilter { candidates, ..OrphanFilter::default() })).map(|filter| filter.sql())
        };
        assert_eq!(orphan_filter(None).ok().map(|filter| filter.sql()).as_deref(), Some("t.confirm_ts is not null"));
        assert_eq!(sql(false).ok().as_deref(), Some("t.confirm_ts is not null"));
        assert_eq!(sql(true).ok().as_deref(), Some("true"));
    }

    #[test]
    fn a_phase_is_one_of_the_contract() {
        let filter = |phases| execution_filter(Some(&ProcedureExecutionFilter { phases, ..Default::default() }));
        assert_eq!(filter(vec![2]).ok().map(|filter| filter.sql()).as_deref(), Some("t.phase = 'running'"));
        assert!(filter(vec![0]).is_err() && filter(vec![6]).is_err());
    }
}
