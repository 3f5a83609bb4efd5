//! Files as they come: packed, marked, cut short, in the wrong encoding, with line breaks in odd places.

use proptest::prelude::*;

use super::*;

#[test]
fn line_breaks_of_every_kind_give_the_same_records_with_true_lines() {
    let expected = vec![(2, "one"), (3, "two\nlines"), (7, "three"), (8, "")];
    let text = "id,name\n1,one\n2,\"two\nlines\"\n\n\n3,three\n4,\n";
    assert_eq!(read("x.csv", text, PLAIN).lines(), expected);
    let without_last = text.strip_suffix('\n').unwrap();
    assert_eq!(read("x.csv", without_last, PLAIN).lines(), expected);
    let windows = read("x.csv", &text.replace('\n', "\r\n"), PLAIN);
    let expected: Vec<_> = expected.into_iter().map(|(line, name)| (line, name.replace('\n', "\r\n"))).collect();
    assert_eq!(windows.lines(), expected.iter().map(|(line, name)| (*line, name.as_str())).collect::<Vec<_>>());
}

#[test]
fn a_byte_order_mark_and_gzip_change_nothing() {
    let text = "id,name\n1,£1 \u{feff}sign\n";
    let plain = read("x.csv", text, PLAIN);
    assert_eq!(plain.lines(), [(2, "£1 \u{feff}sign")]);
    let marked = format!("\u{feff}{text}");
    assert_eq!(read("x.csv", &marked, PLAIN), plain);
    assert_eq!(read_bytes("x.csv.gz", gzip(marked.as_bytes()), PLAIN).unwrap(), plain);
    // Its name does not matter, nor does it that gzip files may be appended to one another.
    let (one, other) = text.as_bytes().split_at(9);
    assert_eq!(read_bytes("x.csv", [gzip(one), gzip(other)].concat(), PLAIN).unwrap(), plain);
    let json = "\u{feff}{\"id\":1,\"name\":\"£1 \u{feff}sign\"}\n";
    assert_eq!(read("x.jsonl", json, PLAIN).rows[0].1, plain.rows[0].1);
}

#[test]
fn files_that_are_not_what_they_should_be_are_named() {
    assert_eq!(fault("x.csv", "", PLAIN), "x.csv is empty: a CSV file starts with a header");
    assert_eq!(fault("x.csv", "\n\n", PLAIN), "x.csv is empty: a CSV file starts with a header");
    assert_eq!(fault("x.csv", "id,title\n", PLAIN), "x.csv has no column `name`; its header has `id`, `title`");
    assert_eq!(fault("x.csv", "id,name,id\n", PLAIN), "x.csv has the column `id` twice");
    assert!(fault("x.xls", "", PLAIN).contains("--format csv"));
    assert!(fault("x.csv", "id\n", "").contains("--mapping"));
    let unmarked = read_bytes("x.csv", b"i\0d\0,\0n\0".to_vec(), PLAIN).unwrap_err();
    assert!(unmarked.to_string().contains("it looks like UTF-16"), "{unmarked}");
    let zip = read_bytes("x.csv", b"PK\x03\x04".to_vec(), PLAIN).unwrap_err();
    assert!(zip.to_string().contains("ZIP"));
    assert!(Input::open(Path::new("/nowhere/x.csv")).err().unwrap().to_string().contains("/nowhere/x.csv"));
}

#[test]
fn files_without_records_give_nothing() {
    assert_eq!(read("x.csv", "id,name\n", PLAIN), Outcome::default());
    assert_eq!(read("x.csv", "id,name", PLAIN), Outcome::default());
    assert_eq!(read("x.jsonl", "", PLAIN), Outcome::default());
    assert_eq!(read("x.jsonl", "", ""), Outcome::default());
    let grouped = format!("[group]\nby = \"uid\"\n{PLAIN}");
    assert_eq!(read("x.csv", "id,name\n", &grouped), Outcome::default());
}

#[test]
fn a_gzip_file_that_was_cut_short_gives_what_it_has_and_then_an_error() {
    let lines: Vec<String> = (0..20_000).map(|n| format!("{n},name {}", n * n)).collect();
    let text = format!("id,name\n{}\n", lines.join("\n"));
    let mut packed = gzip(text.as_bytes());
    packed.truncate(packed.len() / 2);
    let mapping = Mapping::parse(Path::new("m.toml"), PLAIN).unwrap();
    let input = Input::new("x.csv.gz".into(), Box::new(Cursor::new(packed)), None).unwrap();
    let mut rows = FileRows::open(&PRODUCTS, Path::new("x.csv.gz"), input, None, Some(&mapping)).unwrap();
    let mut count = 0;
    let error = loop {
        match rows.next() {
            Ok(Some(_)) => count += 1,
            Ok(None) => panic!("a file that was cut short looks whole"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(count > 1_000, "{count}");
    assert!(error.starts_with("x.csv.gz cannot be read after line"), "{error}");
}

#[test]
fn a_bad_record_costs_its_record() {
    let mut bytes = b"id,name,other\n1,one,\n2,caf\xe9,\n3,three,\xff\n4,four\n5,five,,x\n,six,\n7,seven,\n".to_vec();
    let outcome = read_bytes("x.csv", bytes.clone(), PLAIN).unwrap();
    // A column that is not read may hold anything.
    assert_eq!(outcome.lines(), [(2, "one"), (4, "three"), (5, "four"), (8, "seven")]);
    assert_eq!(
        outcome.refused,
        [
            (3, "name: is not UTF-8: \"caf\u{fffd}\"".to_owned()),
            (6, "has more cells than the header, which has 3: \"4\"".to_owned()),
            (7, "uid: is empty".to_owned()),
        ]
    );
    assert_eq!(outcome.records, 7);

    bytes = b"{\"id\":1,\"name\":\"one\"}\n\n{\"id\":2,\"name\":\"caf\xe9\"}\n{\"id\":3,\n[4]\n{\"id\":5,\"name\":[]}\n{\"id\":6}".to_vec();
    let outcome = read_bytes("x.jsonl", bytes, PLAIN).unwrap();
    assert_eq!(outcome.lines(), [(1, "one"), (7, "")]);
    let lines: Vec<(u64, &str)> =
        outcome.refused.iter().map(|(line, text)| (*line, text.split(": ").next().unwrap())).collect();
    assert_eq!(lines, [(3, "is not UTF-8"), (4, "is not JSON"), (5, "is not a JSON object"), (6, "name")]);
}

#[test]
fn a_quote_that_is_left_open_does_not_draw_the_file_into_memory() {
    let text = format!("id,name\n1,one\n2,\"{}", "line\n".repeat(4 * 1024 * 1024));
    let error = fault("x.csv", &text, PLAIN);
    let expected = "x.csv: the record that begins on line 3 has more than 16 MiB; a quote opens on line 3 and is not";
    assert!(error.starts_with(expected), "{error}");
    let error = fault("x.jsonl", &format!("{{\"id\":\"{}\"}}", "x".repeat(65 * 1024 * 1024)), PLAIN);
    assert_eq!(error, "x.jsonl: line 1 has more than 64 MiB");
}

#[test]
fn a_row_that_no_message_can_carry_is_refused() {
    let outcome = read("x.csv", &format!("id,name\n1,{}\n2,two\n", "x".repeat(15 * 1024 * 1024)), PLAIN);
    assert_eq!(outcome.lines(), [(3, "two")]);
    assert!(outcome.refused[0].1.starts_with("the row has more than 15 MiB"), "{:?}", outcome.refused);
}

#[test]
fn tabs_and_other_delimiters_are_read() {
    let expected = [(2, "a,b;c")];
    assert_eq!(read("x.tsv", "id\tname\n1\ta,b;c\n", PLAIN).lines(), expected);
    let mapping = format!("[source]\nformat = \"csv\"\ndelimiter = \"|\"\n{PLAIN}");
    assert_eq!(read("x.txt", "id|name\n1|a,b;c\n", &mapping).lines(), expected);
    assert!(fault("x.csv", "", &mapping.replace('|', "é")).contains("source.delimiter"));
    assert!(fault("x.csv", "", &mapping.replace("csv", "jsonl")).contains("is not allowed with JSONL"));
}

#[test]
fn json_that_is_shaped_as_the_message_needs_no_mapping() {
    let text = concat!(
        r#"{"uid":"prd_1","name":"one","status":{"phase":"active","details":{"n":1.5}},"labels":{"a":"b"},"#,
        r#""create_ts":"2026-01-02T03:04:05Z","update_ts":"2026-01-02T03:04:05Z","etag":"x"}"#,
        "\n{\"name\":\"no uid\"}\n{\"uid\":\"prd_2\",\"colour\":\"red\"}\n"
    );
    let outcome = read("x.jsonl", text, "");
    let product = outcome.product("prd_1");
    assert_eq!(product.create_ts.unwrap().seconds, 1_767_323_045);
    assert_eq!((product.update_ts, product.etag.as_str()), (None, ""), "output-only fields are passed over");
    assert_eq!(outcome.refused, [(2, "uid: is empty".to_owned()), (3, "colour: is not a field of Product".to_owned())]);
}

fn csv_field(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

proptest! {
    /// The same table as CSV and as JSONL gives the same products, refusals included, and true lines.
    #[test]
    fn csv_and_jsonl_agree(
        table in prop::collection::vec(("[A-Za-z0-9 _-]{0,6}", any::<String>(), "[a-c, ]{0,8}"), 0..20),
        grouped in any::<bool>(),
    ) {
        let mut mapping = String::from(
            "[fields]\nuid = { column = \"id\", transforms = [\"trim\", \"slug\"], prefix = \"prd_\", same = \"all\" \
             }\n\
             name = { column = \"name\", transforms = [\"trim\"] }\n\
             \"labels.tag/*\" = { column = \"tags\", split = \",\", transforms = [\"slug\"] }\n",
        );
        if grouped {
            mapping.insert_str(0, "[group]\nby = \"uid\"\n");
        }
        let mut csv = String::from("tags,id,name\n");
        let mut json = String::new();
        let mut lines = Vec::new();
        let mut line = 2;
        // What is empty is passed over in CSV alone.
        let is_blank = |record: &&(String, String, String)| {
            [&record.0, &record.1, &record.2].iter().all(|cell| cell.trim_ascii().is_empty())
        };
        for (id, name, tags) in table.iter().filter(|record| !is_blank(record)) {
            lines.push(line);
            let record = format!("{},{},{}\n", csv_field(tags), csv_field(id), csv_field(name));
            line += record.matches('\n').count() as u64;
            csv.push_str(&record);
            json.push_str(&serde_json::json!({ "name": name, "id": id, "tags": tags }).to_string());
            json.push('\n');
        }
        let mut csv = read("x.csv", &csv, &mapping);
        csv.warnings.clear();
        let mut json = read("x.jsonl", &json, &mapping);
        for line in json.rows.iter_mut().map(|(line, _)| line).chain(json.refused.iter_mut().map(|(line, _)| line)) {
            *line = lines[*line as usize - 1];
        }
        prop_assert_eq!(csv, json);
    }
}
