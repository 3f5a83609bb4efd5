//! A row that equals the stored one is read and not written: no new version, no new update_ts, no dead tuple.

use orrery_proto::catalog::v1::{Product, ProductMetric};
use orrery_proto::r#type::v1::{Status as Phase, WriteStart};
use sqlx::Row as _;

use crate::harness::Role;

use super::Fixture;
use super::stream::{METRICS, PRODUCTS, mask, metric, product, write};

/// Each map is built anew, so that its entries are in another order each time.
fn rows() -> Vec<Product> {
    let map = |part: &str| (0..12).map(|at| (format!("{part}-{at}"), format!("value {at}"))).collect();
    let details = || prost_types::Struct {
        fields: (0..4)
            .map(|at| {
                let kind = Some(prost_types::value::Kind::NumberValue(f64::from(at) / 2.0));
                (format!("detail {at}"), prost_types::Value { kind })
            })
            .collect(),
    };
    (0..500)
        .map(|number| Product {
            labels: map("label"),
            annotations: map("example.com/annotation"),
            status: Some(Phase { phase: "active".to_owned(), details: Some(details()) }),
            ..product(&format!("{number:03}"), "The same")
        })
        .collect()
}

async fn versions(fixture: &Fixture, table: &str) -> Vec<(String, String)> {
    let select = format!("select xmin::text, to_jsonb(t)::text from {table} t order by 2");
    let rows = sqlx::query(sqlx::AssertSqlSafe(select)).fetch_all(&fixture.pool).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn equal_rows_are_not_rewritten() {
    let fixture = Fixture::new().await;
    // An analyze in between would add its own estimate to the number of dead tuples.
    let mut operator = fixture.database.connect(Role::Operator).await;
    sqlx::raw_sql("alter table catalog.product set (autovacuum_enabled = false)").execute(&mut operator).await.unwrap();
    let channel = || fixture.server.channel();
    let metrics: Vec<_> = (0..50).map(|number| metric(&format!("{number:03}"), "sales", "12.50")).collect();
    let (totals, _) = write(channel(), PRODUCTS, WriteStart::default(), &rows()).await;
    assert_eq!(totals.counts(), [500, 0, 0, 0, 0]);
    let (totals, _) = write(channel(), METRICS, WriteStart::default(), &metrics).await;
    assert_eq!(totals.counts(), [50, 0, 0, 0, 0]);
    let before = (versions(&fixture, "catalog.product").await, versions(&fixture, "catalog.product_metric").await);

    for update_mask in [None, Some(mask(&["*"])), Some(mask(&["name", "labels", "status.details", "annotations.none"]))]
    {
        let start = WriteStart { update_mask, ..WriteStart::default() };
        let (totals, end) = write(channel(), PRODUCTS, start, &rows()).await;
        end.unwrap();
        assert_eq!(totals.counts(), [0, 0, 500, 0, 0]);
    }
    let (totals, end) = write(channel(), METRICS, WriteStart::default(), &metrics).await;
    end.unwrap();
    assert_eq!(totals.counts(), [0, 0, 50, 0, 0]);
    let after = (versions(&fixture, "catalog.product").await, versions(&fixture, "catalog.product_metric").await);
    assert_eq!(before, after, "update_ts and version of every row are as they were");

    // Statistics are delayed; a change of one row shows when they have arrived.
    let (totals, _) = write(channel(), PRODUCTS, WriteStart::default(), &[product("000", "Another")]).await;
    assert_eq!(totals.updated, 1);
    let statistics =
        "select exists (select from pg_stat_user_tables where relid = 'catalog.product'::regclass and n_tup_upd > 0)";
    fixture.until(statistics).await;
    let (updated, deleted, dead): (i64, i64, i64) = sqlx::query_as(
        "select n_tup_upd, n_tup_del, n_dead_tup from pg_stat_user_tables where relid = 'catalog.product'::regclass",
    )
    .fetch_one(&fixture.pool)
    .await
    .unwrap();
    assert_eq!((updated, deleted), (1, 0));
    assert!(dead <= 1, "{dead} dead tuples");
}

#[tokio::test]
async fn what_is_finer_than_a_microsecond_is_cut_off_and_changes_nothing() {
    let fixture = Fixture::new().await;
    let channel = || fixture.server.channel();
    let at = |nanos| Some(prost_types::Timestamp { seconds: 1_000, nanos });
    // The second write is more precise than the first one, the third less.
    for (nanos, counts) in [(1_001, [1, 0, 0, 0, 0]), (1_999, [0, 0, 1, 0, 0]), (1_000, [0, 0, 1, 0, 0])] {
        let row = Product { create_ts: at(nanos), ..product("1", "The same") };
        let (totals, end) = write(channel(), PRODUCTS, WriteStart::default(), &[row]).await;
        end.unwrap();
        assert_eq!(totals.counts(), counts, "{nanos}");
        let row = ProductMetric { as_of_ts: at(nanos), ..metric("1", "sales", "12.50") };
        let (totals, end) = write(channel(), METRICS, WriteStart::default(), &[row]).await;
        end.unwrap();
        assert_eq!(totals.counts(), counts, "{nanos}");
    }
    // Both are in the same microsecond: neither is older, and the later write is stored.
    let row = ProductMetric { as_of_ts: at(1_000), ..metric("1", "sales", "13") };
    let (totals, end) = write(channel(), METRICS, WriteStart::default(), &[row]).await;
    end.unwrap();
    assert_eq!(totals.counts(), [0, 1, 0, 0, 0]);
    let stored = "(select from catalog.product where create_ts = 'epoch'::timestamptz + interval '1000 s 1 us') p";
    assert_eq!(fixture.count(stored).await, 1);
}
