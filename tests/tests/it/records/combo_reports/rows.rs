//! How rows become reports: which report is meant, what is refused, and what a second import changes.

use std::fmt::Write as _;

use orrery_proto::records::v1::artifact::Payload;
use orrery_proto::records::v1::import_combo_reports_request::Start;
use orrery_proto::records::v1::{Artifact, FinalizeComboReportRequest};
use orrery_proto::r#type::v1::RowErrorCode;
use tonic::Code;

use super::told;
use crate::harness::refusal;
use crate::records::Records;
use crate::records::artifacts::{changed_report, named, report, report_of, template};

fn start() -> Start {
    Start::default()
}

#[tokio::test]
async fn an_import_that_is_repeated_changes_nothing() {
    let records = Records::with_products(&[("prd_a", "Mug")]).await;
    let of = records.created(template(&["IPH", "AIR"])).await;
    let file = format!(
        "\u{feff}identifier;template;type;product_codes;product_count;audience;ran_from;ran_to;products;spend;\
         impressions;clicks;purchases;notes\r\n\
         CT-AIR+IPH-2-STUDENTS-012;{};CT;iph+AIR;2;Students;2026-03-01;2026-03-08T12:00:00+02:00;mug;12,50;1;2;3;a\r\n\
         CT-AIR+IPH-2-STUDENTS-013;{};;;;;;;;12.50;9000000000;70;3;\"=1+1; \"\"so\"\"\r\n it is \"\r\n",
        of.identifier, of.identifier
    );
    let semicolons = || Start { delimiter: ";".to_owned(), ..start() };
    let answer = records.import(semicolons(), &file).await.unwrap();
    assert_eq!(told(&answer.errors), [(2, "spend", "FIELD_INVALID")]);
    assert_eq!(answer.created, 1);
    let file = file.replace("12,50", "12.50");
    assert_eq!(records.imported(semicolons(), &file).await, [1, 0, 1]);
    let stored = records.stored_artifacts().await;
    assert_eq!(records.imported(semicolons(), &file).await, [0, 0, 2]);
    assert_eq!(records.stored_artifacts().await, stored, "with revision and update_ts");
    let uids =
        records.texts("select uid from records.macrodata_artifact where kind = 'combo_report' order by identifier");
    let uids = uids.await;
    let one = records.artifact(&uids[0]).await;
    let report = report_of(&one);
    assert_eq!(
        (&*report.r#type, &report.product_codes[..], report.product_count, &*report.audience, &report.product_uids[..]),
        ("CT", &["iph".to_owned(), "AIR".to_owned()][..], 2, "Students", &["prd_a".to_owned()][..])
    );
    assert_eq!(
        (report.ran_from.map(|at| at.seconds), report.ran_to.map(|at| at.seconds)),
        (Some(1_772_323_200), Some(1_772_964_000))
    );
    assert_eq!(report.template_uid, of.uid);
    let two = records.artifact(&uids[1]).await;
    let report = report_of(&two);
    assert_eq!(
        (&*report.notes, report.impressions, &*report.spend),
        ("=1+1; \"so\"\r\n it is ", 9_000_000_000, "12.50")
    );
    // What was empty came from the identifier.
    assert_eq!(
        (&*report.r#type, report.product_codes.join("+"), &*report.audience),
        ("CT", "AIR+IPH".to_owned(), "STUDENTS")
    );
}

#[tokio::test]
async fn columns_that_are_missing_keep_what_is_stored_and_empty_cells_clear_it() {
    let records = Records::new().await;
    let mut made = report();
    made.labels.insert("season".to_owned(), "spring".to_owned());
    let made = records.created(made).await;
    let file = format!("spend,identifier,notes\n,{},New.\n", made.identifier);
    assert_eq!(records.imported(start(), &file).await, [0, 1, 0]);
    let stored = records.artifact(&made.uid).await;
    let expected = changed_report(&made, |report| {
        report.spend = String::new();
        report.notes = "New.".to_owned();
    });
    assert_eq!((&stored.payload, &stored.labels, stored.revision), (&expected.payload, &made.labels, 2));
    // The parts of the identifier are kept, also where their cells are empty, and may not disagree with it.
    let file = format!("identifier,type,audience\n{0},,\n{0},NT,\n", made.identifier);
    let answer = records.import(start(), &file).await.unwrap();
    assert_eq!((answer.superseded, told(&answer.errors)), (1, vec![(3, "type", "FIELD_INVALID")]));
    let file = format!("identifier,type,audience\n{0},,\n", made.identifier);
    assert_eq!(records.imported(start(), &file).await, [0, 0, 1]);
}

#[tokio::test]
async fn an_identifier_is_looked_for_in_its_catalog_among_reports() {
    let records = Records::new().await;
    records.execute("insert into records.macrodata_catalog (uid, name) values ('mdc_a', 'A'), ('mdc_b', 'B')").await;
    let of = records.created(template(&["IPH"])).await;
    let within = Artifact { catalog_uid: "mdc_a".to_owned(), ..template(&["IPH"]) };
    let inner = records.created(within).await;
    assert_eq!(of.identifier, inner.identifier);
    let file = format!("identifier,template,notes\n{0},{0},x\n", of.identifier);
    let into = |catalog_uid: &str| Start { catalog_uid: catalog_uid.to_owned(), ..start() };
    assert_eq!(records.imported(into("mdc_a"), &file).await, [1, 0, 0]);
    assert_eq!(records.imported(into(""), &file).await, [1, 0, 0]);
    assert_eq!(records.imported(into("mdc_a"), &file).await, [0, 0, 1]);
    let templates = "select catalog_uid || ' ' || (body ->> 'template_uid') from records.macrodata_artifact \
        where kind = 'combo_report' and catalog_uid is not null";
    assert_eq!(records.texts(templates).await, [format!("mdc_a {}", inner.uid)]);
    // The catalog has no such template.
    let answer = records.import(into("mdc_b"), &file).await.unwrap();
    assert_eq!(told(&answer.errors), [(2, "template", "REFERENCE_MISSING")]);
    let missing = records.import(into("mdc_none"), &file).await.unwrap_err();
    assert_eq!(refusal(&missing).code, Code::NotFound);
}

#[tokio::test]
async fn a_row_that_breaks_a_rule_costs_itself_only() {
    let records = Records::new().await;
    let of = records.created(template(&["IPH"])).await;
    let other = records.created(report()).await;
    let file = format!(
        "identifier,template_uid,ran_from,ran_to,clicks,spend,notes\n\
         SP-A-1-ALL-001,,,,1,,fine\n\
         SP-A-1-ALL-2,,,,1,,no identifier\n\
         \n\
         SP-A-1-ALL-003,mda_none,,,1,,\n\
         SP-A-1-ALL-004,{},,,1,,no template\n\
         SP-A-1-ALL-005,{},2026-03-02,2026-03-01,1,,\n\
         SP-A-1-ALL-006,,,,-1,,\n\
         SP-A-1-ALL-007,,,,x,-1,\n\
         SP-A-1-ALL-008,,,,1,-1,\n\
         SP-A-1-ALL-009,,,,1,,\"a\0b\"\n\
         ,,,,1,,no identifier at all\n\
         SP-A-1-ALL-010,,,,1,,one,more\n\
         SP-A-1-ALL-011,,,,1,,\"mis\"quoted\n\
         SP-A-1-ALL-012,,,,1,,\"two\nlines\"\n\
         SP-A-1-ALL-013,,,,1,,\"open\nSP-A-1-ALL-014,,,,1,,lost\n",
        other.uid, of.uid
    );
    let answer = records.import(start(), &file).await.unwrap();
    assert_eq!((answer.created, answer.rejected), (2, 12));
    assert_eq!(
        told(&answer.errors),
        [
            (3, "identifier", "FIELD_INVALID"),
            (5, "template_uid", "REFERENCE_MISSING"),
            (6, "template_uid", "FIELD_INVALID"),
            (7, "ran_to", "FIELD_INVALID"),
            (8, "clicks", "FIELD_INVALID"),
            (9, "clicks", "FIELD_INVALID"),
            (10, "spend", "FIELD_INVALID"),
            (11, "notes", "FIELD_INVALID"),
            (12, "identifier", "FIELD_INVALID"),
            (13, "", "FIELD_INVALID"),
            (14, "", "FIELD_INVALID"),
            (17, "", "FIELD_INVALID"),
        ]
    );
    assert_eq!(
        records.identifiers("combo_report").await,
        [&*other.identifier, "SP-A-1-ALL-001", "SP-A-1-ALL-012"]
            .map(str::to_owned)
            .into_iter()
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_final_report_is_not_changed() {
    let records = Records::new().await;
    let made = records.created(report()).await;
    let finalize = FinalizeComboReportRequest { uid: made.uid.clone(), ..Default::default() };
    let frozen = records.artifacts().finalize_combo_report(finalize).await.unwrap().into_inner();
    let file = format!("identifier,spend\nSP-A-1-ALL-001,1\n{},13\n", made.identifier);
    let answer = records.import(start(), &file).await.unwrap();
    assert_eq!((answer.created, told(&answer.errors)), (1, vec![(3, "", "PHASE_FORBIDS")]));
    assert_eq!(answer.errors[0].code(), RowErrorCode::FailedPrecondition);
    assert_eq!(records.artifact(&made.uid).await, frozen);
    // One that says what is stored is no change.
    let file = format!("identifier,spend\n{},12.50\n", made.identifier);
    assert_eq!(records.imported(start(), &file).await, [0, 0, 1]);
}

#[tokio::test]
async fn rows_without_an_identifier_are_known_by_their_number_in_a_named_file() {
    let records = Records::new().await;
    let of = records.created(template(&["IPH"])).await;
    let file = format!("template,notes\n{0},one\n{0},two\n", of.identifier);
    let answer = records.import(start(), &file).await.unwrap();
    assert_eq!(told(&answer.errors), [(2, "identifier", "FIELD_INVALID"), (3, "identifier", "FIELD_INVALID")]);
    let of_file = |import_id: &str| Start { import_id: import_id.to_owned(), ..start() };
    assert_eq!(records.imported(of_file("march"), &file).await, [2, 0, 0]);
    let stored = records.stored_artifacts().await;
    assert_eq!(records.imported(of_file("march"), &file).await, [0, 0, 2]);
    assert_eq!(records.stored_artifacts().await, stored);
    // All columns, most of them empty: the parts of the identifier stay.
    let wide =
        format!("template,notes,type,product_codes,product_count,audience\n{0},one,,,,\n{0},2,,,,\n", of.identifier);
    assert_eq!(records.imported(of_file("march"), &wide).await, [0, 1, 1]);
    assert_eq!(records.imported(of_file("april"), &file).await, [2, 0, 0]);
    let expected = ["001", "002", "003", "004"].map(|number| format!("SP-IPH-1-WOMEN-{number}"));
    assert_eq!(records.identifiers("combo_report").await, expected);
}

#[tokio::test]
async fn nothing_is_stored_if_the_file_is_only_checked() {
    let records = Records::new().await;
    let of = records.created(template(&["IPH"])).await;
    let check = || Start { validate_only: true, import_id: "x".to_owned(), ..start() };
    let file = format!("identifier,template,clicks\nSP-A-1-ALL-001,,1\n,{},2\nSP-A-1-ALL-002,,-2\n", of.identifier);
    let stored = records.stored_artifacts().await;
    let answer = records.import(check(), &file).await.unwrap();
    assert_eq!((answer.created, told(&answer.errors)), (2, vec![(4, "clicks", "FIELD_INVALID")]));
    assert_eq!(records.stored_artifacts().await, stored);
    assert_eq!(records.texts("select name from records.identifier_series").await.len(), 1, "that of the template");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn importers_of_the_same_file_make_each_report_once() {
    let records = Records::new().await;
    let mut file = "identifier,notes\n".to_owned();
    for number in 1..=300 {
        writeln!(file, "SP-A-1-ALL-{number:03},x").unwrap();
    }
    let imports = (0..6).map(|_| records.import(start(), &file));
    let (mut created, mut unchanged) = (0, 0);
    for answer in futures::future::join_all(imports).await {
        let answer = answer.unwrap();
        assert_eq!(told(&answer.errors), []);
        created += answer.created;
        unchanged += answer.unchanged;
    }
    assert_eq!((created, unchanged), (300, 1_500));
}

#[tokio::test]
async fn what_another_program_stored_is_found_by_its_identifier_and_keeps_its_keys() {
    let records = Records::new().await;
    let made = records.created(named("mda_1", report())).await;
    records
        .execute(
            "insert into records.macrodata_artifact (uid, kind, identifier, body) \
             values ('legacy', 'combo_report', 'Old report 7', '{\"mood\": \"good\", \"clicks\": \"many\"}')",
        )
        .await;
    let file = format!("identifier,clicks\nOld report 7,8\n{},70\n", made.identifier);
    assert_eq!(records.imported(start(), &file).await, [0, 1, 1]);
    assert_eq!(records.body("legacy").await, serde_json::json!({"mood": "good", "clicks": 8}));
    let Some(Payload::ComboReport(stored)) = records.artifact("legacy").await.payload else { panic!("no report") };
    assert_eq!(stored.clicks, 8);
}
