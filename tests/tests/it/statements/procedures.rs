//! The statements of ProceduresService and of a search for orphans, in the orders service; those of the other services
//! differ in their schemas and tables only.

use orrery_proto::procedures::v1 as procedures;
use prost_types::value::Kind;

use super::calls::Recorder;
use crate::harness::{CatalogServer, OrdersServer, Role, TestDatabase, run};
use crate::procedures::{Client, object, text};

const ROWS: &str = "insert into orders.order_header (uid, currency_code) values ('ord_1', 'GBP');
    insert into orders.order_line_item (order_uid, uid, line_number, product_uid)
    values ('ord_1', 'oli_1', 1, 'prd_1'), ('ord_1', 'oli_2', 2, 'prd_2'), ('ord_2', 'oli_3', 1, 'prd_2');
    insert into orders.write_commit (resource, write_id, first_offset, row_count, row_hashes)
    values ('r', 'w', 0, 0, '')";

#[tokio::test]
async fn calls_of_procedures_run_what_is_written_down() {
    let mut recorder = Recorder::new("ProceduresService").await;
    let server = OrdersServer::start(&recorder.database).await;
    let client = || Client::of(server.channel()).0;
    let procedure = || "detect_orphans".to_owned();
    recorder.call("ListProcedures", client().list_procedures(procedures::ListProceduresRequest::default())).await;
    let asked = procedures::RunProcedureRequest {
        procedure: procedure(),
        parameters: Some(object(&[("grace", text("0s"))])),
        request_id: "once".to_owned(),
    };
    let uid = recorder.call("RunProcedure", client().run_procedure(asked.clone())).await.into_inner().uid;
    recorder.call("RunProcedure, again", client().run_procedure(asked)).await;
    let request = procedures::GetProcedureExecutionRequest { uid: uid.clone(), ..Default::default() };
    recorder.call("GetProcedureExecution", client().get_procedure_execution(request)).await;
    let request = procedures::ListProcedureExecutionsRequest { order_by: "create_ts".to_owned(), ..Default::default() };
    recorder.call("ListProcedureExecutions", client().list_procedure_executions(request)).await;
    let request = procedures::CancelProcedureExecutionRequest { uid: uid.clone() };
    recorder.call("CancelProcedureExecution", client().cancel_procedure_execution(request)).await;
    let request = procedures::WatchProcedureExecutionRequest { uid };
    recorder.stream("WatchProcedureExecution", client().watch_procedure_execution(request)).await;
    let request = procedures::SetProcedureScheduleRequest { procedure: procedure(), schedule: None };
    recorder.call("SetProcedureSchedule", client().set_procedure_schedule(request)).await;
    recorder.call("ListOrphans", client().list_orphans(procedures::ListOrphansRequest::default())).await;
    recorder.stream("StreamOrphans", client().stream_orphans(procedures::StreamOrphansRequest::default())).await;
    recorder.check_file("orders", "procedure_calls");
}

#[tokio::test]
async fn a_search_for_orphans_runs_what_is_written_down() {
    let mut recorder = Recorder::new("detect_orphans, each once").await;
    run(&mut recorder.database.connect(Role::Operator).await, ROWS).await;
    // Of the other service nothing is recorded.
    let elsewhere = TestDatabase::create().await;
    let catalog = CatalogServer::start(&elsewhere).await;
    let server = OrdersServer::start_with(&recorder.database, |config| {
        config.catalog.address = catalog.address().to_string().parse().unwrap();
        config.service.procedures.procedure_workers = 1;
    })
    .await;
    let client = Client::of(server.channel());
    // The statements of the search itself: not those by which it is asked for, watched and taken.
    recorder
        .each_once("detect_orphans", |statement| !statement.contains("orders.procedure_"), async {
            client.numbers("detect_orphans", &[("grace", text("0s")), ("dry_run", Kind::BoolValue(false))]).await;
        })
        .await;
    recorder.check_file("orders", "detect_orphans");
}
