//! `ProductFilter`: the results of single and combined conditions compared with a model, and invalid filters.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;

use orrery_kit::label_selector::LabelSelector;
use orrery_proto::catalog::v1::{ListProductsRequest, ProductFilter, StreamProductsRequest};
use orrery_proto::r#type::v1::TimeRange;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use prost_types::Timestamp;
use sqlx::{PgConnection, query};
use tokio_stream::StreamExt as _;

use crate::harness::{CatalogServer, Role, TestDatabase, assert_invalid, run};

const NAMES: &[Option<&str>] = &[
    None,
    Some(""),
    Some("Blue Teapot"),
    Some("BLUE spotty teapot"),
    Some("100% cotton_bag"),
    Some("back\\slash 'quote'"),
    Some("CRÈME brûlée"),
    Some("_"),
];
const TEXTS: &[&str] =
    &["blue", "TEA", "teapot", "%", "_", "100% C", "\\", "'", "quote'", "crème", "BRÛ", "nothing", " "];
const PHASES: &[&str] = &["active", "paused", "retired", "it's \\odd", ""];
const KEYS: &[&str] = &["season", "tier", "example.com/x"];
const VALUES: &[&str] = &["", "summer", "winter", "1", "gold"];
const SELECTORS: &[&str] = &[
    "season=summer",
    "season!=summer",
    "season in (summer,winter)",
    "tier notin (gold,)",
    "season",
    "!tier",
    "season=summer,tier=gold",
    "example.com/x,!season",
    "tier=",
    "tier in (1)",
    "season==winter, tier!=1",
    "season,!season",
];
/// A few seconds for all times, so that bounds and rows often coincide.
const TIMES: std::ops::Range<i64> = 1_000..1_010;

/// A product, as far as filters see it.
#[derive(Debug, Clone)]
struct Row {
    uid: String,
    name: Option<&'static str>,
    phase: Option<&'static str>,
    labels: BTreeMap<String, String>,
    created: Timestamp,
    updated: Timestamp,
}

fn time() -> impl Strategy<Value = Timestamp> {
    (TIMES, select(&[0, 0, 1_000, 999_999_000][..])).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

/// One of these seconds, or up to a microsecond later.
fn bound() -> impl Strategy<Value = Timestamp> {
    (time(), select(&[0, 0, 1, 999][..])).prop_map(|(time, finer)| Timestamp { nanos: time.nanos + finer, ..time })
}

fn row() -> impl Strategy<Value = Row> {
    let labels = btree_map(select(KEYS).prop_map(str::to_owned), select(VALUES).prop_map(str::to_owned), 0..4);
    (select(NAMES), option::weighted(0.9, select(PHASES)), labels, time(), time()).prop_map(
        |(name, phase, labels, created, updated)| Row { uid: String::new(), name, phase, labels, created, updated },
    )
}

fn range() -> impl Strategy<Value = TimeRange> {
    (option::of(bound()), option::of(bound())).prop_map(|(start, end)| match (start, end) {
        (Some(start), Some(end)) if (end.seconds, end.nanos) < (start.seconds, start.nanos) => {
            TimeRange { start: Some(end), end: Some(start) }
        }
        (start, end) => TimeRange { start, end },
    })
}

fn texts(texts: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<String>> {
    vec(select(texts).prop_map(str::to_owned), 1..most)
}

/// Each condition may be missing, so that all combinations occur.
fn filter(rows: usize) -> impl Strategy<Value = ProductFilter> {
    let asked: &[&str] = &["active", "paused", "retired", "it's \\odd", "none"];
    let uids = vec((0..rows + 5).prop_map(uid), 1..rows);
    (
        option::weighted(0.4, select(SELECTORS)),
        option::weighted(0.4, texts(asked, 4)),
        option::weighted(0.3, uids),
        option::weighted(0.3, range()),
        option::weighted(0.3, range()),
        option::weighted(0.3, select(TEXTS)),
    )
        .prop_map(|(selector, phases, uids, created, updated, text)| ProductFilter {
            label_selector: selector.unwrap_or_default().to_owned(),
            phases: phases.unwrap_or_default(),
            uids: uids.unwrap_or_default(),
            created,
            updated,
            name_contains: text.unwrap_or_default().to_owned(),
        })
}

fn uid(number: usize) -> String {
    format!("prd_{number:03}")
}

fn within(time: &Timestamp, range: Option<&TimeRange>) -> bool {
    let key = |time: &Timestamp| (time.seconds, time.nanos);
    range.is_none_or(|range| {
        range.start.as_ref().is_none_or(|start| key(start) <= key(time))
            && range.end.as_ref().is_none_or(|end| key(time) < key(end))
    })
}

fn passes(row: &Row, filter: &ProductFilter) -> bool {
    LabelSelector::parse(&filter.label_selector).unwrap().matches(&row.labels)
        && (filter.phases.is_empty() || row.phase.is_some_and(|phase| filter.phases.iter().any(|one| one == phase)))
        && (filter.uids.is_empty() || filter.uids.contains(&row.uid))
        && within(&row.created, filter.created.as_ref())
        && within(&row.updated, filter.updated.as_ref())
        && (filter.name_contains.is_empty()
            || row.name.is_some_and(|name| name.to_lowercase().contains(&filter.name_contains.to_lowercase())))
}

async fn insert(connection: &mut PgConnection, row: &Row) {
    let status = row.phase.map_or_else(|| serde_json::json!({}), |phase| serde_json::json!({ "phase": phase }));
    let instant = |time: Timestamp| time.seconds * 1_000_000 + i64::from(time.nanos / 1_000);
    query(
        "insert into catalog.product (uid, name, status, labels, create_ts, update_ts) \
         values ($1, $2, $3::text::jsonb, $4::text::jsonb, 'epoch'::timestamptz + $5 * interval '1 microsecond', \
                 'epoch'::timestamptz + $6 * interval '1 microsecond')",
    )
    .bind(&row.uid)
    .bind(row.name)
    .bind(status.to_string())
    .bind(serde_json::to_string(&row.labels).unwrap())
    .bind(instant(row.created))
    .bind(instant(row.updated))
    .execute(connection)
    .await
    .unwrap();
}

#[tokio::test]
async fn a_filter_passes_what_its_model_passes() {
    const ROWS: usize = 200;
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    let mut runner = TestRunner::default();
    let mut rows = Vec::new();
    for number in 0..ROWS {
        let row = Row { uid: uid(number), ..row().new_tree(&mut runner).unwrap().current() };
        insert(&mut operator, &row).await;
        rows.push(row);
    }
    let server = CatalogServer::start(&database).await;
    let (mut found, mut cases) = (0, 0);
    while cases < 400 {
        let filter = filter(ROWS).new_tree(&mut runner).unwrap().current();
        let expected: Vec<&str> = rows.iter().filter(|row| passes(row, &filter)).map(|row| row.uid.as_str()).collect();
        let request = StreamProductsRequest { filter: Some(filter.clone()), page_size: 64, ..Default::default() };
        let pages = server.client().stream_products(request).await.unwrap().into_inner();
        let products = pages.map(|page| page.unwrap().products).collect::<Vec<_>>().await.concat();
        let streamed: Vec<&str> = products.iter().map(|product| product.uid.as_str()).collect();
        assert_eq!(streamed, expected, "{filter:?}");
        let request = ListProductsRequest { filter: Some(filter.clone()), page_size: 1_000, ..Default::default() };
        let listed = server.client().list_products(request).await.unwrap().into_inner();
        assert_eq!(listed.products, products, "{filter:?}");
        found += expected.len();
        cases += 1;
    }
    // Some rows pass, so the comparison is not trivial.
    assert!(found > 1_000, "{found} rows passed");
}

#[tokio::test]
async fn a_filter_refuses_what_it_cannot_mean() {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start(&database).await;
    let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let selector = |text: &str| ProductFilter { label_selector: text.to_owned(), ..Default::default() };
    let phases = |phases: Vec<String>| ProductFilter { phases, ..Default::default() };
    let uids = |uids: Vec<String>| ProductFilter { uids, ..Default::default() };
    let contains = |text: &str| ProductFilter { name_contains: text.to_owned(), ..Default::default() };
    let at = |seconds: i64, nanos: i32| Some(Timestamp { seconds, nanos });
    let created = |start, end| ProductFilter { created: Some(TimeRange { start, end }), ..Default::default() };
    let updated = |start, end| ProductFilter { updated: Some(TimeRange { start, end }), ..Default::default() };
    // The longest allowed.
    let longest = format!("a in ({})", vec!["b".repeat(61); 65].join(","));
    let longest = format!("{longest}{}", " ".repeat(4_096 - longest.len()));
    let most: Vec<String> = (0..64).map(|number| format!("k{number}")).collect();
    let allowed = [
        selector(&longest),
        selector(&most.join(",")),
        selector(" \t\n"),
        phases(vec!["x".to_owned(); 64]),
        phases(vec!["p".repeat(256)]),
        uids(vec!["prd_1".to_owned(); 1_000]),
        contains(&"x".repeat(256)),
        created(at(1, 0), at(1, 0)),
        created(at(1, 1), at(1, 2)),
        created(at(-62_135_596_800, 0), at(253_402_300_799, 999_999_999)),
        created(None, None),
    ];
    for filter in allowed {
        let request = ListProductsRequest { filter: Some(filter.clone()), ..Default::default() };
        assert!(server.client().list_products(request).await.is_ok(), "{filter:?}");
    }
    let refused = [
        (selector(&format!("{longest} ")), "label_selector"),
        (selector(&format!("{},k64", most.join(","))), "label_selector"),
        (selector("=x"), "label_selector"),
        (selector("a in"), "label_selector"),
        (selector("a in (b"), "label_selector"),
        (selector("a=b;c"), "label_selector"),
        (selector("a=b'"), "label_selector"),
        (selector("a>1"), "label_selector"),
        (selector("a\0"), "label_selector"),
        (selector("é=x"), "label_selector"),
        (selector(","), "label_selector"),
        (phases(vec!["x".to_owned(); 65]), "phases"),
        (phases(strings(&["active", ""])), "phases"),
        (phases(strings(&["a\0"])), "phases"),
        (phases(vec!["p".repeat(257)]), "phases"),
        (uids(vec!["prd_1".to_owned(); 1_001]), "uids"),
        (uids(strings(&["prd_1", "1\0"])), "uids[1]"),
        (uids(strings(&[""])), "uids[0]"),
        (contains(&"x".repeat(257)), "name_contains"),
        (contains("a\0"), "name_contains"),
        (created(at(2, 0), at(1, 999_999_999)), "created.end"),
        // The same microsecond, rounded up or down.
        (created(at(1, 2), at(1, 1)), "created.end"),
        (created(at(1, 1), at(1, 0)), "created.end"),
        (created(at(253_402_300_800, 0), None), "created.start"),
        (created(None, at(i64::MIN, 0)), "created.end"),
        (updated(at(0, -1), None), "updated.start"),
        (updated(None, at(0, 1_000_000_000)), "updated.end"),
    ];
    for (filter, field) in refused {
        let field = format!("filter.{field}");
        let request = ListProductsRequest { filter: Some(filter.clone()), ..Default::default() };
        assert_invalid(server.client().list_products(request).await, "FIELD_INVALID", &field);
        let request = StreamProductsRequest { filter: Some(filter), ..Default::default() };
        assert_invalid(server.client().stream_products(request).await.map(drop), "FIELD_INVALID", &field);
    }
}

#[tokio::test]
async fn a_bound_holds_to_the_nanosecond() {
    let database = TestDatabase::create().await;
    run(
        &mut database.connect(Role::Operator).await,
        "insert into catalog.product (uid, create_ts) values \
         ('prd_1', '2026-01-01 00:00:00.000001+00'), ('prd_2', '2026-01-01 00:00:00.000002+00'), \
         ('prd_3', 'infinity'), ('prd_4', '-infinity'), ('prd_5', '0044-03-15 00:00:00+00 BC'), \
         ('prd_6', '9999-12-31 23:59:59.999999+00')",
    )
    .await;
    let server = CatalogServer::start(&database).await;
    let second = 1_767_225_600;
    let at = |nanos: i32| Some(Timestamp { seconds: second, nanos });
    let first = Some(Timestamp { seconds: -62_135_596_800, nanos: 0 });
    let last = |nanos: i32| Some(Timestamp { seconds: 253_402_300_799, nanos });
    let cases: &[(Option<Timestamp>, Option<Timestamp>, &[&str])] = &[
        (at(1_000), at(2_000), &["prd_1"]),
        (at(1_001), None, &["prd_2", "prd_3", "prd_6"]),
        (at(1_000), at(1_001), &["prd_1"]),
        (at(999), at(1_001), &["prd_1"]),
        (at(1), at(999), &[]),
        (at(1_001), at(2_000), &[]),
        (at(1_999), at(2_001), &["prd_2"]),
        (at(2_000), None, &["prd_2", "prd_3", "prd_6"]),
        // A time after year 9999 is read as its last microsecond, and compared by its real value.
        (last(999_999_000), last(999_999_001), &["prd_6"]),
        (last(999_999_001), None, &["prd_3"]),
        (at(2_001), last(999_999_999), &["prd_6"]),
        (None, at(1_000), &["prd_4", "prd_5"]),
        (first, at(2_000), &["prd_1"]),
        (None, first, &["prd_4", "prd_5"]),
    ];
    for (start, end, expected) in cases {
        let filter = ProductFilter { created: Some(TimeRange { start: *start, end: *end }), ..Default::default() };
        let request = ListProductsRequest { filter: Some(filter), ..Default::default() };
        let found: Vec<String> = server
            .client()
            .list_products(request)
            .await
            .unwrap()
            .into_inner()
            .products
            .into_iter()
            .map(|product| product.uid)
            .collect();
        assert_eq!(found, *expected, "{start:?} {end:?}");
    }
}
