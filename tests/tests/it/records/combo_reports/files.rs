//! The file as such: its pieces, its header, its size.

use std::fmt::Write as _;
use std::time::Duration;

use orrery_proto::records::v1::import_combo_reports_request::Start;
use orrery_proto::records::v1::{ImportComboReportsRequest, ImportComboReportsResponse};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio_stream::iter;
use tonic::Request;

use super::{MAX_DATA, data, first, told};
use crate::harness::assert_invalid;
use crate::records::Records;

#[tokio::test]
async fn a_file_is_the_same_in_pieces_of_any_size() {
    let records = Records::with_products(&[("prd_a", "Café | mug"), ("prd_b", "Tea")]).await;
    let file = "\u{feff}identifier,products,notes,clicks\r\n\
        SP-A-1-ALL-001,café mug|tea,\"Zürich, \"\"so\"\"\r\nsays\",1\r\n\
        \r\n\
        SP-A-1-ALL-002,none,x,1\r\n\
        SP-A-1-ALL-003,,\"mis\"quoted,1\r\n\
        SP-A-1-ALL-004,,é,-1\r\n\
        SP-A-1-ALL-005,,,5";
    let check = || Start { validate_only: true, ..Start::default() };
    let whole = records.import(check(), file).await.unwrap();
    assert_eq!((whole.created, whole.rejected), (2, 3));
    let single: Vec<&[u8]> = file.as_bytes().chunks(1).collect();
    assert_eq!(records.import_pieces(check(), &single).await.unwrap(), whole);
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..40 {
        let mut cuts: Vec<usize> =
            (0..random.random_range(1..8)).map(|_| random.random_range(0..=file.len())).collect();
        cuts.extend([0, file.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &file.as_bytes()[cut[0]..cut[1]]).collect();
        assert_eq!(records.import_pieces(check(), &pieces).await.unwrap(), whole, "{cuts:?}");
    }
}

#[tokio::test]
async fn messages_and_headers_that_are_wrong_are_refused_by_name() {
    let records = Records::new().await;
    let invalid = async |messages: Vec<ImportComboReportsRequest>, field: &str| {
        let answer = records.artifacts().import_combo_reports(iter(messages)).await;
        assert_invalid(answer, "FIELD_INVALID", field);
    };
    let start = || first(Start::default());
    invalid(vec![], "start").await;
    invalid(vec![data(b"identifier,notes\n")], "start").await;
    invalid(vec![ImportComboReportsRequest { payload: None }], "start").await;
    invalid(vec![start(), start()], "start").await;
    invalid(vec![start(), ImportComboReportsRequest { payload: None }], "payload").await;
    let mut long = b"identifier,notes\n".to_vec();
    long.resize(MAX_DATA + 1, b'\n');
    invalid(vec![start(), data(&long)], "data").await;
    invalid(vec![start()], "data").await;
    invalid(vec![start(), data(b"\r\n,,\n")], "data").await;
    for header in ["identifier,color", "identifier,notes,notes", "identifier", "identifier,\"notes"] {
        invalid(vec![start(), data(header.as_bytes())], "data").await;
    }
    for (field, wrong) in [
        ("catalog_uid", Start { catalog_uid: "prd_1".to_owned(), ..Start::default() }),
        ("import_id", Start { import_id: "a b".to_owned(), ..Start::default() }),
        ("min_score", Start { min_score: Some(1.5), ..Start::default() }),
        ("min_score", Start { min_score: Some(f64::NAN), ..Start::default() }),
        ("reference_check", Start { reference_check: 9, ..Start::default() }),
        ("delimiter", Start { delimiter: "|".to_owned(), ..Start::default() }),
    ] {
        invalid(vec![first(wrong)], &format!("start.{field}")).await;
    }
    // Only a header, or the longest message.
    assert_eq!(records.imported(Start::default(), "identifier,notes\n").await, [0, 0, 0]);
    long.truncate(MAX_DATA);
    let answer = records.artifacts().import_combo_reports(iter([start(), data(&long)])).await.unwrap();
    assert_eq!(answer.into_inner(), ImportComboReportsResponse::default());
}

#[tokio::test]
async fn thousands_of_rows_are_written_within_the_limits_of_statements() {
    const ROWS: usize = 3_210;
    let records = Records::new().await;
    let mut file = "identifier,clicks,notes\n".to_owned();
    for number in 1..=ROWS {
        let clicks = if number % 100 == 0 { "many".to_owned() } else { number.to_string() };
        writeln!(file, "SP-A-1-ALL-{number:03},{clicks},{}", "n".repeat(number % 700)).unwrap();
    }
    let answer = records.import(Start::default(), &file).await.unwrap();
    assert_eq!((answer.created, answer.rejected, answer.errors.len()), (3_178, 32, 32));
    assert_eq!(told(&answer.errors)[..2], [(101, "clicks", "FIELD_INVALID"), (201, "clicks", "FIELD_INVALID")]);
    let again = records.import(Start::default(), &file).await.unwrap();
    assert_eq!((again.created, again.updated, again.unchanged, again.rejected), (0, 0, 3_178, 32));
    let transactions = "select distinct xmin::text from records.macrodata_artifact";
    assert_eq!(records.texts(transactions).await.len(), 7, "up to 500 rows in each");
}

#[tokio::test]
async fn errors_are_counted_and_the_first_ones_told() {
    let records = Records::new().await;
    let file = "identifier,clicks\n".to_owned() + &"SP-A-1-ALL-001,no\n".repeat(2_500);
    let answer = records.import(Start::default(), &file).await.unwrap();
    assert_eq!((answer.rejected, answer.errors.len()), (2_500, 1_000));
    assert_eq!(answer.errors.last().map(|error| error.line), Some(1_001));
    // As many as the caller takes.
    let messages = [first(Start::default()), data(file.as_bytes())];
    let mut request = Request::new(iter(messages));
    request.metadata_mut().insert("x-max-answer-bytes", "65536".parse().unwrap());
    let answer = records.artifacts().import_combo_reports(request).await.unwrap().into_inner();
    assert_eq!(answer.rejected, 2_500);
    assert!((500..1_000).contains(&answer.errors.len()), "{}", answer.errors.len());
}

#[tokio::test]
async fn a_huge_record_is_refused_and_the_next_ones_are_written() {
    let records = Records::new().await;
    let huge = "x".repeat(9 << 20);
    let file = format!(
        "identifier,notes\nSP-A-1-ALL-001,\"{huge}\"\nSP-A-1-ALL-002,{}\nSP-A-1-ALL-003,x\n",
        "y".repeat(65_537)
    );
    let answer = records.import(Start::default(), &file).await.unwrap();
    assert_eq!(
        (answer.created, told(&answer.errors)),
        (1, vec![(2, "", "FIELD_INVALID"), (3, "notes", "FIELD_INVALID")])
    );
    assert!(answer.errors[0].message.contains("4 MiB"), "{:?}", answer.errors[0]);
}

#[tokio::test]
async fn a_file_that_pauses_is_not_forgotten_and_one_that_breaks_off_keeps_whole_batches() {
    let records = Records::new().await;
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut client = records.artifacts();
    let call = tokio::spawn(async move { client.import_combo_reports(stream).await });
    sender.send(first(Start::default())).await.unwrap();
    let mut rows = "identifier,notes\n".to_owned();
    for number in 1..=700 {
        writeln!(rows, "SP-A-1-ALL-{number:03},x").unwrap();
    }
    sender.send(data(rows.as_bytes())).await.unwrap();
    let count = "select count(*)::text from records.macrodata_artifact";
    // The first batch is written before the file ends.
    while records.texts(count).await != ["500"] {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The caller goes away in the middle of a record.
    call.abort();
    drop(sender);
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(records.texts(count).await, ["500"]);
    assert_eq!(records.imported(Start::default(), &rows).await, [200, 0, 500]);
}
