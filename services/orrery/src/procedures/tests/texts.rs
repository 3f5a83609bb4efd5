//! How procedures and executions look.

use std::collections::BTreeMap;

use orrery_proto::procedures::v1::{
    ExecutionPhase, ParameterKind, Procedure, ProcedureExecution, ProcedureParameter, ProcedureSchedule,
};
use prost_types::value::Kind;
use prost_types::{Duration, ListValue, Struct, Timestamp, Value};

use crate::procedures::progress::Changes;
use crate::procedures::text;

fn at(seconds: i64, nanos: i32) -> Timestamp {
    Timestamp { seconds: 1_780_000_000 + seconds, nanos }
}

fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

fn values<const N: usize>(entries: [(&str, Kind); N]) -> Struct {
    Struct { fields: entries.map(|(name, kind)| (name.to_owned(), value(kind))).into() }
}

fn running() -> ProcedureExecution {
    ProcedureExecution {
        uid: "exe_1".into(),
        procedure: "p".into(),
        phase: ExecutionPhase::Running.into(),
        step: "scan of a.b.c".into(),
        processed: 12_000,
        total: 245_903,
        ..ProcedureExecution::default()
    }
}

#[test]
fn a_state_is_one_line() {
    assert_eq!(text::state(&running()), "running, scan of a.b.c, 12,000 of 245,903 (4 %)");
    let failing = ProcedureExecution {
        total: 0,
        attempts: 2,
        error: "catalog is away".into(),
        next_ts: Some(at(0, 500_000_000)),
        cancel_requested: true,
        ..running()
    };
    assert_eq!(
        text::state(&failing),
        "running, scan of a.b.c, 12,000, to be cancelled, attempt 2 failed: catalog is away, waits until \
         2026-05-28T20:26:40Z"
    );
    let at_once = ProcedureExecution { next_ts: Some(at(1, 0)), update_ts: Some(at(1, 0)), ..running() };
    assert_eq!(text::state(&at_once), text::state(&running()));
    let later = ProcedureExecution { next_ts: Some(at(1, 1)), update_ts: Some(at(1, 0)), ..running() };
    assert!(text::state(&later).ends_with(", waits until 2026-05-28T20:26:41Z"));
    let pending = ProcedureExecution { phase: ExecutionPhase::Pending.into(), ..ProcedureExecution::default() };
    assert_eq!(text::state(&pending), "pending");
    let ended = ProcedureExecution { phase: ExecutionPhase::Succeeded.into(), attempts: 1, ..running() };
    assert_eq!(text::state(&ended), "succeeded, 12,000 of 245,903 (4 %)");
    let wrong = ProcedureExecution { phase: 99, processed: -1, total: i64::MAX, ..ProcedureExecution::default() };
    assert_eq!(text::state(&wrong), "unknown, 0 of 9,223,372,036,854,775,807 (0 %)");
    let much = ProcedureExecution { processed: i64::MAX, total: i64::MAX, ..running() };
    assert!(text::state(&much).ends_with("(100 %)"));
}

#[test]
fn a_duration_is_that_between_the_first_step_and_the_end() {
    let of = |start_ts, finish_ts| text::duration(&ProcedureExecution { start_ts, finish_ts, ..running() });
    assert_eq!(of(Some(at(0, 900_000_000)), Some(at(2, 200_000_000))).as_deref(), Some("1.3 s"));
    assert_eq!(of(Some(at(5, 0)), Some(at(2, 0))).as_deref(), Some("0.0 s"));
    assert_eq!((of(None, Some(at(1, 0))), of(Some(at(1, 0)), None)), (None, None));
    let (least, most) = (Timestamp { seconds: i64::MIN, nanos: i32::MIN }, Timestamp { seconds: i64::MAX, nanos: 0 });
    assert!(of(Some(least), Some(most)).is_some());
}

#[test]
fn only_changes_are_told_and_nothing_breaks_the_line() {
    let mut changes = Changes::default();
    assert!(changes.next(&running()).is_some());
    let touched = ProcedureExecution { update_ts: Some(at(1, 0)), ..running() };
    assert_eq!(changes.next(&touched), None);
    let next = ProcedureExecution { step: "a\nb\u{1b}[2J".into(), ..running() };
    assert_eq!(changes.next(&next), Some("running, a\\nb\\u{1b}[2J, 12,000 of 245,903 (4 %)"));
    assert!(changes.next(&running()).is_some());
}

#[test]
fn a_result_is_a_line_for_each_number() {
    let inner = values([("a.b.c", Kind::NumberValue(3561.0)), ("d", Kind::NumberValue(0.5))]);
    let result = values([
        ("found", Kind::NumberValue(3561.0)),
        ("relations", Kind::StructValue(inner)),
        ("deleted", Kind::NumberValue(-1.0)),
    ]);
    let lines = ["  deleted    -1", "  found      3,561", "  relations", "    a.b.c  3,561", "    d      0.5"];
    assert_eq!(text::result_lines(&result), lines);
}

#[test]
fn a_procedure_is_shown_as_it_is_called() {
    let parameter = |name: &str, kind: ParameterKind, default: Option<Kind>| ProcedureParameter {
        name: name.into(),
        kind: kind.into(),
        description: format!("About {name}."),
        default_value: default.map(value),
    };
    let texts = ListValue { values: vec![value(Kind::StringValue("a".into())), value(Kind::StringValue("b".into()))] };
    let procedure = Procedure {
        name: "detect_orphans".into(),
        description: "Finds orphans.".into(),
        parameters: vec![
            parameter("dry_run", ParameterKind::Boolean, Some(Kind::BoolValue(false))),
            parameter("max_deletions", ParameterKind::Integer, Some(Kind::NumberValue(1000.0))),
            parameter("grace", ParameterKind::Duration, Some(Kind::StringValue("5m".into()))),
            parameter("relations", ParameterKind::TextList, Some(Kind::ListValue(texts))),
            parameter("note", ParameterKind::Text, None),
        ],
        schedule: Some(ProcedureSchedule {
            interval: Some(Duration { seconds: 3600, nanos: 0 }),
            jitter: Some(Duration { seconds: 90, nanos: 0 }),
            parameters: Some(values([("dry_run", Kind::BoolValue(true))])),
            next_ts: Some(at(0, 1)),
            update_ts: None,
        }),
    };
    assert_eq!(
        text::procedure_lines(&procedure),
        [
            "detect_orphans  every 1h, jitter 90s, next 2026-05-28T20:26:40Z, with dry_run=true",
            "    Finds orphans.",
            "    dry_run=false       boolean   About dry_run.",
            "    max_deletions=1000  integer   About max_deletions.",
            "    grace=5m            duration  About grace.",
            "    relations=a,b       texts     About relations.",
            "    note=               text      About note.",
        ]
    );
    let off = ProcedureSchedule { interval: Some(Duration::default()), ..ProcedureSchedule::default() };
    for schedule in [None, Some(&ProcedureSchedule::default()), Some(&off)] {
        assert_eq!(text::schedule(schedule), "does not run by itself");
    }
    let wrong = Duration { seconds: -5, nanos: 0 };
    let wrong = ProcedureSchedule { interval: Some(wrong), ..ProcedureSchedule::default() };
    assert_eq!(text::schedule(Some(&wrong)), "does not run by itself");
    assert_eq!(text::parameters(&Struct { fields: BTreeMap::new() }), "");
}

#[test]
fn columns_of_a_table_are_aligned() {
    let rows = [["é", "b", "c"], ["aaa", "", ""], ["", "bb", "c"]];
    let rows = rows.map(|row| row.map(str::to_owned).to_vec());
    assert_eq!(text::table(&rows), ["é    b   c", "aaa", "     bb  c"]);
    assert!(text::table(&[]).is_empty());
}
