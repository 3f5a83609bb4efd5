#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::graph::{dot, text};
use super::reference::{Column, InvalidComments, OnOrphan, Reference, Target};

fn column(name: &str, data_type: &str) -> Column {
    let [schema, table, name, data_type] = ["shop", "thing", name, data_type].map(str::to_owned);
    Column { schema, table, name, data_type, nullable: true, in_key: false }
}

fn target() -> Target {
    let [schema, table, column] = ["shop", "maker", "uid"].map(str::to_owned);
    Target { schema, table, column }
}

fn reference(column: &str, path: Option<&str>, list: bool, action: OnOrphan) -> Reference {
    let (table, column, path) = ("shop.thing".to_owned(), column.to_owned(), path.map(str::to_owned));
    Reference { table, column, path, list, target: target(), action }
}

/// What is wrong with a comment.
#[track_caller]
fn problem(column: &Column, comment: &str) -> String {
    let invalid = column.references(comment).unwrap_err();
    assert_eq!(invalid.column, column.full_name());
    invalid.to_string()
}

#[test]
fn a_column_is_a_reference() {
    let maker = column("maker_uid", "text");
    for (comment, action) in [
        ("references shop.maker.uid", OnOrphan::Report),
        ("references shop.maker.uid on orphan report", OnOrphan::Report),
        ("references shop.maker.uid on orphan delete", OnOrphan::Delete),
        ("references shop.maker.uid on orphan clear", OnOrphan::Clear),
        ("maker_uid references shop.maker.uid", OnOrphan::Report),
        ("Who made it.\r\n  references  shop.maker.uid on orphan\treport \r\nLater more.", OnOrphan::Report),
    ] {
        let found = column("maker_uid", "character varying").references(comment).unwrap();
        assert_eq!(found, [reference("maker_uid", None, false, action)], "{comment:?}");
        assert_eq!(maker.references(comment).unwrap(), found, "{comment:?}");
        assert_eq!(found[0].name(), "shop.thing.maker_uid");
    }
}

#[test]
fn a_column_holds_references() {
    for data_type in ["jsonb", "text[]", "character varying[]"] {
        let found = column("maker_uids", data_type).references("maker_uids[] references shop.maker.uid").unwrap();
        assert_eq!(found, [reference("maker_uids", None, true, OnOrphan::Report)]);
        assert_eq!(found[0].name(), "shop.thing.maker_uids");
    }
    let comment = "What is known.\nbody.maker_uid references shop.maker.uid\n\
                   body.Maker_2s[] references shop.maker.uid on orphan clear";
    let found = column("body", "jsonb").references(comment).unwrap();
    let expected = [
        reference("body", Some("maker_uid"), false, OnOrphan::Report),
        reference("body", Some("Maker_2s"), true, OnOrphan::Clear),
    ];
    assert_eq!(found, expected);
    assert_eq!(
        found.iter().map(Reference::name).collect::<Vec<_>>(),
        ["shop.thing.body.maker_uid", "shop.thing.body.Maker_2s"]
    );
}

#[test]
fn prose_is_no_reference() {
    for comment in [
        "",
        "\n \n",
        "The maker.",
        "Each one references another.",
        "What it references",
        "It may reference shop.maker.uid",
        "preferences shop.maker.uid",
    ] {
        assert_eq!(column("maker_uid", "text").references(comment).unwrap(), [], "{comment:?}");
    }
}

#[test]
fn a_clause_that_does_not_fit_is_refused_with_its_reason() {
    for (name, comment, why) in [
        ("m", "references", "names no SCHEMA.TABLE.COLUMN"),
        ("m", "references shop.maker", "\"shop.maker\" is no SCHEMA.TABLE.COLUMN"),
        ("m", "references shop.maker.uid.x", "is no SCHEMA.TABLE.COLUMN"),
        ("m", "references shop..uid", "is no SCHEMA.TABLE.COLUMN"),
        ("m", "references shop.Maker.uid", "is no SCHEMA.TABLE.COLUMN in lower case"),
        ("m", "references shop.maker.uid;", "is no SCHEMA.TABLE.COLUMN"),
        ("m", "References shop.maker.uid", "in lower case"),
        ("m", "references shop.maker.uid on orphan", "\"on orphan\" is not \"on orphan report\""),
        ("m", "references shop.maker.uid on orphan remove", "\"on orphan remove\" is not"),
        ("m", "references shop.maker.uid on orphan delete.", "\"on orphan delete.\" is not"),
        ("m", "references shop.maker.uid on orphan report, always", "is not"),
        ("m", "It references shop.maker.uid", "the path \"It\" does not begin with the column's name, \"m\""),
        ("m", "n references shop.maker.uid", "the path \"n\" does not begin with the column's name, \"m\""),
        ("m", "m. references shop.maker.uid", "\"\" is not one key"),
        ("m", "m.a.b references shop.maker.uid", "\"a.b\" is not one key"),
        ("m", "m[].a references shop.maker.uid", "does not begin with the column's name"),
        ("m", "prose\nreferences x\nreferences shop.maker.uid", "\"references x\": \"x\" is no"),
        ("m", "references shop.maker.uid\nreferences shop.maker.uid", "m is a reference already"),
        ("Maker uid", "references shop.maker.uid", "\"Maker uid\" has to be renamed"),
    ] {
        let said = problem(&column(name, "text"), comment);
        assert!(said.contains(why), "{comment:?}: {said}");
        assert!(said.contains(&format!("shop.thing.{name} ")), "{said}");
    }
    let twice = "m.a references shop.maker.uid\nm.a[] references shop.maker.uid";
    assert!(problem(&column("m", "jsonb"), twice).contains("m.a is a reference already"));
}

#[test]
fn a_reference_that_its_column_cannot_hold_is_refused() {
    for (data_type, comment, why) in [
        ("jsonb", "references shop.maker.uid", "is of type text, but m is jsonb"),
        ("uuid", "references shop.maker.uid", "is of type text, but m is uuid"),
        ("text", "m[] references shop.maker.uid", "of type jsonb or text[], but m is text"),
        ("integer[]", "m[] references shop.maker.uid", "but m is integer[]"),
        ("text", "m.a references shop.maker.uid", "type jsonb, but m is text"),
        ("text[]", "m.a[] references shop.maker.uid", "type jsonb, but m is text[]"),
    ] {
        let said = problem(&column("m", data_type), comment);
        assert!(said.contains(why), "{comment:?}: {said}");
    }
}

#[test]
fn an_action_that_would_destroy_more_than_the_orphan_is_refused() {
    let lists = [("jsonb", "m[] references shop.maker.uid on orphan delete")];
    let several = [("jsonb", "m.a references shop.maker.uid on orphan delete\nm.b references shop.maker.uid")];
    for (data_type, comment) in lists.into_iter().chain(several) {
        let said = problem(&column("m", data_type), comment);
        assert!(said.contains("other references in the column still have their targets"), "{comment:?}: {said}");
    }
    let alone = column("m", "jsonb").references("m.a references shop.maker.uid on orphan delete").unwrap();
    assert_eq!(alone[0].action, OnOrphan::Delete);

    let fixed = Column { nullable: false, ..column("m", "text") };
    let said = problem(&fixed, "references shop.maker.uid on orphan clear");
    assert!(said.contains("would make a column null that is \"not null\""), "{said}");
    for (data_type, place) in [("text", "m"), ("text[]", "m[]"), ("jsonb", "m.a")] {
        let key = Column { nullable: false, in_key: true, ..column("m", data_type) };
        let said = problem(&key, &format!("{place} references shop.maker.uid on orphan clear"));
        assert!(said.contains("would change the primary key"), "{said}");
        key.references(&format!("{place} references shop.maker.uid")).unwrap();
    }
    // An element or a key can be taken out of a column that is never null.
    let list = Column { nullable: false, ..column("m", "jsonb") };
    list.references("m[] references shop.maker.uid on orphan clear").unwrap();
    list.references("m.a references shop.maker.uid on orphan clear").unwrap();
}

#[test]
fn every_invalid_comment_is_told() {
    let invalid = ["a", "b"].map(|name| column(name, "text").references("references nothing").unwrap_err());
    let said = InvalidComments(invalid.to_vec()).to_string();
    assert!(said.contains("shop.thing.a is no valid") && said.contains("; the comment of shop.thing.b"), "{said}");
}

proptest! {
    #[test]
    fn any_comment_is_answered(
        comment in any::<String>(),
        name in "\\PC{0,9}",
        data_type in "text|jsonb|text\\[\\]|\\PC{0,9}",
    ) {
        let _ = column(&name, &data_type).references(&comment);
    }

    #[test]
    fn anything_around_a_clause_is_answered(
        before in "(m|m\\.a|m\\[\\]|\\PC{0,5})( |\n)?",
        after in "( shop\\.maker\\.uid)?(\\.|\\[|\\]| on| orphan| delete|\\PC){0,6}",
        data_type in "text|jsonb|text\\[\\]",
    ) {
        let _ = column("m", &data_type).references(&format!("{before}references{after}"));
    }

    #[test]
    fn a_reference_is_read_as_it_is_written(
        key in proptest::option::of("[A-Za-z0-9_]{1,20}"),
        list: bool,
        names in proptest::array::uniform3("[a-z_][a-z0-9_]{0,20}"),
        action in proptest::sample::select(vec![OnOrphan::Report, OnOrphan::Clear]),
        prose in "[a-qs-z .]{0,30}",
    ) {
        let [schema, table, name] = names;
        let target = Target { schema, table, column: name };
        let (path, brackets) = (key.as_ref().map(|key| format!(".{key}")).unwrap_or_default(), if list { "[]" } else { "" });
        let clause = format!("m{path}{brackets} references {target} on orphan {}", action.word());
        let data_type = if key.is_some() || list { "jsonb" } else { "text" };
        let found = column("m", data_type).references(&format!("{prose}\n{clause}\n{prose}")).unwrap();
        let expected = Reference { target, ..reference("m", key.as_deref(), list, action) };
        prop_assert_eq!(found, [expected]);
    }
}

#[test]
fn the_graph_is_text() {
    let references = [
        reference("maker_uid", None, false, OnOrphan::Delete),
        reference("body", Some("maker_uids"), true, OnOrphan::Clear),
        Reference { table: "press.page".to_owned(), ..reference("thing_uid", None, false, OnOrphan::Report) },
    ];
    assert_eq!(
        text(&references),
        "press.page\n  thing_uid -> shop.maker.uid, on orphan report\n\
         shop.thing\n  maker_uid -> shop.maker.uid, on orphan delete\n  \
         body.maker_uids[] -> shop.maker.uid, on orphan clear\n"
    );
    assert_eq!(text([]), "");
}

#[test]
fn the_graph_is_drawn_by_graphviz() {
    let references = [
        reference("maker_uid", None, false, OnOrphan::Delete),
        Reference { table: "press.page".to_owned(), ..reference("thing_uids", None, true, OnOrphan::Report) },
    ];
    let expected = r#"digraph references {
  rankdir=LR;
  node [shape=box];
  subgraph "cluster_press" {
    label="press";
    "press.page";
  }
  subgraph "cluster_shop" {
    label="shop";
    "shop.maker";
    "shop.thing";
  }
  "shop.thing" -> "shop.maker" [label="maker_uid", style=bold];
  "press.page" -> "shop.maker" [label="thing_uids[]", style=solid];
}
"#;
    assert_eq!(dot(&references), expected);
}
