//! A valid call of each method of RecordsService.

use bytes::Bytes;
use orrery_proto::records::v1::classify_products_request::Classification;
use orrery_proto::records::v1::{
    AcceptSuggestionRequest, BatchGetArtifactsRequest, CheckArtifactsRequest, ClassifyProductsRequest,
    CreateArtifactRequest, CreateMacrodataCatalogRequest, DeleteArtifactRequest, DeleteMacrodataCatalogRequest,
    Document, DownloadDocumentRequest, FinalizeComboReportRequest, GetArtifactRequest, GetMacrodataCatalogRequest,
    ImportComboReportsRequest, LinkProductsRequest, MacrodataCatalog, ProductLink, QueryDocumentUploadRequest,
    RejectSuggestionRequest, UnlinkProductsRequest, UpdateArtifactRequest, UpdateMacrodataCatalogRequest,
    UploadDocumentRequest, WriteArtifactsRequest, WriteProductLinksRequest, artifact, import_combo_reports_request,
    upload_document_request, write_artifacts_request, write_product_links_request,
};
use orrery_proto::r#type::v1::{ReferenceCheck, WriteStart};

use super::calls::{one, several};
use crate::harness::uid as product_uid;
use crate::records::artifacts::{asset, named, with};

/// Two catalogs, and an artifact of each kind that a method needs.
pub(super) const ROWS: &str = "insert into records.macrodata_catalog (uid, name) \
    values ('mdc_a', 'A'), ('mdc_deleted', 'Deleted'); \
    insert into records.macrodata_artifact (uid, kind, identifier, content_hash, status, body) values \
    ('mda_asset', 'design_asset', null, lpad('1', 64, '0'), '{\"phase\": \"active\"}', \
     jsonb_build_object('content_hash', lpad('1', 64, '0'))), \
    ('mda_deleted', 'design_asset', null, lpad('2', 64, '0'), '{\"phase\": \"active\"}', \
     jsonb_build_object('content_hash', lpad('2', 64, '0'))), \
    ('mda_template', 'combo_template', 'SP-IPH-1-WOMEN-001', null, '{\"phase\": \"active\"}', \
     '{\"type\": \"SP\", \"product_codes\": [\"IPH\"], \"product_count\": 1, \"audience\": \"WOMEN\"}'), \
    ('mda_accepted', 'combo_suggestion', null, null, '{\"phase\": \"proposed\"}', \
     '{\"template_uid\": \"mda_template\"}'), \
    ('mda_rejected', 'combo_suggestion', null, null, '{\"phase\": \"proposed\"}', \
     '{\"template_uid\": \"mda_template\"}'), \
    ('mda_report', 'combo_report', 'SP-IPH-1-WOMEN-001', null, '{\"phase\": \"active\"}', \
     '{\"type\": \"SP\", \"product_codes\": [\"IPH\"], \"product_count\": 1, \"audience\": \"WOMEN\"}'), \
    ('mda_spec', 'classification_spec', null, null, '{\"phase\": \"active\"}', \
     '{\"metric_name\": \"views\", \"thresholds\": {\"winner\": \"10\"}}')";

/// The SHA-256 of no bytes.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn catalog(uid: &str, name: &str) -> MacrodataCatalog {
    MacrodataCatalog { uid: uid.to_owned(), name: name.to_owned(), ..MacrodataCatalog::default() }
}

/// The messages of a call of a method, on the rows of [`ROWS`].
pub(super) fn messages(method: &str) -> Vec<Bytes> {
    let uid = "mda_asset".to_owned();
    let product_uids = vec![product_uid(1)];
    match method {
        "GetArtifact" => one(&GetArtifactRequest { uid, read_mask: None }),
        "BatchGetArtifacts" => one(&BatchGetArtifactsRequest { uids: vec![uid], read_mask: None }),
        "CreateArtifact" => one(&CreateArtifactRequest { artifact: Some(asset(8)), ..Default::default() }),
        "UpdateArtifact" => one(&UpdateArtifactRequest { artifact: Some(named(&uid, asset(1))), ..Default::default() }),
        "DeleteArtifact" => one(&DeleteArtifactRequest { uid: "mda_deleted".to_owned(), ..Default::default() }),
        "CheckArtifacts" => one(&CheckArtifactsRequest { uids: vec![uid] }),
        "AcceptSuggestion" => one(&AcceptSuggestionRequest { uid: "mda_accepted".to_owned(), ..Default::default() }),
        "RejectSuggestion" => one(&RejectSuggestionRequest { uid: "mda_rejected".to_owned(), ..Default::default() }),
        "FinalizeComboReport" => {
            one(&FinalizeComboReportRequest { uid: "mda_report".to_owned(), ..Default::default() })
        }
        "ClassifyProducts" => {
            let classification = Some(Classification::SpecUid("mda_spec".to_owned()));
            one(&ClassifyProductsRequest { classification, ..Default::default() })
        }
        "LinkProducts" => one(&LinkProductsRequest {
            artifact_uid: uid,
            product_uids,
            reference_check: ReferenceCheck::Reject.into(),
        }),
        "UnlinkProducts" => one(&UnlinkProductsRequest { artifact_uid: uid, product_uids }),
        "GetMacrodataCatalog" => one(&GetMacrodataCatalogRequest { uid: "mdc_a".to_owned(), read_mask: None }),
        "CreateMacrodataCatalog" => one(&CreateMacrodataCatalogRequest {
            macrodata_catalog: Some(catalog("mdc_new", "New")),
            ..Default::default()
        }),
        "UpdateMacrodataCatalog" => one(&UpdateMacrodataCatalogRequest {
            macrodata_catalog: Some(catalog("mdc_a", "Renamed")),
            ..Default::default()
        }),
        "DeleteMacrodataCatalog" => {
            one(&DeleteMacrodataCatalogRequest { uid: "mdc_deleted".to_owned(), ..Default::default() })
        }
        "WriteArtifacts" => {
            let chunk = write_artifacts_request::Chunk { offset: 0, artifacts: vec![named("mda_written", asset(9))] };
            let start = write_artifacts_request::Payload::Start(WriteStart::default());
            let payloads = [start, write_artifacts_request::Payload::Chunk(chunk)];
            several(&payloads.map(|payload| WriteArtifactsRequest { payload: Some(payload) }))
        }
        "WriteProductLinks" => {
            let link = ProductLink { product_uid: product_uid(1), artifact_uid: uid, create_ts: None };
            let chunk = write_product_links_request::Chunk { offset: 0, product_links: vec![link] };
            let start = write_product_links_request::Payload::Start(WriteStart::default());
            let payloads = [start, write_product_links_request::Payload::Chunk(chunk)];
            several(&payloads.map(|payload| WriteProductLinksRequest { payload: Some(payload) }))
        }
        "ImportComboReports" => {
            let start = import_combo_reports_request::Payload::Start(import_combo_reports_request::Start::default());
            let file = format!("identifier,product_uids\nSP-A-1-ALL-001,{}\n", product_uid(1)).into_bytes();
            let messages = [start, import_combo_reports_request::Payload::Data(file.into())];
            several(&messages.map(|payload| ImportComboReportsRequest { payload: Some(payload) }))
        }
        "UploadDocument" => {
            use upload_document_request::{Chunk, Payload, Start, start::Target};
            let document = Document { title: "Empty".to_owned(), ..Document::default() };
            let document = with(artifact::Payload::Document(document));
            let start = Start {
                upload_id: "upload".to_owned(),
                content_hash: EMPTY.to_owned(),
                target: Some(Target::Artifact(named("mda_document", document))),
                ..Start::default()
            };
            let payloads = [Payload::Start(start), Payload::Chunk(Chunk::default())];
            several(&payloads.map(|payload| UploadDocumentRequest { payload: Some(payload) }))
        }
        "QueryDocumentUpload" => one(&QueryDocumentUploadRequest { upload_id: "upload".to_owned() }),
        "DownloadDocument" => {
            one(&DownloadDocumentRequest { uid: "mda_document".to_owned(), ..DownloadDocumentRequest::default() })
        }
        "ExportComboReports" | "ListArtifacts" | "StreamArtifacts" | "StreamProductLinks" | "ListMacrodataCatalogs" => {
            vec![Bytes::new()]
        }
        other => panic!("no call of {other} is known: add one"),
    }
}
