#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::PathBuf;

use proptest::prelude::*;

use super::finding::Finding;
use super::{baseline, file, files_of, lint, on_a_large_stack};

const NAME: &str = "20260102030405_add_thing.sql";

/// The findings in a file with this text, as `LINE RULE`.
fn found(text: &str) -> Vec<String> {
    let findings = on_a_large_stack(|| Ok(file::lint(NAME, NAME, text))).unwrap();
    findings.into_iter().map(|finding| format!("{} {}", finding.line, finding.rule)).collect()
}

/// The findings in these sections. The up section's first statement is on line 2.
fn in_sections(up: &str, down: &str) -> Vec<String> {
    found(&format!("-- migrate:up\n{up}\n-- migrate:down\n{down}\n"))
}

/// The findings in an up section that runs without a transaction.
fn without_transaction(up: &str) -> Vec<String> {
    found(&format!("-- migrate:up transaction:false\n{up}\n-- migrate:down\n"))
}

/// A table that breaks no rule. `more` follows its columns.
fn table(more: &str) -> String {
    format!(
        "create table orders.thing (uid text primary key{more});\n\
         grant select, insert, update, delete on orders.thing to orders_service;\n\
         comment on table orders.thing is 'A thing.';"
    )
}

#[test]
fn objects_that_the_database_does_not_have_are_found() {
    for (rule, sql) in [
        ("ban-foreign-key", "alter table orders.thing add constraint f foreign key (a) references orders.b not valid"),
        ("ban-function", "create function orders.f() returns int language sql as $$ select 1 $$"),
        ("ban-function", "create aggregate orders.a (int) (sfunc = int4pl, stype = int)"),
        ("ban-procedure", "create procedure orders.p() language sql as $$ select 1 $$"),
        ("ban-trigger", "create trigger t before insert on orders.thing execute function orders.f()"),
        ("ban-event-trigger", "create event trigger e on ddl_command_end execute function orders.f()"),
        ("ban-rule", "create rule r as on insert to orders.thing do nothing"),
        ("ban-materialized-view", "create materialized view orders.v as select 1"),
        ("ban-enum-type", "create type orders.mood as enum ('a', 'b')"),
        ("ban-sequence", "create sequence orders.s"),
        ("ban-sequence", "alter table orders.thing add column n bigserial"),
        ("ban-extension", "create extension pg_trgm"),
        ("ban-do-block", "do $$ begin perform 1; end $$"),
    ] {
        let expected = format!("2 {rule}");
        assert!(in_sections(&format!("{sql};"), "").contains(&expected), "{sql}");
        assert!(in_sections("", &format!("\n{sql};")).contains(&format!("5 {rule}")), "in the down section: {sql}");
    }
    for (rule, column) in [
        ("ban-foreign-key", ", a text references orders.b (uid)"),
        ("ban-foreign-key", ", a text, foreign key (a) references orders.b"),
        ("ban-sequence", ", n serial"),
        ("ban-sequence", ", n bigint generated always as identity"),
    ] {
        assert_eq!(in_sections(&table(column), ""), [format!("2 {rule}")], "{column}");
    }
    // A composite type, a generated column and a view are none of these.
    let fine = "create type orders.pair as (a int, b int);\ncreate view orders.v as select 1 as one;";
    assert_eq!(in_sections(fine, "drop view orders.v;\ndrop type orders.pair;"), [""; 0]);
    assert_eq!(in_sections(&table(", a text, b text generated always as (lower(a)) stored"), ""), [""; 0]);
}

#[test]
fn a_reference_is_documented() {
    let comment = |text: &str| format!("\ncomment on column orders.thing.product_uid is '{text}';");
    let with = |column: &str, text: &str| in_sections(&format!("{}{}", table(column), comment(text)), "");
    for column in [", product_uid text", ", product_uid text not null", ", product_uid varchar"] {
        assert_eq!(in_sections(&table(column), ""), ["2 require-reference-comment"]);
        assert_eq!(with(column, "A product."), ["2 require-reference-comment"]);
        assert_eq!(with(column, "no reference:"), ["2 require-reference-comment"]);
        assert_eq!(with(column, "references product.uid"), ["2 require-reference-comment"]);
        for text in
            ["references catalog.product.uid", "no reference: of a shop", "P.\nreferences a.b.c on orphan delete"]
        {
            assert_eq!(with(column, text), [""; 0], "{text}");
        }
    }
    // What the services refuse when they start.
    assert_eq!(with(", product_uid bigint", "references catalog.product.uid"), ["2 require-reference-comment"]);
    for key in [", product_uid text not null", ", product_uid text, unique (uid)"] {
        let clear = with(key, "references catalog.product.uid on orphan clear");
        assert_eq!(clear.contains(&"2 require-reference-comment".to_owned()), key.contains("not null"));
    }
    let list = format!("{}\ncomment on column orders.thing.tag_uids is", table(", tag_uids text[]"));
    assert_eq!(in_sections(&format!("{list} 'tag_uids[] references records.tag.uid';"), ""), [""; 0]);
    assert_eq!(in_sections(&format!("{list} 'references records.tag.uid';"), ""), ["2 require-reference-comment"]);

    let add = "alter table orders.thing add column product_uid text;";
    assert_eq!(in_sections(add, ""), ["2 require-reference-comment"]);
    let commented = format!("{add}{}", comment("references catalog.product.uid"));
    let down = "alter table orders.thing drop column product_uid;";
    assert_eq!(in_sections(&commented, down), [""; 0]);
    // The last comment counts.
    assert_eq!(in_sections(&format!("{commented}{}", comment("A.")), ""), ["2 require-reference-comment"]);
}

#[test]
fn a_new_table_has_an_owner_rights_and_a_comment() {
    let [create, grant, comment] = &table("").lines().map(str::to_owned).collect::<Vec<_>>()[..] else {
        unreachable!()
    };
    assert_eq!(in_sections(&table(""), "drop table orders.thing;"), [""; 0]);
    assert_eq!(in_sections(&format!("{create}\n{grant}"), ""), ["2 require-table-comment"]);
    assert_eq!(in_sections(&format!("{create}\n{comment}"), ""), ["2 require-table-grant"]);
    for other in [
        grant.replace("orders_service", "catalog_service"),
        grant.replace("orders.thing", "orders.things"),
        grant.replace("update, ", ""),
    ] {
        assert_eq!(in_sections(&format!("{create}\n{comment}\n{other}"), ""), ["2 require-table-grant"], "{other}");
    }
    let all = grant.replace("select, insert, update, delete", "all");
    assert_eq!(in_sections(&format!("{create}\n{comment}\n{all}"), ""), [""; 0]);
    for schema in ["", "public.", "shop."] {
        let sql = table("").replace("orders.thing", &format!("{schema}thing"));
        assert!(in_sections(&sql, "").contains(&"2 require-owner-slice".to_owned()), "{schema}");
    }
    for sql in ["alter table thing add column a int;", "drop table public.thing;", "create table a as select 1;"] {
        assert!(in_sections(sql, "").contains(&"2 require-owner-slice".to_owned()), "{sql}");
    }
}

#[test]
fn a_file_belongs_to_one_slice() {
    let one = "update orders.a set b = 1;\nupdate \"orders\".c set b = 1;";
    assert_eq!(in_sections(one, ""), [""; 0]);
    for sql in [
        "update catalog.a set b = 1",
        "create view orders.v as select uid from catalog.product",
        "delete from Records.tag",
        "comment on schema catalog is 'C.'",
        "comment on column \"catalog\".a.b is 'C.'",
    ] {
        assert!(in_sections(&format!("{one}\n{sql};"), "").contains(&"4 ban-several-slices".to_owned()), "{sql}");
    }
    let foreign_down = in_sections(one, "comment on table catalog.product is 'P.';");
    assert_eq!(foreign_down, ["5 ban-several-slices"]);
    // Words within texts and names of columns are no slices.
    for sql in ["comment on table orders.a is 'catalog.product'", "select catalog from orders.a", "select a.catalog.b"]
    {
        assert_eq!(in_sections(&format!("{one}\n{sql};"), ""), [""; 0], "{sql}");
    }
}

#[test]
fn indexes_of_tables_with_rows_are_built_and_dropped_concurrently() {
    let index = "create index thing_idx on orders.thing (uid);";
    assert_eq!(in_sections(index, ""), ["2 require-concurrent-index-creation"]);
    assert_eq!(in_sections(&format!("{}\n{index}", table("")), ""), [""; 0]);
    let concurrently = "create index concurrently if not exists thing_idx on orders.thing (uid);";
    assert_eq!(without_transaction(concurrently), [""; 0]);
    assert_eq!(without_transaction(&concurrently.replace("if not exists ", "")), ["2 prefer-robust-stmts"]);
    assert_eq!(without_transaction("drop index concurrently if exists orders.thing_idx;"), [""; 0]);
    assert_eq!(without_transaction("drop index concurrently orders.thing_idx;"), ["2 prefer-robust-stmts"]);
    assert_eq!(in_sections("drop index orders.thing_idx;", ""), ["2 require-concurrent-index-deletion"]);
    // A down takes back an index of a new table, but not one that was built concurrently.
    let new_table = format!("{}\n{index}", table(""));
    assert_eq!(in_sections(&new_table, "drop index orders.thing_idx;\ndrop table orders.thing;"), [""; 0]);
    let text =
        format!("-- migrate:up transaction:false\n{concurrently}\n-- migrate:down\ndrop index orders.thing_idx;\n");
    assert_eq!(found(&text), ["4 require-concurrent-index-deletion"]);
}

#[test]
fn what_blocks_or_breaks_is_found_by_squawk() {
    for (rule, action) in [
        ("adding-not-nullable-field", "alter column a set not null"),
        ("changing-column-type", "alter column a type bigint"),
        ("adding-field-with-default", "add column a timestamptz default clock_timestamp()"),
        ("constraint-missing-not-valid", "add constraint c check (a > 0)"),
        ("disallowed-unique-constraint", "add constraint c unique (a)"),
        ("renaming-column", "rename column a to b"),
        ("renaming-table", "rename to things"),
        ("ban-drop-column", "drop column a"),
        ("adding-required-field", "add column a text not null"),
        ("prefer-text-field", "add column a varchar(3)"),
    ] {
        let sql = format!("alter table orders.thing {action};");
        assert!(in_sections(&sql, "").contains(&format!("2 {rule}")), "{action}: {:?}", in_sections(&sql, ""));
    }
    for action in [
        "add column a text",
        "add column a int default 0",
        "add column a timestamptz not null default now()",
        "add constraint c check (a > 0) not valid",
        "validate constraint c",
    ] {
        assert_eq!(in_sections(&format!("alter table orders.thing {action};"), ""), [""; 0], "{action}");
    }
    assert_eq!(in_sections("drop table orders.thing;", ""), ["2 ban-drop-table"]);
}

#[test]
fn a_down_takes_back_its_up_and_no_more() {
    for (rule, up, down) in [
        ("ban-drop-column", "alter table orders.a add column b int;", "alter table orders.a drop column b;"),
        (
            "ban-drop-constraint",
            "alter table orders.a add constraint c check (d > 0) not valid;",
            "alter table orders.a drop constraint c;",
        ),
        (
            "ban-drop-default",
            "alter table orders.a alter column b set default 1;",
            "alter table orders.a alter column b drop default;",
        ),
        ("ban-drop-view", "create view orders.v as select 1 as one;", "drop view orders.v;"),
        ("ban-drop-schema", "create schema orders;", "drop schema orders;"),
        ("ban-revoke", "grant select on orders.a to b;", "revoke select on orders.a from b;"),
    ] {
        assert_eq!(in_sections(up, down), [""; 0], "{down}");
        assert_eq!(in_sections("", down), [format!("4 {rule}")], "{down}");
        assert_eq!(in_sections(down, ""), [format!("2 {rule}")], "{down}");
    }
    assert_eq!(in_sections(&table(""), "drop table orders.other;"), ["6 ban-drop-table"]);
    assert_eq!(in_sections(&table(""), "drop table orders.thing, orders.other;"), ["6 ban-drop-table"]);
    for verb in ["delete from orders.a", "truncate orders.a", "update orders.a set b = 1"] {
        let sql = format!("{verb};");
        assert_eq!(in_sections("", &sql), ["4 ban-row-changes-in-down"], "{verb}");
        assert_eq!(in_sections(&sql, ""), [""; 0], "{verb}");
    }
}

#[test]
fn what_orrery_or_dbmate_would_not_run_as_written_is_found() {
    assert_eq!(found("-- migrate:up transaction: false\nselect 1;\n-- migrate:down\n"), ["1 invalid-file"]);
    assert_eq!(found("-- migrate:up\n  -- migrate:down\n"), ["2 invalid-file"]);
    assert_eq!(found(""), ["1 invalid-file"]);
    assert_eq!(
        in_sections("select 1;\ncommit;\nrollback;", "end;"),
        ["3 ban-transaction-control", "4 ban-transaction-control", "6 ban-transaction-control"]
    );
    assert_eq!(in_sections("vacuum orders.a;", ""), ["2 require-transaction-false"]);
    assert_eq!(without_transaction("vacuum orders.a;"), [""; 0]);
    assert_eq!(
        without_transaction("analyze orders.a;\nanalyze orders.b;"),
        ["1 ban-several-statements-without-transaction"]
    );
    assert_eq!(in_sections("create tabel orders.a ();", "").first().unwrap(), "2 syntax-error");
    assert_eq!(in_sections(&format!("select '{}';", "x".repeat(70_000)), ""), ["1 invalid-file"]);
}

#[test]
fn a_comment_allows_what_is_beneath_it() {
    let drop = "drop table orders.thing;";
    assert_eq!(in_sections(&format!("-- lint: allow ban-drop-table: nobody reads it\n{drop}"), ""), [""; 0]);
    let between = "-- lint: allow ban-drop-table: nobody reads it\n-- It was empty.\n/* really */\n";
    assert_eq!(in_sections(&format!("{between}{drop}"), ""), [""; 0]);
    for (text, expected) in [
        // An empty line separates it from the statement.
        (
            "-- lint: allow ban-drop-table: unused\n\ndrop table orders.thing;",
            ["2 unused-allowance", "4 ban-drop-table"],
        ),
        (
            "-- lint: allow ban-drop-table: unused\nselect 1;\ndrop table orders.a;",
            ["2 unused-allowance", "4 ban-drop-table"],
        ),
        ("-- lint: allow ban-drop-column: unused\ndrop table orders.a;", ["2 unused-allowance", "3 ban-drop-table"]),
        ("-- lint: allow ban-drop-table\ndrop table orders.a;", ["2 invalid-allowance", "3 ban-drop-table"]),
        ("-- lint: allow ban-drop-table: \ndrop table orders.a;", ["2 invalid-allowance", "3 ban-drop-table"]),
        ("-- lint: allow ban-drop-tables: why\ndrop table orders.a;", ["2 invalid-allowance", "3 ban-drop-table"]),
        ("-- lint: allow prefer-identity: off\ndrop table orders.a;", ["2 invalid-allowance", "3 ban-drop-table"]),
        ("-- lint: ignore ban-drop-table: why\ndrop table orders.a;", ["2 invalid-allowance", "3 ban-drop-table"]),
        ("-- lint: allow ban-transaction-control: why\ncommit;", ["2 invalid-allowance", "3 ban-transaction-control"]),
        ("-- squawk-ignore ban-drop-table\ndrop table orders.a;", ["2 unsupported-squawk-comment", "3 ban-drop-table"]),
        ("-- squawk-ignore-file\ndrop table orders.a;", ["2 unsupported-squawk-comment", "3 ban-drop-table"]),
    ] {
        assert_eq!(in_sections(text, ""), expected, "{text}");
    }
    // A rule about the whole section is allowed at its head.
    let several = "analyze orders.a;\nanalyze orders.b;";
    let allow = "-- lint: allow ban-several-statements-without-transaction: each can run again";
    assert_eq!(without_transaction(&format!("{allow}\n\n{several}")), [""; 0]);
    assert_eq!(without_transaction(&format!("{allow}\n{several}")), [""; 0]);
    assert_eq!(
        without_transaction(&format!("{several}\n{allow}")),
        ["1 ban-several-statements-without-transaction", "4 unused-allowance"]
    );
    assert_eq!(found("-- lint: allow ban-drop-table: why\n-- migrate:up\n-- migrate:down\n"), ["1 unused-allowance"]);
    assert_eq!(in_sections("select '-- lint: allow nothing';", ""), [""; 0]);
}

fn finding(rule: &str) -> Finding {
    let [file, why, instead] = ["f", "w", "i"].map(str::to_owned);
    Finding { file, line: 1, rule: rule.to_owned(), why, instead }
}

#[test]
fn a_baseline_accounts_for_exactly_what_it_says() {
    let apply = |text: &str, whole: bool| {
        let found = vec![finding("ban-do-block"), finding("ban-do-block"), finding("ban-drop-table")];
        let mut findings = [("1".to_owned(), found)];
        let wrong = baseline::apply("lint-baseline", text, &mut findings, whole);
        (findings[0].1.len(), wrong.into_iter().map(|finding| finding.line).collect::<Vec<_>>())
    };
    assert_eq!(apply("# why\n\n1 ban-do-block 2: old\n", true), (1, vec![]));
    for line in [
        "1 ban-do-block 1: old",
        "1 ban-do-block 3: old",
        "1 ban-do-block 0: old",
        "1 ban-do-block 2:",
        "1 ban-do-block 2",
        "1 ban-do-block: old",
        "1 ban-trigger 1: old",
        "1 invalid-file 1: old",
        "1 prefer-identity 1: off",
        "1 no-such-rule 1: old",
        "2 ban-do-block 2: no such version",
    ] {
        assert_eq!(apply(line, true), (3, vec![1]), "{line}");
    }
    assert_eq!(apply("2 ban-do-block 2: another file", false), (3, vec![]));
    assert_eq!(apply("1 ban-do-block 2: old\n1 ban-do-block 2: old", true), (1, vec![2]));
}

#[test]
fn a_folder_is_checked_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let text = "-- migrate:up\n-- migrate:down\n";
    for name in ["1_short.sql", "20260102030405_a.sql", "20260102030405_b.sql", "late.sql", "schema.sql", "README.md"] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    std::fs::write(folder.path().join("20260102030406_c.sql"), [0xff, b'\n']).unwrap();
    let (files, ignored) = files_of(folder.path()).unwrap();
    assert_eq!(ignored.iter().map(|finding| finding.rule.as_str()).collect::<Vec<_>>(), ["ignored-file"]);
    assert!(ignored[0].file.ends_with("late.sql"));
    let rules: Vec<_> = lint(&files, true)
        .unwrap()
        .into_iter()
        .map(|finding| format!("{} {}", finding.file.rsplit('/').next().unwrap_or_default(), finding.rule))
        .collect();
    assert_eq!(
        rules,
        ["1_short.sql invalid-file", "20260102030405_b.sql duplicate-version", "20260102030406_c.sql invalid-file"]
    );
    assert!(lint(&[PathBuf::from("/no/such/file.sql")], false).is_err());
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    for (open, times) in [("(", 6_000), ("case ", 6_000), ("[", 6_000), ("explain ", 6_000)] {
        let _ = in_sections(&format!("select {};", open.repeat(times)), "");
    }
}

proptest! {
    #[test]
    fn any_text_is_checked(
        up in "(create|table|index|alter|drop|column|comment on|orders|catalog|is|add|do|update|uid|grant|--|/\\*|\\*/|\
               lint: allow|ban-drop-table|squawk-ignore|:|;|'|\"|\\$\\$|\\(|\\)|,|\\.|\n| |é|\\PC){0,40}",
        down in "(drop|table|schema|alter|column|orders|;|'|\"|\\(|\\.|\n| |\\PC){0,20}",
    ) {
        let text = format!("-- migrate:up\n{up}\n-- migrate:down\n{down}\n");
        let lines = text.lines().count() + 1;
        let findings = file::lint(NAME, NAME, &text);
        prop_assert!(findings.iter().all(|finding| (1..=lines).contains(&finding.line)));
        prop_assert!(findings.iter().all(|finding| !finding.why.is_empty() && !finding.instead.is_empty()));
    }
}
