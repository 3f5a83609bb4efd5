//! The statements of calls about artifacts: see [`calls`](super::calls).

use orrery_proto::records::v1 as records;
use orrery_proto::records::v1::records_service_client::RecordsServiceClient;
use orrery_proto::r#type::v1::{ReferenceCheck, WriteMode, WriteStart};

use super::calls::{MODES, Recorder, start};
use super::is_of_the_system;
use super::sharding::{breaches, spread_by};
use crate::harness::wire::WireLimits;
use crate::harness::{RecordsServer, Role, TestDatabase, run};
use crate::records::artifacts::{ARTIFACTS, PRODUCT_LINKS, asset, document, named, report, spec, suggestion, template};
use crate::writes::stream::{mask, write};

fn created(artifact: records::Artifact) -> records::CreateArtifactRequest {
    records::CreateArtifactRequest { artifact: Some(artifact), ..Default::default() }
}

fn link(product: &str, artifact: &str) -> records::ProductLink {
    records::ProductLink { product_uid: product.to_owned(), artifact_uid: artifact.to_owned(), create_ts: None }
}

#[tokio::test]
async fn calls_about_artifacts_run_what_is_written_down() {
    let mut recorder = Recorder::new("RecordsService").await;
    let server = RecordsServer::start(&recorder.database).await;
    let client = || RecordsServiceClient::new(server.channel());
    let request = records::CreateMacrodataCatalogRequest {
        macrodata_catalog: Some(records::MacrodataCatalog {
            uid: "mdc_1".to_owned(),
            name: "Spring".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    recorder.call("CreateMacrodataCatalog", client().create_macrodata_catalog(request)).await;
    recorder.call("CreateArtifact, a design asset", client().create_artifact(created(named("mda_1", asset(1))))).await;
    let request =
        records::CreateArtifactRequest { request_id: "first".to_owned(), ..created(named("mda_2", asset(2))) };
    recorder.call("CreateArtifact with request_id", client().create_artifact(request)).await;
    let request = created(asset(1));
    recorder.call("CreateArtifact of a design asset that is there", client().create_artifact(request)).await;
    let within = records::Artifact { catalog_uid: "mdc_1".to_owned(), ..named("mda_3", template(&["IPH"])) };
    recorder.call("CreateArtifact, a combo template in a catalog", client().create_artifact(created(within))).await;
    let request = created(named("mda_4", suggestion("mda_3")));
    recorder.call("CreateArtifact, a combo suggestion", client().create_artifact(request)).await;
    let request = records::GetArtifactRequest { uid: "mda_3".to_owned(), read_mask: None };
    recorder.call("GetArtifact", client().get_artifact(request)).await;
    let request =
        records::GetArtifactRequest { uid: "mda_3".to_owned(), read_mask: Some(mask(&["combo_template.audience"])) };
    recorder.call("GetArtifact of one field of the payload", client().get_artifact(request)).await;
    let request = |change: records::Artifact, paths: &[&str]| records::UpdateArtifactRequest {
        artifact: Some(change),
        update_mask: (!paths.is_empty()).then(|| mask(paths)),
        ..Default::default()
    };
    let mut labelled = named("mda_1", records::Artifact::default());
    labelled.labels.insert("season".to_owned(), "spring".to_owned());
    recorder.call("UpdateArtifact of labels", client().update_artifact(request(labelled, &["labels"]))).await;
    recorder
        .call("UpdateArtifact without a mask", client().update_artifact(request(named("mda_1", asset(1)), &[])))
        .await;
    let changed = request(named("mda_4", suggestion("")), &["combo_suggestion.score"]);
    recorder.call("UpdateArtifact of one field of a combo suggestion", client().update_artifact(changed)).await;
    let filter = records::ArtifactFilter {
        kinds: vec![records::ArtifactKind::ComboSuggestion.into()],
        template_uid: "mda_3".to_owned(),
        product_uid: "prd_1".to_owned(),
        ..Default::default()
    };
    let list = records::ListArtifactsRequest { filter: Some(filter), ..Default::default() };
    recorder.call("ListArtifacts", client().list_artifacts(list)).await;
    recorder.stream("StreamArtifacts", client().stream_artifacts(records::StreamArtifactsRequest::default())).await;
    let accept = |request_id: &str| records::AcceptSuggestionRequest {
        uid: "mda_4".to_owned(),
        request_id: request_id.to_owned(),
        ..Default::default()
    };
    let report = recorder.call("AcceptSuggestion", client().accept_suggestion(accept(""))).await.into_inner();
    recorder.call("AcceptSuggestion, repeated, with request_id", client().accept_suggestion(accept("second"))).await;
    client().create_artifact(created(named("mda_5", suggestion("mda_3")))).await.unwrap();
    let reject = records::RejectSuggestionRequest { uid: "mda_5".to_owned(), ..Default::default() };
    recorder.call("RejectSuggestion", client().reject_suggestion(reject)).await;
    let finalize = records::FinalizeComboReportRequest { uid: report.uid, ..Default::default() };
    recorder.call("FinalizeComboReport", client().finalize_combo_report(finalize)).await;
    for (mode, name) in MODES {
        let rows = [asset(1), asset(8), template(&["IPH"]), self::report(), spec(&[("a", "1")]), document("a")];
        let rows: Vec<_> = (1..).zip(rows).map(|(nth, row)| named(&format!("mda_{name}{nth}"), row)).collect();
        let title = format!("WriteArtifacts, WRITE_MODE_{name}");
        recorder.write(&title, write(server.channel(), ARTIFACTS, start(mode, name), &rows)).await;
        let rows = [link("prd_1", "mda_1"), link("prd_2", "mda_2")];
        let title = format!("WriteProductLinks, WRITE_MODE_{name}");
        recorder
            .write(
                &title,
                write(server.channel(), PRODUCT_LINKS, start(mode, &format!("links {name}").replace(' ', "-")), &rows),
            )
            .await;
    }
    let linked = records::LinkProductsRequest {
        artifact_uid: "mda_1".to_owned(),
        product_uids: vec!["prd_1".to_owned(), "prd_2".to_owned()],
        reference_check: ReferenceCheck::Accept.into(),
    };
    recorder.call("LinkProducts", client().link_products(linked)).await;
    let unlinked =
        records::UnlinkProductsRequest { artifact_uid: "mda_1".to_owned(), product_uids: vec!["prd_2".to_owned()] };
    recorder.call("UnlinkProducts", client().unlink_products(unlinked)).await;
    let request = records::StreamProductLinksRequest { order_by: "artifact_uid".to_owned(), ..Default::default() };
    recorder.stream("StreamProductLinks by artifact_uid", client().stream_product_links(request)).await;
    let file = b"identifier,template,notes\nSP-IPH-1-WOMEN-001,SP-IPH-1-WOMEN-001,a\n,SP-IPH-1-WOMEN-001,b\n";
    let import = |catalog_uid: &str| {
        let start = records::import_combo_reports_request::Start {
            catalog_uid: catalog_uid.to_owned(),
            import_id: "file".to_owned(),
            ..Default::default()
        };
        let data = records::import_combo_reports_request::Payload::Data(file.to_vec().into());
        [records::import_combo_reports_request::Payload::Start(start), data]
            .map(|payload| records::ImportComboReportsRequest { payload: Some(payload) })
    };
    let call = |messages| async move { client().import_combo_reports(tokio_stream::iter(messages)).await };
    let imported = recorder.call("ImportComboReports of new reports", call(import("mdc_1"))).await.into_inner();
    assert_eq!((imported.created, imported.rejected), (2, 0), "{imported:?}");
    let imported = recorder.call("ImportComboReports of stored reports", call(import("mdc_1"))).await.into_inner();
    assert_eq!((imported.unchanged, imported.rejected), (2, 0), "{imported:?}");
    let request = records::ExportComboReportsRequest { catalog_uid: "mdc_1".to_owned(), ..Default::default() };
    recorder.stream("ExportComboReports of a catalog", client().export_combo_reports(request)).await;
    let request = records::ExportComboReportsRequest::default();
    recorder.stream("ExportComboReports", client().export_combo_reports(request)).await;
    let delete = |force| records::DeleteArtifactRequest { uid: "mda_1".to_owned(), force, ..Default::default() };
    recorder.call("DeleteArtifact", client().delete_artifact(delete(false))).await;
    recorder.call("DeleteArtifact with force", client().delete_artifact(delete(true))).await;
    let request = records::CreateMacrodataCatalogRequest {
        macrodata_catalog: Some(records::MacrodataCatalog {
            uid: "mdc_2".to_owned(),
            name: "Autumn".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    client().create_macrodata_catalog(request).await.unwrap();
    let request = records::DeleteMacrodataCatalogRequest { uid: "mdc_2".to_owned(), ..Default::default() };
    recorder.call("DeleteMacrodataCatalog", client().delete_macrodata_catalog(request)).await;
    recorder.check_file("records", "artifact_calls");
}

/// A row in the catalog of extensions makes a service take its database for a sharded one: see
/// [`forms`](super::forms).
#[tokio::test(flavor = "multi_thread")]
async fn on_a_sharded_database_artifacts_are_written_alike() {
    let database = TestDatabase::limited(WireLimits::default()).await;
    run(
        &mut database.connect(Role::Operator).await,
        "insert into pg_catalog.pg_extension
             (oid, extname, extowner, extnamespace, extrelocatable, extversion, extconfig, extcondition)
         select 4000000000, 'citus', extowner, extnamespace, false, '13.0', null, null from pg_catalog.pg_extension
          where extname = 'plpgsql'",
    )
    .await;
    database.record_statements();
    let server = RecordsServer::start(&database).await;
    let client = || RecordsServiceClient::new(server.channel());
    let start = |mode: WriteMode| WriteStart { mode: mode.into(), ..WriteStart::default() };
    let rows: Vec<_> = (1..=20)
        .map(|number| {
            let row = if number % 2 == 0 { asset(number) } else { template(&["IPH"]) };
            named(&format!("mda_{number:02}"), row)
        })
        .collect();
    for counts in [[20, 0, 0, 0, 0], [0, 0, 20, 0, 0]] {
        let (totals, end) = write(server.channel(), ARTIFACTS, start(WriteMode::Upsert), &rows).await;
        end.unwrap();
        assert_eq!(totals.counts(), counts);
    }
    let made = client().create_artifact(created(suggestion("mda_01"))).await.unwrap().into_inner().artifact.unwrap();
    let request = records::AcceptSuggestionRequest { uid: made.uid, ..Default::default() };
    let report = client().accept_suggestion(request).await.unwrap().into_inner();
    assert_eq!(report.identifier, "SP-IPH-1-WOMEN-001");
    let request = records::FinalizeComboReportRequest { uid: report.uid, ..Default::default() };
    client().finalize_combo_report(request).await.unwrap();
    let links: Vec<_> = (1..=20).map(|number| link(&format!("prd_{number}"), "mda_02")).collect();
    let start_links = WriteStart { reference_check: ReferenceCheck::Accept.into(), ..start(WriteMode::Upsert) };
    write(server.channel(), PRODUCT_LINKS, start_links, &links).await.1.unwrap();
    let (totals, end) = write(server.channel(), ARTIFACTS, start(WriteMode::Delete), &rows[..3]).await;
    end.unwrap();
    assert_eq!(totals.deleted, 3);
    let (statements, tables) = (database.take_statements(), spread_by());
    for statement in statements.iter().filter(|statement| !is_of_the_system(statement)) {
        let mut wrong = breaches(statement, &tables);
        // Links of an artifact stand with their products.
        if statement.contains("t.artifact_uid = ") {
            wrong.retain(|breach| !breach.starts_with("nothing says which product_uid"));
        }
        assert!(wrong.is_empty(), "{wrong:?}: {statement}");
    }
    assert!(statements.iter().any(|statement| statement.contains("identifier_series")));
}
