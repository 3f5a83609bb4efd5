//! The literals of cursors have exactly the values that the database sent.

use orrery_kit::resource::kind::{self, ColumnKind};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sqlx::{AssertSqlSafe, PgConnection, query_scalar};

use crate::harness::{Role, TestDatabase};

/// Selects each value, and asserts that the literal of the result is the same value.
async fn assert_exact(connection: &mut PgConnection, kind: &dyn ColumnKind, send: &str, values: &[String]) {
    for value in values {
        let select = format!("select {send}({value})");
        let bytes: Vec<u8> = query_scalar(AssertSqlSafe(select)).fetch_one(&mut *connection).await.unwrap();
        let literal = kind.literal(&bytes).unwrap();
        let select = format!("select {send}({literal})");
        let back: Vec<u8> = query_scalar(AssertSqlSafe(select)).fetch_one(&mut *connection).await.unwrap();
        assert_eq!(back, bytes, "{value} as {literal}");
    }
}

/// Values as literals of a type.
fn of(values: &[&str], sql_type: &str) -> Vec<String> {
    values.iter().map(|value| format!("'{value}'::{sql_type}")).collect()
}

#[tokio::test]
async fn a_literal_is_the_value_that_was_sent() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;

    let mut doubles = of(
        &["NaN", "Infinity", "-Infinity", "0", "-0", "0.1", "5e-324", "1.7976931348623157e308", "9007199254740993"],
        "double precision",
    );
    let mut random = StdRng::seed_from_u64(5);
    let any = std::iter::repeat_with(|| f64::from_bits(random.random())).filter(|number| number.is_finite());
    doubles.extend(any.take(200).map(|number| format!("'{number:e}'::double precision")));
    assert_exact(&mut operator, &kind::double(), "float8send", &doubles).await;

    let decimals = of(
        &[
            "NaN",
            "Infinity",
            "-Infinity",
            "0",
            "0.000",
            "-1.50",
            "1e40",
            "1e-40",
            "9999.9999",
            "10000.0001000",
            "-0.0001",
        ],
        "numeric",
    );
    assert_exact(&mut operator, &kind::decimal(34, 18), "numeric_send", &decimals).await;

    let texts = of(&["", " ", "it''s", "a\\b\nc", "\u{10ffff}\u{e9}e\u{301}"], "text");
    assert_exact(&mut operator, &kind::text(9), "textsend", &texts).await;

    let times = of(
        &["-infinity", "infinity", "4713-12-31 BC", "0001-12-31 BC", "2026-02-28 23:59:59.999999+00", "294276-12-31"],
        "timestamptz",
    );
    assert_exact(&mut operator, &kind::timestamp(), "timestamptz_send", &times).await;

    let integers = of(&["-2147483648", "0", "2147483647"], "integer");
    assert_exact(&mut operator, &kind::integer(i32::MIN, i32::MAX), "int4send", &integers).await;
    let integers = of(&["-9223372036854775808", "0", "9223372036854775807"], "bigint");
    assert_exact(&mut operator, &kind::big_integer(i64::MIN, i64::MAX), "int8send", &integers).await;
    assert_exact(&mut operator, &kind::boolean(), "boolsend", &of(&["true", "false"], "boolean")).await;
}
