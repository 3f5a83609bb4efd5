//! Timestamp literals denote exactly the microsecond that Postgres stores, whatever the session's settings.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use orrery_kit::timestamp::to_sql_literal;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _, query};

use crate::harness::{Role, TestDatabase};

/// The first and the last microsecond of Postgres's calendar.
const CALENDAR: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

#[tokio::test]
async fn a_literal_is_the_value_that_is_stored() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect(Role::Operator).await;
    let mut runner = TestRunner::default();
    let common = -70_000_000_000_000_000..300_000_000_000_000_000_i64;
    let mut micros =
        proptest::collection::vec(prop_oneof![CALENDAR, common], 500).new_tree(&mut runner).unwrap().current();
    micros.extend([i64::MIN, CALENDAR.start, -1, 0, 1, CALENDAR.end - 1, i64::MAX]);

    for (zone, style) in [("UTC", "iso, mdy"), ("Pacific/Auckland", "german, dmy"), ("America/St_Johns", "sql, ymd")] {
        query(AssertSqlSafe(format!("set time zone '{zone}'"))).execute(&mut connection).await.unwrap();
        query(AssertSqlSafe(format!("set datestyle = {style}"))).execute(&mut connection).await.unwrap();
        for chunk in micros.chunks(100) {
            let list: Vec<String> = chunk.iter().map(|micros| to_sql_literal(*micros)).collect();
            let sql = format!("select unnest(array[{}])", list.join(", "));
            let rows: Vec<PgRow> = query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
            for (row, micros) in rows.iter().zip(chunk) {
                // The binary form of a timestamptz.
                let stored = i64::from_be_bytes(row.try_get_raw(0).unwrap().as_bytes().unwrap().try_into().unwrap());
                assert_eq!(stored, *micros, "{} in {zone}, {style}", to_sql_literal(*micros));
            }
        }
    }
}
