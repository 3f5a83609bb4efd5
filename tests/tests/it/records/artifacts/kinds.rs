//! The kind of an artifact, and its payload.

use orrery_proto::records::v1::artifact::Payload;
use orrery_proto::records::v1::{Artifact, ArtifactKind, ComboReport, DesignAsset, Document, UpdateArtifactRequest};
use orrery_proto::r#type::v1::{WriteMode, WriteStart};
use serde_json::json;
use tonic::Code;

use super::{asset, changed_report, document, hash, named, report, report_of, spec, suggestion, template, told, with};
use crate::harness::{assert_invalid, refusal, timestamp};
use crate::records::Records;
use crate::resources::skipping;
use crate::writes::stream::mask;

fn of_kind(kind: ArtifactKind, artifact: Artifact) -> Artifact {
    Artifact { kind: kind.into(), ..artifact }
}

#[tokio::test]
async fn the_payload_says_the_kind() {
    let records = Records::new().await;
    let all = [
        (asset(1), ArtifactKind::DesignAsset, "design_asset"),
        (template(&["IPH"]), ArtifactKind::ComboTemplate, "combo_template"),
        (suggestion(""), ArtifactKind::ComboSuggestion, "combo_suggestion"),
        (report(), ArtifactKind::ComboReport, "combo_report"),
        (spec(&[("a", "1")]), ArtifactKind::ClassificationSpec, "classification_spec"),
        (document("a"), ArtifactKind::Document, "document"),
    ];
    for (nth, (artifact, kind, stored)) in all.into_iter().enumerate() {
        let made = records.created(artifact.clone()).await;
        assert_eq!(made.kind(), kind);
        let select = format!("select kind from records.macrodata_artifact where uid = '{}'", made.uid);
        assert_eq!(records.texts(&select).await, [stored]);
        assert_eq!(records.artifact(&made.uid).await, made);
        // The kind may be sent too, and must agree.
        let other = ArtifactKind::try_from(kind as i32 % 6 + 1).unwrap();
        assert_invalid(records.create(of_kind(other, artifact.clone())).await, "FIELD_INVALID", "artifact.kind");
        let row = of_kind(kind, named(&format!("mda_{nth}"), artifact));
        records.write_artifacts(WriteStart::default(), &[row]).await.1.unwrap();
    }
    let none = of_kind(ArtifactKind::Document, Artifact::default());
    assert_invalid(records.create(none.clone()).await, "FIELD_INVALID", "artifact.payload");
    let (totals, _) = records.write_artifacts(skipping(WriteMode::Upsert), &[named("mda_x", none)]).await;
    assert_eq!(told(&totals.errors), [(0, "FIELD_INVALID", "payload")]);
    assert_invalid(records.create(Artifact { kind: 7, ..document("a") }).await, "FIELD_INVALID", "artifact.kind");
}

#[tokio::test]
async fn a_kind_never_changes() {
    let records = Records::new().await;
    let made = records.created(document("a")).await;
    let other = named(&made.uid, asset(1));
    for paths in [&[][..], &["design_asset"], &["design_asset.source_url"], &["*"], &["kind"]] {
        let refused = refusal(&records.update(other.clone(), paths).await.unwrap_err());
        assert_eq!(refused.fields, ["artifact.kind"], "{paths:?}");
    }
    let bare = of_kind(ArtifactKind::DesignAsset, named(&made.uid, Artifact::default()));
    assert_invalid(records.update(bare, &[]).await, "FIELD_INVALID", "artifact.kind");
    assert_invalid(
        records.update(named(&made.uid, Artifact::default()), &["kind"]).await,
        "FIELD_INVALID",
        "artifact.kind",
    );
    let (totals, _) = records.write_artifacts(skipping(WriteMode::Upsert), &[other]).await;
    assert_eq!(told(&totals.errors), [(0, "FIELD_INVALID", "kind")]);
    assert_eq!(records.artifact(&made.uid).await, made);
    // A mask that names parts of the payload needs the payload.
    let bare = named(&made.uid, Artifact::default());
    for path in ["document", "document.media_type"] {
        assert_invalid(records.update(bare.clone(), &[path]).await, "FIELD_INVALID", "artifact.payload");
    }
}

#[tokio::test]
async fn numbers_are_stored_as_numbers_and_times_as_texts() {
    let records = Records::new().await;
    let whole = ComboReport {
        ran_from: Some(timestamp(1_000_000_000)),
        ran_to: Some(timestamp(1_000_086_400)),
        ..report_of(&report()).clone()
    };
    let made = records.created(with(Payload::ComboReport(whole))).await;
    let expected = json!({
        "type": "SP",
        "product_codes": ["IPH"],
        "product_count": 1,
        "audience": "WOMEN",
        "ran_from": "2001-09-09T01:46:40.000000Z",
        "ran_to": "2001-09-10T01:46:40.000000Z",
        "spend": serde_json::from_str::<serde_json::Value>("12.50").unwrap(),
        "impressions": 9_000_000_000_i64,
        "clicks": 70,
        "purchases": 3,
        "notes": "Fine.",
    });
    assert_eq!(records.body(&made.uid).await, expected);
    assert_eq!(report_of(&made).spend, "12.50");
    let made = records.created(asset(1)).await;
    let expected = json!({"content_hash": hash(1), "media_type": "image/png", "size_bytes": 5_000_000_000_i64});
    assert_eq!(records.body(&made.uid).await, expected);
    let made = records.created(suggestion("")).await;
    assert_eq!(records.body(&made.uid).await, json!({"rationale": "Sells well.", "score": 0.75}));
}

#[tokio::test]
async fn keys_that_are_not_known_stay() {
    let records = Records::new().await;
    let made = records.created(report()).await;
    let select = format!(
        "update records.macrodata_artifact \
            set body = body || '{{\"own\": [1, {{\"a\": null}}], \"sender\": \"x\"}}' where uid = '{}'",
        made.uid
    );
    records.execute(&select).await;
    let kept = |body: &serde_json::Value| (body["own"].clone(), body["sender"].clone());
    let own = (json!([1, {"a": null}]), json!("x"));
    let changed = changed_report(&made, |report| report.notes = "Better.".to_owned());
    for paths in [&["combo_report.notes"][..], &[], &["combo_report"], &["*"], &["labels"]] {
        records.update(changed.clone(), paths).await.unwrap();
        let body = records.body(&made.uid).await;
        assert_eq!((kept(&body), &body["notes"]), (own.clone(), &json!("Better.")), "{paths:?}");
    }
    let cleared = changed_report(&made, |report| report.notes.clear());
    records.update(cleared, &["combo_report.notes"]).await.unwrap();
    let body = records.body(&made.uid).await;
    assert_eq!((kept(&body), body.get("notes")), (own.clone(), None));
    let row = changed_report(&made, |report| report.clicks = 71);
    let (totals, end) = records.write_artifacts(WriteStart::default(), &[row.clone(), row]).await;
    end.unwrap();
    assert_eq!(totals.counts(), [0, 1, 0, 0, 1]);
    assert_eq!(kept(&records.body(&made.uid).await), own);
}

#[tokio::test]
async fn what_is_output_only_is_ignored_and_kept() {
    let records = Records::new().await;
    let forged = Document {
        title: "a".to_owned(),
        media_type: "text/plain".to_owned(),
        size_bytes: -7,
        content_hash: "x".to_owned(),
        bearer_key: "others/key".to_owned(),
    };
    let made = records.created(with(Payload::Document(forged.clone()))).await;
    assert_eq!(records.body(&made.uid).await, json!({"title": "a", "media_type": "text/plain"}));
    let stored = format!(
        "update records.macrodata_artifact set body = body || '{{\"size_bytes\": 5, \"bearer_key\": \"k\"}}' where uid = '{}'",
        made.uid
    );
    records.execute(&stored).await;
    for paths in [&[][..], &["document"], &["*"]] {
        let sent = Document { title: format!("{paths:?}"), ..forged.clone() };
        let updated = records.update(named(&made.uid, with(Payload::Document(sent))), paths).await.unwrap();
        let Some(Payload::Document(stored)) = updated.payload else { panic!("{updated:?}") };
        assert_eq!((stored.title, stored.size_bytes, stored.bearer_key.as_str()), (format!("{paths:?}"), 5, "k"));
    }
    for path in ["document.bearer_key", "document.size_bytes", "combo_suggestion.report_uid", "combo_report.final_ts"] {
        assert_invalid(records.update(made.clone(), &[path]).await, "FIELD_INVALID", "update_mask");
    }
    let request = orrery_proto::records::v1::GetArtifactRequest {
        uid: made.uid,
        read_mask: Some(mask(&["document.bearer_key"])),
    };
    let read = records.artifacts().get_artifact(request).await.unwrap().into_inner();
    assert_eq!(read, with(Payload::Document(Document { bearer_key: "k".to_owned(), ..Document::default() })));
}

#[tokio::test]
async fn fields_of_payloads_have_limits() {
    let records = Records::new().await;
    let with_asset = |change: fn(&mut DesignAsset)| {
        let mut asset = DesignAsset { content_hash: hash(1), ..DesignAsset::default() };
        change(&mut asset);
        with(Payload::DesignAsset(asset))
    };
    let with_report = |change: fn(&mut ComboReport)| changed_report(&report(), change);
    let cases = [
        (with_asset(|asset| asset.size_bytes = -1), "design_asset.size_bytes"),
        (with_asset(|asset| asset.bearer_url = "x".repeat(4_097)), "design_asset.bearer_url"),
        (with_asset(|asset| asset.bearer_key = "a\0".to_owned()), "design_asset.bearer_key"),
        (with_report(|report| report.spend = "-1".to_owned()), "combo_report.spend"),
        (with_report(|report| report.spend = "1e3".to_owned()), "combo_report.spend"),
        (with_report(|report| report.clicks = -1), "combo_report.clicks"),
        (with_report(|report| report.product_uids = vec!["x".to_owned()]), "combo_report.product_uids[0]"),
        (with_report(|report| report.template_uid = "prd_a".to_owned()), "combo_report.template_uid"),
        (
            with_report(|report| {
                report.ran_from = Some(timestamp(7));
                report.ran_to = Some(timestamp(6));
            }),
            "combo_report.ran_to",
        ),
        (document(""), "document.title"),
        (document(&"x".repeat(2_049)), "document.title"),
        (spec(&[]), "classification_spec.thresholds"),
        (spec(&[("a b", "1")]), "classification_spec.thresholds"),
        (spec(&[("a", "x")]), "classification_spec.thresholds.a"),
        (spec(&[("a", "1"), ("b", "1.0")]), "classification_spec.thresholds.b"),
    ];
    for (artifact, field) in cases {
        let refused = refusal(&records.create(artifact).await.unwrap_err());
        assert_eq!((refused.code, refused.fields), (Code::InvalidArgument, vec![format!("artifact.{field}")]));
    }
    assert_eq!(records.texts("select uid from records.macrodata_artifact").await, [""; 0]);
}

#[tokio::test]
async fn an_upsert_of_a_part_creates_nothing_without_the_rest() {
    let records = Records::new().await;
    let part = with(Payload::DesignAsset(DesignAsset { source_url: "https://a".to_owned(), ..DesignAsset::default() }));
    let request = UpdateArtifactRequest {
        artifact: Some(named("mda_new", part)),
        update_mask: Some(mask(&["design_asset.source_url"])),
        allow_missing: true,
        ..UpdateArtifactRequest::default()
    };
    let refused = records.artifacts().update_artifact(request).await;
    assert_invalid(refused, "FIELD_INVALID", "artifact.design_asset.content_hash");
}
