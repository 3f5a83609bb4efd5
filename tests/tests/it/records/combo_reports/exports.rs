//! Exports: what is in the file, that it can be imported again, and its pages.

use orrery_proto::records::v1::artifact::Payload;
use orrery_proto::records::v1::import_combo_reports_request::Start;
use orrery_proto::records::v1::{
    Artifact, ArtifactFilter, ArtifactKind, ComboReport, ExportComboReportsRequest, ExportComboReportsResponse,
};
use tonic::Request;

use crate::harness::assert_invalid;
use crate::records::Records;
use crate::records::artifacts::{changed_report, named, report, template, with};

const HEADER: &str = "identifier,template,template_uid,type,product_codes,product_count,audience,ran_from,ran_to,\
    products,product_uids,spend,impressions,clicks,purchases,notes\n";

async fn messages(
    records: &Records,
    request: ExportComboReportsRequest,
    most: usize,
) -> Vec<ExportComboReportsResponse> {
    let mut request = Request::new(request);
    request.metadata_mut().insert("x-max-answer-bytes", most.to_string().parse().unwrap());
    let mut stream = records.artifacts().export_combo_reports(request).await.unwrap().into_inner();
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        assert!(!message.resume_token.is_empty() && prost::Message::encoded_len(&message) <= most);
        messages.push(message);
    }
    messages
}

fn joined(messages: &[ExportComboReportsResponse]) -> String {
    String::from_utf8(messages.iter().flat_map(|message| message.data.to_vec()).collect()).unwrap()
}

#[tokio::test]
async fn an_export_is_csv_with_the_names_of_what_it_refers_to() {
    let records = Records::with_products(&[("prd_a", "Mug, \"blue\""), ("prd_b", "Tea | green")]).await;
    assert_eq!(records.exported(ExportComboReportsRequest::default()).await, HEADER);
    let of = records.created(named("mda_0", template(&["IPH"]))).await;
    let full = ComboReport {
        template_uid: of.uid.clone(),
        product_uids: vec!["prd_b".to_owned(), "prd_a".to_owned()],
        ran_from: Some(prost_types::Timestamp { seconds: 1_772_323_200, nanos: 500_000_000 }),
        notes: "=1+1\n\"x\"".to_owned(),
        ..match report().payload {
            Some(Payload::ComboReport(report)) => report,
            _ => ComboReport::default(),
        }
    };
    records.created(named("mda_1", with(Payload::ComboReport(full)))).await;
    records
        .execute(
            "insert into records.macrodata_artifact (uid, kind, body) values \
             ('mda_2', 'combo_report', '{\"product_uids\": [\"prd_gone\"], \"clicks\": \"many\"}'), \
             ('mda_3', 'combo_report', '[]'), ('mda_4', 'document', '{\"title\": \"x\"}')",
        )
        .await;
    let file = records.exported(ExportComboReportsRequest::default()).await;
    assert_eq!(
        file,
        HEADER.to_owned()
            + "SP-IPH-1-WOMEN-001,SP-IPH-1-WOMEN-001,mda_0,SP,IPH,1,WOMEN,2026-03-01T00:00:00.500Z,,\
               \"Tea \\| green|Mug, \"\"blue\"\"\",prd_b|prd_a,12.50,9000000000,70,3,\"=1+1\n\"\"x\"\"\"\n\
               ,,,,,0,,,,,prd_gone,,0,0,0,\n\
               ,,,,,0,,,,,,,0,0,0,\n"
    );
}

/// Reports of a catalog, with products whose names are not unique.
async fn shop(reports: usize) -> Records {
    let records = Records::with_products(&[("prd_a", "Box"), ("prd_b", "Box"), ("prd_c", "Tea | \\ green")]).await;
    records.execute("insert into records.macrodata_catalog (uid, name) values ('mdc_a', 'A'), ('mdc_b', 'B')").await;
    let within = Artifact { catalog_uid: "mdc_a".to_owned(), ..named("mda_t", template(&["IPH"])) };
    records.created(within).await;
    let row = |number: usize| {
        let changed = changed_report(&report(), |report| {
            "mda_t".clone_into(&mut report.template_uid);
            report.product_uids = ["prd_b", "prd_c", "prd_a"][number % 3..].iter().map(|&uid| uid.to_owned()).collect();
            report.ran_to = Some(prost_types::Timestamp { seconds: 1_772_323_200, nanos: (number as i32) * 1_000 });
            report.notes = format!("{number}\r\n,\"{}", "é ".repeat(number % 300));
            report.product_codes = vec!["iph".to_owned()];
        });
        Artifact { catalog_uid: "mdc_a".to_owned(), ..named(&format!("mda_{number:05}"), changed) }
    };
    let rows: Vec<Artifact> = (0..reports).map(row).collect();
    records.write_artifacts(orrery_proto::r#type::v1::WriteStart::default(), &rows).await.1.unwrap();
    records
}

fn of(catalog_uid: &str) -> ExportComboReportsRequest {
    ExportComboReportsRequest { catalog_uid: catalog_uid.to_owned(), ..ExportComboReportsRequest::default() }
}

#[tokio::test]
async fn an_export_that_is_imported_changes_nothing_and_elsewhere_makes_the_same_reports() {
    let records = shop(40).await;
    let file = records.exported(of("mdc_a")).await;
    let stored = records.stored_artifacts().await;
    let into = |catalog_uid: &str| Start { catalog_uid: catalog_uid.to_owned(), ..Start::default() };
    assert_eq!(records.imported(into("mdc_a"), &file).await, [0, 0, 40]);
    assert_eq!(records.stored_artifacts().await, stored);
    assert_eq!(records.exported(of("")).await, HEADER);
    assert_eq!(records.imported(into("mdc_b"), &file).await, [40, 0, 0]);
    let sorted = |file: String| {
        let mut rows: Vec<String> = file.split("\nSP-").map(|row| row.trim_end().to_owned()).collect();
        rows.sort_unstable();
        rows
    };
    // The template of another catalog has its identifier all the same.
    assert_eq!(sorted(records.exported(of("mdc_b")).await), sorted(file));
}

#[tokio::test]
async fn an_export_continues_after_every_message_without_a_gap_or_a_repeat() {
    const REPORTS: usize = 1_234;
    let records = shop(REPORTS).await;
    let whole = messages(&records, of("mdc_a"), 64 << 10).await;
    let file = joined(&whole);
    assert!(whole.len() > 3, "{} messages", whole.len());
    assert_eq!(whole.iter().map(|message| message.reports as usize).sum::<usize>(), REPORTS);
    for at in 0..whole.len() {
        let request = ExportComboReportsRequest { resume_token: whole[at].resume_token.clone(), ..of("mdc_a") };
        let rest = messages(&records, request, 1 << 20).await;
        assert!(joined(&whole[..=at]) + &joined(&rest) == file, "after message {at}");
    }
    assert!(joined(&messages(&records, of("mdc_a"), 4 << 20).await) == file);
}

#[tokio::test]
async fn a_filter_selects_reports_and_tokens_belong_to_it() {
    let records = shop(5).await;
    let filter = |filter| ExportComboReportsRequest { filter: Some(filter), ..of("mdc_a") };
    let some = ArtifactFilter { uids: vec!["mda_00001".to_owned(), "mda_t".to_owned()], ..ArtifactFilter::default() };
    let found = messages(&records, filter(some), 1 << 20).await;
    assert_eq!(found.iter().map(|message| message.reports).sum::<i32>(), 1);
    let other = ExportComboReportsRequest { resume_token: found[0].resume_token.clone(), ..of("mdc_a") };
    let refused = |request| async { records.artifacts().export_combo_reports(request).await.map(|_| ()) };
    assert_invalid(refused(other).await, "TOKEN_MISMATCH", "resume_token");
    let kinds = ArtifactFilter { kinds: vec![ArtifactKind::Document.into()], ..ArtifactFilter::default() };
    assert_invalid(refused(filter(kinds)).await, "FIELD_INVALID", "filter.kinds");
    let catalogs = ArtifactFilter { catalog_uids: vec!["mdc_b".to_owned()], ..ArtifactFilter::default() };
    assert_invalid(refused(filter(catalogs)).await, "FIELD_INVALID", "filter.catalog_uids");
    let selector = ArtifactFilter { label_selector: "=a".to_owned(), ..ArtifactFilter::default() };
    assert_invalid(refused(filter(selector)).await, "FIELD_INVALID", "filter.label_selector");
    assert_invalid(refused(of("a\0")).await, "FIELD_INVALID", "catalog_uid");
}
