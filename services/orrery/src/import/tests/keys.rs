//! Keys: different ones of a file stay different rows, or are refused with both named.

use super::*;
use crate::resource::ORDERS;

const BOTH: &str = "two different keys of the file become the same; the first one is used";

fn products(transforms: &str, settings: &str, grouped: bool) -> String {
    let group = if grouped { "[group]\nby = \"uid\"\n" } else { "" };
    format!(
        "{group}[fields]\nuid = {{ column = \"id\", transforms = [{transforms}], prefix = \"prd_\"{settings} }}\n\
         name = {{ column = \"name\" }}"
    )
}

#[test]
fn two_keys_that_become_one_are_refused_with_both_named() {
    for (transforms, ids, uid) in [
        ("\"slug\"", ["شاي-7-1", "قهوة-7-1"], "prd_-7-1"),
        ("\"slug\"", ["café-noir", "caf-noir"], "prd_caf-noir"),
        ("\"slug\"", ["A+", "A-"], "prd_a-"),
        ("\"slug\"", ["№1004", "注文1004"], "prd_-1004"),
        ("\"lower\"", ["AB", "ab"], "prd_ab"),
        ("\"trim\", \"upper\"", [" AB", "ab"], "prd_AB"),
        ("{ strip-prefix = \"#\" }", ["#1", "1"], "prd_1"),
        ("{ strip-suffix = \".0\" }", ["1.0", "1"], "prd_1"),
        ("{ trim-characters = \"-\" }", ["-1", "1-"], "prd_1"),
        ("{ truncate = 2 }", ["123", "124"], "prd_12"),
        ("{ map = { \"*\" = \"x\" } }", ["1", "2"], "prd_x"),
        ("{ replace = { _ = \"-\" } }, \"key\"", ["a_b", "a-b"], "prd_a-b"),
        ("\"decimal\"", ["1", "1."], "prd_1"),
    ] {
        for grouped in [false, true] {
            let mapping = products(transforms, "", grouped);
            let [first, second] = ids;
            let text = format!("id,name\n{first},one\n{second},two\n{first},one\n{second},two\n");
            let outcome = read("x.csv", &text, &mapping);
            let refusal = |line: u64| {
                let (first, second) = (first.trim(), second.trim());
                (line, format!("uid: {BOTH}: \"{second} and {first} (line 2) would both become {uid}\""))
            };
            assert_eq!(outcome.refused, [refusal(3), refusal(5)], "{mapping}");
            let rows = if grouped { vec![(2, "one")] } else { vec![(2, "one"), (4, "one")] };
            assert_eq!(outcome.lines(), rows, "the same key may come again: {mapping}");
            // The same whatever the file is.
            let json = ids.map(|id| serde_json::json!({ "id": id, "name": "x" }).to_string()).join("\n");
            assert_eq!(read("x.jsonl", &json, &mapping).refused.len(), 1, "{mapping}");
        }
    }
}

#[test]
fn a_key_that_keeps_apart_refuses_nothing() {
    let ids = [
        "شاي-7-1",
        "قهوة-7-1",
        "شاي",
        "café-noir",
        "caf-noir",
        "A+",
        "A-",
        "a-",
        "A",
        "a",
        "№1004",
        "注文1004",
        "1004",
    ];
    let text = ids.iter().fold("id,name\n".to_owned(), |text, id| text + &format!("{id},{id}\n"));
    for transforms in ["\"key\"", "\"trim\", \"key\""] {
        let outcome = read("x.csv", &text, &products(transforms, "", true));
        assert_eq!((outcome.refused.as_slice(), outcome.rows.len()), (&[][..], ids.len()));
        assert!(ids.iter().zip(&outcome.rows).all(|(id, (_, product))| product.name == *id));
    }
    // One text, whether its characters are composed or not, and with white space around it or without.
    let outcome =
        read("x.csv", "id,name\ncafe\u{301},one\n caf\u{e9} ,two\n", &products("\"trim\", \"key\"", "", true));
    assert_eq!((outcome.refused.as_slice(), outcome.lines()), (&[][..], vec![(2, "one")]));
}

#[test]
fn several_columns_may_hold_one_key_and_make_one_of_two() {
    let mapping = "[fields]\nuid = [{ column = \"id\", prefix = \"prd_a\" }, { column = \"name\", prefix = \"prd_\" }]";
    let outcome = read("x.csv", "id,name\n1,\n,a1\n2,\n,b\n", mapping);
    assert_eq!(outcome.refused, [(3, format!("uid: {BOTH}: \"a1 and 1 (line 2) would both become prd_a1\""))]);
    let outcome = read("x.csv", "id,name\n1,\n,1\n", &mapping.replace("prd_a", "prd_"));
    assert_eq!((outcome.rows.len(), outcome.refused.len()), (2, 0), "it is the same text");
}

#[test]
fn a_mapping_says_which_different_texts_are_one_key() {
    let text = "id,name\nAB-1,one\nab-1,two\nab 1,three\n";
    let letters = read("x.csv", text, &products("\"lower\", \"slug\"", ", same = \"letter-case\"", true));
    assert_eq!(letters.lines(), [(2, "one")]);
    assert_eq!(letters.refused, [(4, format!("uid: {BOTH}: \"ab 1 and ab-1 (line 2) would both become prd_ab-1\""))]);
    let all = read("x.csv", text, &products("\"slug\"", ", same = \"all\"", true));
    assert_eq!((all.lines(), all.refused.len()), (vec![(2, "one")], 0));
}

const ORDER_LINES: &str = r#"
[group]
by = "uid"
[fields]
uid = { column = "order", transforms = ["slug"], prefix = "ord_" }
[[line_items]]
[line_items.fields]
uid = { column = "line", transforms = ["slug"], prefix = "oli_" }
product_uid = { column = "sku", transforms = ["slug"], prefix = "prd_" }
quantity = { column = "count" }
"#;

fn orders(text: &str, mapping: &str) -> Outcome<Order> {
    read_as(&ORDERS, "x.csv", format!("order,line,sku,count\n{text}").into_bytes(), mapping).unwrap()
}

#[test]
fn an_order_keeps_its_lines_when_another_one_wants_its_uid() {
    let outcome = orders("A+,1,a,1\nA-,2,b,1\nA+,3,c,1\nB,4,d,1\n", ORDER_LINES);
    assert_eq!(outcome.uids(), [(2, "ord_a-"), (5, "ord_b")]);
    let lines: Vec<&str> = outcome.order("ord_a-").line_items.iter().map(|line| line.uid.as_str()).collect();
    assert_eq!(lines, ["oli_1", "oli_3"]);
    assert_eq!(outcome.refused, [(3, format!("uid: {BOTH}: \"A- and A+ (line 2) would both become ord_a-\""))]);
}

#[test]
fn lines_and_what_they_point_at_are_kept_apart_too() {
    // The uid of a line is one within its order.
    let outcome = orders("1,A+,x,1\n2,A-,x,1\n3,A+,x,1\n3,A-,y,1\n", ORDER_LINES);
    assert_eq!(outcome.uids(), [(2, "ord_1"), (3, "ord_2")]);
    assert_eq!(
        outcome.refused,
        [
            (5, format!("line_items.uid: {BOTH}: \"A- and A+ (line 4) would both become oli_a-\"")),
            (4, "uid: one of its records was refused: \"ord_3\"".to_owned()),
        ],
        "an order that lacks a line is a wrong one"
    );
    // A product is one everywhere.
    let outcome = orders("1,1,A+,1\n1,2,A+,2\n2,1,A-,1\n", ORDER_LINES);
    assert_eq!(outcome.uids(), [(2, "ord_1")]);
    assert_eq!(
        outcome.refused[0].1,
        format!("line_items.product_uid: {BOTH}: \"A- and A+ (line 2) would both become prd_a-\"")
    );
}

#[test]
fn records_of_one_group_have_one_key() {
    let mapping = |pick: &str| {
        format!(
            "[group]\nby = \"annotations.shelf\"\n[fields]\nuid = {{ column = \"id\", prefix = \"prd_\"{pick} }}\n\
             \"annotations.shelf\" = {{ column = \"name\", transforms = [\"lower\"] }}"
        )
    };
    let text = "id,name\n1,a\n1,a\n2,a\n3,A\n4,b\n";
    let outcome = read("x.csv", text, &mapping(""));
    assert_eq!(
        outcome.rows.iter().map(|(line, product)| (*line, product.uid.as_str())).collect::<Vec<_>>(),
        [(2, "prd_1"), (6, "prd_4")]
    );
    assert_eq!(
        outcome.refused,
        [
            (4, format!("uid: {BOTH}: \"prd_2 and prd_1 (line 2) would both become a\"")),
            (5, format!("annotations.shelf: {BOTH}: \"A and a (line 2) would both become a\"")),
        ]
    );
    // The fields that form groups may be declared to be the same too.
    let same = mapping("").replace("[\"lower\"]", "[\"lower\"], same = \"letter-case\"");
    let outcome = read("x.csv", "id,name\n1,a\n1,A\n2,b\n", &same);
    assert_eq!((outcome.rows.len(), outcome.refused.len()), (2, 0));
    // A mapping may state whose key counts.
    let outcome = read("x.csv", "id,name\n1,a\n2,a\n", &mapping(", pick = \"last\""));
    assert_eq!((outcome.rows[0].1.uid.as_str(), outcome.refused.len()), ("prd_2", 0));
}

#[test]
fn a_record_that_is_refused_takes_no_key() {
    let mapping = products("\"slug\"", "", false) + "\ncreate_ts = { column = \"at\", optional = true }";
    let outcome = read("x.csv", "id,name,at\nA+,x,never\nA-,y,\n", &mapping);
    assert_eq!((outcome.lines(), outcome.refused.len()), (vec![(3, "y")], 1));
}

#[test]
fn a_key_that_could_be_none_is_refused_when_the_mapping_is_read() {
    for (rule, expected) in [
        ("{ value = \"prd_1\" }", "fields.\"uid\": a constant would merge all records into one row"),
        (
            "{ column = \"id\", transforms = [{ default = \"prd_1\" }] }",
            "fields.\"uid\": `default` would merge all records without a key into one row",
        ),
        (
            "{ column = \"id\", same = \"letters\" }",
            "fields.\"uid\": unknown name `letters`, expected `letter-case` or `all`",
        ),
        ("{ column = \"id\", on = \"create\" }", "fields.\"uid\": `on` is not allowed for the key"),
    ] {
        let error = fault("x.csv", "id,name\n", &format!("[fields]\nuid = {rule}"));
        assert_eq!(
            error.strip_prefix("mapping.toml: ").map(|error| error.starts_with(expected)),
            Some(true),
            "{error}"
        );
    }
    let error = fault("x.csv", "id,name\n", &format!("{PLAIN}\n\"labels.x\" = {{ column = \"id\", same = \"all\" }}"));
    assert!(error.contains("`same` needs a uid, or the field of group.by, that is made from a column"), "{error}");
}
