//! Every write of artifacts, their catalogs and their links returns such a position.

use std::collections::BTreeSet;

use orrery_proto::records::v1::upload_document_request::Start;
use orrery_proto::records::v1::upload_document_request::start::Target;
use orrery_proto::records::v1::{
    AcceptSuggestionRequest, Artifact, CreateArtifactRequest, CreateMacrodataCatalogRequest, DeleteArtifactRequest,
    DeleteMacrodataCatalogRequest, FinalizeComboReportRequest, GetArtifactRequest, ImportComboReportsRequest,
    LinkProductsRequest, MacrodataCatalog, ProductLink, RejectSuggestionRequest, UnlinkProductsRequest,
    UpdateArtifactRequest, UpdateMacrodataCatalogRequest, UploadDocumentRequest, WriteArtifactsRequest,
    WriteProductLinksRequest, import_combo_reports_request, upload_document_request, write_artifacts_request,
    write_product_links_request,
};
use orrery_proto::r#type::v1::{ReferenceCheck, WriteStart};
use orrery_records::storage::{ContentHash, DocumentsLocation};
use prost::Message;
use tonic::Code;

use super::positions::{Writes, encoded};
use super::{RECORDS, method};
use crate::harness::raw::methods;
use crate::harness::{RecordsServer, TestDatabase};
use crate::records::artifacts::{asset, document, named, report, suggestion, template};

/// Calls of a method, one after the other, each with whether it changes something.
struct Calls {
    writes: Writes,
    called: BTreeSet<&'static str>,
}

impl Calls {
    async fn one(&mut self, changes: bool, name: &'static str, message: &impl Message) {
        self.called.insert(name);
        self.writes.one(changes, &method(RECORDS, name, message)).await;
    }

    /// A call that changes something, and then nothing.
    async fn twice(&mut self, name: &'static str, message: &impl Message) {
        self.one(true, name, message).await;
        self.one(false, name, message).await;
    }

    async fn chunk(&mut self, name: &'static str, messages: &[impl Message]) {
        self.called.insert(name);
        self.writes.several(true, &method(RECORDS, name, &messages[0]), encoded(messages), Code::Ok).await;
    }
}

#[tokio::test]
async fn every_write_of_artifacts_says_where_it_can_be_read() {
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    let location = DocumentsLocation::Folder(folder.path().to_owned());
    let server = RecordsServer::start_with(&database, |config| config.documents.location = location).await;
    let writes = Writes::new(&database, server.channel()).await;
    let mut calls = Calls { writes, called: BTreeSet::new() };

    let row = MacrodataCatalog { uid: "mdc_a".to_owned(), name: "A".to_owned(), ..MacrodataCatalog::default() };
    let create = CreateMacrodataCatalogRequest {
        macrodata_catalog: Some(row.clone()),
        request_id: "once".to_owned(),
        ..CreateMacrodataCatalogRequest::default()
    };
    calls.twice("CreateMacrodataCatalog", &create).await;
    let row = MacrodataCatalog { name: "B".to_owned(), ..row };
    let update = UpdateMacrodataCatalogRequest { macrodata_catalog: Some(row), ..Default::default() };
    calls.twice("UpdateMacrodataCatalog", &update).await;
    let uid = "mdc_a".to_owned();
    let delete = DeleteMacrodataCatalogRequest { uid, allow_missing: true, ..Default::default() };
    calls.twice("DeleteMacrodataCatalog", &delete).await;

    let create = |row: Artifact| CreateArtifactRequest { artifact: Some(row), ..CreateArtifactRequest::default() };
    calls.one(true, "CreateArtifact", &create(named("mda_asset", asset(1)))).await;
    // The same asset is there already.
    calls.one(false, "CreateArtifact", &create(asset(1))).await;
    for row in [named("mda_template", template(&["IPH"])), named("mda_report", report())] {
        calls.one(true, "CreateArtifact", &create(row)).await;
    }
    for uid in ["mda_accepted", "mda_rejected"] {
        calls.one(true, "CreateArtifact", &create(named(uid, suggestion("mda_template")))).await;
    }
    let labels = [("season".to_owned(), "spring".to_owned())].into();
    let labelled = Artifact { labels, ..named("mda_asset", Artifact::default()) };
    let update = UpdateArtifactRequest { artifact: Some(labelled), ..UpdateArtifactRequest::default() };
    calls.twice("UpdateArtifact", &update).await;
    let uid = "mda_accepted".to_owned();
    calls.twice("AcceptSuggestion", &AcceptSuggestionRequest { uid, ..Default::default() }).await;
    let uid = "mda_rejected".to_owned();
    calls.twice("RejectSuggestion", &RejectSuggestionRequest { uid, ..Default::default() }).await;
    let uid = "mda_report".to_owned();
    calls.twice("FinalizeComboReport", &FinalizeComboReportRequest { uid, ..Default::default() }).await;

    let (artifact_uid, product_uids) = ("mda_asset".to_owned(), vec!["prd_a".to_owned(), "prd_b".to_owned()]);
    let link = LinkProductsRequest {
        artifact_uid: artifact_uid.clone(),
        product_uids: product_uids.clone(),
        reference_check: ReferenceCheck::Accept.into(),
    };
    calls.twice("LinkProducts", &link).await;
    calls.twice("UnlinkProducts", &UnlinkProductsRequest { artifact_uid, product_uids }).await;
    let start = write_product_links_request::Payload::Start(WriteStart::default());
    let row =
        ProductLink { product_uid: "prd_c".to_owned(), artifact_uid: "mda_asset".to_owned(), ..Default::default() };
    let chunk = write_product_links_request::Chunk { offset: 0, product_links: vec![row] };
    let messages = [start, write_product_links_request::Payload::Chunk(chunk)];
    let messages = messages.map(|message| WriteProductLinksRequest { payload: Some(message) });
    calls.chunk("WriteProductLinks", &messages).await;
    let start = write_artifacts_request::Payload::Start(WriteStart::default());
    let chunk = write_artifacts_request::Chunk { offset: 0, artifacts: vec![named("mda_written", asset(2))] };
    let messages = [start, write_artifacts_request::Payload::Chunk(chunk)];
    let messages = messages.map(|message| WriteArtifactsRequest { payload: Some(message) });
    calls.chunk("WriteArtifacts", &messages).await;

    let target = Target::Artifact(named("mda_document", document("A")));
    let content_hash = ContentHash::of(b"").to_string();
    let start = Start { upload_id: "once".to_owned(), content_hash, target: Some(target), ..Start::default() };
    let upload = UploadDocumentRequest { payload: Some(upload_document_request::Payload::Start(start)) };
    calls.twice("UploadDocument", &upload).await;
    let start = import_combo_reports_request::Payload::Start(import_combo_reports_request::Start::default());
    let file = b"identifier,notes\nSP-A-1-ALL-001,x\n".to_vec();
    let messages = [start, import_combo_reports_request::Payload::Data(file.into())];
    let messages = messages.map(|payload| ImportComboReportsRequest { payload: Some(payload) });
    calls.chunk("ImportComboReports", &messages).await;

    for force in [false, true] {
        let uid = "mda_asset".to_owned();
        let delete = DeleteArtifactRequest { uid, allow_missing: true, force, ..DeleteArtifactRequest::default() };
        calls.twice("DeleteArtifact", &delete).await;
    }

    let reads = ["Get", "BatchGet", "List", "Stream", "Check", "Classify", "Export", "Query", "Download"];
    let all = methods(RECORDS).into_iter().map(|method| method.name);
    let all: Vec<String> = all.filter(|name| !reads.iter().any(|read| name.starts_with(read))).collect();
    assert_eq!(all.iter().map(String::as_str).collect::<BTreeSet<_>>(), calls.called);
    let get = method(RECORDS, "GetArtifact", &GetArtifactRequest { uid: "mda_written".to_owned(), read_mask: None });
    assert_eq!(get.call(&server.channel(), &[]).await.min_lsn, None, "a read writes nothing");
}
