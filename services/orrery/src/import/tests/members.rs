//! Rows that belong to an owner: the tags of a product, in one cell or in several records.

use super::super::members::Member;
use super::*;
use crate::resource::{PRODUCT_TAGS, TAGS};

const FIELDS: &str = "product_uid = { column = \"id\" }\ntag_name = { column = \"tags\", split = \",\" }\n";
const GROUP: &str = "[group]\nby = \"product_uid\"\n";

fn open(name: &str, text: &str, mapping: &str, replaces: bool) -> anyhow::Result<FileRows> {
    let mapping = if mapping.is_empty() { None } else { Some(Mapping::parse(Path::new("mapping.toml"), mapping)?) };
    let input = Input::new(name.to_owned(), Box::new(Cursor::new(text.as_bytes().to_vec())), None)?;
    let mut rows = FileRows::open(&PRODUCT_TAGS, Path::new(name), input, None, mapping.as_ref())?;
    if replaces {
        rows.set_replace()?;
    }
    Ok(rows)
}

/// The rows as `line product tag`, with a `+` if they must be sent with the one before, and the refused lines.
fn rows_of(name: &str, text: &str, mapping: &str, replaces: bool) -> (Vec<String>, Vec<u64>) {
    let mut rows = open(name, text, mapping, replaces).unwrap();
    let (mut written, mut refused) = (Vec::new(), Vec::new());
    while let Some(item) = rows.next().unwrap() {
        match item {
            FileItem::Row(row) => {
                let Member { product_uid, tag_uid, tag_name, .. } = Member::decode(row.bytes).unwrap();
                let joins = if row.joins { "+" } else { "" };
                written.push(format!("{joins}{} {product_uid} {tag_uid}{tag_name}", row.line));
            }
            FileItem::Refused(line, ..) => refused.push(line),
            FileItem::Warning(_) => {}
        }
    }
    (written, refused)
}

#[test]
fn a_record_makes_a_row_for_each_part_and_each_row_has_its_line() {
    let mapping = format!("[fields]\n{FIELDS}");
    let text = "id,tags\na,\" x ,,y, X\"\na,\nb,x\na,y\n";
    assert_eq!(rows_of("x.csv", text, &mapping, false).0, ["2 a x", "2 a y", "4 b x", "5 a y"]);
    let json = "{\"id\":\"a\",\"tags\":[\"x, y\",\" z \",\"\"]}\n{\"id\":\"b\",\"tags\":\"x,y\"}\n{\"id\":\"c\"}\n";
    assert_eq!(rows_of("x.jsonl", json, &mapping, false).0, ["1 a x, y", "1 a z", "2 b x", "2 b y"]);

    let grouped = format!("{GROUP}{mapping}");
    assert_eq!(rows_of("x.csv", text, &grouped, false).0, ["2 a x", "2 a y", "4 b x"]);
    let text = "id,tags\na,x\nb,\na,\"y,z\"\n";
    assert_eq!(rows_of("x.csv", text, &grouped, false).0, ["2 a x", "4 a y", "4 a z"]);
    assert_eq!(rows_of("x.csv", text, &grouped, true).0, ["2 a x", "+4 a y", "+4 a z", "3 b "]);
}

#[test]
fn a_product_without_a_record_has_no_rows() {
    let mapping = format!("{GROUP}[fields]\n{FIELDS}at = {{ column = \"at\" }}").replace("at =", "create_ts =");
    let text = "id,tags,at\na,x,2020-01-01T00:00:00Z\na,y,yesterday\nb,x,\n";
    assert_eq!(rows_of("x.csv", text, &mapping, true), (vec!["4 b x".to_owned()], vec![3, 2]));
    let long = format!("id,tags\na,\"x,{}\"\nb,\"\0\"\n", "y".repeat(257));
    let mapping = format!("{GROUP}[fields]\n{FIELDS}");
    assert_eq!(rows_of("x.csv", &long, &mapping, true), (vec!["2 a x".to_owned(), "3 b ".to_owned()], vec![2, 3]));
}

#[test]
fn json_names_a_tag_by_uid_or_by_name() {
    let text = "{\"product_uid\":\"a\",\"tag_uid\":\"tag_1\",\"tag_name\":\"x\"}\n\
        {\"product_uid\":\"a\",\"tag_name\":\"x\"}\n{\"product_uid\":\"a\"}\n{\"tag_uid\":\"tag_1\"}\n\
        {\"product_uid\":\"a\",\"tag_uid\":\"tag_1\",\"rows\":[]}\n";
    let expected = ["1 a tag_1", "2 a x"].map(str::to_owned).to_vec();
    assert_eq!(rows_of("x.jsonl", text, "", false), (expected, vec![3, 4, 5]));
}

#[test]
fn what_a_mapping_of_tags_may_not_say_is_told() {
    let product = "product_uid = { column = \"id\" }\n";
    for (resource, fields, expected) in [
        (
            PRODUCT_TAGS,
            "tag_name = { column = \"a\" }".to_owned(),
            "fields.product_uid is missing: each product tag needs it",
        ),
        (
            PRODUCT_TAGS,
            product.to_owned(),
            "fields.tag_uid or fields.tag_name is missing: each product tag needs one of them",
        ),
        (
            PRODUCT_TAGS,
            format!(
                "{product}tag_name = {{ column = \"a\", split = \",\" }}\ntag_uid = {{ column = \"a\", split = \",\" }}"
            ),
            "fields: only one path can have `split`",
        ),
        (
            PRODUCT_TAGS,
            format!("{product}tag_name = [{{ column = \"a\", split = \",\" }}, {{ column = \"b\" }}]"),
            "fields.\"tag_name\": a path with `split` has one rule",
        ),
        (
            PRODUCT_TAGS,
            format!("{FIELDS}create_ts = {{ column = \"a\", on = \"create\" }}"),
            "fields.\"create_ts\": `on` is not needed: existing rows have nothing to update",
        ),
        (
            PRODUCT_TAGS,
            format!("{FIELDS}[[rows]]\n[rows.fields]\ntag_uid = {{ column = \"a\" }}"),
            "unknown section `rows`, expected `source`, `group` or `fields`",
        ),
        (
            PRODUCT_TAGS,
            format!("{FIELDS}line = {{ column = \"a\" }}"),
            "fields.\"line\": unknown field `line` of ProductTag",
        ),
        (TAGS, "labels.a = { column = \"a\" }".to_owned(), "fields.\"labels\": unknown setting"),
        (
            TAGS,
            "category_name = { column = \"a\" }".to_owned(),
            "fields.uid or fields.name is missing: each tag needs it",
        ),
        (
            TAGS,
            "name = { column = \"a\", split = \",\" }".to_owned(),
            "fields.\"name\": `split` needs a path that ends in `*`",
        ),
        (
            TAGS,
            "name = { column = \"a\" }\ncategory_name = { column = \"a\", on = \"create\" }".to_owned(),
            "fields.\"category_name\": `on` is not allowed, because it is written for itself",
        ),
        (
            PRODUCTS,
            "uid = { column = \"a\" }\nname = { column = \"b\", split = \",\" }".to_owned(),
            "fields.\"name\": `split` needs",
        ),
    ] {
        let error = fault_of(&resource, "x.csv", "id,a,b\n", &format!("[fields]\n{fields}"));
        assert!(error.starts_with(&format!("mapping.toml: {expected}")), "{fields}\ngives\n{error}");
    }
}

#[test]
fn a_tag_that_is_found_by_its_name_keeps_it() {
    let mask = |fields: &str| {
        let mapping = Mapping::parse(Path::new("mapping.toml"), &format!("[fields]\n{fields}")).unwrap();
        let input = Input::new("x.csv".into(), Box::new(Cursor::new("id,a\n")), None).unwrap();
        FileRows::open(&TAGS, Path::new("x.csv"), input, None, Some(&mapping)).unwrap().update_mask()
    };
    let (uid, name) = ("uid = { column = \"id\" }\n", "name = { column = \"a\" }\n");
    let category = "category_name = { column = \"a\" }\n";
    assert_eq!(mask(&format!("{uid}{name}{category}")), ["name"]);
    assert_eq!(mask(&format!("{name}{category}\"labels.x\" = {{ column = \"a\" }}")), ["labels.x"]);
    assert_eq!(mask(&format!("{name}{category}")), ["status.phase"], "which no row sets");
}
