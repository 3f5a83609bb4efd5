//! What a mapping may say, what comes of it, and how it is told what it may not.

use super::*;

fn fields(rules: &str) -> String {
    format!("[fields]\nuid = {{ column = \"id\", prefix = \"prd_\" }}\n{rules}")
}

#[test]
fn every_kind_of_field_is_reached() {
    let mapping = fields(
        r#"
        "status.phase" = { value = "active" }
        "status.details.origin.note" = { column = "note" }
        "labels.app.kubernetes.io/name" = { column = "note", transforms = ["upper"] }
        create_ts = { column = "at", transforms = [{ timestamp = { format = "%d/%m/%Y %H:%M", zone = "Europe/London" } }] }
        "annotations.at" = { column = "at", transforms = [{ timestamp = { format = "%d/%m/%Y %H:%M", zone = "Europe/London" } }] }
        "#,
    );
    let outcome = read("x.csv", "id,note,at\n1,hello,01/06/2011 08:26\n2,,\n3,x,1st of June\n", &mapping);
    let product = outcome.product("prd_1");
    let status = product.status.as_ref().unwrap();
    assert_eq!(status.phase, "active");
    let note = &status.details.as_ref().unwrap().fields["origin.note"];
    assert_eq!(note.kind, Some(prost_types::value::Kind::StringValue("hello".into())));
    assert_eq!(sorted(&product.labels), [("app.kubernetes.io/name", "HELLO")].into());
    assert_eq!(product.create_ts.unwrap().seconds, 1_306_913_160);
    assert_eq!(sorted(&product.annotations), [("at", "2011-06-01T07:26:00Z")].into());
    let bare = outcome.product("prd_2");
    assert!(bare.labels.is_empty() && bare.create_ts.is_none() && bare.annotations.is_empty());
    assert_eq!(outcome.refused[0].1, "annotations.at: is not a time of the format \"%d/%m/%Y %H:%M\": \"1st of June\"");
}

#[test]
fn a_leap_second_is_refused_wherever_a_time_stands() {
    const LEAP_SECOND: &str =
        "create_ts: is a leap second (60 seconds), which cannot be stored: \"2016-12-31T23:59:60Z\"";
    let json = "{\"uid\":\"prd_1\",\"create_ts\":\"2016-12-31T23:59:60Z\"}\n{\"uid\":\"prd_2\",\"create_ts\":\"2016-12-31T23:59:59.9Z\"}";
    let plain = read("x.jsonl", json, "");
    assert_eq!(plain.refused, [(1, LEAP_SECOND.to_owned())]);
    assert_eq!(plain.product("prd_2").create_ts.unwrap().nanos, 900_000_000);
    for transforms in ["", ", transforms = [{ timestamp = { format = \"rfc3339\" } }]"] {
        let mapping =
            format!("[fields]\nuid = {{ column = \"uid\" }}\ncreate_ts = {{ column = \"create_ts\"{transforms} }}");
        assert_eq!(read("x.jsonl", json, &mapping).refused, plain.refused);
    }
}

#[test]
fn json_columns_are_keys_and_paths_to_them() {
    let mapping = fields(
        r#"
        name = { column = "title.en" }
        "annotations.price" = { column = "variant.price", transforms = ["decimal"] }
        "annotations.live" = { column = "live" }
        "annotations.raw" = { column = "variant" }
        "labels.*" = { column = "tags", transforms = ["slug"] }
        "#,
    );
    let text = concat!(
        r#"{"id":12345678901234567890,"title":{"en":"one"},"variant":{"price":12.50},"live":true,"tags":["Red","Blue "]}"#,
        "\n",
        r#"{"id":"2","title.en":"two","variant":null}"#,
    );
    let outcome = read("x.jsonl", text, &mapping);
    let product = outcome.product("prd_12345678901234567890");
    assert_eq!(product.name, "one");
    assert_eq!(
        sorted(&product.annotations),
        [("price", "12.50"), ("live", "true"), ("raw", "{\"price\":12.50}")].into(),
        "digits are kept as they stand"
    );
    assert_eq!(sorted(&product.labels), [("red", "Red"), ("blue-", "Blue")].into());
    assert_eq!(outcome.product("prd_2").name, "two");
}

#[test]
fn a_group_takes_from_its_records_what_each_rule_picks() {
    let mapping = format!(
        "[group]\nby = \"uid\"\n{}",
        fields(
            r#"
            name = { column = "text" }
            "annotations.first" = { column = "text", pick = "first" }
            "annotations.first-non-empty" = { column = "text", pick = "first-non-empty" }
            "annotations.last" = { column = "text", pick = "last" }
            "annotations.last-non-empty" = { column = "text", pick = "last-non-empty" }
            create_ts = { column = "at", pick = "earliest", transforms = [{ timestamp = { format = "%Y-%m-%d", zone = "UTC" } }] }
            "#
        )
    );
    // Of a record that is refused nothing goes in: its text would otherwise be the last.
    let text = "id,text,at\n1,,2012-01-01\n2,x,\n1,b,2010-01-01\n1,c,2011-01-01\n1,,\nbad,,x\n1,never,1999\n";
    let outcome = read("x.csv", text, &mapping);
    assert_eq!(outcome.lines(), [(2, "b"), (3, "x")]);
    let product = outcome.product("prd_1");
    assert_eq!(sorted(&product.annotations), [("first-non-empty", "b"), ("last-non-empty", "c")].into());
    assert_eq!(product.create_ts.unwrap().seconds, 1_262_304_000);
    assert_eq!(outcome.refused.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [7, 8, 7]);
    assert_eq!(outcome.losses, [Loss::Record, Loss::Record, Loss::RowOfRecords], "one product had no other record");
    let latest = read("x.csv", text, &mapping.replace("earliest", "latest"));
    assert_eq!(latest.product("prd_1").create_ts.unwrap().seconds, 1_325_376_000);
}

#[test]
fn a_wrong_mapping_is_told_its_file_the_setting_and_what_is_allowed() {
    let rule = |rule: &str| fields(&format!("name = {rule}"));
    for (mapping, expected) in [
        ("[fields\n".to_owned(), "mapping.toml:1: "),
        (
            format!("{PLAIN}\n[mapping]\n"),
            "mapping.toml: unknown section `mapping`, expected `source`, `group` or `fields`",
        ),
        (String::from("[group]\nby = \"uid\""), "mapping.toml: the section [fields] is missing"),
        (
            format!("[source]\nformt = \"csv\"\n{PLAIN}"),
            "mapping.toml: source: unknown setting `formt`, expected one of `format`, `delimiter`, `quoting`, ",
        ),
        (
            format!("[source]\nquoting = \"single\"\n{PLAIN}"),
            "mapping.toml: source: unknown name `single`, expected `double` or `none`",
        ),
        (
            format!("[source]\nencoding = \"klingon\"\n{PLAIN}"),
            "mapping.toml: source: unknown encoding `klingon`, expected a label of the WHATWG standard, such as \
             `utf-8`",
        ),
        (
            format!("[source]\nformat = \"xml\"\n{PLAIN}"),
            "mapping.toml: source: unknown name `xml`, expected `csv` or `jsonl`",
        ),
        (
            format!("[group]\nby = \"id\"\n{PLAIN}"),
            "mapping.toml: group.by: \"id\" is not a path of [fields] with a single value",
        ),
        (
            rule("{ colum = \"name\" }"),
            "mapping.toml: fields.\"name\": unknown setting `colum`, expected one of `column`, ",
        ),
        (
            rule("{ column = \"name\", transforms = [\"slugg\"] }"),
            "mapping.toml: fields.\"name\": unknown name `slugg`, expected one of `trim`, `lower`, ",
        ),
        (
            rule(
                "{ column = \"name\", transforms = [{ timestamp = { format = \"%Y\", zone = \"Europe/Atlantis\" } }] }",
            ),
            "mapping.toml: fields.\"name\": zone \"Europe/Atlantis\" is not a zone",
        ),
        (
            rule("{ column = \"name\", transforms = [{ timestamp = { format = \"%Y\", zome = \"UTC\" } }] }"),
            "mapping.toml: fields.\"name\": unknown setting `zome`, expected one of `format`, `zone`, `clock-change`",
        ),
        (
            rule("{ column = \"name\", transforms = [{ map = {} }] }"),
            "mapping.toml: fields.\"name\": transforms: map needs",
        ),
        (rule("{}"), "mapping.toml: fields.\"name\": needs `column` or `value`"),
        (rule("{ column = \"name\", value = \"x\" }"), "mapping.toml: fields.\"name\": has both `column` and `value`"),
        (
            rule("{ value = \"x\", transforms = [\"trim\"] }"),
            "mapping.toml: fields.\"name\": `transforms` needs `column`",
        ),
        (rule("{ value = \"x\", prefix = \"y\" }"), "mapping.toml: fields.\"name\": `prefix` needs `column`"),
        (rule("{ value = \"x\", optional = true }"), "mapping.toml: fields.\"name\": `optional` needs `column`"),
        (
            rule("{ column = \"name\", split = \",\" }"),
            "mapping.toml: fields.\"name\": `split` needs a path that ends in `*`",
        ),
        (
            rule("{ column = \"name\", pick = \"first\" }"),
            "mapping.toml: fields.\"name\": `pick` is not allowed without [group]",
        ),
        (
            format!("[group]\nby = \"uid\"\n{}", rule("{ column = \"name\", pick = \"earliest\" }")),
            "mapping.toml: fields.\"name\": `pick`: `earliest` and `latest` need a time",
        ),
        (
            fields("title = { column = \"name\" }"),
            "mapping.toml: fields.\"title\": unknown field `title` of Product, expected one of `uid`, `name`, \
             `status`, `labels`, ",
        ),
        (
            fields("status = { column = \"name\" }"),
            "mapping.toml: fields.\"status\": `status` is a message: use one of its fields `status.phase`, \
             `status.details`",
        ),
        (
            fields("status.phase = { column = \"name\" }"),
            "mapping.toml: fields.\"status\": unknown setting `phase`, expected one of",
        ),
        (fields("labels = { column = \"name\" }"), "mapping.toml: fields.\"labels\": `labels` is a map: add a key"),
        (
            fields("\"labels.x\" = { column = \"name\", split = \",\" }"),
            "mapping.toml: fields.\"labels.x\": `split` needs",
        ),
        (
            fields("\"labels.*\" = { value = \"x\" }"),
            "mapping.toml: fields.\"labels.*\": a path that ends in `*` needs `column`",
        ),
        (
            fields("\"status.details\" = { value = \"x\" }"),
            "mapping.toml: fields.\"status.details\": `details` contains keys",
        ),
        (fields("\"name.x\" = { value = \"x\" }"), "mapping.toml: fields.\"name.x\": `name` has no fields"),
        (
            fields("create_ts = { value = \"now\" }"),
            "mapping.toml: fields.\"create_ts\": `value` \"now\" is not a time in RFC 3339 format",
        ),
        (fields("update_ts = { column = \"name\" }"), "mapping.toml: fields.\"update_ts\": is set by the service"),
        (fields("etag = { column = \"name\" }"), "mapping.toml: fields.\"etag\": is set by the service"),
        (
            String::from("[fields]\nname = { column = \"name\" }"),
            "mapping.toml: fields.uid is missing: each product needs it",
        ),
    ] {
        let error = fault("x.csv", "id,name\n", &mapping);
        assert!(error.starts_with(expected), "{mapping}\ngives\n{error}\nnot\n{expected}");
    }
    assert!(fault("x.csv", "", &fields("status.phase = { value = \"x\" }")).ends_with("as \"status.phase\""));
}
