//! Which artifacts are listed and streamed.

use orrery_proto::records::v1::{
    Artifact, ArtifactFilter, ArtifactKind, DeleteArtifactRequest, ListArtifactsRequest, ProductLink,
    StreamArtifactsRequest,
};
use orrery_proto::r#type::v1::{TimeRange, WriteStart};
use tonic::Status;

use super::{PRODUCT_LINKS, asset, changed_report, document, hash, named, report, suggestion, template};
use crate::harness::{assert_invalid, timestamp};
use crate::records::Records;
use crate::writes::stream::write;

async fn listed(records: &Records, filter: ArtifactFilter) -> Result<Vec<String>, Status> {
    let request = ListArtifactsRequest { filter: Some(filter.clone()), ..ListArtifactsRequest::default() };
    let page = records.artifacts().list_artifacts(request).await?.into_inner();
    let listed: Vec<String> = page.artifacts.into_iter().map(|artifact| artifact.uid).collect();
    let request = StreamArtifactsRequest { filter: Some(filter), ..StreamArtifactsRequest::default() };
    let mut stream = records.artifacts().stream_artifacts(request).await?.into_inner();
    let mut streamed = Vec::new();
    while let Some(page) = stream.message().await? {
        streamed.extend(page.artifacts.into_iter().map(|artifact| artifact.uid));
    }
    assert_eq!(listed, streamed);
    Ok(listed)
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[tokio::test]
async fn every_condition_holds() {
    let records = Records::new().await;
    records.execute("insert into records.macrodata_catalog (uid, name) values ('mdc_a', 'A')").await;
    let mut labelled = named("mda_2", asset(2));
    labelled.labels.insert("season".to_owned(), "spring".to_owned());
    let rows = [
        Artifact { create_ts: Some(timestamp(1_000)), ..named("mda_1", asset(1)) },
        labelled,
        Artifact { catalog_uid: "mdc_a".to_owned(), ..named("mda_3", document("a")) },
        named("mda_4", template(&["IPH"])),
        named("mda_5", suggestion("mda_4")),
        changed_report(&named("mda_6", report()), |report| report.template_uid = "mda_4".to_owned()),
        named("mda_7", suggestion("mda_other")),
    ];
    records.write_artifacts(WriteStart::default(), &rows).await.1.unwrap();
    records
        .execute("update records.macrodata_artifact set content_hash = repeat('0', 63) || '1' where uid = 'mda_3'")
        .await;
    let links = [("prd_a", "mda_1"), ("prd_a", "mda_4"), ("prd_b", "mda_2")].map(|(product_uid, artifact_uid)| {
        ProductLink { product_uid: product_uid.to_owned(), artifact_uid: artifact_uid.to_owned(), create_ts: None }
    });
    write(records.server.channel(), PRODUCT_LINKS, WriteStart::default(), &links).await.1.unwrap();
    let archive = DeleteArtifactRequest { uid: "mda_2".to_owned(), ..DeleteArtifactRequest::default() };
    records.artifacts().delete_artifact(archive).await.unwrap();
    let (asset, suggestion) = (ArtifactKind::DesignAsset as i32, ArtifactKind::ComboSuggestion as i32);
    let all = ArtifactFilter::default;
    let cases = [
        (ArtifactFilter { kinds: vec![asset], ..all() }, vec!["mda_1", "mda_2"]),
        (ArtifactFilter { kinds: vec![asset, suggestion], ..all() }, vec!["mda_1", "mda_2", "mda_5", "mda_7"]),
        (ArtifactFilter { phases: texts(&["archived", "proposed"]), ..all() }, vec!["mda_2", "mda_5", "mda_7"]),
        (ArtifactFilter { uids: texts(&["mda_7", "mda_1", "mda_none"]), ..all() }, vec!["mda_1", "mda_7"]),
        (ArtifactFilter { identifiers: texts(&["SP-IPH-1-WOMEN-001", "x"]), ..all() }, vec!["mda_4", "mda_6"]),
        (ArtifactFilter { catalog_uids: texts(&["mdc_a"]), ..all() }, vec!["mda_3"]),
        (ArtifactFilter { content_hashes: vec![hash(1)], ..all() }, vec!["mda_1", "mda_3"]),
        (ArtifactFilter { label_selector: "season=spring".to_owned(), ..all() }, vec!["mda_2"]),
        (ArtifactFilter { product_uid: "prd_a".to_owned(), ..all() }, vec!["mda_1", "mda_4"]),
        (ArtifactFilter { template_uid: "mda_4".to_owned(), ..all() }, vec!["mda_5", "mda_6"]),
        (ArtifactFilter { template_uid: "mda_4".to_owned(), kinds: vec![suggestion], ..all() }, vec!["mda_5"]),
        (
            ArtifactFilter { created: Some(TimeRange { start: None, end: Some(timestamp(2_000)) }), ..all() },
            vec!["mda_1"],
        ),
        (ArtifactFilter { updated: Some(TimeRange { start: None, end: Some(timestamp(2_000)) }), ..all() }, vec![]),
    ];
    for (filter, expected) in cases {
        assert_eq!(listed(&records, filter.clone()).await.unwrap(), expected, "{filter:?}");
    }
    let invalid = [
        (ArtifactFilter { kinds: vec![asset, 0], ..all() }, "kinds[1]"),
        (ArtifactFilter { kinds: vec![99], ..all() }, "kinds[0]"),
        (ArtifactFilter { identifiers: texts(&["a", ""]), ..all() }, "identifiers[1]"),
        (ArtifactFilter { content_hashes: vec!["a".to_owned(); 1_001], ..all() }, "content_hashes"),
        (ArtifactFilter { product_uid: "a\0".to_owned(), ..all() }, "product_uid"),
        (ArtifactFilter { template_uid: "a\0".to_owned(), ..all() }, "template_uid"),
        (ArtifactFilter { label_selector: "=".to_owned(), ..all() }, "label_selector"),
    ];
    for (filter, field) in invalid {
        assert_invalid(listed(&records, filter).await, "FIELD_INVALID", &format!("filter.{field}"));
    }
    let request = ListArtifactsRequest { order_by: "update_ts desc".to_owned(), ..ListArtifactsRequest::default() };
    let page = records.artifacts().list_artifacts(request).await.unwrap().into_inner();
    assert_eq!(page.artifacts[0].uid, "mda_2");
}

#[tokio::test]
async fn conditions_use_indexes() {
    let records = Records::new().await;
    let mut operator = records.database.connect(crate::harness::Role::Operator).await;
    sqlx::raw_sql("set enable_seqscan = off").execute(&mut operator).await.unwrap();
    let uses = [
        ("t.kind = 'document'", "macrodata_artifact_kind_idx"),
        ("t.identifier = any(array['a', 'b'])", "macrodata_artifact_identifier_idx"),
        ("t.catalog_uid = any(array['a'])", "macrodata_artifact_catalog_uid_idx"),
        ("t.content_hash = any(array['a'])", "macrodata_artifact_content_hash_idx"),
        ("t.body ->> 'template_uid' = 'a'", "macrodata_artifact_template_uid_idx"),
        ("(t.status ->> 'phase') = 'archived'", "macrodata_artifact_phase_idx"),
        (
            "case when t.kind = 'design_asset' then t.content_hash end = any (array['a'])",
            "macrodata_artifact_design_asset_idx",
        ),
        (
            "t.uid in (select p.artifact_uid from records.link_product_macrodata_artifact as p where p.product_uid = 'a')",
            "link_product_macrodata_artifact_pkey",
        ),
    ];
    for (condition, index) in uses {
        let explain = format!("explain select t.uid from records.macrodata_artifact as t where {condition}");
        let plan: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(explain)).fetch_all(&mut operator).await.unwrap();
        assert!(plan.join("\n").contains(index), "{condition}: {plan:#?}");
    }
}
