//! The commands against a service that fails.

use std::io;
use std::time::Duration;

use orrery_proto::codec::reason_name;
use orrery_proto::procedures::v1::{
    ExecutionPhase, ListProcedureExecutionsRequest, ListProcedureExecutionsResponse, ListProceduresResponse, Orphan,
    ParameterKind, Procedure, ProcedureExecution, ProcedureExecutionFilter, ProcedureParameter, RunProcedureRequest,
    StreamOrphansRequest, StreamOrphansResponse, WatchProcedureExecutionRequest,
};
use orrery_proto::r#type::v1::ErrorReason;
use prost_types::Timestamp;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::double::{Answer, Double, client};
use crate::client::{PageQuery, ServiceAddress};
use crate::procedures::orphans::{self, Lines};
use crate::procedures::parameters::{parse_for, parse_given};
use crate::procedures::{executions, run, watch};
use crate::terminal::{CommandOutput, StdoutError};

fn refused(code: Code, reason: ErrorReason) -> Status {
    let details = ErrorDetails::with_error_info(reason_name(reason), "orrery", []);
    Status::with_error_details(code, "words", details)
}

fn draining() -> Status {
    refused(Code::Unavailable, ErrorReason::Draining)
}

fn execution(phase: ExecutionPhase, processed: i64) -> ProcedureExecution {
    ProcedureExecution {
        uid: "exe_1".into(),
        procedure: "p".into(),
        phase: phase.into(),
        processed,
        error: if phase == ExecutionPhase::Failed { "a\nreason".into() } else { String::new() },
        ..ProcedureExecution::default()
    }
}

#[tokio::test]
async fn a_run_is_asked_for_with_the_same_request_until_it_is_answered() {
    let started = execution(ExecutionPhase::Pending, 0);
    let answers = [
        Answer::failed(draining()),
        Answer::failed(Status::unavailable("the answer was lost")),
        Answer::of(std::slice::from_ref(&started)),
    ];
    let (double, address) = Double::serve(answers).await;
    let request = RunProcedureRequest { procedure: "p".into(), parameters: None, request_id: "run-1".into() };
    assert_eq!(run::start(&mut client(address), &request).await.unwrap(), started);
    assert_eq!(double.requests::<RunProcedureRequest>(), [&request, &request, &request].map(Clone::clone));

    let (double, address) = Double::serve([Answer::failed(Status::invalid_argument("no such parameter"))]).await;
    let status = run::start(&mut client(address), &request).await.unwrap_err();
    assert_eq!((status.code(), double.requests::<RunProcedureRequest>().len()), (Code::InvalidArgument, 1));
}

#[tokio::test]
async fn values_are_read_as_the_service_describes_its_procedures() {
    let parameter = ProcedureParameter {
        name: "dry_run".into(),
        kind: ParameterKind::Boolean.into(),
        ..ProcedureParameter::default()
    };
    let procedure =
        |name: &str| Procedure { name: name.into(), parameters: vec![parameter.clone()], ..Procedure::default() };
    let listed = ListProceduresResponse { procedures: vec![procedure("a"), procedure("b")], ..Default::default() };
    let again = || [Answer::failed(draining()), Answer::of(std::slice::from_ref(&listed))];
    let (_double, address) = Double::serve(again().into_iter().chain(again())).await;
    let mut client = client(address);
    let given = [parse_given("dry_run=true").unwrap()];
    let values = parse_for(&mut client, "b", &given).await.unwrap().unwrap();
    assert_eq!(values.fields.keys().collect::<Vec<_>>(), ["dry_run"]);
    let unknown = parse_for(&mut client, "c", &given).await.unwrap_err().to_string();
    assert_eq!(unknown, "the service has no procedure \"c\", but a, b");
    // Nothing is asked without parameters: this service has no more answers.
    assert_eq!(parse_for(&mut client, "b", &[]).await.unwrap(), None);
}

#[tokio::test]
async fn an_execution_is_watched_on_as_many_streams_as_it_takes() {
    let (pending, running) = (execution(ExecutionPhase::Pending, 0), execution(ExecutionPhase::Running, 5));
    let more = execution(ExecutionPhase::Running, 9);
    let ended = execution(ExecutionPhase::Succeeded, 10);
    let answers = [
        Answer::failed(Status::unavailable("no connection")),
        Answer::broken(&[pending.clone(), running.clone()], draining()),
        // A proxy ended the stream in good order.
        Answer::of(std::slice::from_ref(&running)),
        Answer::of::<ProcedureExecution>(&[]),
        Answer::broken(&[more.clone(), ended.clone()], Status::unknown("of no interest")),
    ];
    let (double, address) = Double::serve(answers).await;
    let (mut seen, mut retries) = (Vec::new(), 0);
    let mut waiting = |_: &Status, _: Duration| retries += 1;
    let mut client = client(address);
    let mut on_message = |message: &ProcedureExecution| seen.push(message.clone());
    let watched = watch::until_ended(&mut client, "exe_1", &mut waiting, &mut on_message).await;
    assert_eq!(watched.unwrap(), ended);
    assert_eq!(seen, [pending, running.clone(), running, more, ended]);
    assert_eq!(retries, 4);
    let requests = double.requests::<WatchProcedureExecutionRequest>();
    assert!(requests.len() == 5 && requests.iter().all(|request| request.uid == "exe_1"), "{requests:?}");
}

/// What `orrery procedures watch` says of an execution.
async fn watched(answer: Answer) -> Result<String, String> {
    let (_double, address) = Double::serve([answer]).await;
    let code = watch::watch(&mut client(address), "exe_1", CommandOutput::default()).await;
    code.map(|code| format!("{code:?}")).map_err(|error| error.to_string())
}

#[tokio::test]
async fn only_an_execution_that_succeeded_ends_well() {
    let ended = |phase| Answer::of(&[execution(phase, 1)]);
    assert_eq!(
        watched(ended(ExecutionPhase::Succeeded)).await.unwrap(),
        format!("{:?}", std::process::ExitCode::SUCCESS)
    );
    assert_eq!(watched(ended(ExecutionPhase::Failed)).await.unwrap_err(), "exe_1 failed: a\nreason");
    assert_eq!(watched(ended(ExecutionPhase::Cancelled)).await.unwrap_err(), "exe_1 was cancelled");
    let gone = Answer::failed(Status::not_found("exe_1 does not exist"));
    assert_eq!(watched(gone).await.unwrap_err(), "exe_1 cannot be watched any more: exe_1 does not exist");
}

#[tokio::test]
async fn executions_are_listed_page_by_page_up_to_the_limit() {
    let page = |count: usize, token: &str| ListProcedureExecutionsResponse {
        procedure_executions: vec![execution(ExecutionPhase::Succeeded, 0); count],
        next_page_token: token.into(),
    };
    let filter = ProcedureExecutionFilter { procedures: vec!["p".into()], ..ProcedureExecutionFilter::default() };
    let pages = || [page(2, "t"), page(0, "u"), page(3, "v")].map(|page| Answer::of(&[page]));
    for (limit, listed, tokens) in [(5, 5, vec!["", "t", "u"]), (4, 4, vec!["", "t", "u"]), (2, 2, vec![""])] {
        let (double, address) = Double::serve(pages()).await;
        assert_eq!(executions::latest(client(address), filter.clone(), limit).await.unwrap().len(), listed);
        let requests = double.requests::<ListProcedureExecutionsRequest>();
        assert_eq!(requests.iter().map(|request| &*request.page_token).collect::<Vec<_>>(), tokens);
        assert_eq!(requests[0].page_size as usize, limit);
        assert!(requests.iter().all(|request| request.order_by == "create_ts desc"));
        assert!(requests.iter().all(|request| request.filter.as_ref() == Some(&filter)));
    }
    let (_double, address) = Double::serve([Answer::of(&[page(2, "")])]).await;
    assert_eq!(executions::latest(client(address), filter, 5).await.unwrap().len(), 2);
}

fn orphan(missing: &str) -> Orphan {
    Orphan {
        relation: "a.b.c".into(),
        missing_uid: missing.into(),
        child_uid: "x\ty".into(),
        first_seen_ts: Some(Timestamp { seconds: 1_780_000_000, nanos: 5 }),
        last_seen_ts: Some(Timestamp { seconds: 1_780_000_001, nanos: 0 }),
        confirm_ts: None,
    }
}

fn page(missing: &[&str], token: &str) -> StreamOrphansResponse {
    StreamOrphansResponse {
        orphans: missing.iter().map(|missing| orphan(missing)).collect(),
        resume_token: token.into(),
    }
}

fn query(address: ServiceAddress) -> PageQuery {
    let request = orphans::request(vec!["a.b.c".into()], true).unwrap();
    PageQuery { address, method: orphans::METHOD, request, give_up_after: Duration::from_secs(20) }
}

#[tokio::test]
async fn orphans_are_listed_without_gap_or_repeat() {
    let answers = || {
        [
            Answer::broken(&[page(&["1", "2"], "t"), page(&[], "u")], draining()),
            Answer::failed(Status::unavailable("no connection")),
            Answer::of(&[page(&["3"], "v")]),
        ]
    };
    let (double, address) = Double::serve(answers()).await;
    let mut text = Vec::new();
    let mut write = |lines: &[u8]| {
        text.extend_from_slice(lines);
        Ok(())
    };
    let lines = Lines::new(false).unwrap();
    assert_eq!(orphans::list(query(address), String::new(), &lines, &mut write).await.unwrap(), 3);
    let line = |missing| format!("a.b.c\t{missing}\tx\\ty\t2026-05-28T20:26:40Z\t2026-05-28T20:26:41Z\t\n");
    assert_eq!(String::from_utf8(text).unwrap(), ["1", "2", "3"].map(line).concat());
    let requests = double.requests::<StreamOrphansRequest>();
    assert_eq!(requests.iter().map(|request| &*request.resume_token).collect::<Vec<_>>(), ["", "u", "u"]);
    let filter = requests[2].filter.clone().unwrap();
    assert!(filter.candidates && filter.relations == ["a.b.c"], "{filter:?}");

    let (_double, address) = Double::serve(answers()).await;
    let mut text = Vec::new();
    let mut write = |lines: &[u8]| {
        text.extend_from_slice(lines);
        Ok(())
    };
    let lines = Lines::new(true).unwrap();
    assert_eq!(orphans::list(query(address), String::new(), &lines, &mut write).await.unwrap(), 3);
    let text = String::from_utf8(text).unwrap();
    let first = [
        r#"{"relation":"a.b.c","missing_uid":"1","child_uid":"x\ty","#,
        r#""first_seen_ts":"2026-05-28T20:26:40.000000005Z","last_seen_ts":"2026-05-28T20:26:41Z"}"#,
    ];
    assert_eq!((text.lines().next(), text.lines().count()), (Some(&*first.concat()), 3));
}

#[tokio::test]
async fn a_list_that_ends_early_says_where_to_go_on() {
    let broken = || [Answer::broken(&[page(&["1"], "t")], Status::permission_denied("not you"))];
    let (_double, address) = Double::serve(broken()).await;
    let lines = Lines::new(false).unwrap();
    let error = orphans::list(query(address), String::new(), &lines, &mut |_| Ok(())).await.unwrap_err();
    let message = "the list ended early, after 1 orphan; to continue, add --resume-token t: not you";
    assert_eq!(format!("{error:#}"), message);

    // What was not written is listed again, and a reader who has gone is no error to tell.
    let pages = [Answer::of(&[page(&["1"], "t"), page(&["2"], "u")])];
    let (double, address) = Double::serve(pages).await;
    let mut left = 1;
    let mut write = |_: &[u8]| {
        if left == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        left -= 1;
        Ok(())
    };
    let error = orphans::list(query(address), "s".into(), &lines, &mut write).await.unwrap_err();
    assert!(format!("{error:#}").contains("after 1 orphan; to continue, add --resume-token t: "), "{error:#}");
    assert_eq!(error.downcast_ref::<StdoutError>().unwrap().0.kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(double.requests::<StreamOrphansRequest>()[0].resume_token, "s");
}
