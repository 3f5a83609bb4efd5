//! Products and metrics for tests.

use orrery_proto::catalog::v1::{Product, ProductMetric};
use orrery_proto::r#type::v1::Status;
use prost_types::Timestamp;
use sqlx::{AssertSqlSafe, PgConnection};

/// The uid of a product number. Uids sort like their numbers.
pub(crate) fn uid(number: usize) -> String {
    format!("prd_{number:07}")
}

/// The uids of the products of [`seed`].
pub(crate) fn uids(count: usize) -> Vec<String> {
    (1..=count).map(uid).collect()
}

/// A product with a name, a phase, a label and an annotation.
pub(crate) fn product(uid: &str) -> Product {
    Product {
        uid: uid.to_owned(),
        name: format!("Name of {uid}"),
        status: Some(Status { phase: "draft".to_owned(), details: None }),
        labels: [("season".to_owned(), "summer".to_owned())].into(),
        annotations: [("source/code".to_owned(), uid.to_owned())].into(),
        ..Product::default()
    }
}

/// A metric without a unit, measured at second `as_of`.
pub(crate) fn metric(product_uid: &str, name: &str, value: &str, as_of: i64) -> ProductMetric {
    ProductMetric {
        product_uid: product_uid.to_owned(),
        name: name.to_owned(),
        value: value.to_owned(),
        unit: String::new(),
        as_of_ts: Some(timestamp(as_of)),
    }
}

/// A timestamp in whole seconds.
pub(crate) fn timestamp(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

/// Inserts `count` products without the service. Number n has the label `shard` n modulo 100 and the phase `active`,
/// `paused` (every tenth) or `retired` (every thousandth). It was created n / 10 seconds after 2026-01-01 and not
/// changed since.
pub(crate) async fn seed(connection: &mut PgConnection, count: usize) {
    run(
        connection,
        &format!(
            "insert into catalog.product (uid, name, status, labels, annotations, create_ts, update_ts) \
             select 'prd_' || lpad(n::text, 7, '0'), 'Thing ' || n, \
                    jsonb_build_object('phase', case when n % 1000 = 0 then 'retired' when n % 10 = 0 then 'paused' \
                    else 'active' end), \
                    jsonb_build_object('shard', (n % 100)::text, 'even', (n % 2 = 0)::text), \
                    jsonb_build_object('source/number', n::text), \
                    timestamptz '2026-01-01 00:00:00+00' + n / 10 * interval '1 second', \
                    timestamptz '2026-01-01 00:00:00+00' + n / 10 * interval '1 second' \
             from generate_series(1, {count}) n"
        ),
    )
    .await;
}

/// Runs SQL statements.
pub(crate) async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}
