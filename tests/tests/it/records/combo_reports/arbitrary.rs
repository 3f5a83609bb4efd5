//! Any file is answered: each of its records is counted once, or the file as a whole is refused by name.

use orrery_proto::records::v1::ExportComboReportsRequest;
use orrery_proto::records::v1::import_combo_reports_request::Start;
use orrery_proto::r#type::v1::ReferenceCheck;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tonic::Code;

use super::MAX_DATA;
use crate::harness::refusal;
use crate::records::Records;
use crate::records::artifacts::{named, template};

const COLUMNS: [&str; 17] = [
    "identifier",
    "template",
    "template_uid",
    "type",
    "product_codes",
    "product_count",
    "audience",
    "ran_from",
    "ran_to",
    "products",
    "product_uids",
    "spend",
    "impressions",
    "clicks",
    "purchases",
    "notes",
    "",
];

const CELLS: [&str; 34] = [
    "",
    "SP-IPH-1-WOMEN-001",
    "SP-IPH-1-WOMEN-002",
    "SP-A+B-2-ALL-001",
    "sp-a-1-all-1",
    "mda_template",
    "mda_none",
    "legacy",
    "SP",
    "IPH",
    "iph+AIR",
    "0",
    "1",
    "-1",
    "99999999999999999999",
    "12.50",
    "1e9",
    "NaN",
    "2026-03-01",
    "2026-03-01T12:00:00.123456789Z",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "Mug",
    "mug | Box",
    "prd_a",
    "prd_a|prd_none|\\|",
    "=cmd|' /C calc'!A0",
    "\"quoted, \"\"twice\"\"\n\"",
    "\"mis\"quoted",
    "\"",
    "\u{0}",
    "\u{feff}",
    "é\r\n",
    "a,b",
];

/// Cells that a column may have.
fn fitting(column: &str) -> &'static [&'static str] {
    match column {
        "identifier" => &["", "SP-IPH-1-WOMEN-001", "SP-IPH-1-WOMEN-002", "legacy"],
        "template" => &["", "SP-IPH-1-WOMEN-001"],
        "template_uid" => &["", "mda_template"],
        "type" => &["", "SP"],
        "product_codes" => &["", "IPH", "iph"],
        "product_count" => &["", "1"],
        "audience" => &["", "women"],
        "ran_from" | "ran_to" => &["", "2026-03-01", "2026-03-01T12:00:00.123456789Z"],
        "products" => &["", "Mug", "mug | MUG"],
        "product_uids" => &["", "prd_a", "prd_a|prd_b"],
        "spend" | "impressions" | "clicks" | "purchases" => &["", "0", "7"],
        "notes" => &["", "é", "\"quoted, \"\"twice\"\"\n\"", "=1+1"],
        _ => &[""],
    }
}

/// A file of known columns and fitting cells, mostly.
fn file(random: &mut StdRng) -> Vec<u8> {
    let mut columns: Vec<&str> = COLUMNS.into_iter().filter(|_| random.random_range(0..3) > 0).collect();
    if random.random_range(0..8) == 0 {
        columns.push(["color", "notes", "a\"b"][random.random_range(0..3)]);
    }
    let mut text = columns.join(",") + "\n";
    for _ in 0..random.random_range(0..12) {
        let mut cell = |column: &&str| {
            let cells = if random.random_range(0..30) == 0 { &CELLS[..] } else { fitting(column) };
            cells[random.random_range(0..cells.len())]
        };
        let cells: Vec<&str> = columns.iter().map(&mut cell).collect();
        text += &cells.join(",");
        text += ["\n", "\r\n", "\r", ",\n", "\n", ",x\n"][random.random_range(0..6)];
    }
    let mut bytes = text.into_bytes();
    if random.random_range(0..4) == 0 {
        for _ in 0..3 {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
    }
    bytes
}

#[tokio::test]
async fn any_file_is_answered_and_what_is_refused_changes_nothing() {
    let records = Records::with_products(&[("prd_a", "Mug"), ("prd_b", "Box"), ("prd_c", "Box")]).await;
    records.created(named("mda_template", template(&["IPH"]))).await;
    records
        .execute(
            "insert into records.macrodata_artifact (uid, kind, identifier, body) values \
             ('legacy', 'combo_report', 'legacy', '[1]'), ('legacy2', 'combo_report', 'SP', '{\"type\": 7}')",
        )
        .await;
    let number: u64 = rand::random();
    let mut random = StdRng::seed_from_u64(number);
    let (mut answered, mut written) = (0, 0);
    for _ in 0..150 {
        let file = file(&mut random);
        let start = Start {
            import_id: ["", "a"][random.random_range(0..2)].to_owned(),
            reference_check: [ReferenceCheck::Unspecified, ReferenceCheck::Accept][random.random_range(0..2)].into(),
            validate_only: random.random_range(0..3) == 0,
            ..Start::default()
        };
        let (kept, before) = (!start.validate_only, records.stored_artifacts().await);
        let pieces: Vec<&[u8]> = file.chunks(random.random_range(1..MAX_DATA)).collect();
        let answer = records.import_pieces(start, &pieces).await;
        let shown = || format!("seed {number}: {:?}", String::from_utf8_lossy(&file));
        match answer {
            Err(status) => {
                let told = refusal(&status);
                assert_eq!(
                    (told.code, &told.fields[..]),
                    (Code::InvalidArgument, &["data".to_owned()][..]),
                    "{}",
                    shown()
                );
                assert_eq!(records.stored_artifacts().await, before, "{}", shown());
            }
            Ok(answer) => {
                answered += 1;
                written += answer.created + answer.updated;
                let lines: std::collections::BTreeSet<i64> = answer.errors.iter().map(|error| error.line).collect();
                assert_eq!(lines.len() as i64, answer.rejected, "{}", shown());
                assert!(answer.errors.iter().all(|error| error.code != 0 && !error.message.is_empty()), "{}", shown());
                if !kept || answer.created + answer.updated == 0 {
                    assert_eq!(records.stored_artifacts().await, before, "{}", shown());
                }
            }
        }
    }
    assert!(answered > 20 && written > 20, "{answered} {written}");
    // What was stored can be exported, and imported again.
    let exported = records.exported(ExportComboReportsRequest::default()).await;
    let check = Start { validate_only: true, reference_check: ReferenceCheck::Accept.into(), ..Start::default() };
    let again = records.import(check, &exported).await.unwrap();
    assert_eq!(again.created, 0, "{:?}", again.errors);
}
