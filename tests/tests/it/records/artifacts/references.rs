//! What artifacts name: catalogs, templates, products.

use orrery_proto::records::v1::artifact::Payload;
use orrery_proto::records::v1::{Artifact, ComboReport, ComboSuggestion, CreateArtifactRequest, UpdateArtifactRequest};
use orrery_proto::r#type::v1::{ReferenceCheck, WriteMode, WriteStart};
use tonic::{Code, Status};

use super::{asset, document, named, report, report_of, suggestion, suggestion_of, template, told, with};
use crate::harness::{assert_invalid, product, refusal};
use crate::records::Records;
use crate::resources::skipping;
use crate::writes::stream::{PRODUCTS, mask, write};

#[track_caller]
fn assert_missing(answer: Result<impl std::fmt::Debug, Status>, field: &str) {
    let told = refusal(&answer.unwrap_err());
    assert_eq!((told.code, told.reason.as_str()), (Code::FailedPrecondition, "REFERENCE_MISSING"));
    assert_eq!(told.fields, [field]);
}

fn proposing(template_uid: &str, products: &[&str]) -> Artifact {
    let product_uids = products.iter().map(|&uid| uid.to_owned()).collect();
    with(Payload::ComboSuggestion(ComboSuggestion { product_uids, ..suggestion_of(&suggestion(template_uid)).clone() }))
}

async fn accept(records: &Records, artifact: Artifact) -> Artifact {
    let request = CreateArtifactRequest {
        artifact: Some(artifact),
        reference_check: ReferenceCheck::Accept.into(),
        ..CreateArtifactRequest::default()
    };
    records.artifacts().create_artifact(request).await.unwrap().into_inner().artifact.unwrap()
}

#[tokio::test]
async fn what_an_artifact_names_must_exist_unless_that_is_accepted() {
    let records = Records::new().await;
    write(records.catalog.channel(), PRODUCTS, WriteStart::default(), &[product("prd_a"), product("prd_b")])
        .await
        .1
        .unwrap();
    let of = records.created(template(&["IPH"])).await;
    let none = Artifact { catalog_uid: "mdc_none".to_owned(), ..asset(1) };
    let reporting = ComboReport { product_uids: vec!["prd_none".to_owned()], ..report_of(&report()).clone() };
    let of_none = ComboReport { template_uid: "mda_none".to_owned(), ..report_of(&report()).clone() };
    let cases = [
        (none, "catalog_uid"),
        (proposing("mda_none", &[]), "combo_suggestion.template_uid"),
        (proposing(&of.uid, &["prd_a", "prd_none", "prd_other"]), "combo_suggestion.product_uids[1]"),
        (with(Payload::ComboReport(reporting)), "combo_report.product_uids[0]"),
        (with(Payload::ComboReport(of_none)), "combo_report.template_uid"),
    ];
    for (nth, (artifact, field)) in cases.into_iter().enumerate() {
        assert_missing(records.create(artifact.clone()).await, &format!("artifact.{field}"));
        let start = WriteStart { reference_check: ReferenceCheck::Reject.into(), ..skipping(WriteMode::Upsert) };
        let row = named(&format!("mda_{nth}"), artifact.clone());
        let (totals, _) = records.write_artifacts(start, std::slice::from_ref(&row)).await;
        assert_eq!(told(&totals.errors), [(0, "REFERENCE_MISSING", field)]);
        accept(&records, artifact).await;
        // A chunked write accepts by default.
        let (totals, end) = records.write_artifacts(WriteStart::default(), &[row]).await;
        end.unwrap();
        assert_eq!(totals.rejected, 0, "{field}");
    }
    let made = records.created(proposing(&of.uid, &["prd_a", "prd_b"])).await;
    let change = |products: &[&str]| named(&made.uid, proposing(&of.uid, products));
    assert_missing(records.update(change(&["prd_none"]), &[]).await, "artifact.combo_suggestion.product_uids[0]");
    // What the mask leaves out is not looked at.
    records.update(change(&["prd_none"]), &["combo_suggestion.rationale"]).await.unwrap();
    let request = UpdateArtifactRequest {
        artifact: Some(change(&["prd_none"])),
        update_mask: Some(mask(&["combo_suggestion.product_uids"])),
        reference_check: ReferenceCheck::Accept.into(),
        ..UpdateArtifactRequest::default()
    };
    records.artifacts().update_artifact(request).await.unwrap();
}

#[tokio::test]
async fn a_template_is_a_template() {
    let records = Records::new().await;
    let other = records.created(document("a")).await;
    let field = "artifact.combo_suggestion.template_uid";
    assert_invalid(records.create(suggestion(&other.uid)).await, "FIELD_INVALID", field);
    let reporting = ComboReport { template_uid: other.uid.clone(), ..report_of(&report()).clone() };
    let reporting = with(Payload::ComboReport(reporting));
    assert_invalid(records.create(reporting.clone()).await, "FIELD_INVALID", "artifact.combo_report.template_uid");
    // Even where it may be missing.
    let (totals, _) = records
        .write_artifacts(
            skipping(WriteMode::Upsert),
            &[named("mda_a", suggestion(&other.uid)), named("mda_b", reporting)],
        )
        .await;
    let told: Vec<_> =
        told(&totals.errors).into_iter().map(|(offset, reason, field)| (offset, reason, field.to_owned())).collect();
    let expected = [(0, "combo_suggestion.template_uid"), (1, "combo_report.template_uid")];
    assert_eq!(told, expected.map(|(offset, field)| (offset, "FIELD_INVALID", field.to_owned())));
    let of = records.created(template(&["IPH"])).await;
    let made = records.created(suggestion(&of.uid)).await;
    let changed = named(&made.uid, suggestion(&other.uid));
    assert_invalid(records.update(changed, &["combo_suggestion.template_uid"]).await, "FIELD_INVALID", field);
}

#[tokio::test]
async fn a_retry_is_recognised_before_what_it_names_is_checked() {
    let records = Records::new().await;
    write(records.catalog.channel(), PRODUCTS, WriteStart::default(), &[product("prd_a")]).await.1.unwrap();
    let request = CreateArtifactRequest {
        artifact: Some(proposing("", &["prd_a"])),
        request_id: "once".to_owned(),
        ..CreateArtifactRequest::default()
    };
    let made = records.artifacts().create_artifact(request.clone()).await.unwrap().into_inner();
    records.execute("delete from catalog.product").await;
    assert_eq!(records.artifacts().create_artifact(request).await.unwrap().into_inner(), made);
}
