//! `ProceduresService` as its clients see it.

use std::time::Duration;

use orrery_proto::procedures::v1::{
    CancelProcedureExecutionRequest, ExecutionPhase, GetProcedureExecutionRequest, ListOrphansRequest,
    ListProcedureExecutionsRequest, ListProceduresRequest, OrphanFilter, ParameterKind, Procedure,
    ProcedureExecutionFilter, ProcedureSchedule, RunProcedureRequest, SetProcedureScheduleRequest,
    WatchProcedureExecutionRequest,
};
use prost_types::value::Kind;
use sqlx::PgPool;
use tonic::{Code, Status};

use super::{Client, object, text};
use crate::harness::{CatalogServer, OrdersServer, RecordsServer, Role, TestDatabase, refusal};

/// A catalog without workers: what is asked for stays pending.
struct Fixture {
    server: CatalogServer,
    pool: PgPool,
    _database: TestDatabase,
}

impl Fixture {
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        let server = CatalogServer::start(&database).await;
        Self { server, pool: database.pool(Role::Operator).await, _database: database }
    }

    fn client(&self) -> Client {
        Client::of(self.server.channel())
    }

    async fn procedures(&self) -> Vec<Procedure> {
        let listed = self.client().0.list_procedures(ListProceduresRequest::default()).await.unwrap().into_inner();
        assert_eq!(listed.next_page_token, "");
        listed.procedures
    }

    async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.pool).await.unwrap();
    }
}

/// Checks that a call was refused because of this field.
#[track_caller]
fn assert_invalid(status: &Status, field: &str) {
    let refused = refusal(status);
    assert_eq!((refused.code, refused.fields), (Code::InvalidArgument, vec![field.to_owned()]), "{status:?}");
}

fn named(procedure: &str) -> RunProcedureRequest {
    RunProcedureRequest { procedure: procedure.to_owned(), ..Default::default() }
}

fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

#[tokio::test]
async fn each_service_says_what_it_can_do() {
    let database = TestDatabase::create().await;
    let catalog = CatalogServer::start(&database).await;
    let orders = OrdersServer::start(&database).await;
    let records = RecordsServer::start(&database).await;
    for channel in [catalog.channel(), orders.channel(), records.channel()] {
        let listed =
            Client::of(channel).0.list_procedures(ListProceduresRequest::default()).await.unwrap().into_inner();
        let names: Vec<&str> = listed.procedures.iter().map(|procedure| procedure.name.as_str()).collect();
        assert!(names.is_sorted(), "{names:?}");
        for name in ["detect_orphans", "expire_write_sessions"] {
            assert!(names.contains(&name), "{names:?}");
        }
        for procedure in &listed.procedures {
            assert!(!procedure.description.is_empty());
            for parameter in &procedure.parameters {
                assert!(parameter.kind() != ParameterKind::Unspecified && !parameter.description.is_empty());
            }
        }
    }
}

#[tokio::test]
async fn an_execution_is_asked_for_found_again_and_cancelled() {
    let fixture = Fixture::new().await;
    let mut client = fixture.client().0;
    let request = RunProcedureRequest {
        procedure: "detect_orphans".to_owned(),
        parameters: Some(object(&[("dry_run", Kind::BoolValue(true)), ("max_deletions", Kind::NumberValue(7.0))])),
        request_id: "once".to_owned(),
    };
    let asked = client.run_procedure(request.clone()).await.unwrap().into_inner();
    assert_eq!((asked.procedure.as_str(), asked.phase()), ("detect_orphans", ExecutionPhase::Pending));
    assert!(asked.uid.starts_with("exe_") && asked.create_ts.is_some() && asked.start_ts.is_none(), "{asked:?}");
    assert_eq!(asked.parameters.as_ref().unwrap().fields["max_deletions"].kind, Some(Kind::NumberValue(7.0)));

    // A retry, and the same id for something else.
    assert_eq!(client.run_procedure(request.clone()).await.unwrap().into_inner(), asked);
    let others = [
        RunProcedureRequest { parameters: None, ..request.clone() },
        RunProcedureRequest { procedure: "expire_write_sessions".to_owned(), parameters: None, ..request.clone() },
    ];
    for other in others {
        let refused = client.run_procedure(other).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert_eq!(refusal(&refused).reason, "WRITE_SESSION_MISMATCH");
    }
    let separate = client.run_procedure(named("detect_orphans")).await.unwrap().into_inner();
    assert_ne!(separate.uid, asked.uid);

    let get = |uid: &str| GetProcedureExecutionRequest { uid: uid.to_owned(), read_mask: None };
    assert_eq!(client.get_procedure_execution(get(&asked.uid)).await.unwrap().into_inner(), asked);
    let missing = client.get_procedure_execution(get("exe_nothing")).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);

    let cancel = |uid: &str| CancelProcedureExecutionRequest { uid: uid.to_owned() };
    for _ in 0..2 {
        let cancelled = client.cancel_procedure_execution(cancel(&asked.uid)).await.unwrap().into_inner();
        assert_eq!(cancelled.phase(), ExecutionPhase::Cancelled);
        assert!(cancelled.cancel_requested && cancelled.finish_ts.is_some() && cancelled.next_ts.is_none());
    }
    assert_eq!(client.cancel_procedure_execution(cancel("exe_nothing")).await.unwrap_err().code(), Code::NotFound);
    fixture.execute("update catalog.procedure_execution set phase = 'succeeded' where phase = 'pending'").await;
    let refused = client.cancel_procedure_execution(cancel(&separate.uid)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");

    let list = async |filter: ProcedureExecutionFilter| {
        let request = ListProcedureExecutionsRequest {
            filter: Some(filter),
            order_by: "create_ts desc".to_owned(),
            ..Default::default()
        };
        let listed = fixture.client().0.list_procedure_executions(request).await.unwrap().into_inner();
        listed.procedure_executions.into_iter().map(|execution| execution.uid).collect::<Vec<String>>()
    };
    assert_eq!(list(ProcedureExecutionFilter::default()).await, [separate.uid.clone(), asked.uid.clone()]);
    let phases = vec![ExecutionPhase::Cancelled.into()];
    assert_eq!(list(ProcedureExecutionFilter { phases, ..Default::default() }).await, [asked.uid]);
    let procedures = vec!["expire_write_sessions".to_owned()];
    assert!(list(ProcedureExecutionFilter { procedures, ..Default::default() }).await.is_empty());
}

#[tokio::test]
async fn what_a_procedure_does_not_take_is_refused_by_name() {
    let fixture = Fixture::new().await;
    let mut client = fixture.client().0;
    let cases: [(&str, Kind); 7] = [
        ("max_deletions", Kind::NumberValue(f64::NAN)),
        ("dry_run", text("yes")),
        ("max_deletions", Kind::NumberValue(-1.0)),
        ("max_deletions", Kind::NumberValue(1.5)),
        ("grace", text("25h")),
        ("relations", text("a")),
        ("unknown", Kind::NullValue(0)),
    ];
    for (name, value) in cases {
        let request = RunProcedureRequest { parameters: Some(object(&[(name, value)])), ..named("detect_orphans") };
        let refused = client.run_procedure(request).await.unwrap_err();
        assert_invalid(&refused, &format!("parameters.{name}"));
    }
    for (request, field) in [
        (named(""), "procedure"),
        (named(&"x".repeat(64)), "procedure"),
        (RunProcedureRequest { request_id: "a b".to_owned(), ..named("detect_orphans") }, "request_id"),
        (RunProcedureRequest { request_id: "x".repeat(129), ..named("detect_orphans") }, "request_id"),
    ] {
        assert_invalid(&client.run_procedure(request).await.unwrap_err(), field);
    }
    let unknown = client.run_procedure(named("make_tea")).await.unwrap_err();
    assert_eq!((unknown.code(), refusal(&unknown).reason.as_str()), (Code::NotFound, "RESOURCE_NOT_FOUND"));
    let count: i64 =
        sqlx::query_scalar("select count(*) from catalog.procedure_execution").fetch_one(&fixture.pool).await.unwrap();
    assert_eq!(count, 0);
    let paged = ListProceduresRequest { page_token: "x".to_owned(), ..Default::default() };
    assert_invalid(&client.list_procedures(paged).await.unwrap_err(), "page_token");
    let paged = ListProceduresRequest { page_size: -1, ..Default::default() };
    assert_invalid(&client.list_procedures(paged).await.unwrap_err(), "page_size");
}

#[tokio::test]
async fn a_schedule_is_set_and_shown() {
    let fixture = Fixture::new().await;
    let mut client = fixture.client().0;
    let set = |schedule| SetProcedureScheduleRequest { procedure: "detect_orphans".to_owned(), schedule };
    let schedule = ProcedureSchedule {
        interval: Some(seconds(7_200)),
        jitter: Some(seconds(60)),
        parameters: Some(object(&[("grace", text("5s"))])),
        ..Default::default()
    };
    let procedure = client.set_procedure_schedule(set(Some(schedule.clone()))).await.unwrap().into_inner();
    let shown = procedure.schedule.clone().unwrap();
    assert_eq!(
        (shown.interval, shown.jitter, &shown.parameters),
        (schedule.interval, schedule.jitter, &schedule.parameters)
    );
    assert!(shown.update_ts.is_some());
    let until = shown.next_ts.unwrap().seconds - shown.update_ts.unwrap().seconds;
    assert!((7_199..=7_261).contains(&until), "{until}");
    let listed = fixture.procedures().await;
    assert_eq!(listed.iter().find(|listed| listed.name == "detect_orphans"), Some(&procedure));

    let off = client.set_procedure_schedule(set(None)).await.unwrap().into_inner().schedule.unwrap();
    assert_eq!((off.interval, off.next_ts), (None, None));

    let nanos = |nanos| Some(prost_types::Duration { seconds: 0, nanos });
    for (interval, jitter, field) in [
        (nanos(1), None, "schedule.interval"),
        (Some(seconds(-1)), None, "schedule.interval"),
        (Some(seconds(367 * 86_400)), None, "schedule.interval"),
        (Some(seconds(10)), Some(seconds(11)), "schedule.jitter"),
        (Some(seconds(10)), Some(seconds(-1)), "schedule.jitter"),
    ] {
        let schedule = ProcedureSchedule { interval, jitter, ..Default::default() };
        assert_invalid(&client.set_procedure_schedule(set(Some(schedule))).await.unwrap_err(), field);
    }
    let schedule = ProcedureSchedule { parameters: Some(object(&[("x", text("5s"))])), ..schedule };
    let refused = client.set_procedure_schedule(set(Some(schedule))).await.unwrap_err();
    assert_invalid(&refused, "schedule.parameters.x");
    let unknown = SetProcedureScheduleRequest { procedure: "make_tea".to_owned(), schedule: None };
    assert_eq!(client.set_procedure_schedule(unknown).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_watcher_sees_the_execution_at_once_and_then_each_change() {
    let fixture = Fixture::new().await;
    let mut client = fixture.client().0;
    let uid = fixture.client().run("detect_orphans", &[]).await;
    let watch = WatchProcedureExecutionRequest { uid: uid.clone() };
    let mut watched = client.watch_procedure_execution(watch).await.unwrap().into_inner();
    let first = tokio::time::timeout(Duration::from_secs(5), watched.message()).await.unwrap().unwrap().unwrap();
    assert_eq!((first.uid.as_str(), first.phase()), (uid.as_str(), ExecutionPhase::Pending));
    assert!(tokio::time::timeout(Duration::from_secs(1), watched.message()).await.is_err(), "nothing has changed");
    fixture.execute("update catalog.procedure_execution set phase = 'running', processed = 5").await;
    let second = watched.message().await.unwrap().unwrap();
    assert_eq!((second.phase(), second.processed), (ExecutionPhase::Running, 5));
    fixture.execute("update catalog.procedure_execution set phase = 'failed', error = 'why'").await;
    let last = watched.message().await.unwrap().unwrap();
    assert_eq!((last.phase(), last.error.as_str()), (ExecutionPhase::Failed, "why"));
    assert!(watched.message().await.unwrap().is_none(), "the end");

    // One that has ended is seen once.
    let watch = WatchProcedureExecutionRequest { uid };
    let mut watched = client.watch_procedure_execution(watch).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap(), Some(last));
    assert!(watched.message().await.unwrap().is_none());
    let nothing = WatchProcedureExecutionRequest { uid: "exe_nothing".to_owned() };
    let mut watched = client.watch_procedure_execution(nothing).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn orphans_are_listed_and_streamed_with_filters() {
    let fixture = Fixture::new().await;
    fixture
        .execute(
            "insert into catalog.orphan (relation, missing_uid, child_uid, execution_uid, last_seen_ts, confirm_ts)
             select r, 'prd_' || to_char(n, 'fm0000'), 'x', 'exe_1', now(), case when n % 2 = 0 then now() end
               from unnest(array['a.b.c', 'a.b.d']) as r, generate_series(1, 100) as n",
        )
        .await;
    let client = fixture.client();
    let all = client.orphans().await;
    assert_eq!(all.len(), 100);
    let keys: Vec<(&str, &str)> = all.iter().map(|orphan| (&*orphan.relation, &*orphan.missing_uid)).collect();
    assert!(keys.is_sorted() && all.iter().all(|orphan| orphan.confirm_ts.is_some()));
    let one = OrphanFilter { relations: vec!["a.b.d".to_owned()], candidates: true, ..Default::default() };
    assert_eq!(client.orphans_that(one.clone()).await.len(), 100);
    let missing = OrphanFilter { missing_uids: vec!["prd_0002".to_owned()], ..one };
    assert_eq!(client.orphans_that(missing).await.len(), 1);

    let (mut token, mut listed) = (String::new(), Vec::new());
    loop {
        let request = ListOrphansRequest { page_size: 7, page_token: token, ..Default::default() };
        let page = client.0.clone().list_orphans(request).await.unwrap().into_inner();
        assert!(page.orphans.len() <= 7);
        listed.extend(page.orphans);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, all);
}
