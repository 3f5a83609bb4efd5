//! Decimals here and Postgres's `numeric` agree exactly.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use orrery_kit::decimal::Decimal;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use sqlx::query_as;

use crate::harness::{Role, TestDatabase};

#[tokio::test]
async fn canonical_forms_sums_products_and_order_are_those_of_numeric() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect(Role::Operator).await;
    let mut runner = TestRunner::default();
    let decimal = "-?0{0,3}[0-9]{1,34}(\\.[0-9]{1,18})?|-?0{1,3}(\\.0{1,4})?|-?[0-9]{1,2}(\\.[0-9]{1,2})?";
    let pairs = proptest::collection::vec((decimal, decimal), 2_000).new_tree(&mut runner).unwrap().current();
    let (left, right): (Vec<String>, Vec<String>) = pairs.iter().cloned().unzip();

    let answers: Vec<(String, String, String, i32)> = query_as(
        "select a::text, (a + b)::text, (a * b)::text, case when a < b then -1 when a = b then 0 else 1 end
         from (select l::numeric as a, r::numeric as b, ordinality
               from unnest($1::text[], $2::text[]) with ordinality as t (l, r, ordinality)) as pair
         order by ordinality",
    )
    .bind(left)
    .bind(right)
    .fetch_all(&mut connection)
    .await
    .unwrap();

    assert_eq!(answers.len(), pairs.len());
    for ((a, b), (canonical, sum, product, order)) in pairs.iter().zip(answers) {
        assert_eq!(Decimal::canonical(a), canonical);
        let (left, right): (Decimal, Decimal) = (a.parse().unwrap(), b.parse().unwrap());
        assert_eq!(left.to_string(), canonical);
        assert_eq!(left.checked_add(&right).unwrap().to_string(), sum, "{a} + {b}");
        assert_eq!(left.checked_mul(&right).unwrap().to_string(), product, "{a} * {b}");
        assert_eq!(left.cmp(&right) as i32, order, "{a} against {b}");
    }
}
