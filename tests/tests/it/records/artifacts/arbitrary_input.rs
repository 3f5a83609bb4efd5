//! Any input to the records service: as in [`crate::arbitrary_input`], with the catalog beside it.

use crate::arbitrary_input::generator::Vocabulary;
use crate::arbitrary_input::{Target, assert_both_ways_out};
use crate::harness::{Role, seed};
use crate::records::Records;

const CONTENTS: &str = "select md5(concat( \
    (select string_agg(t::text, '|' order by uid) from records.macrodata_catalog t), \
    (select string_agg(t::text, '|' order by uid) from records.macrodata_artifact t), \
    (select string_agg(t::text, '|' order by name) from records.identifier_series t), \
    (select string_agg(t::text, '|' order by upload_id) from records.upload t), \
    (select string_agg(t::text, '|' order by product_uid, artifact_uid) \
       from records.link_product_macrodata_artifact t)))";

const ARTIFACTS: &[&str] = &["mda_0000001", "mda_0000002", "mda_0000003", "mda_0000004", "mda_0000005", "mda_new"];

/// The SHA-256 of nothing.
const OF_NOTHING: &[&str] = &["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"];

const VOCABULARY: Vocabulary = Vocabulary {
    fitting: |message, field| match (message, field) {
        ("Artifact", "uid") => &["", "mda_0000001", "mda_0000002", "mda_0000004", "mda_new"],
        (
            "MacrodataCatalog"
            | "GetMacrodataCatalogRequest"
            | "DeleteMacrodataCatalogRequest"
            | "MacrodataCatalogFilter",
            "uid" | "uids",
        ) => &["mdc_0000001", "mdc_0000002", "mdc_new"],
        (_, "catalog_uid" | "catalog_uids") => &["", "mdc_0000001"],
        ("AcceptSuggestionRequest", "uid") => &["mda_0000003"],
        ("RejectSuggestionRequest", "uid") => &["mda_0000006"],
        ("FinalizeComboReportRequest", "uid") => &["mda_0000004"],
        // Of an upload.
        ("Start" | "DownloadDocumentRequest", "uid") => &["mda_0000007"],
        ("Start", "content_hash") => OF_NOTHING,
        ("DownloadDocumentRequest", "content_hash") => &[],
        (_, "upload_id") => &["upload-1", "upload-2", "upload-3"],
        (_, "spec_uid") => &["mda_0000005"],
        (_, "template_uid") => &["mda_0000002", ""],
        (_, "uid" | "uids" | "artifact_uid" | "artifact_uids") => ARTIFACTS,
        (_, "product_uid" | "product_uids") => &["prd_0000001", "prd_0000002"],
        (_, "content_hash" | "content_hashes") => &[
            "00000000000000000000000000000000000000000000000000000000000000aa",
            "00000000000000000000000000000000000000000000000000000000000000ab",
        ],
        (_, "identifier" | "identifiers") => &["", "", "SP-IPH-1-WOMEN-001", "SP-IPH-1-WOMEN-007"],
        (_, "type") => &["SP", "UGC"],
        (_, "product_codes") => &["IPH", "mac"],
        (_, "audience") => &["WOMEN", "all"],
        (_, "spend") => &["1.50", ""],
        ("ThresholdsEntry", "key") => &["winner", "loser"],
        ("ThresholdsEntry", "value") => &["1.50", "2"],
        (_, "metric_name") => &["roas"],
        (_, "title" | "name" | "name_contains") => &["Catalog new", "other"],
        (_, "phase" | "phases") => &["active", "archived", "proposed"],
        (_, "paths") => &["labels.season", "design_asset.source_url", "combo_report", "status.phase", "identifier"],
        (_, "order_by") => &["create_ts desc", "uid", "artifact_uid, product_uid", "name"],
        (_, "label_selector") => &["season=summer", "!a"],
        (_, "key") => &["season", "k", "example.com/key"],
        ("ImportComboReportsRequest", "data") => &["identifier,notes\nSP-IPH-1-WOMEN-001,x\n,y\n"],
        (_, "delimiter") => &[",", ""],
        (_, "import_id") => &["", "file"],
        // Valid tokens and etags come from earlier responses.
        _ => &[],
    },
    nasty: &[
        "mda_0000001",
        "mda_0000003",
        "mda_0000004",
        "mda_",
        "mda_\0",
        "mdc_0000001",
        "prd_0000001",
        "prd_none",
        "SP-IPH-1-WOMEN-002",
        "SP-IPH-1-WOMEN-1000000000",
        "final",
        "accepted",
        "payload",
        "body",
        "combo_report.final_ts",
        "combo_template.type",
        "content_hash",
        "kind",
    ],
};

/// An asset, a template, two suggestions, a report, a spec and a document with empty content, and links.
const ROWS: &str = "delete from records.macrodata_artifact; delete from records.identifier_series; \
    insert into records.macrodata_catalog (uid, name) \
    select 'mdc_000000' || n, 'Catalog ' || n from generate_series(1, 2) n on conflict do nothing; \
    insert into records.macrodata_artifact (uid, catalog_uid, kind, identifier, content_hash, status, body) values \
    ('mda_0000001', 'mdc_0000001', 'design_asset', null, repeat('0', 62) || 'aa', '{\"phase\": \"active\"}', \
     '{\"content_hash\": \"00000000000000000000000000000000000000000000000000000000000000aa\", \"else\": [1]}'), \
    ('mda_0000002', null, 'combo_template', 'SP-IPH-1-WOMEN-001', null, '{\"phase\": \"active\"}', \
     '{\"type\": \"SP\", \"product_codes\": [\"IPH\"], \"product_count\": 1, \"audience\": \"WOMEN\"}'), \
    ('mda_0000003', null, 'combo_suggestion', null, null, '{\"phase\": \"proposed\"}', \
     '{\"template_uid\": \"mda_0000002\", \"product_uids\": [\"prd_0000001\"]}'), \
    ('mda_0000004', null, 'combo_report', 'SP-IPH-1-WOMEN-001', null, '{\"phase\": \"active\"}', \
     '{\"type\": \"SP\", \"product_codes\": [\"IPH\"], \"product_count\": 1, \"audience\": \"WOMEN\"}'), \
    ('mda_0000005', null, 'classification_spec', null, null, '{\"phase\": \"active\"}', \
     '{\"metric_name\": \"roas\", \"thresholds\": {\"winner\": \"3\", \"loser\": \"\"}}'), \
    ('mda_0000006', null, 'combo_suggestion', null, null, '{\"phase\": \"proposed\"}', '{}'), \
    ('mda_0000007', null, 'document', null, null, '{\"phase\": \"active\"}', \
     '{\"title\": \"Old\", \"bearer_key\": \"documents/upl_1\"}'); \
    insert into records.link_product_macrodata_artifact (product_uid, artifact_uid) \
    select 'prd_000000' || n, uid from records.macrodata_artifact, generate_series(1, 2) n on conflict do nothing";

/// Runs `test` with the services.
async fn with_artifacts<T>(test: impl AsyncFnOnce(Target<'_>) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("documents")).unwrap();
    std::fs::write(folder.path().join("documents/upl_1"), "").unwrap();
    let records = Records::with_documents(folder.path()).await;
    seed(&mut records.database.connect(Role::Operator).await, 5).await;
    records
        .execute("insert into catalog.product_metric (product_uid, name, value) values ('prd_0000001', 'roas', 2)")
        .await;
    test(Target {
        service: "orrery.records.v1.RecordsService",
        channel: records.server.channel(),
        vocabulary: VOCABULARY,
        database: &records.database,
        rows: ROWS,
        contents: CONTENTS,
    })
    .await
}

#[tokio::test]
async fn messages_of_the_right_shape_with_wrong_values() {
    assert_both_ways_out(with_artifacts(async |target| target.bombard_with_values().await).await);
}

#[tokio::test]
async fn messages_with_broken_bytes() {
    with_artifacts(async |target| target.bombard_with_broken_bytes().await).await;
}

#[tokio::test]
async fn any_bytes_at_all() {
    with_artifacts(async |target| target.bombard_with_any_bytes().await).await;
}
