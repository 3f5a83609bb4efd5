//! What a refused record means for rows that are made of several: an order is whole or it is not written.

use super::Loss::{Record, RowOfRecords};
use super::orders::{HEADER, MAPPING, consecutive, skus};
use super::*;
use crate::resource::ORDERS;

fn orders(name: &str, bytes: impl Into<Vec<u8>>, mapping: &str) -> Outcome<Order> {
    read_as(&ORDERS, name, bytes.into(), mapping).unwrap()
}

fn uids(outcome: &Outcome<Order>) -> Vec<&str> {
    outcome.rows.iter().map(|(_, order)| order.uid.as_str()).collect()
}

#[test]
fn an_order_of_which_a_record_is_refused_is_refused() {
    let mut bytes =
        format!("{HEADER}1,ann,a,1,,\n2,,b,2,,\n1,bob,c,three,,\n1,,d,4,,\n3,,e,x,,\n3,,f,5,,\n4,").into_bytes();
    // Which order this is of is known, although another cell cannot be read.
    bytes.extend(b"\xff,g,6,,\n5,,i,8,,\n");
    let outcome = orders("x.csv", bytes, MAPPING);
    assert_eq!(outcome.uids(), [(3, "ord_2"), (9, "ord_5")]);
    assert_eq!(
        outcome.refused,
        [
            (4, "line_items.quantity: is not a 32-bit integer: \"three\"".to_owned()),
            (6, "line_items.quantity: is not a 32-bit integer: \"x\"".to_owned()),
            (8, "who: is not UTF-8: \"\u{fffd}\"".to_owned()),
            (2, "uid: one of its records was refused: \"ord_1\"".to_owned()),
            (6, "uid: one of its records was refused: \"ord_3\"".to_owned()),
            (8, "uid: one of its records was refused: \"ord_4\"".to_owned()),
        ]
    );
    assert_eq!(outcome.losses, [Record, Record, Record, RowOfRecords, RowOfRecords, RowOfRecords]);
    assert_eq!((outcome.records, outcome.warnings), (8, vec![]));
}

#[test]
fn cells_that_are_missing_at_the_end_are_empty() {
    let text = format!("{HEADER}1,ann,a,1,York,x\n1,,Cup,2\n1,,b\n2,bob\n");
    for mapping in [MAPPING.to_owned(), consecutive()] {
        let outcome = orders("x.csv", text.as_str(), &mapping);
        assert_eq!(outcome.refused, []);
        assert_eq!(skus(outcome.order("ord_1")), [("a", 1), ("Cup", 2), ("b", 0)]);
        assert_eq!(outcome.order("ord_2").customer_id, "bob");
        let warned: Vec<u64> = outcome.warnings.iter().map(|(line, _, _)| *line).collect();
        assert_eq!(warned, [3, 4, 5]);
        assert!(outcome.warnings[0].1.starts_with("a record has fewer cells than the header"));
    }
}

#[test]
fn rows_of_delimiters_and_blanks_are_passed_over() {
    let text = format!("{HEADER},,,,,\n1,ann,a,1,,\n,\n  ,\t,,,,\n\"\",,,,,\n,,,,,,,,\n1,,b,2,,\n,,,,,\n");
    for mapping in [MAPPING.to_owned(), consecutive()] {
        let outcome = orders("x.csv", text.as_str(), &mapping);
        assert_eq!((outcome.records, &outcome.refused, &outcome.warnings), (2, &vec![], &vec![]));
        assert_eq!(skus(outcome.order("ord_1")), [("a", 1), ("b", 2)]);
    }
}

#[test]
fn surplus_cells_are_no_matter_while_they_are_empty() {
    let outcome = orders("x.csv", format!("{HEADER}1,ann,a,1,,,,\n1,,b,2,,, ,\"\"\n"), MAPPING);
    assert_eq!((outcome.refused.as_slice(), skus(outcome.order("ord_1"))), (&[][..], vec![("a", 1), ("b", 2)]));
}

/// Records that do not say which order they are of, each with the word of its refusal.
fn strays() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    vec![
        ("x.csv", b"1,ann,a, b,1,,x\n".to_vec(), "has more cells than the header, which has 6"),
        ("x.csv", b"\xff,,a,1,,\n".to_vec(), "order: is not UTF-8"),
        ("x.csv", b",,a,1,,\n".to_vec(), "uid: is empty"),
        ("x.csv", b",,a,x,,\n".to_vec(), "uid: is empty"),
        // The quote took a record in, or may have moved cells.
        ("x.csv", b"1,,\"a,1,,\n1,,x\"y,2,,\n".to_vec(), "continues after its closing quote"),
        ("x.csv", b"\"1\"2,,a,1,,\n".to_vec(), "order: continues after its closing quote"),
        ("x.csv", b"1,,\"a\"b,1\n".to_vec(), "continues after its closing quote"),
        ("x.jsonl", b"{\"order\":\"1\",\n".to_vec(), "is not JSON"),
        ("x.jsonl", b"{\"order\":\"1\"}{}\n".to_vec(), "is not JSON"),
        ("x.jsonl", b"[1]\n".to_vec(), "is not a JSON object"),
        ("x.jsonl", b"null\n".to_vec(), "is not a JSON object"),
        ("x.jsonl", b"{\"sku\":\"a\"}\n".to_vec(), "uid: is empty"),
        ("x.jsonl", b"{\"order\":null,\"sku\":\"a\"}\n".to_vec(), "uid: is empty"),
        ("x.jsonl", b"{\"order\":[\"1\"],\"sku\":\"a\"}\n".to_vec(), "uid: is a list"),
        ("x.jsonl", b"{\"order\":\"\xff\",\"sku\":\"a\"}\n".to_vec(), "is not UTF-8"),
        ("x.jsonl", b"{\"order\":\"1\xff".to_vec(), "is not UTF-8"),
        ("x.jsonl", b"{\"or\xffder\":\"1\",\"order\":\"2\"}\n".to_vec(), "is not UTF-8"),
    ]
}

/// A file of orders, with other bytes between some records.
fn file(name: &str, records: &[&str], stray: &[u8]) -> Vec<u8> {
    let mut bytes = if name == "x.csv" { HEADER.as_bytes().to_vec() } else { Vec::new() };
    for record in records {
        match (record.split_once(' '), name) {
            (None, _) => {
                bytes.extend(stray);
                if !stray.ends_with(b"\n") {
                    bytes.push(b'\n');
                }
            }
            (Some((order, sku)), "x.csv") => bytes.extend(format!("{order},,{sku},1,,\n").as_bytes()),
            (Some((order, sku)), _) => {
                bytes.extend(format!("{{\"order\":{order},\"sku\":\"{sku}\",\"count\":1}}\n").as_bytes());
            }
        }
    }
    bytes
}

#[test]
fn a_record_that_may_be_of_any_order_costs_every_order() {
    for (name, stray, problem) in strays() {
        let bytes = file(name, &["1 a", "2 b", "stray", "1 c", "stray", "3 d"], &stray);
        let outcome = orders(name, bytes, MAPPING);
        let context = String::from_utf8_lossy(&stray);
        assert_eq!(uids(&outcome), [""; 0], "{context}");
        assert!(outcome.refused[0].1.starts_with(problem), "{context}: {:?}", outcome.refused);
        let (records, rows) = outcome.refused_on().into_iter().partition::<Vec<_>, _>(|(_, loss)| *loss == Record);
        assert_eq!((records.len(), rows.len()), (2, 3), "{context}: {:?}", outcome.refused);
        let first = records[0].0;
        let text = format!(
            "uid: may contain a refused record that does not say which row it belongs to: \"the record of line \
             {first}\""
        );
        assert!(outcome.refused[2..].iter().all(|(_, refusal)| *refusal == text), "{:?}", outcome.refused);
        let warnings: Vec<_> =
            outcome.warnings.iter().filter(|(_, text, _)| text.contains("any order may lack it")).collect();
        assert_eq!((warnings.len(), warnings[0].0), (1, first), "{context}: it is told once, and at once");
    }
}

#[test]
fn where_records_stand_together_it_costs_the_orders_beside_it() {
    for (name, stray, _) in strays() {
        let context = String::from_utf8_lossy(&stray).into_owned();
        for (records, expected, lost) in [
            // Between two orders, within one, at the beginning, at the end, several together, alone.
            (&["1 a", "2 b", "stray", "3 c", "3 d", "4 e"][..], &["ord_1", "ord_4"][..], 2),
            (&["1 a", "2 b", "stray", "2 c", "3 d"], &["ord_1", "ord_3"], 1),
            (&["stray", "1 a", "1 b", "2 c"], &["ord_2"], 1),
            (&["1 a", "2 b", "stray"], &["ord_1"], 1),
            (&["1 a", "2 b", "stray", "stray", "3 c", "4 d"], &["ord_1", "ord_4"], 2),
            (&["1 a", "stray", "2 b", "stray", "3 c", "4 d"], &["ord_4"], 3),
            (&["1 a", "stray", "1 b", "stray", "2 c", "3 d"], &["ord_3"], 2),
            (&["stray"], &[], 0),
        ] {
            let outcome = orders(name, file(name, records, &stray), &consecutive());
            assert_eq!(uids(&outcome), expected, "{context} in {records:?}");
            let rows = outcome.losses.iter().filter(|loss| **loss == RowOfRecords).count();
            assert_eq!(rows, lost, "{context} in {records:?}: {:?}", outcome.refused);
            assert!(!outcome.warnings.iter().any(|(_, text, _)| text.contains("any order")), "{context}");
        }
    }
}

#[test]
fn a_record_whose_order_is_known_costs_that_order_alone() {
    for (name, bad) in [
        ("x.csv", &b"2,\xff,x,1,,\n"[..]),
        ("x.csv", b"2,,x,one,,\n"),
        // On one line and with as many cells as the header the quote moved nothing.
        ("x.csv", b"2,,\"x\" y,1,,\n"),
        ("x.jsonl", b"{\"order\":2,\"who\":\"\xff\",\"sku\":\"x\"}\n"),
        ("x.jsonl", b"{\"note\":\"\xff\",\"order\":2}\n"),
        ("x.jsonl", b"{\"order\":2,\"count\":\"one\"}\n"),
        ("x.jsonl", b"{\"order\":2,\"who\":[\"a\"]}\n"),
    ] {
        let context = String::from_utf8_lossy(bad);
        let bytes = file(name, &["1 a", "2 b", "stray", "2 c", "3 d"], bad);
        for mapping in [MAPPING.to_owned(), consecutive()] {
            let outcome = orders(name, bytes.clone(), &mapping);
            assert_eq!(uids(&outcome), ["ord_1", "ord_3"], "{context}");
            assert_eq!(outcome.losses, [Record, RowOfRecords], "{context}");
        }
    }
}

/// Of several rules for the key the first that gives something counts: one that cannot be asked is not passed over for
/// the next.
#[test]
fn a_key_that_cannot_be_read_is_not_taken_from_elsewhere() {
    let mapping = MAPPING.replace(
        "uid = { column = \"order\", prefix = \"ord_\" }",
        "uid = [{ column = \"order\", prefix = \"ord_\" }, { column = \"who\", prefix = \"ord_\" }]",
    );
    let bytes = [HEADER.as_bytes(), b"1,2,a,1,,\n\xff,2,b,1,,\n,2,c,1,,\n"].concat();
    let outcome = orders("x.csv", bytes, &mapping);
    assert_eq!(
        (uids(&outcome), outcome.losses.len()),
        (vec![], 3),
        "ord_1 may lack the second record, and so may ord_2"
    );
    // A later rule that cannot be asked does not matter.
    let bytes = [HEADER.as_bytes(), b"1,2,a,1,,\n1,\xff,b,1,,\n,2,c,1,,\n"].concat();
    assert_eq!(uids(&orders("x.csv", bytes, &mapping)), ["ord_2"]);
}

/// Products are what their records say together; one that is refused says nothing.
#[test]
fn where_no_record_makes_a_part_a_refused_record_costs_itself() {
    let mapping = format!("[group]\nby = \"uid\"\n{PLAIN}");
    let bytes = b"id,name\n1,\n2,\xff\n,x\n1,one\n2,two\n3,\xff\n4,a,b\n".to_vec();
    let outcome = read_bytes("x.csv", bytes, &mapping).unwrap();
    assert_eq!(outcome.lines(), [(2, "one"), (3, "two")]);
    assert_eq!(outcome.refused_on(), [(3, Record), (4, Record), (7, Record), (8, Record), (7, RowOfRecords)]);
    assert_eq!(outcome.refused[4].1, "uid: all its records were refused");
}

/// A file that cannot be read to its end gives no order that may go on behind.
#[test]
fn a_file_that_breaks_off_gives_only_whole_orders() {
    for mapping in [MAPPING.to_owned(), consecutive()] {
        let text = format!("{HEADER}1,ann,a,1,,\n2,,b,2,,\n2,,\"c,3,,\n");
        let parsed = Mapping::parse(Path::new("mapping.toml"), &mapping).unwrap();
        let input = Input::new("x.csv".into(), Box::new(Cursor::new(text)), None).unwrap();
        let mut rows = FileRows::open(&ORDERS, Path::new("x.csv"), input, None, Some(&parsed)).unwrap();
        let mut given = Vec::new();
        let error = loop {
            match rows.next() {
                Ok(Some(FileItem::Row(row))) => given.push(row.line),
                Ok(item) => panic!("{item:?}"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("the quote opened on line 4 is never closed"), "{error}");
        assert_eq!(given, if mapping == MAPPING { vec![] } else { vec![2] });
    }
}
