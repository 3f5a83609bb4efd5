//! What `[source]` says of a file: its encoding, its quotes and what separates its cells.

use encoding_rs::Encoding;

use super::*;

fn with_source(settings: &str) -> String {
    format!("[source]\n{settings}\n{PLAIN}")
}

fn utf16(text: &str, bytes: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

#[test]
fn a_file_is_read_in_the_encoding_that_the_mapping_names() {
    for (label, text) in [
        ("windows-1252", "Crème brûlée, £1 – “new” €2"),
        ("latin1", "Crème brûlée, £1"),
        ("ISO-8859-1", "Crème brûlée, £1"),
        ("iso-8859-15", "Crème €2"),
        ("shift_jis", "茶碗 ソ表"),
        ("Windows-31J", "茶碗 ①"),
        ("gb18030", "茶碗 €"),
        ("big5", "茶碗"),
        ("euc-kr", "찻잔"),
        ("koi8-r", "Чашка"),
        ("UTF-8", "茶碗 €"),
    ] {
        let csv = format!("id,name\r\n1,\"{text}\"\r\n2,two\r\n");
        let (bytes, _, lossy) = Encoding::for_label(label.as_bytes()).unwrap().encode(&csv);
        assert!(!lossy, "{label}");
        let mapping = with_source(&format!("encoding = \"{label}\""));
        let outcome = read_bytes("x.csv", bytes.to_vec(), &mapping).unwrap();
        assert_eq!(outcome.lines(), [(2, text), (3, "two")], "{label}");
        let outcome = read_bytes("x.csv.gz", gzip(&bytes), &mapping).unwrap();
        assert_eq!(outcome.lines(), [(2, text), (3, "two")], "{label}, gzip");
        let json = format!("{{\"id\":1,\"name\":{}}}\n", serde_json::json!(text));
        let (bytes, _, _) = Encoding::for_label(label.as_bytes()).unwrap().encode(&json);
        assert_eq!(read_bytes("x.jsonl", bytes.to_vec(), &mapping).unwrap().lines(), [(1, text)], "{label}, JSONL");
    }
}

#[test]
fn utf_16_is_read_with_and_without_a_mark_and_the_mark_counts_more() {
    let text = "id,name\r\n1,\"茶碗\n😀\"\r\n";
    let expected = [(2, "茶碗\n😀")];
    let marked = format!("\u{feff}{text}");
    let (little, big) = (utf16(&marked, u16::to_le_bytes), utf16(&marked, u16::to_be_bytes));
    for mapping in [PLAIN.to_owned(), with_source("encoding = \"utf-16\""), with_source("encoding = \"windows-1252\"")]
    {
        for bytes in [&little, &big, &marked.clone().into_bytes()] {
            assert_eq!(read_bytes("x.csv", bytes.clone(), &mapping).unwrap().lines(), expected, "{mapping}");
        }
    }
    for (label, bytes) in [("utf-16le", &little), ("utf-16", &little), ("utf-16be", &big)] {
        let mapping = with_source(&format!("encoding = \"{label}\""));
        assert_eq!(read_bytes("x.csv", bytes[2..].to_vec(), &mapping).unwrap().lines(), expected, "{label}");
    }
    // What an export writes needs no mapping; a mark is enough.
    let json = utf16("\u{feff}{\"uid\":\"prd_1\",\"name\":\"茶碗\"}\n", u16::to_le_bytes);
    assert_eq!(read_bytes("x.jsonl", json, "").unwrap().lines(), [(1, "茶碗")]);
}

#[test]
fn what_is_malformed_is_refused_by_record_and_never_replaced() {
    let mapping = with_source("encoding = \"shift_jis\"");
    // A first byte whose second is missing; the comma behind it is one.
    let outcome =
        read_bytes("x.csv", b"id,name\n1,a\x81\n2,\x81,\n3,\x83\x5c\n\x81,x\n4,four\n".to_vec(), &mapping).unwrap();
    assert_eq!(outcome.lines(), [(4, "ソ"), (6, "four")]);
    let refused = |field: &str, shown: &str| format!("{field}: is not Shift_JIS: {shown:?}");
    assert_eq!(
        outcome.refused,
        [(2, refused("name", "a\u{fffd}")), (3, refused("name", "\u{fffd}")), (5, refused("id", "\u{fffd}"))]
    );
    // Half a pair of surrogates, and half a unit at the end.
    let mut bytes = utf16("id,name\n1,", u16::to_le_bytes);
    bytes.extend([0x3d, 0xd8]);
    bytes.extend(utf16("\n2,two\n3,three", u16::to_le_bytes));
    bytes.push(b'x');
    let outcome = read_bytes("x.csv", bytes, &with_source("encoding = \"utf-16le\"")).unwrap();
    assert_eq!(outcome.lines(), [(3, "two")]);
    assert_eq!(outcome.refused.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 4]);
    let error = read_bytes("x.csv", b"id,na\x81\n".to_vec(), &mapping).unwrap_err();
    assert!(format!("{error:#}").starts_with("the header of x.csv is not Shift_JIS"), "{error:#}");
    // Every byte means something there.
    let mapping = with_source("encoding = \"windows-1252\"");
    let all: Vec<u8> = (0x80..=0xff).collect();
    let outcome = read_bytes("x.csv", [b"id,name\n1,", &all[..], b"\n"].concat(), &mapping).unwrap();
    assert_eq!((outcome.rows.len(), outcome.refused.len()), (1, 0));
}

#[test]
fn a_file_that_does_not_quote_is_read_as_it_stands() {
    let text = "id\tname\n1\t\"Big\" lamp\n2\t\"Screen 27\n3\tScreen 27\"\n4\t\"\"\n5\t\"x\"\n";
    let mapping = with_source("quoting = \"none\"");
    let expected = [(2, "\"Big\" lamp"), (3, "\"Screen 27"), (4, "Screen 27\""), (5, "\"\""), (6, "\"x\"")];
    let outcome = read("x.tsv", text, &mapping);
    assert_eq!((outcome.lines(), outcome.warnings.len()), (expected.to_vec(), 0));
    // Without the setting the records that a quote takes in are told, and so is what goes on behind a quote.
    for mapping in [PLAIN.to_owned(), with_source("quoting = \"double\"")] {
        let outcome = read("x.tsv", text, &mapping);
        assert_eq!(outcome.lines(), [(3, "Screen 27\n3\tScreen 27"), (5, ""), (6, "x")]);
        assert_eq!(outcome.refused.len(), 1);
        assert!(
            outcome.refused[0]
                .1
                .starts_with("name: continues after its closing quote; if the file does not use quotes, set")
        );
        let [(line, text, value)] = &outcome.warnings[..] else { panic!("{:?}", outcome.warnings) };
        assert_eq!((*line, value.as_str()), (3, "to line 4"));
        assert!(
            text.contains("lines that look like records; if the file does not use quotes, set quoting = \"none\""),
            "{text}"
        );
    }
    assert!(
        fault("x.jsonl", "", &with_source("quoting = \"double\"")).contains("source.quoting is not allowed with JSONL")
    );
}

#[test]
fn a_first_line_says_what_separates_the_cells() {
    let expected = [(3, "a,b")];
    for (text, mapping) in [
        ("sep=;\nid;name\n1;a,b\n", PLAIN.to_owned()),
        ("sep=;\r\nid;name\r\n1;a,b\r\n", PLAIN.to_owned()),
        ("SEP=|\rid|name\r1|a,b\r", PLAIN.to_owned()),
        ("\u{feff}sep=\t\nid\tname\n1\ta,b\n", PLAIN.to_owned()),
        // The file knows better than the mapping.
        ("sep=;\nid;name\n1;a,b\n", with_source("delimiter = \"|\"")),
    ] {
        assert_eq!(read("x.csv", text, &mapping).lines(), expected, "{text}");
    }
    let little = utf16("\u{feff}sep=;\r\nid;name\r\n1;a,b\r\n", u16::to_le_bytes);
    assert_eq!(read_bytes("x.csv", little, PLAIN).unwrap().lines(), expected);
    // Not that: a column of that name, a quote, nothing.
    assert_eq!(read("x.csv", "sep=;,id,name\nx,1,one\n", PLAIN).lines(), [(2, "one")]);
    assert!(fault("x.csv", "sep=\"\nid,name\n", PLAIN).contains("has no column `name`"));
    assert!(fault("x.csv", "sep=\nid,name\n", PLAIN).contains("has no column `name`"));
    assert_eq!(fault("x.csv", "sep=;\n", PLAIN), "x.csv is empty: a CSV file starts with a header");
}

#[test]
fn a_quoted_cell_that_took_records_in_is_told_of_a_refused_record_too() {
    let outcome = read("x.csv", "id,name,x\n1,\"Lamp,2\n2,Screen 27\",3,4\n", PLAIN);
    assert_eq!((outcome.refused.len(), outcome.warnings[0].0), (1, 2));
}

#[test]
fn a_header_of_too_many_columns_is_refused() {
    assert_eq!(fault("x.csv", &",".repeat(100_000), PLAIN), "x.csv is empty: a CSV file starts with a header");
    assert_eq!(fault("x.csv", &"x,".repeat(100_000), PLAIN), "x.csv has more than 100000 columns");
}

#[test]
fn a_line_of_too_many_values_is_refused() {
    let text =
        format!("{{\"id\":\"1\",\"name\":\"one\",\"x\":[{}]}}\n{{\"id\":\"2\"}}\n", vec!["0"; 4_200_000].join(","));
    let outcome = read("x.jsonl", &text, PLAIN);
    assert_eq!(outcome.lines(), [(2, "")]);
    assert_eq!(outcome.refused, [(1, "has more than 4194304 values".to_owned())]);
}
