//! A label selector selects the same rows in SQL as in Rust, whatever other programs wrote into a labels column, and
//! the column's GIN index is used.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};

use orrery_kit::label_selector::LabelSelector;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use sqlx::{AssertSqlSafe, PgConnection, query, query_scalar};

use crate::harness::{Role, TestDatabase};

/// The content of a column: its JSON text, and the labels that the contract makes of it.
#[derive(Debug, Clone)]
struct Stored {
    json: String,
    labels: BTreeMap<String, String>,
}

/// A label's value as JSON, and as read: a string itself, anything else in Postgres's output.
const VALUES: &[(&str, &str)] = &[
    (r#""""#, ""),
    (r#""x""#, "x"),
    (r#""y""#, "y"),
    (r#""X""#, "X"),
    (r#""1""#, "1"),
    (r#""1.0""#, "1.0"),
    (r#""null""#, "null"),
    (r#""true""#, "true"),
    (r#""not = a selectable, value' \\ \" é""#, "not = a selectable, value' \\ \" é"),
    ("null", "null"),
    ("true", "true"),
    ("false", "false"),
    ("0", "0"),
    ("1", "1"),
    ("1.0", "1.0"),
    ("1.00", "1.00"),
    ("1e2", "100"),
    ("-1", "-1"),
    ("[]", "[]"),
    (r#"["x"]"#, r#"["x"]"#),
    ("{}", "{}"),
    (r#"{"a":"x"}"#, r#"{"a": "x"}"#),
];

const KEYS: &[&str] = &["a", "b", "in", "example.com/Some.key_1"];

/// Columns that are not objects have no labels, although `?` finds keys in some of them.
const OTHERS: &[&str] = &["null", r#""a""#, r#"["a", "b", "in"]"#, r#"[{"a":"x"}]"#, "1", "true", "[]", "{}"];

/// Values in selectors: stored ones and others.
const ASKED: &[&str] =
    &["", "x", "y", "X", "z", "0", "1", "1.0", "1.00", "100", "1e2", "007", "true", "false", "null", "in"];

fn stored() -> impl Strategy<Value = Stored> {
    let object = vec((select(KEYS), select(VALUES)), 0..4).prop_map(|pairs| {
        let fields: Vec<String> = pairs.iter().map(|(key, (json, _))| format!("\"{key}\":{json}")).collect();
        // jsonb keeps the last of repeated keys.
        let labels = pairs.iter().map(|(key, (_, text))| ((*key).to_owned(), (*text).to_owned())).collect();
        Stored { json: format!("{{{}}}", fields.join(",")), labels }
    });
    prop_oneof![8 => object, 1 => select(OTHERS).prop_map(|json| Stored { json: json.to_owned(), labels: BTreeMap::new() })]
}

fn selector() -> impl Strategy<Value = LabelSelector> {
    let set = || vec(select(ASKED), 1..5).prop_map(|values| values.join(","));
    let requirement = (select(KEYS), 0..6, select(ASKED), set()).prop_map(|(key, kind, value, set)| match kind {
        0 => format!("{key}={value}"),
        1 => format!("{key}!={value}"),
        2 => format!("{key} in ({set})"),
        3 => format!("{key} notin ({set})"),
        4 => key.to_owned(),
        _ => format!("!{key}"),
    });
    vec(requirement, 1..3).prop_map(|requirements| LabelSelector::parse(&requirements.join(",")).unwrap())
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn conditions(selector: &LabelSelector) -> String {
    selector.to_sql("labels", literal).join(" and ")
}

#[tokio::test]
async fn sql_and_rust_select_the_same_rows() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect(Role::Operator).await;
    let mut runner = TestRunner::default();
    let rows = vec(stored(), 400).new_tree(&mut runner).unwrap().current();

    query("create temporary table resource (id bigint primary key, labels jsonb)")
        .execute(&mut connection)
        .await
        .unwrap();
    query(
        "insert into resource select ordinality, json::jsonb from unnest($1::text[]) with ordinality as t (json, \
        ordinality)",
    )
    .bind(rows.iter().map(|row| row.json.clone()).collect::<Vec<_>>())
    .execute(&mut connection)
    .await
    .unwrap();
    query("insert into resource values (0, null)").execute(&mut connection).await.unwrap();
    query("create index on resource using gin (labels)").execute(&mut connection).await.unwrap();

    for scan in ["off", "on"] {
        query(AssertSqlSafe(format!("set enable_seqscan = {scan}"))).execute(&mut connection).await.unwrap();
        for _ in 0..300 {
            let selector = selector().new_tree(&mut runner).unwrap().current();
            let selected: BTreeSet<i64> =
                query_scalar(AssertSqlSafe(format!("select id from resource where {}", conditions(&selector))))
                    .fetch_all(&mut connection)
                    .await
                    .unwrap()
                    .into_iter()
                    .collect();
            let nothing = selector.matches(&BTreeMap::new());
            assert_eq!(selected.contains(&0), nothing, "{selector}: a null column");
            for (row, id) in rows.iter().zip(1..) {
                let matches = selector.matches(&row.labels);
                assert_eq!(selected.contains(&id), matches, "{selector}\n{}\n{}", row.json, conditions(&selector));
            }
        }
    }
}

#[tokio::test]
async fn the_index_on_labels_serves_equality_sets_and_existence() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect(Role::Operator).await;
    query(
        "insert into catalog.product (uid, labels)
         select 'prd_' || n, jsonb_build_object('env', 'e' || n % 1000, 'tier', n % 1000)
                             || case when n % 1000 = 0 then '{\"rare\": \"x\"}'::jsonb else '{}' end
         from generate_series(1, 20000) as n",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    // Pending entries make a GIN index look expensive to the planner.
    query("vacuum analyze catalog.product").execute(&mut connection).await.unwrap();

    for (selector, rows) in [
        ("env=e7", 20),
        ("env in (e1,e2,e3)", 60),
        ("rare", 20),
        ("tier=7", 20),
        ("tier in (7,8)", 40),
        ("env=e7,!rare", 20),
    ] {
        let condition = conditions(&LabelSelector::parse(selector).unwrap());
        let plan = plan(&mut connection, &condition).await;
        assert!(plan.contains("Bitmap Index Scan on product_labels_idx"), "{selector}: {condition}\n{plan}");
        // Postgres 18 prints the rows as 20.00, because they may be a mean.
        let read = format!("Bitmap Heap Scan on product (actual rows={rows} loops=1)");
        assert!(plan.replace(".00 loops", " loops").contains(&read), "{selector}\n{plan}");
    }
}

async fn plan(connection: &mut PgConnection, condition: &str) -> String {
    let sql = format!(
        "explain (analyze, costs off, timing off, summary off) select uid from catalog.product where {condition}"
    );
    query_scalar::<_, String>(AssertSqlSafe(sql)).fetch_all(connection).await.unwrap().join("\n")
}
