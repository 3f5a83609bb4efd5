//! The records service without its database: every method says so, and serves again by itself.

use std::time::Duration;

use bytes::Bytes;
use orrery_proto::records::v1::classify_products_request::Classification;
use orrery_proto::records::v1::{
    AcceptSuggestionRequest, BatchGetArtifactsRequest, CheckArtifactsRequest, ClassifyProductsRequest,
    CreateArtifactRequest, CreateMacrodataCatalogRequest, DeleteArtifactRequest, DeleteMacrodataCatalogRequest,
    FinalizeComboReportRequest, GetArtifactRequest, GetMacrodataCatalogRequest, ImportComboReportsRequest,
    LinkProductsRequest, MacrodataCatalog, ProductLink, RejectSuggestionRequest, UnlinkProductsRequest,
    UpdateArtifactRequest, UpdateMacrodataCatalogRequest, WriteArtifactsRequest, WriteProductLinksRequest,
    import_combo_reports_request, write_artifacts_request, write_product_links_request,
};
use orrery_proto::r#type::v1::{ReferenceCheck, WriteStart};
use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{asset, named};
use crate::harness::raw::{call, methods};
use crate::harness::{Postgres, RecordsServer, refusal};

/// The messages of a call of a method.
fn messages(method: &str) -> Vec<Bytes> {
    fn one(message: &impl Message) -> Vec<Bytes> {
        vec![message.encode_to_vec().into()]
    }
    let uid = "mda_a".to_owned();
    let artifact = || Some(named("mda_a", asset(1)));
    let catalog =
        || Some(MacrodataCatalog { uid: "mdc_a".to_owned(), name: "A".to_owned(), ..MacrodataCatalog::default() });
    let product_uids = vec!["prd_a".to_owned()];
    match method {
        "GetArtifact" => one(&GetArtifactRequest { uid, read_mask: None }),
        "BatchGetArtifacts" => one(&BatchGetArtifactsRequest { uids: vec![uid], read_mask: None }),
        "CreateArtifact" => one(&CreateArtifactRequest { artifact: artifact(), ..Default::default() }),
        "UpdateArtifact" => one(&UpdateArtifactRequest { artifact: artifact(), ..Default::default() }),
        "DeleteArtifact" => one(&DeleteArtifactRequest { uid, ..Default::default() }),
        "CheckArtifacts" => one(&CheckArtifactsRequest { uids: vec![uid] }),
        "AcceptSuggestion" => one(&AcceptSuggestionRequest { uid, ..Default::default() }),
        "RejectSuggestion" => one(&RejectSuggestionRequest { uid, ..Default::default() }),
        "FinalizeComboReport" => one(&FinalizeComboReportRequest { uid, ..Default::default() }),
        "ClassifyProducts" => {
            one(&ClassifyProductsRequest { classification: Some(Classification::SpecUid(uid)), ..Default::default() })
        }
        "LinkProducts" => one(&LinkProductsRequest {
            artifact_uid: uid,
            product_uids,
            reference_check: ReferenceCheck::Accept.into(),
        }),
        "UnlinkProducts" => one(&UnlinkProductsRequest { artifact_uid: uid, product_uids }),
        "GetMacrodataCatalog" => one(&GetMacrodataCatalogRequest { uid: "mdc_a".to_owned(), read_mask: None }),
        "CreateMacrodataCatalog" => {
            one(&CreateMacrodataCatalogRequest { macrodata_catalog: catalog(), ..Default::default() })
        }
        "UpdateMacrodataCatalog" => {
            one(&UpdateMacrodataCatalogRequest { macrodata_catalog: catalog(), ..Default::default() })
        }
        "DeleteMacrodataCatalog" => {
            one(&DeleteMacrodataCatalogRequest { uid: "mdc_a".to_owned(), ..Default::default() })
        }
        "WriteArtifacts" => {
            let chunk = write_artifacts_request::Chunk { offset: 0, artifacts: artifact().into_iter().collect() };
            let start = write_artifacts_request::Payload::Start(WriteStart::default());
            let payloads = [start, write_artifacts_request::Payload::Chunk(chunk)];
            payloads.map(|payload| WriteArtifactsRequest { payload: Some(payload) }.encode_to_vec().into()).into()
        }
        "WriteProductLinks" => {
            let link = ProductLink { product_uid: "prd_a".to_owned(), artifact_uid: uid, create_ts: None };
            let chunk = write_product_links_request::Chunk { offset: 0, product_links: vec![link] };
            let start = write_product_links_request::Payload::Start(WriteStart::default());
            let payloads = [start, write_product_links_request::Payload::Chunk(chunk)];
            payloads.map(|payload| WriteProductLinksRequest { payload: Some(payload) }.encode_to_vec().into()).into()
        }
        "ImportComboReports" => {
            let start = import_combo_reports_request::Message::Start(import_combo_reports_request::Start::default());
            let file = b"identifier,notes\nSP-A-1-ALL-001,x\n".to_vec();
            let messages = [start, import_combo_reports_request::Message::Data(file.into())];
            messages.map(|message| ImportComboReportsRequest { message: Some(message) }.encode_to_vec().into()).into()
        }
        "ExportComboReports" | "ListArtifacts" | "StreamArtifacts" | "StreamProductLinks" | "ListMacrodataCatalogs" => {
            vec![Bytes::new()]
        }
        other => panic!("nothing calls {other}"),
    }
}

/// Checks that a status is UNAVAILABLE with a RetryInfo.
#[track_caller]
fn assert_unavailable(status: &Status, path: &str) {
    let told = refusal(status);
    assert_eq!((told.code, told.reason.as_str()), (Code::Unavailable, "DATABASE_UNAVAILABLE"), "{path}: {status:?}");
    assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{path}: {status:?}");
}

#[tokio::test]
async fn without_its_database_every_method_says_so_and_then_serves_again() {
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await;
    let server = RecordsServer::start_with(&database, |config| {
        config.service.database.database_acquire_timeout = Duration::from_millis(500);
    })
    .await;
    let calls = methods(orrery_records::SERVICE_NAMES[0]);
    assert!(calls.len() > 20);
    postgres.kill().await;
    for method in &calls {
        let status = call(&server.channel(), &method.path, messages(&method.name)).await.unwrap_err();
        assert_unavailable(&status, &method.path);
    }
    postgres.restart().await;
    // By itself, without a restart of the service, and with the first call.
    for method in &calls {
        if let Err(status) = call(&server.channel(), &method.path, messages(&method.name)).await {
            let expected = [Code::NotFound, Code::InvalidArgument];
            assert!(expected.contains(&status.code()), "{}: {status:?}", method.path);
        }
    }
}
