//! Combo reports: their times, and how they are frozen.

use futures::future::join_all;
use orrery_proto::records::v1::artifact::Payload;
use orrery_proto::records::v1::{Artifact, ComboReport, DeleteArtifactRequest, FinalizeComboReportRequest};
use orrery_proto::r#type::v1::WriteMode;
use tonic::{Code, Status};

use super::{ARTIFACTS, changed_report, named, phase, report, report_of, suggestion, told, with};
use crate::harness::{Role, assert_invalid, refusal, status, timestamp, until_waiting};
use crate::records::Records;
use crate::resources::{in_mode, skipping};
use crate::writes::stream::{WriteStream, assert_status};

async fn finalize(records: &Records, uid: &str, request_id: &str) -> Result<Artifact, Status> {
    let request = FinalizeComboReportRequest {
        uid: uid.to_owned(),
        request_id: request_id.to_owned(),
        ..FinalizeComboReportRequest::default()
    };
    Ok(records.artifacts().finalize_combo_report(request).await?.into_inner())
}

#[tokio::test]
async fn a_final_report_is_frozen() {
    let records = Records::new().await;
    let made = records.created(report()).await;
    let frozen = finalize(&records, &made.uid, "").await.unwrap();
    assert_eq!((phase(&frozen), frozen.revision), ("final", 2));
    assert!(report_of(&frozen).final_ts.is_some());
    assert_eq!(finalize(&records, &made.uid, "").await.unwrap(), frozen);
    let rewritten = changed_report(&made, |report| report.notes = "Other.".to_owned());
    let cleared = changed_report(&made, |report| report.notes.clear());
    let active = Artifact { uid: made.uid.clone(), status: Some(status("active")), ..Artifact::default() };
    let elsewhere = Artifact { uid: made.uid.clone(), catalog_uid: "mdc_a".to_owned(), ..Artifact::default() };
    let cases: [(&Artifact, &[&str]); 6] = [
        (&rewritten, &[]),
        (&rewritten, &["combo_report.notes"]),
        (&rewritten, &["*"]),
        (&cleared, &["combo_report.notes"]),
        (&active, &["status.phase"]),
        (&elsewhere, &["catalog_uid"]),
    ];
    for (changed, paths) in cases {
        let request = orrery_proto::records::v1::UpdateArtifactRequest {
            artifact: Some(changed.clone()),
            update_mask: (!paths.is_empty()).then(|| crate::writes::stream::mask(paths)),
            reference_check: orrery_proto::r#type::v1::ReferenceCheck::Accept.into(),
            ..Default::default()
        };
        let refused = records.artifacts().update_artifact(request).await.unwrap_err();
        assert_status(&refused, Code::FailedPrecondition, "PHASE_FORBIDS");
        let start = orrery_proto::r#type::v1::WriteStart {
            update_mask: (!paths.is_empty()).then(|| crate::writes::stream::mask(paths)),
            ..skipping(WriteMode::Update)
        };
        let (totals, end) = records.write_artifacts(start, std::slice::from_ref(changed)).await;
        end.unwrap();
        assert_eq!(totals.errors[0].reason().as_str_name(), "ERROR_REASON_PHASE_FORBIDS", "{paths:?}");
    }
    assert_eq!(records.artifact(&made.uid).await, frozen);
    // What equals the report is no change of it.
    let (totals, end) = records.write_artifacts(in_mode(WriteMode::Upsert), &[changed_report(&frozen, |_| ())]).await;
    end.unwrap();
    assert_eq!(totals.counts(), [0, 0, 1, 0, 0]);
    let mut labelled = Artifact { uid: made.uid.clone(), ..Artifact::default() };
    labelled.labels.insert("season".to_owned(), "spring".to_owned());
    labelled.annotations.insert("note".to_owned(), "x".to_owned());
    for paths in [&[][..], &["labels", "annotations"]] {
        assert_eq!(records.update(labelled.clone(), paths).await.unwrap().labels.len(), 1);
    }
    let details = orrery_proto::r#type::v1::Status {
        phase: String::new(),
        details: Some(prost_types::Struct { fields: [("by".to_owned(), "me".to_owned().into())].into() }),
    };
    let noted = Artifact { uid: made.uid.clone(), status: Some(details), ..Artifact::default() };
    assert_eq!(phase(&records.update(noted, &["status.details.by"]).await.unwrap()), "final");
}

#[tokio::test]
async fn a_final_report_is_archived_and_comes_back_final() {
    let records = Records::new().await;
    let made = records.created(report()).await;
    finalize(&records, &made.uid, "").await.unwrap();
    let archive = DeleteArtifactRequest { uid: made.uid.clone(), ..DeleteArtifactRequest::default() };
    records.artifacts().delete_artifact(archive.clone()).await.unwrap();
    assert_eq!(phase(&records.artifact(&made.uid).await), "archived");
    let force = DeleteArtifactRequest { force: true, ..archive };
    let refused = records.artifacts().delete_artifact(force).await.unwrap_err();
    assert_status(&refused, Code::FailedPrecondition, "PHASE_FORBIDS");
    let (totals, end) =
        records.write_artifacts(skipping(WriteMode::Delete), &[named(&made.uid, Artifact::default())]).await;
    end.unwrap();
    assert_eq!(told(&totals.errors), [(0, "PHASE_FORBIDS", "")]);
    // It is still frozen.
    let rewritten = changed_report(&made, |report| report.clicks = 1);
    let refused = records.update(rewritten, &["combo_report.clicks"]).await.unwrap_err();
    assert_status(&refused, Code::FailedPrecondition, "PHASE_FORBIDS");
    let to = |phase: &str| Artifact { uid: made.uid.clone(), status: Some(status(phase)), ..Artifact::default() };
    let refused = records.update(to("active"), &["status.phase"]).await.unwrap_err();
    assert_status(&refused, Code::FailedPrecondition, "PHASE_FORBIDS");
    let refused = finalize(&records, &made.uid, "").await.unwrap_err();
    assert_status(&refused, Code::FailedPrecondition, "PHASE_FORBIDS");
    assert_eq!(phase(&records.update(to("final"), &["status.phase"]).await.unwrap()), "final");
    // One that is not final comes back active.
    let other = records.created(report()).await;
    let to = |phase: &str| Artifact { uid: other.uid.clone(), status: Some(status(phase)), ..Artifact::default() };
    let refused = records.update(to("final"), &["status.phase"]).await.unwrap_err();
    assert_status(&refused, Code::FailedPrecondition, "PHASE_FORBIDS");
    records.update(to("archived"), &["status.phase"]).await.unwrap();
    let refused = records.update(to("final"), &["status.phase"]).await.unwrap_err();
    assert_status(&refused, Code::FailedPrecondition, "PHASE_FORBIDS");
    assert_eq!(phase(&records.update(to("active"), &["status.phase"]).await.unwrap()), "active");
}

#[tokio::test]
async fn writes_that_race_with_the_freeze_come_before_it_or_are_refused() {
    let records = Records::new().await;
    for _ in 0..4 {
        let made = records.created(report()).await;
        let writes = (0..24).map(|nth| {
            let (records, made) = (&records, &made);
            async move {
                if nth == 12 {
                    return finalize(records, &made.uid, "").await.map(|frozen| frozen.revision);
                }
                let row = changed_report(made, |report| report.clicks = 100 + nth);
                if nth % 2 == 0 {
                    return records.update(row, &["combo_report.clicks"]).await.map(|updated| updated.revision);
                }
                let (totals, end) = records.write_artifacts(skipping(WriteMode::Update), &[row]).await;
                end.unwrap();
                match totals.errors.first() {
                    None => Ok(0),
                    Some(error) => Err(Status::new(Code::FailedPrecondition, error.message.clone())),
                }
            }
        });
        let ended = join_all(writes).await;
        let frozen = *ended[12].as_ref().unwrap();
        let stored = records.artifact(&made.uid).await;
        assert_eq!((phase(&stored), stored.revision), ("final", frozen), "nothing changed it afterwards");
        for ended in ended {
            assert!(
                ended.as_ref().is_ok_and(|revision| *revision <= frozen)
                    || ended.unwrap_err().code() == Code::FailedPrecondition
            );
        }
    }
}

/// The chunk waits between its read of the first report and its look at which rows exist.
#[tokio::test]
async fn a_report_that_appears_frozen_under_a_chunk_is_not_changed() {
    let records = Records::new().await;
    let rows = ["mda_a", "mda_b"].map(|uid| named(uid, report()));
    records.write_artifacts(in_mode(WriteMode::Create), &rows[..1]).await.1.unwrap();
    let mut watcher = records.database.connect(Role::Operator).await;
    let mut holding = records.pool.begin().await.unwrap();
    let lock = "select from records.macrodata_artifact where uid = 'mda_a' for update";
    sqlx::raw_sql(lock).execute(&mut *holding).await.unwrap();
    let start = skipping(WriteMode::Upsert);
    let stream = WriteStream::open(records.server.channel(), ARTIFACTS, start).await.unwrap();
    let changed = rows.map(|row| changed_report(&row, |report| report.clicks = 1));
    stream.send(0, &changed).await;
    until_waiting(&mut watcher, Role::Records, 1).await;
    let frozen = "insert into records.macrodata_artifact (uid, kind, status, body) \
                  values ('mda_b', 'combo_report', '{\"phase\": \"final\"}', '{\"clicks\": 70}')";
    records.execute(frozen).await;
    holding.rollback().await.unwrap();
    let (totals, end) = stream.finish().await;
    end.unwrap();
    assert_eq!((totals.counts(), told(&totals.errors)), ([0, 1, 0, 1, 0], vec![(1, "PHASE_FORBIDS", "")]));
    assert_eq!(report_of(&records.artifact("mda_b").await).clicks, 70);
}

#[tokio::test]
async fn only_active_reports_become_final() {
    let records = Records::new().await;
    let made = records.created(report()).await;
    assert_eq!(
        finalize(&records, &made.uid, "once").await.unwrap(),
        finalize(&records, &made.uid, "once").await.unwrap()
    );
    let proposed = records.created(suggestion("")).await;
    assert_invalid(finalize(&records, &proposed.uid, "").await, "FIELD_INVALID", "uid");
    assert_eq!(finalize(&records, "mda_none", "").await.unwrap_err().code(), Code::NotFound);
    let sent = Artifact { status: Some(status("final")), ..report() };
    assert_status(&records.create(sent).await.unwrap_err(), Code::FailedPrecondition, "PHASE_FORBIDS");
}

#[tokio::test]
async fn a_chunked_write_imports_final_reports_which_are_frozen() {
    let records = Records::new().await;
    let row = |uid: &str, phase: &str| Artifact { status: Some(status(phase)), ..named(uid, report()) };
    let rows = [row("mda_a", "final"), row("mda_b", "archived"), row("mda_c", "active"), row("mda_d", "other")];
    let (totals, end) = records.write_artifacts(skipping(WriteMode::Upsert), &rows).await;
    end.unwrap();
    assert_eq!(told(&totals.errors), [(3, "FIELD_INVALID", "status.phase")]);
    assert!(report_of(&records.artifact("mda_a").await).final_ts.is_some());
    assert!(report_of(&records.artifact("mda_b").await).final_ts.is_none());
    // The same import again changes nothing.
    let (totals, end) = records.write_artifacts(skipping(WriteMode::Upsert), &rows[..3]).await;
    end.unwrap();
    assert_eq!(totals.counts(), [0, 0, 3, 0, 0], "{:?}", totals.errors);
    let later = [row("mda_a", "active"), row("mda_c", "final")];
    let (totals, end) = records.write_artifacts(skipping(WriteMode::Upsert), &later).await;
    end.unwrap();
    assert_eq!(told(&totals.errors), [(0, "PHASE_FORBIDS", "status.phase")]);
    assert!(report_of(&records.artifact("mda_c").await).final_ts.is_some());
}

#[tokio::test]
async fn a_report_ends_after_it_began() {
    let records = Records::new().await;
    let ran = |from: i64, to: i64| ComboReport {
        ran_from: (from > 0).then(|| timestamp(from)),
        ran_to: (to > 0).then(|| timestamp(to)),
        ..report_of(&report()).clone()
    };
    let made = records.created(with(Payload::ComboReport(ran(5, 5)))).await;
    records.created(with(Payload::ComboReport(ran(0, 5)))).await;
    records.created(with(Payload::ComboReport(ran(5, 0)))).await;
    // One that is sent alone is compared with the stored other one.
    let field = "artifact.combo_report.ran_to";
    let change = |from, to| named(&made.uid, with(Payload::ComboReport(ran(from, to))));
    assert_invalid(records.update(change(6, 0), &[]).await, "FIELD_INVALID", field);
    assert_invalid(records.update(change(0, 4), &["combo_report.ran_to"]).await, "FIELD_INVALID", field);
    let (totals, _) = records.write_artifacts(skipping(WriteMode::Upsert), &[change(6, 0)]).await;
    assert_eq!(told(&totals.errors), [(0, "FIELD_INVALID", "combo_report.ran_to")]);
    records.update(change(6, 0), &["combo_report.ran_from", "combo_report.ran_to"]).await.unwrap();
    let refused = refusal(&records.create(with(Payload::ComboReport(ran(6, 5)))).await.unwrap_err());
    assert_eq!(refused.fields, [field]);
}
