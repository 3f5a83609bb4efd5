//! Suggestions: accepted once, rejected, archived.

use std::collections::HashSet;

use futures::future::join_all;
use orrery_proto::records::v1::artifact::Payload;
use orrery_proto::records::v1::{
    AcceptSuggestionRequest, Artifact, ArtifactKind, ComboSuggestion, DeleteArtifactRequest, RejectSuggestionRequest,
};
use orrery_proto::r#type::v1::WriteMode;
use tonic::{Code, Status};

use super::{document, named, phase, report_of, suggestion, suggestion_of, template, told, with};
use crate::harness::{Role, assert_invalid, refusal, status, until_waiting};
use crate::records::Records;
use crate::resources::skipping;
use crate::writes::stream::{assert_status, mask};

async fn accept(records: &Records, uid: &str, request_id: &str) -> Result<Artifact, Status> {
    let request = AcceptSuggestionRequest {
        uid: uid.to_owned(),
        request_id: request_id.to_owned(),
        ..AcceptSuggestionRequest::default()
    };
    Ok(records.artifacts().accept_suggestion(request).await?.into_inner())
}

async fn reject(records: &Records, uid: &str, reason: &str) -> Result<Artifact, Status> {
    let request = RejectSuggestionRequest {
        uid: uid.to_owned(),
        reason: reason.to_owned(),
        ..RejectSuggestionRequest::default()
    };
    Ok(records.artifacts().reject_suggestion(request).await?.into_inner())
}

async fn to_phase(records: &Records, uid: &str, to: &str) -> Result<Artifact, Status> {
    let artifact = Artifact { uid: uid.to_owned(), status: Some(status(to)), ..Artifact::default() };
    records.update(artifact, &["status.phase"]).await
}

async fn reports(records: &Records) -> Vec<String> {
    records.identifiers("combo_report").await
}

#[tokio::test]
async fn an_accepted_suggestion_becomes_a_report() {
    let records = Records::new().await;
    records
        .catalog
        .client()
        .create_product(orrery_proto::catalog::v1::CreateProductRequest {
            product: Some(crate::harness::product("prd_a")),
            ..Default::default()
        })
        .await
        .unwrap();
    let of = records.created(template(&["IPH", "AIR"])).await;
    let proposed =
        ComboSuggestion { product_uids: vec!["prd_a".to_owned()], ..suggestion_of(&suggestion(&of.uid)).clone() };
    let made = records.created(with(Payload::ComboSuggestion(proposed.clone()))).await;
    assert_eq!(phase(&made), "proposed");
    let report = accept(&records, &made.uid, "").await.unwrap();
    assert_eq!((report.kind(), phase(&report), report.revision), (ArtifactKind::ComboReport, "active", 1));
    assert_eq!(report.identifier, "SP-AIR+IPH-2-WOMEN-001");
    let of_report = report_of(&report);
    assert_eq!((&of_report.template_uid, &of_report.suggestion_uid), (&of.uid, &made.uid));
    assert_eq!((of_report.product_count, &of_report.product_uids), (2, &proposed.product_uids));
    assert_eq!(records.artifact(&report.uid).await, report);
    let accepted = records.artifact(&made.uid).await;
    assert_eq!((phase(&accepted), accepted.revision), ("accepted", 2));
    assert_eq!(*suggestion_of(&accepted), ComboSuggestion { report_uid: report.uid.clone(), ..proposed });
    // Once more changes nothing.
    assert_eq!(accept(&records, &made.uid, "").await.unwrap(), report);
    assert_eq!(accept(&records, &made.uid, "late").await.unwrap(), report);
    assert_eq!((reports(&records).await.len(), records.artifact(&made.uid).await), (1, accepted));
    let refused = reject(&records, &made.uid, "").await.unwrap_err();
    assert_status(&refused, Code::FailedPrecondition, "PHASE_FORBIDS");
}

#[tokio::test]
async fn of_32_that_accept_one_suggestion_one_makes_the_report() {
    let records = Records::new().await;
    let of = records.created(template(&["IPH"])).await;
    let made = records.created(suggestion(&of.uid)).await;
    let accepted = join_all((0..32).map(|nth| {
        let (records, uid) = (&records, &made.uid);
        let request_id = if nth % 4 == 0 { String::new() } else { format!("request {}", nth % 4).replace(' ', "-") };
        async move { accept(records, uid, &request_id).await.unwrap().uid }
    }));
    let uids: HashSet<String> = accepted.await.into_iter().collect();
    assert_eq!((uids.len(), reports(&records).await), (1, vec!["SP-IPH-1-WOMEN-001".to_owned()]));
    // Many suggestions of one template get reports without a gap.
    let many = join_all((0..32).map(|_| records.created(suggestion(&of.uid)))).await;
    join_all(many.iter().map(|made| async { accept(&records, &made.uid, "").await.unwrap() })).await;
    let expected: Vec<String> = (1..=33).map(|number| format!("SP-IPH-1-WOMEN-{number:03}")).collect();
    assert_eq!(reports(&records).await, expected);
}

/// The numbers of the reports are locked until all of them have begun.
#[tokio::test]
async fn of_4_that_accept_one_suggestion_at_the_same_moment_one_makes_the_report() {
    let records = Records::bypassing_pooler("more calls have to wait at once than it has sessions").await;
    let of = records.created(template(&["IPH"])).await;
    let made = records.created(suggestion(&of.uid)).await;
    let mut watcher = records.database.connect(Role::Operator).await;
    let mut holding = records.pool.begin().await.unwrap();
    let number = "insert into records.identifier_series values ('/combo_report/SP-IPH-1-WOMEN', 0)";
    sqlx::raw_sql(number).execute(&mut *holding).await.unwrap();
    let accepts = join_all((0..4).map(|_| accept(&records, &made.uid, "")));
    let begun = async {
        until_waiting(&mut watcher, Role::Records, 4).await;
        holding.rollback().await.unwrap();
    };
    let (accepted, ()) = tokio::join!(accepts, begun);
    let uids: HashSet<String> = accepted.into_iter().map(|accepted| accepted.unwrap().uid).collect();
    assert_eq!((uids.len(), reports(&records).await), (1, vec!["SP-IPH-1-WOMEN-001".to_owned()]));
}

#[tokio::test]
async fn a_retry_of_an_acceptance_returns_its_report() {
    let records = Records::new().await;
    let of = records.created(template(&["IPH"])).await;
    let made = records.created(suggestion(&of.uid)).await;
    let report = accept(&records, &made.uid, "once").await.unwrap();
    assert_eq!(accept(&records, &made.uid, "once").await.unwrap(), report);
    let other = records.created(suggestion(&of.uid)).await;
    let mismatch = accept(&records, &other.uid, "once").await.unwrap_err();
    assert_status(&mismatch, Code::InvalidArgument, "WRITE_SESSION_MISMATCH");
    let request = AcceptSuggestionRequest {
        uid: made.uid.clone(),
        request_id: "once".to_owned(),
        read_mask: Some(mask(&["uid"])),
        ..AcceptSuggestionRequest::default()
    };
    let again = records.artifacts().accept_suggestion(request).await.unwrap().into_inner();
    assert_eq!(again, Artifact { uid: report.uid.clone(), ..Artifact::default() });
    // A report that was deleted is not made again.
    let delete = DeleteArtifactRequest { uid: report.uid, force: true, ..DeleteArtifactRequest::default() };
    records.artifacts().delete_artifact(delete).await.unwrap();
    for request_id in ["once", ""] {
        assert_eq!(accept(&records, &made.uid, request_id).await.unwrap_err().code(), Code::NotFound);
    }
}

#[tokio::test]
async fn what_cannot_be_accepted_is_refused_and_changes_nothing() {
    let records = Records::new().await;
    let of = records.created(template(&["IPH"])).await;
    let without = records.created(suggestion("")).await;
    let refused = refusal(&accept(&records, &without.uid, "").await.unwrap_err());
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "REFERENCE_MISSING"));
    assert_eq!(refused.fields, ["combo_suggestion.template_uid"]);
    let made = records.created(suggestion(&of.uid)).await;
    let stale = AcceptSuggestionRequest { uid: made.uid.clone(), revision: 7, ..AcceptSuggestionRequest::default() };
    let stale = records.artifacts().accept_suggestion(stale).await.unwrap_err();
    assert_status(&stale, Code::Aborted, "REVISION_MISMATCH");
    let stale = AcceptSuggestionRequest {
        uid: made.uid.clone(),
        etag: "none".to_owned(),
        ..AcceptSuggestionRequest::default()
    };
    let stale = records.artifacts().accept_suggestion(stale).await.unwrap_err();
    assert_status(&stale, Code::Aborted, "ETAG_MISMATCH");
    assert_invalid(accept(&records, &of.uid, "").await, "FIELD_INVALID", "uid");
    assert_invalid(reject(&records, &of.uid, "").await, "FIELD_INVALID", "uid");
    assert_invalid(accept(&records, "", "").await, "FIELD_INVALID", "uid");
    assert_eq!(accept(&records, "mda_none", "").await.unwrap_err().code(), Code::NotFound);
    let request = AcceptSuggestionRequest { uid: made.uid.clone(), revision: -1, ..AcceptSuggestionRequest::default() };
    assert_invalid(records.artifacts().accept_suggestion(request).await, "FIELD_INVALID", "revision");
    // The template was deleted meanwhile.
    let delete = DeleteArtifactRequest { uid: of.uid, force: true, ..DeleteArtifactRequest::default() };
    records.artifacts().delete_artifact(delete).await.unwrap();
    let refused = accept(&records, &made.uid, "request").await.unwrap_err();
    assert_status(&refused, Code::FailedPrecondition, "REFERENCE_MISSING");
    assert_eq!((reports(&records).await.len(), records.artifact(&made.uid).await), (0, made));
}

#[tokio::test]
async fn a_rejected_suggestion_stays_rejected() {
    let records = Records::new().await;
    let of = records.created(template(&["IPH"])).await;
    let made = records.created(suggestion(&of.uid)).await;
    let rejected = reject(&records, &made.uid, "Too \"dear\".").await.unwrap();
    assert_eq!((phase(&rejected), rejected.revision), ("rejected", 2));
    let details = rejected.status.as_ref().and_then(|status| status.details.as_ref()).unwrap();
    assert_eq!(details.fields["reason"], "Too \"dear\".".to_owned().into());
    assert_eq!(reject(&records, &made.uid, "other").await.unwrap(), rejected);
    let refused = accept(&records, &made.uid, "").await.unwrap_err();
    assert_status(&refused, Code::FailedPrecondition, "PHASE_FORBIDS");
    let long = reject(&records, &made.uid, &"x".repeat(1_025)).await;
    assert_invalid(long, "FIELD_INVALID", "reason");
}

#[tokio::test]
async fn single_writes_decide_nothing() {
    let records = Records::new().await;
    let of = records.created(template(&["IPH"])).await;
    for phase in ["accepted", "rejected", "archived"] {
        let sent = Artifact { status: Some(status(phase)), ..suggestion(&of.uid) };
        let refused = records.create(sent).await.unwrap_err();
        assert_status(&refused, Code::FailedPrecondition, "PHASE_FORBIDS");
    }
    let unknown = Artifact { status: Some(status("active")), ..suggestion(&of.uid) };
    assert_invalid(records.create(unknown).await, "FIELD_INVALID", "artifact.status.phase");
    let made = records.created(Artifact { status: Some(status("proposed")), ..suggestion(&of.uid) }).await;
    for to in ["accepted", "rejected"] {
        let refused = to_phase(&records, &made.uid, to).await.unwrap_err();
        assert_status(&refused, Code::FailedPrecondition, "PHASE_FORBIDS");
    }
    assert_invalid(to_phase(&records, &made.uid, "active").await, "FIELD_INVALID", "artifact.status.phase");
    // The default of the kind, not that of the column.
    let unset = named(&made.uid, Artifact::default());
    assert_eq!(phase(&records.update(unset, &["status.phase"]).await.unwrap()), "proposed");
    assert_eq!(phase(&to_phase(&records, &made.uid, "archived").await.unwrap()), "archived");
    let refused = accept(&records, &made.uid, "").await.unwrap_err();
    assert_status(&refused, Code::FailedPrecondition, "PHASE_FORBIDS");
    let refused = to_phase(&records, &made.uid, "accepted").await.unwrap_err();
    assert_status(&refused, Code::FailedPrecondition, "PHASE_FORBIDS");
    to_phase(&records, &made.uid, "proposed").await.unwrap();
    accept(&records, &made.uid, "").await.unwrap();
    to_phase(&records, &made.uid, "archived").await.unwrap();
    let refused = to_phase(&records, &made.uid, "proposed").await.unwrap_err();
    assert_status(&refused, Code::FailedPrecondition, "PHASE_FORBIDS");
    assert_eq!(phase(&to_phase(&records, &made.uid, "accepted").await.unwrap()), "accepted");
}

#[tokio::test]
async fn chunked_writes_import_every_phase() {
    let records = Records::new().await;
    let of = records.created(template(&["IPH"])).await;
    let row = |uid: &str, phase: &str| Artifact {
        status: (!phase.is_empty()).then(|| status(phase)),
        ..named(uid, suggestion(&of.uid))
    };
    let rows = [row("mda_a", "accepted"), row("mda_b", "rejected"), row("mda_c", ""), row("mda_d", "active")];
    let (totals, end) = records.write_artifacts(skipping(WriteMode::Upsert), &rows).await;
    end.unwrap();
    assert_eq!(told(&totals.errors), [(3, "FIELD_INVALID", "status.phase")]);
    let (totals, _) = records.write_artifacts(skipping(WriteMode::Upsert), &[row("mda_c", "rejected")]).await;
    assert_eq!(totals.counts(), [0, 1, 0, 0, 0]);
    let select =
        "select status ->> 'phase' from records.macrodata_artifact where kind = 'combo_suggestion' order by uid";
    assert_eq!(records.texts(select).await, ["accepted", "rejected", "rejected"]);
    // The phase stays if a row does not send one.
    let (totals, _) = records.write_artifacts(skipping(WriteMode::Upsert), &[row("mda_b", "")]).await;
    assert_eq!(totals.counts(), [0, 0, 1, 0, 0]);
    let made = records.created(document("a")).await;
    assert_eq!(phase(&to_phase(&records, &made.uid, "anything").await.unwrap()), "anything");
}
