//! Faults in the middle of an import or an export: nothing is lost or repeated when it is called again.

use std::fmt::Write as _;
use std::time::Duration;

use orrery_proto::records::v1::ExportComboReportsRequest;
use orrery_proto::records::v1::import_combo_reports_request::Start;
use orrery_proto::records::v1::records_service_client::RecordsServiceClient;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{data, first};
use crate::harness::timed::TimedClient;
use crate::harness::{RecordsServer, refusal};
use crate::records::Records;

/// Rows with numbers, of which every tenth from 600 on names a product.
fn file(rows: usize) -> String {
    let mut file = "identifier,products,clicks\n".to_owned();
    for number in 1..=rows {
        let product = if number >= 600 && number % 10 == 0 { "Mug" } else { "" };
        writeln!(file, "SP-A-1-ALL-{number:03},{product},{number}").unwrap();
    }
    file
}

#[track_caller]
fn assert_unavailable(status: &Status, reason: &str) {
    assert_eq!((status.code(), refusal(status).reason.as_str()), (Code::Unavailable, reason), "{status:?}");
    assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{status:?}");
}

#[tokio::test]
async fn without_the_catalog_a_batch_is_not_written_and_the_next_import_completes_it() {
    let records = Records::with_products(&[("prd_a", "mug")]).await;
    // It has no catalog to ask.
    let alone = RecordsServer::start(&records.database).await;
    let file = file(1_300);
    let messages = vec![first(Start::default()), data(file.as_bytes())];
    let answer = RecordsServiceClient::new(alone.channel()).import_combo_reports(tokio_stream::iter(messages)).await;
    assert_unavailable(&answer.unwrap_err(), "DEPENDENCY_UNAVAILABLE");
    let count = "select count(*)::text from records.macrodata_artifact";
    assert_eq!(records.texts(count).await, ["500"], "the rows before the batch that names products");
    assert_eq!(records.imported(Start::default(), &file).await, [800, 0, 500]);
    assert_eq!(
        records
            .texts(
                "select count(*)::text from records.macrodata_artifact where body ->> 'product_uids' = '[\"prd_a\"]'"
            )
            .await,
        ["71"]
    );
    let export = ExportComboReportsRequest::default();
    let mut stream =
        RecordsServiceClient::new(alone.channel()).export_combo_reports(export).await.unwrap().into_inner();
    let status = loop {
        match stream.message().await {
            Ok(message) => assert!(message.is_some(), "the export ended"),
            Err(status) => break status,
        }
    };
    assert_unavailable(&status, "DEPENDENCY_UNAVAILABLE");
}

#[tokio::test]
async fn a_deadline_ends_an_import_that_waits_for_its_file() {
    let records = Records::new().await;
    let client = TimedClient::connect(records.server.address()).await;
    let messages = [first(Start::default()), data(file(550).as_bytes())].map(|message| message.encode_to_vec().into());
    let path = "/orrery.records.v1.RecordsService/ImportComboReports";
    // The file does not end.
    let outcome = client.call(path, Duration::from_secs(2), &messages, false).await;
    let told = refusal(&outcome.status);
    assert_eq!((told.code, &*told.reason), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert_eq!(records.imported(Start::default(), &file(550)).await, [50, 0, 500]);
}

#[tokio::test]
async fn a_drain_ends_an_import_between_batches() {
    let records = Records::new().await;
    let server = RecordsServer::start(&records.database).await;
    let (sender, receiver) = mpsc::channel(4);
    sender.send(first(Start::default())).await.unwrap();
    sender.send(data(file(550).as_bytes())).await.unwrap();
    let mut client = RecordsServiceClient::new(server.channel());
    let call = tokio::spawn(async move { client.import_combo_reports(ReceiverStream::new(receiver)).await });
    while records.texts("select count(*)::text from records.macrodata_artifact").await != ["500"] {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.stop().await.unwrap();
    assert_unavailable(&call.await.unwrap().unwrap_err(), "DRAINING");
    assert_eq!(records.imported(Start::default(), &file(550)).await, [50, 0, 500]);
    drop(sender);
}

/// A stream that breaks is not taken for a file that ends.
#[tokio::test]
async fn rows_before_a_broken_message_are_not_written_unless_their_batch_was_full() {
    let records = Records::new().await;
    let client = TimedClient::connect(records.server.address()).await;
    let [start, rows] = [first(Start::default()), data(file(550).as_bytes())].map(|message| message.encode_to_vec());
    let messages = [start.into(), rows.into(), b"\xff\xff".to_vec().into()];
    let path = "/orrery.records.v1.RecordsService/ImportComboReports";
    let outcome = client.call(path, Duration::from_secs(60), &messages, true).await;
    let told = refusal(&outcome.status);
    assert_eq!((told.code, &*told.reason), (Code::InvalidArgument, "MESSAGE_MALFORMED"));
    assert_eq!(records.texts("select count(*)::text from records.macrodata_artifact").await, ["500"]);
}
