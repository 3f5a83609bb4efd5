//! Random JSON is unchanged after it was read and written back.

use orrery_proto::catalog::v1::ListProductsRequest;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use sqlx::query_as;

use super::{insert, mask, write};
use crate::harness::{CatalogServer, Role, TestDatabase, run};

/// A JSON text. Texts that look like numbers, like JSON or like pieces of it are frequent: they are what could be
/// mistaken. Numbers that no double holds stand at its top alone: further inside they read as texts, and stay that when
/// they are written back.
fn json() -> impl Strategy<Value = String> {
    let number = prop_oneof![any::<i32>().prop_map(|number| number.to_string()), "-?[1-9][0-9]{0,2}\\.[0-9]{1,3}0?",];
    let long_number = prop_oneof!["-?[1-9][0-9]{14,40}(\\.[0-9]{1,9}0)?", "0\\.0{0,9}[0-9]{10,30}"];
    let text = prop_oneof![
        "[a-z \\\\\"{}\\[\\]:,0-9]{0,24}",
        "\\PC{0,8}",
        "(-?0?[0-9]{14,20}(\\.[0-9]{1,4})?)",
        "(\\\\|\"|: |, )\"?[1-9][0-9]{15,18}\"?",
    ]
    .prop_map(|text| serde_json::to_string(&text).unwrap());
    let leaf =
        prop_oneof![number, text.clone(), select(&["null", "true", "false", "{}", "[]"][..]).prop_map(str::to_owned)];
    let nested = leaf.prop_recursive(4, 16, 4, move |inner| {
        let key = prop_oneof![text.clone(), "\"[1-9][0-9]{16,17}\""];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(","))),
            vec((key, inner), 0..4).prop_map(|entries| object(&entries)),
        ]
    });
    prop_oneof![4 => nested, 1 => long_number]
}

fn object(entries: &[(String, String)]) -> String {
    let entries: Vec<String> = entries.iter().map(|(key, value)| format!("{key}:{value}")).collect();
    format!("{{{}}}", entries.join(","))
}

pub(crate) fn random_objects(runner: &mut TestRunner, key: &'static str, count: usize) -> Vec<String> {
    let entries = vec((key.prop_map(|key: String| format!("\"{key}\"")), json()), 0..5);
    (0..count).map(|_| object(&entries.new_tree(runner).unwrap().current())).collect()
}

#[tokio::test]
async fn any_json_survives_being_read_and_written_back() {
    const ROWS: usize = 400;
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    let mut runner = TestRunner::default();
    let statuses = random_objects(&mut runner, "[a-z ]{1,6}|[1-9]{17}", ROWS);
    let labels = random_objects(&mut runner, "[a-z]{1,6}", ROWS);
    let annotations = random_objects(&mut runner, "[a-z]{1,6}", ROWS);
    for row in 0..ROWS {
        insert(&mut operator, &format!("prd_{row}"), &statuses[row], &labels[row], &annotations[row]).await;
    }
    run(&mut operator, "create table public.before as select * from catalog.product").await;
    let server = CatalogServer::start(&database).await;
    let request = ListProductsRequest { page_size: 1_000, ..Default::default() };
    let products = server.client().list_products(request).await.unwrap().into_inner().products;
    assert_eq!(products.len(), ROWS);
    let compare = "select b.status::text, p.status::text, b.labels::text, p.labels::text, b.annotations::text, \
        p.annotations::text \
                   from catalog.product p join public.before b using (uid) where b::text <> p::text";
    let answer = write(&server, products.clone(), None).await;
    let changes: Vec<(String, String, String, String, String, String)> =
        query_as(compare).fetch_all(&mut operator).await.unwrap();
    assert_eq!(changes, []);
    assert_eq!((answer.unchanged, answer.updated), (ROWS as i64, 0));
    // The same with the mask that replaces a status as a whole, if the stored one has a phase.
    run(
        &mut operator,
        "update catalog.product set status = status || '{\"phase\": \"active\"}'; drop table public.before; \
         create table public.before as select * from catalog.product",
    )
    .await;
    let request = ListProductsRequest { page_size: 1_000, ..Default::default() };
    let products = server.client().list_products(request).await.unwrap().into_inner().products;
    let answer = write(&server, products, mask(&["status", "labels", "annotations"])).await;
    let changes: Vec<(String, String, String, String, String, String)> =
        query_as(compare).fetch_all(&mut operator).await.unwrap();
    assert_eq!(changes, []);
    assert_eq!((answer.unchanged, answer.updated), (ROWS as i64, 0));
}
