//! A valid call of each method of ProceduresService.

use bytes::Bytes;
use orrery_proto::procedures::v1 as procedures;

use super::calls::one;

/// An execution that waits, and one that has ended.
pub(super) const ROWS: &str = "insert into records.procedure_execution (uid, procedure, phase, finish_ts) \
    values ('exe_1', 'detect_orphans', 'pending', null), ('exe_2', 'detect_orphans', 'succeeded', now()); \
    insert into records.orphan (relation, missing_uid, execution_uid, confirm_ts) values ('a.b.c', 'x', 'exe_2', now())";

/// What each call leaves to the next one must be what it needs.
pub(super) fn messages(method: &str) -> Vec<Bytes> {
    let (waiting, ended, procedure) = ("exe_1".to_owned(), "exe_2".to_owned(), "detect_orphans".to_owned());
    match method {
        "ListProcedures" => one(&procedures::ListProceduresRequest::default()),
        "RunProcedure" => one(&procedures::RunProcedureRequest { procedure, ..Default::default() }),
        "GetProcedureExecution" => {
            one(&procedures::GetProcedureExecutionRequest { uid: waiting, ..Default::default() })
        }
        "ListProcedureExecutions" => one(&procedures::ListProcedureExecutionsRequest::default()),
        "WatchProcedureExecution" => one(&procedures::WatchProcedureExecutionRequest { uid: ended }),
        "CancelProcedureExecution" => one(&procedures::CancelProcedureExecutionRequest { uid: waiting }),
        "SetProcedureSchedule" => one(&procedures::SetProcedureScheduleRequest { procedure, schedule: None }),
        "ListOrphans" => one(&procedures::ListOrphansRequest::default()),
        "StreamOrphans" => one(&procedures::StreamOrphansRequest::default()),
        other => unreachable!("no call of {other}"),
    }
}
