//! Which products the names in a file mean.

use std::fmt::Write as _;

use orrery_proto::records::v1::artifact::Payload;
use orrery_proto::records::v1::import_combo_reports_request::Start;
use orrery_proto::records::v1::{ComboReport, ListArtifactsRequest};
use orrery_proto::r#type::v1::{ReferenceCheck, RowErrorCode};

use super::told;
use crate::records::Records;

const PRODUCTS: &[(&str, &str)] = &[
    ("prd_mug", "Enamel Mug, blue"),
    ("prd_tea", "Tea | green \\ loose"),
    ("prd_lamp", "Brass desk lamp"),
    ("prd_box1", "Box"),
    ("prd_box2", "Box"),
    ("prd_set", "Set of 6 glasses"),
];

/// The reports by identifier.
async fn reports(records: &Records) -> Vec<(String, ComboReport)> {
    let page = records.artifacts().list_artifacts(ListArtifactsRequest::default()).await.unwrap().into_inner();
    let mut reports: Vec<(String, ComboReport)> = page
        .artifacts
        .into_iter()
        .filter_map(|artifact| match artifact.payload {
            Some(Payload::ComboReport(report)) => Some((artifact.identifier, report)),
            _ => None,
        })
        .collect();
    reports.sort_by(|a, b| a.0.cmp(&b.0));
    reports
}

#[tokio::test]
async fn products_are_found_exactly_then_normalized_then_by_similarity_and_never_guessed() {
    let records = Records::with_products(PRODUCTS).await;
    let file = "identifier,products\n\
        SP-A-1-ALL-001,\"Enamel Mug, blue\"\n\
        SP-A-1-ALL-002,enamel  mug BLUE | Tea \\| green \\\\ loose\n\
        SP-A-1-ALL-003,Bras desk lamp\n\
        SP-A-1-ALL-004,Box\n\
        SP-A-1-ALL-005,Set of 12 glasses\n\
        SP-A-1-ALL-006,\"Bras desk lamp|Nothing like it|BOX\"\n";
    let answer = records.import(Start::default(), file).await.unwrap();
    assert_eq!((answer.created, answer.rejected), (3, 3));
    assert_eq!(
        told(&answer.errors),
        [
            (5, "products", "REFERENCE_MISSING"),
            (6, "products", "REFERENCE_MISSING"),
            (7, "products", "REFERENCE_MISSING"),
            (7, "products", "REFERENCE_MISSING"),
        ]
    );
    assert!(answer.errors.iter().all(|error| error.code() == RowErrorCode::FailedPrecondition));
    let candidates: Vec<Vec<(&str, &str)>> = answer
        .errors
        .iter()
        .map(|error| error.candidates.iter().map(|found| (&*found.product_uid, &*found.name)).collect())
        .collect();
    let boxes = vec![("prd_box1", "Box"), ("prd_box2", "Box")];
    assert_eq!(candidates, [boxes.clone(), vec![], vec![], boxes]);
    assert!(answer.errors[2].message.contains("\"Nothing like it\""), "{:?}", answer.errors[2]);
    let found: Vec<(String, Vec<String>)> =
        reports(&records).await.into_iter().map(|(identifier, report)| (identifier, report.product_uids)).collect();
    let uids = |uids: &[&str]| uids.iter().map(|&uid| uid.to_owned()).collect::<Vec<_>>();
    assert_eq!(
        found,
        [
            ("SP-A-1-ALL-001".to_owned(), uids(&["prd_mug"])),
            ("SP-A-1-ALL-002".to_owned(), uids(&["prd_mug", "prd_tea"])),
            ("SP-A-1-ALL-003".to_owned(), uids(&["prd_lamp"])),
        ]
    );
}

#[tokio::test]
async fn similar_names_must_reach_the_score() {
    let records = Records::with_products(PRODUCTS).await;
    let file = "identifier,products\nSP-A-1-ALL-001,Bras desk lamp\nSP-A-1-ALL-002,Brass lamp\n";
    let check = |min_score| Start { min_score: Some(min_score), validate_only: true, ..Start::default() };
    for (min_score, created) in [(1.0, 0), (0.9, 1), (0.5, 2)] {
        let answer = records.import(check(min_score), file).await.unwrap();
        assert_eq!((answer.created, answer.rejected), (created, 2 - created), "{min_score}");
    }
}

#[tokio::test]
async fn uids_precede_names_and_must_exist_unless_that_is_accepted() {
    let records = Records::with_products(PRODUCTS).await;
    let file = "identifier,products,product_uids\n\
        SP-A-1-ALL-001,Box,prd_box2\n\
        SP-A-1-ALL-002,,prd_mug|prd_none\n\
        SP-A-1-ALL-003,,mug\n";
    let answer = records.import(Start::default(), file).await.unwrap();
    assert_eq!((answer.created, answer.rejected), (1, 2));
    assert_eq!(told(&answer.errors), [(3, "product_uids", "REFERENCE_MISSING"), (4, "product_uids", "FIELD_INVALID")]);
    assert_eq!(reports(&records).await[0].1.product_uids, ["prd_box2"]);
    let start = Start { reference_check: ReferenceCheck::Accept.into(), ..Start::default() };
    let answer = records.import(start, file).await.unwrap();
    assert_eq!((answer.created, answer.unchanged, answer.rejected), (1, 1, 1));
}

#[tokio::test]
async fn more_names_than_one_call_takes_are_found() {
    let records = Records::new().await;
    let names: Vec<(String, String)> =
        (0..450).map(|number| (format!("prd_{number}"), format!("Title with {number} in it"))).collect();
    records.add_products(&names.iter().map(|(uid, name)| (uid.as_str(), name.as_str())).collect::<Vec<_>>()).await;
    let mut file = "identifier,products\n".to_owned();
    for (number, (_, name)) in (1..).zip(&names) {
        writeln!(file, "SP-A-1-ALL-{number:03},{}|title WITH 7 in it", name.to_uppercase()).unwrap();
    }
    assert_eq!(records.imported(Start::default(), &file).await, [450, 0, 0]);
    for (number, (_, report)) in reports(&records).await.into_iter().enumerate() {
        assert_eq!(report.product_uids, [format!("prd_{number}"), "prd_7".to_owned()]);
    }
}
