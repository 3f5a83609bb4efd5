//! What of rows that exist an import overwrites, and what had to be left out of rows.

use super::*;
use crate::resource::ORDERS;

fn open(resource: &TransferResource, mapping: &str) -> anyhow::Result<FileRows> {
    let mapping = Mapping::parse(Path::new("mapping.toml"), mapping)?;
    let input = Input::new("x.csv".into(), Box::new(Cursor::new("id,name,tags\n")), None)?;
    FileRows::open(resource, Path::new("x.csv"), input, None, Some(&mapping))
}

fn mask(resource: &TransferResource, mapping: &str) -> Vec<String> {
    open(resource, mapping).unwrap().update_mask()
}

#[test]
fn an_import_overwrites_what_its_mapping_names() {
    let mapping = r#"
        [fields]
        uid = { column = "id" }
        name = { column = "name" }
        create_ts = { column = "name" }
        "status.phase" = [{ column = "name", on = "create" }, { value = "draft", on = "create" }]
        "status.details.origin.note" = { column = "name" }
        "labels.app.kubernetes.io/name" = { column = "name" }
        "labels.tag/*" = [{ column = "tags" }, { column = "name" }]
        "labels.first" = { column = "tags", on = "create" }
        "annotations.`odd`" = { column = "name" }
    "#;
    let expected =
        ["annotations.``odd``", "labels.app.kubernetes.io/name", "labels.tag/*", "name", "status.details.origin.note"];
    assert_eq!(mask(&PRODUCTS, mapping), expected);

    let mapping = "[fields]\nuid = { column = \"id\" }\n\"summary.shipping\" = { column = \"name\" }\n\
        [[line_items]]\n[line_items.fields]\nsku = { column = \"name\" }\n\
        [[addresses]]\neach = \"row\"\non = \"create\"\n[addresses.fields]\nkind = { value = \"billing\" }\n";
    assert_eq!(mask(&ORDERS, mapping), ["summary.shipping", "line_items"]);
    assert_eq!(mask(&PRODUCTS, "[fields]\nuid = { column = \"id\" }"), [""; 0]);
}

#[test]
fn what_a_shipped_mapping_leaves_to_people_is_not_in_its_mask() {
    for (resource, example, left, taken) in [
        (ORDERS, "shopify-orders.toml", "status.phase", "labels.financial-status"),
        (ORDERS, "online-retail-orders.toml", "status.phase", "line_items"),
        (PRODUCTS, "shopify-products.toml", "labels", "labels.tag/*"),
        (PRODUCTS, "online-retail.toml", "labels", "name"),
    ] {
        let text = std::fs::read_to_string(repository("deploy/examples").join(example)).unwrap();
        let mapping = Mapping::parse(Path::new(example), &text).unwrap();
        let plan = crate::mapping::Plan::new(&mapping, &resource).unwrap();
        let mask = plan.update_mask();
        assert!(mask.iter().all(|path| path != left && path != "status") && mask.iter().any(|path| path == taken));
    }
}

#[test]
fn settings_that_contradict_each_other_are_told() {
    let fields = |rules: &str| format!("[fields]\nuid = {{ column = \"id\" }}\n{rules}");
    let many = (0..257).fold(String::new(), |text, key| text + &format!("\"labels.k{key}\" = {{ column = \"id\" }}\n"));
    for (mapping, expected) in [
        (
            fields("name = { column = \"name\", on = \"update\" }"),
            "fields.\"name\": unknown name `update`, expected `create`",
        ),
        (
            fields("name = [{ column = \"name\", on = \"create\" }, { column = \"id\" }]"),
            "fields.\"name\": some of its rules have `on = \"create\"` and others do not",
        ),
        (
            fields("create_ts = { column = \"name\", on = \"create\" }"),
            "fields.\"create_ts\": `on` is not needed: existing rows never take it",
        ),
        (
            fields(
                "\"labels.tag/new\" = { column = \"name\", on = \"create\" }\n\"labels.tag/*\" = { column = \"tags\" }",
            ),
            "fields.\"labels.tag/new\": has `on = \"create\"`, but \"labels.tag/*\" writes the same keys without it",
        ),
        (
            fields("name = { column = \"name\", on = \"create\" }"),
            "every field has `on = \"create\"`: nothing is left to update in existing rows",
        ),
        (fields(&many), "fields: names 257 paths besides the key; a write can have 256"),
        (fields("name = { column = [] }"), "fields.\"name\": column: is neither a name nor a list of names"),
        (fields("name = { column = [\"a\", 1] }"), "fields.\"name\": column: "),
        (fields("name = { column = [\"a\", \"a\"] }"), "fields.\"name\": column: has a name twice"),
        (fields("name = { column = \"a\", most = 3 }"), "fields.\"name\": `most` needs a path that ends in `*`"),
        (fields("\"labels.*\" = { column = \"a\", most = 0 }"), "fields.\"labels.*\": `most` is at least 1"),
        (
            fields("name = { column = \"a\", transforms = [{ map = { \"\" = \"x\" } }] }"),
            "fields.\"name\": transforms: map: \"\" never matches",
        ),
        (
            fields("name = { column = \"a\", transforms = [{ replace = {} }] }"),
            "fields.\"name\": transforms: replace needs at least one entry",
        ),
        (
            fields("name = { column = \"a\", transforms = [{ default = \"\" }] }"),
            "fields.\"name\": transforms: default needs a text",
        ),
        (
            fields("name = { column = \"a\", transforms = [{ decimal = { mark = \",\", group = \",\" } }] }"),
            "fields.\"name\": decimal.group and decimal.mark are both ','",
        ),
        (
            fields("name = { column = \"a\", transforms = [{ decimal = { marks = \",\" } }] }"),
            "fields.\"name\": unknown setting `marks`, expected one of `mark`, `group`, ",
        ),
        (
            fields(
                "name = { column = \"a\", transforms = [{ timestamp = { format = \"%Y-%m-%d %I:%M\", zone = \"UTC\" } \
                 }] }",
            ),
            "fields.\"name\": format \"%Y-%m-%d %I:%M\" needs a whole date",
        ),
    ] {
        let error = format!("{:#}", open(&PRODUCTS, &mapping).map(|_| ()).unwrap_err());
        assert!(
            error.strip_prefix("mapping.toml: ").is_some_and(|error| error.starts_with(expected)),
            "{mapping}\ngives\n{error}\nnot\n{expected}"
        );
    }
    let lists = |on: &str| {
        fields(&format!(
            "[[addresses]]\n{on}\n[addresses.fields]\nkind = {{ value = \"billing\" }}\n\
             [[addresses]]\non = \"create\"\n[addresses.fields]\nkind = {{ value = \"shipping\" }}"
        ))
    };
    let fault = |mapping: &str| format!("{:#}", open(&ORDERS, mapping).map(|_| ()).unwrap_err());
    assert_eq!(
        fault(&lists("")),
        "mapping.toml: addresses: some of its sections have `on = \"create\"` and others do not"
    );
    let inner = "[[line_items]]\n[line_items.fields]\nsku = { column = \"name\", on = \"create\" }";
    assert!(fault(&fields(inner)).ends_with("`on` belongs beside `each`, because a list is written as a whole"));
}

#[test]
fn a_blank_part_is_no_label_and_a_blank_key_none() {
    let mapping = "[fields]\nuid = { column = \"id\", transforms = [\"key\"] }\n\
        \"labels.tag/*\" = { column = \"tags\", split = \",\", transforms = [\"label\"], value = \"true\" }";
    let outcome = read("x.csv", "id,tags\n1,\"a, , \t,,b\"\n\" \",a\n", mapping);
    assert_eq!(sorted(&outcome.product("1").labels), [("tag/a", "true"), ("tag/b", "true")].into());
    assert_eq!(outcome.refused, [(3, "uid: is empty".to_owned())]);
}

#[test]
fn a_column_may_have_several_names() {
    let mapping = "[fields]\nuid = { column = [\"Handle\", \"URL handle\"] }\nname = { column = [\"a\", \"b\"], \
        optional = true }";
    assert_eq!(read("x.csv", "Handle,a\n1,x\n", mapping).lines(), [(2, "x")]);
    assert_eq!(read("x.csv", "b,URL handle\nx,1\n", mapping).lines(), [(2, "x")]);
    assert_eq!(read("x.csv", "URL handle\n1\n", mapping).lines(), [(2, "")]);
    assert_eq!(
        read("x.jsonl", "{\"Handle\":\"1\",\"b\":\"x\"}\n{\"URL handle\":\"2\"}", mapping).lines(),
        [(1, "x"), (2, "")]
    );
    let none = fault("x.csv", "handle,a\n", mapping);
    assert_eq!(none, "x.csv has no column `Handle` or `URL handle`; its header has `handle`, `a`");
    let both = fault("x.csv", "Handle,URL handle\n", mapping);
    assert_eq!(both, "x.csv has the column `Handle` or `URL handle` twice");
}

#[test]
fn keys_that_a_row_cannot_have_are_left_out_and_counted() {
    let mapping = "[fields]\nuid = { column = \"id\" }\n\
        \"labels.*\" = { column = \"tags\", split = \",\", transforms = [\"slug\"], most = 2 }";
    let text = "id,tags\n1,\"a,A,b,a\"\n2,\"a,b,c,d,C\"\n3,\"c,d,e\"\n";
    let mapping = Mapping::parse(Path::new("mapping.toml"), mapping).unwrap();
    let input = Input::new("x.csv".into(), Box::new(Cursor::new(text)), None).unwrap();
    let rows = FileRows::open(&PRODUCTS, Path::new("x.csv"), input, None, Some(&mapping)).unwrap();
    let omissions = rows.omissions();
    let outcome: Outcome<Product> = drain(rows).unwrap();
    assert_eq!(sorted(&outcome.product("1").labels), [("a", "a"), ("b", "b")].into(), "the first one of a key stays");
    assert_eq!(sorted(&outcome.product("2").labels), [("a", "a"), ("b", "b")].into());
    assert_eq!(
        omissions.lines(),
        [
            "1 left out of written rows: labels.*: have the key of an earlier value: line 2",
            "4 left out of written rows: labels.*: came after the first 2: line 3, line 4",
        ]
    );
}
