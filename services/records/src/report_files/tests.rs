#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use csv_core::ReadRecordResult;
use orrery_proto::records::v1::ComboReport;
use proptest::prelude::*;

use super::cells::{join_list, read_time, split_list, write_cell, write_time};
use super::columns::{Column, Header};
use super::parser::{Fault, MAX_CELLS, MAX_RECORD_BYTES, Parser, Record};
use super::row::{CellError, NamedProducts, NamedTemplate, ReportRow, read};
use super::writer::{self, NamedReport};

/// The records of a file that arrives in these pieces.
fn records(pieces: &[&[u8]]) -> Vec<Record> {
    let mut parser = Parser::new(b',');
    let mut records = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let (taken, record) = parser.take(rest);
            assert!(taken > 0 && (record.is_some() || taken == rest.len()));
            rest = &rest[taken..];
            records.extend(record);
        }
    }
    records.extend(parser.end());
    records
}

fn texts(record: &Record) -> Vec<String> {
    (0..record.cells).map(|place| String::from_utf8_lossy(record.cell(place)).into_owned()).collect()
}

/// The lines and cells of a file's records.
fn lines(file: &str) -> Vec<(u64, Vec<String>)> {
    records(&[file.as_bytes()]).iter().map(|record| (record.line, texts(record))).collect()
}

fn line(line: u64, cells: &[&str]) -> (u64, Vec<String>) {
    (line, cells.iter().map(|&cell| cell.to_owned()).collect())
}

#[test]
fn records_end_with_any_line_break_and_have_the_lines_that_editors_show() {
    for end in ["\n", "\r\n", "\r"] {
        let file = ["a,b", "", "\"c\"\"d\",\"e", "f\",", ",\"g,h\"", "x"].join(end);
        let expected =
            [line(1, &["a", "b"]), line(3, &["c\"d", &format!("e{end}f"), ""]), line(5, &["", "g,h"]), line(6, &["x"])];
        assert_eq!(lines(&file), expected, "{end:?}");
        assert_eq!(lines(&(file + end)), expected, "{end:?}");
    }
    assert_eq!(lines(""), []);
    assert_eq!(lines("\n\r\n\n"), []);
}

#[test]
fn a_byte_order_mark_is_skipped_and_half_of_one_is_text() {
    assert_eq!(lines("\u{feff}\"a\",b\n\u{feff}c"), [line(1, &["a", "b"]), line(2, &["\u{feff}c"])]);
    let half = records(&[b"\xef\xbb,a\n"]);
    assert_eq!((half[0].cell(0), half[0].cell(1)), (&b"\xef\xbb"[..], &b"a"[..]));
    assert_eq!(records(&[b"\xef"])[0].cell(0), b"\xef");
    assert_eq!(records(&[b"\xef\xbb\xbf"]), []);
}

#[test]
fn wrong_quotes_are_told_and_cost_their_record_only() {
    let found = records(&[b"a,\"b\"c,d\nx,y\n\"open\nz,z\n"]);
    let faults: Vec<(u64, Option<Fault>)> = found.iter().map(|record| (record.line, record.fault)).collect();
    assert_eq!(faults, [(1, Some(Fault::Misquoted(1))), (2, None), (3, Some(Fault::Unclosed(3)))]);
    // A quote within a cell without quotes is text.
    assert_eq!(lines("5\" mug,b"), [line(1, &["5\" mug", "b"])]);
}

#[test]
fn a_record_that_is_too_long_is_dropped_and_the_next_one_is_read() {
    let long = |bytes: usize| format!("\"{}\"\nnext,row\n", "x".repeat(bytes));
    let found = records(&[long(MAX_RECORD_BYTES - 2).as_bytes()]);
    assert_eq!((found[0].fault, found[0].cell(0).len()), (None, MAX_RECORD_BYTES - 2));
    for file in
        [long(MAX_RECORD_BYTES - 1), long(3 * MAX_RECORD_BYTES), ",".repeat(MAX_RECORD_BYTES + 1) + "\nnext,row"]
    {
        let found = records(&[file.as_bytes()]);
        assert_eq!((found.len(), found[0].fault, found[0].bytes()), (2, Some(Fault::TooLong), 0));
        assert_eq!((found[1].line, texts(&found[1])), line(2, &["next", "row"]));
    }
}

#[test]
fn cells_beyond_the_limit_are_counted_and_only_their_content_is_noted() {
    let blank = &records(&[",".repeat(1_000).as_bytes()])[0];
    assert!(blank.is_blank() && blank.cells == 1_001 && blank.bytes() <= MAX_CELLS * 8);
    let full = &records(&[(",".repeat(1_000) + "x").as_bytes()])[0];
    assert!(!full.is_blank() && full.surplus);
}

#[test]
fn lists_are_split_at_bars_that_are_not_escaped() {
    assert_eq!(split_list(""), Vec::<String>::new());
    assert_eq!(split_list(" | |"), Vec::<String>::new());
    assert_eq!(split_list("Mug| Tea, green |C:\\x\\|y"), ["Mug", "Tea, green", "C:\\x|y"]);
    assert_eq!(split_list("a\\\\|b\\"), ["a\\", "b\\"]);
    assert_eq!(join_list(["a|b", "c\\", "d"]), "a\\|b|c\\\\|d");
}

#[test]
fn times_are_rfc_3339_or_days() {
    let seconds = |text| read_time(text).map(|time| (time.seconds, time.nanos));
    assert_eq!(seconds("2026-03-01"), Ok((1_772_323_200, 0)));
    assert_eq!(seconds("2026-03-01T01:00:00.5+01:00"), Ok((1_772_323_200, 500_000_000)));
    for text in [
        "",
        "2026-3-1",
        "2026-02-30",
        "2026-03-01 01:00:00",
        "2026-03-01T01:00:00",
        "01/03/2026",
        "2026-03-01T23:59:60Z",
    ] {
        assert!(read_time(text).is_err(), "{text}");
    }
    assert_eq!(write_time(read_time("2026-03-01T01:00:00+01:00").unwrap()), "2026-03-01T00:00:00Z");
}

fn header(text: &str) -> Result<Header, String> {
    Header::read(&records(&[text.as_bytes()])[0])
}

#[test]
fn a_header_names_known_columns_once() {
    let known = header(" Spend ,identifier,,").unwrap();
    assert_eq!((known.place(Column::Spend), known.place(Column::Notes), known.width), (Some(0), None, 2));
    assert_eq!(known.paths(), ["combo_report.spend"]);
    assert_eq!(
        header("template,products,template_uid,product_uids").unwrap().paths(),
        ["combo_report.template_uid", "combo_report.product_uids"]
    );
    for (text, word) in [
        ("identifier,spent", "\"spent\""),
        ("identifier,notes,Notes", "twice"),
        ("identifier", "other than identifier"),
        ("\"notes\"x", "closing quote"),
        ("\"notes", "not closed"),
        (&(",".repeat(100) + "notes"), "too many"),
    ] {
        assert!(header(text).is_err_and(|why| why.contains(word)), "{text}");
    }
    assert_eq!(writer::header(), Column::ALL.map(Column::name).join(",") + "\n");
}

fn row(file: &str) -> Result<ReportRow, Vec<CellError>> {
    let records = records(&[file.as_bytes()]);
    read(&records[1], &Header::read(&records[0]).unwrap(), 1)
}

#[test]
fn a_record_is_read_by_its_header() {
    let read = row("notes,products,template,clicks,product_codes,ran_to,identifier\n \
        =1+1 , Mug|Tea ,SP-A-1-B-001, 7 ,b + a,2026-03-01, SP-A-1-B-002 \n")
    .unwrap();
    assert_eq!((read.line, read.identifier.as_str()), (2, "SP-A-1-B-002"));
    assert_eq!(read.template, NamedTemplate::ByIdentifier("SP-A-1-B-001".to_owned()));
    assert_eq!(read.products, NamedProducts::ByTitle(vec!["Mug".to_owned(), "Tea".to_owned()]));
    let expected = ComboReport {
        notes: " =1+1 ".to_owned(),
        clicks: 7,
        product_codes: vec!["b".to_owned(), "a".to_owned()],
        ran_to: read_time("2026-03-01").ok(),
        ..ComboReport::default()
    };
    assert_eq!(read.report, expected);
    let by_uid = row("products,product_uids,template,template_uid\nMug,prd_1|prd_2,SP-A-1-B-001,mda_1").unwrap();
    assert_eq!((by_uid.products, by_uid.template), (NamedProducts::ByUid, NamedTemplate::ByUid));
    assert_eq!(by_uid.report.product_uids, ["prd_1", "prd_2"]);
    // Empty cells at the end may be missing.
    assert_eq!(row("clicks,notes\n3").unwrap().report.clicks, 3);
    assert_eq!(row("clicks,notes\n3,x,, ").unwrap().report.notes, "x");
}

#[test]
fn every_mistake_of_a_record_is_told_by_its_column() {
    let columns = |file: &str| {
        let errors = row(file).unwrap_err();
        errors.iter().map(|error| error.column.map_or("", Column::name)).collect::<Vec<_>>()
    };
    assert_eq!(
        columns("clicks,impressions,ran_from,product_count,notes\n1.5,\"1,000\",soon,99999999999,fine"),
        ["product_count", "ran_from", "impressions", "clicks"]
    );
    assert_eq!(columns("clicks,purchases\n+1,0x1"), ["clicks", "purchases"]);
    assert_eq!(columns(&format!("products\n{}", "x".repeat(2_049))), ["products"]);
    assert_eq!(columns(&format!("product_uids\n{}", "x|".repeat(1_001))), ["product_uids"]);
    assert_eq!(columns("notes,identifier,template\na\0,b\0,c\0"), ["identifier", "template", "notes"]);
    assert_eq!(columns("notes\nx,y"), [""]);
    assert_eq!(columns(&format!("notes\nx{}y", ",".repeat(MAX_CELLS))), [""]);
    assert_eq!(columns("notes\n\"x\"y"), [""]);
    let records = records(&[b"notes,type\n\xff,SP\n"]);
    let errors = read(&records[1], &Header::read(&records[0]).unwrap(), 1).unwrap_err();
    assert_eq!((errors.len(), errors[0].column), (1, Some(Column::Notes)));
}

/// What another parser, which is lenient, makes of a file.
fn oracle(file: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut reader = csv_core::Reader::new();
    let (mut output, mut ends) = (vec![0; file.len() + 1], vec![0; file.len() + 2]);
    let (mut rest, mut records) = (file, Vec::new());
    let (mut written, mut cells) = (0, 0);
    loop {
        let (result, read, out, ended) = reader.read_record(rest, &mut output[written..], &mut ends[cells..]);
        rest = &rest[read..];
        written += out;
        cells += ended;
        match result {
            ReadRecordResult::Record => {
                let starts = [0].into_iter().chain(ends[..cells].iter().copied());
                records.push(starts.zip(&ends[..cells]).map(|(start, &end)| output[start..end].to_vec()).collect());
                (written, cells) = (0, 0);
            }
            ReadRecordResult::End => return records,
            ReadRecordResult::InputEmpty => {}
            other => unreachable!("{other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn pieces_of_any_size_make_the_same_records(file in "[a,\"\r\n \u{feff}é]{0,60}", cuts in prop::collection::vec(0_usize..80, 0..6)) {
        let file = file.as_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(file.len())).collect();
        cuts.extend([0, file.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &file[cut[0]..cut[1]]).collect();
        prop_assert_eq!(records(&pieces), records(&[file]));
    }

    #[test]
    fn what_is_quoted_rightly_is_read_as_another_parser_reads_it(
        rows in prop::collection::vec(prop::collection::vec("[a,\"\r\n =é]{0,5}", 1..5), 0..5),
        end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
    ) {
        let mut file = String::new();
        for row in &rows {
            for (nth, cell) in row.iter().enumerate() {
                if nth > 0 { file.push(','); }
                // An empty record is no record.
                if row.len() == 1 && cell.is_empty() { file.push_str("\"\""); }
                write_cell(cell, ',', &mut file);
            }
            file.push_str(end);
        }
        let read: Vec<Vec<String>> = records(&[file.as_bytes()]).iter().map(texts).collect();
        prop_assert_eq!(&read, &rows);
        let told: Vec<Vec<String>> = oracle(file.as_bytes())
            .into_iter()
            .map(|row| row.into_iter().map(|cell| String::from_utf8(cell).unwrap()).collect())
            .collect();
        prop_assert_eq!(read, told);
    }

    #[test]
    fn any_bytes_are_read(file in prop::collection::vec(any::<u8>(), 0..200)) {
        for record in records(&[&file]) {
            if let Ok(header) = Header::read(&record) {
                let _ = read(&record, &header, 1);
            }
        }
    }

    #[test]
    fn lists_are_split_as_they_were_joined(entries in prop::collection::vec("[a|\\\\ é]{0,6}", 0..5)) {
        let joined = join_list(entries.iter().map(String::as_str));
        let kept: Vec<&str> = entries.iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty()).collect();
        prop_assert_eq!(split_list(&joined), kept);
    }

    #[test]
    fn a_report_that_is_written_is_read(
        notes in "[a,\"\r\n =é|]{0,20}",
        uids in prop::collection::vec("prd_[a-z0-9]{1,5}", 0..4),
        numbers: [u32; 3],
        seconds in -62_135_596_800_i64..253_402_300_800,
        micros in 0..1_000_000,
    ) {
        let report = ComboReport {
            template_uid: "mda_1".to_owned(),
            r#type: "SP".to_owned(),
            product_codes: vec!["AIR".to_owned(), "IPH".to_owned()],
            product_count: 2,
            audience: "WOMEN".to_owned(),
            ran_from: Some(prost_types::Timestamp { seconds, nanos: micros * 1_000 }),
            product_uids: uids.clone(),
            spend: "12.50".to_owned(),
            impressions: numbers[0].into(),
            clicks: numbers[1].into(),
            purchases: numbers[2].into(),
            notes,
            ..ComboReport::default()
        };
        let mut file = writer::header();
        let titles = uids.iter().map(|_| "Mug | \"small\"").collect();
        let identifier = "SP-AIR+IPH-2-WOMEN-001";
        writer::write(&NamedReport { identifier, template: "SP-1", titles, report: &report }, &mut file);
        let read = row(&file).unwrap();
        prop_assert_eq!((read.identifier.as_str(), &read.report), (identifier, &report));
        prop_assert_eq!(read.products, NamedProducts::ByUid);
    }
}
