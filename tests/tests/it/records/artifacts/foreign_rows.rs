//! Artifacts that other programs stored.

use orrery_proto::records::v1::artifact::Payload;
use orrery_proto::records::v1::{Artifact, ArtifactKind, Document, ListArtifactsRequest, StreamArtifactsRequest};
use serde_json::json;
use tonic::Code;

use super::{asset, document, hash, named, report_of, suggestion_of, template, template_of, with};
use crate::records::Records;

const BODIES: [&str; 8] = [
    "null",
    "[1, 2]",
    "\"text\"",
    "7",
    "{}",
    "{\"content_hash\": 7, \"size_bytes\": \"x\", \"type\": [], \"product_codes\": {}, \"product_count\": 1e99, \
      \"score\": \"NaN\", \"ran_from\": \"yesterday\", \"spend\": \"12\", \"clicks\": 1.5, \"thresholds\": [1], \
      \"title\": null, \"product_uids\": [1, null, {\"a\": 1}], \"template_uid\": {\"a\": 1}, \"final_ts\": 7}",
    "{\"document\": {\"title\": \"nested\"}, \"title\": \"a\"}",
    "{\"\\u00e9\": {\"deep\": [[[[]]]]}}",
];
const KINDS: [&str; 10] = [
    "null",
    "''",
    "'unknown'",
    "'Design_Asset'",
    "'design_asset'",
    "'combo_template'",
    "'combo_suggestion'",
    "'combo_report'",
    "'classification_spec'",
    "'document'",
];

#[tokio::test]
async fn whatever_is_stored_is_read() {
    let records = Records::new().await;
    for (nth, kind) in KINDS.iter().enumerate() {
        for (number, body) in BODIES.iter().enumerate() {
            let insert = format!(
                "insert into records.macrodata_artifact (uid, kind, identifier, body, status, labels) \
                 values ('{nth}/{number}', {kind}, 'x{nth}{number}', '{body}', '{body}', '{body}')"
            );
            records.execute(&insert).await;
        }
    }
    let all = ListArtifactsRequest { page_size: 1_000, ..ListArtifactsRequest::default() };
    let listed = records.artifacts().list_artifacts(all).await.unwrap().into_inner().artifacts;
    assert_eq!(listed.len(), KINDS.len() * BODIES.len());
    let mut stream =
        records.artifacts().stream_artifacts(StreamArtifactsRequest::default()).await.unwrap().into_inner();
    let mut streamed = Vec::new();
    while let Some(page) = stream.message().await.unwrap() {
        streamed.extend(page.artifacts);
    }
    assert_eq!(listed, streamed);
    for artifact in &listed {
        assert_eq!(records.artifact(&artifact.uid).await, *artifact);
        let is_known = artifact.kind() != ArtifactKind::Unspecified;
        assert_eq!(artifact.payload.is_some(), is_known, "{artifact:?}");
    }
    let odd = records.artifact("7/5").await;
    let read = report_of(&odd);
    assert_eq!((read.spend.as_str(), read.clicks, read.product_count, read.ran_from), ("", 0, 0, None));
    assert_eq!(report_of(&odd).product_uids, ["1", "null", "{\"a\": 1}"]);
    assert_eq!(template_of(&records.artifact("5/5").await).r#type, "");
    assert_eq!(suggestion_of(&records.artifact("6/5").await).score.to_bits(), 0);
    let Some(Payload::Document(nested)) = records.artifact("9/6").await.payload else { panic!("no document") };
    assert_eq!(nested, Document { title: "a".to_owned(), ..Document::default() });
}

#[tokio::test]
async fn what_is_stored_can_be_labelled_archived_and_deleted() {
    let records = Records::new().await;
    for (nth, kind) in KINDS.iter().enumerate() {
        let insert = format!(
            "insert into records.macrodata_artifact (uid, kind, body, status) values ('{nth}', {kind}, '[1]', '7')"
        );
        records.execute(&insert).await;
        let uid = nth.to_string();
        let mut labelled = named(&uid, Artifact::default());
        labelled.labels.insert("a".to_owned(), "b".to_owned());
        assert_eq!(records.update(labelled, &["labels"]).await.unwrap().labels["a"], "b");
        let archive = orrery_proto::records::v1::DeleteArtifactRequest { uid: uid.clone(), ..Default::default() };
        records.artifacts().delete_artifact(archive.clone()).await.unwrap();
        assert_eq!(super::phase(&records.artifact(&uid).await), "archived", "{kind}");
        assert_eq!(records.body(&uid).await, json!([1]));
        let force = orrery_proto::records::v1::DeleteArtifactRequest { force: true, ..archive };
        records.artifacts().delete_artifact(force).await.unwrap();
    }
    assert_eq!(records.texts("select uid from records.macrodata_artifact").await, [""; 0]);
}

#[tokio::test]
async fn a_row_without_a_kind_gets_one_and_an_unknown_kind_stays() {
    let records = Records::new().await;
    records
        .execute(
            "insert into records.macrodata_artifact (uid, kind, body) \
             values ('a', null, '{\"own\": 1, \"title\": \"b\"}'), ('b', 'unknown', '{\"own\": 1}')",
        )
        .await;
    let made = records.update(named("a", document("a")), &[]).await.unwrap();
    assert_eq!(made.kind(), ArtifactKind::Document);
    assert_eq!(records.body("a").await, json!({"own": 1, "title": "a"}));
    let refused = records.update(named("b", document("a")), &[]).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let accepted = orrery_proto::records::v1::AcceptSuggestionRequest { uid: "b".to_owned(), ..Default::default() };
    let refused = records.artifacts().accept_suggestion(accepted).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn assets_and_templates_of_other_programs_are_found() {
    let records = Records::new().await;
    records
        .execute(&format!(
            "insert into records.macrodata_artifact (uid, kind, content_hash, body) \
             values ('a', 'design_asset', '{}', '{{}}'), ('b', 'document', '{}', '{{}}')",
            hash(1),
            hash(2)
        ))
        .await;
    let found = records.create(asset(1)).await.unwrap();
    assert_eq!((found.artifact.unwrap().uid.as_str(), found.deduplicated), ("a", true));
    records.created(asset(2)).await;
    // A template without an identifier takes changes, and gets none.
    records
        .execute("insert into records.macrodata_artifact (uid, kind, body) values ('t', 'combo_template', '[]')")
        .await;
    let changed = records.update(named("t", template(&["IPH"])), &[]).await.unwrap();
    assert_eq!((changed.identifier.as_str(), template_of(&changed).audience.as_str()), ("", "WOMEN"));
    let titled = with(Payload::Document(Document { title: "b".to_owned(), ..Document::default() }));
    assert_eq!(records.update(named("b", titled), &[]).await.unwrap().content_hash, hash(2));
}
