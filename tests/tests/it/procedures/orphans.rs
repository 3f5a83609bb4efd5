//! `detect_orphans`: what it finds is exactly what is missing, across slices and inside one, and it does what comments
//! say.

use std::collections::BTreeSet;

use orrery_proto::procedures::v1::OrphanFilter;
use prost_types::value::Kind;
use sqlx::{AssertSqlSafe, PgConnection};

use super::{Client, text};
use crate::harness::operator::{repository, retail_file, run};
use crate::harness::{CatalogServer, OrdersServer, Role, TestDatabase};

const PROCEDURE: &str = "detect_orphans";
const LINES: &str = "orders.order_line_item.product_uid";

async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

async fn texts(connection: &mut PgConnection, sql: &str) -> BTreeSet<String> {
    let texts: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(connection).await.unwrap();
    texts.into_iter().collect()
}

/// Catalog and Orders on one database, with workers.
struct Shop {
    database: TestDatabase,
    catalog: CatalogServer,
    orders: OrdersServer,
    operator: PgConnection,
}

impl Shop {
    async fn new() -> Self {
        Self::with_rows(100_000).await
    }

    /// With a limit on the rows of a query and a statement of Orders.
    async fn with_rows(rows: usize) -> Self {
        let database = TestDatabase::create().await;
        let catalog = CatalogServer::start_with(&database, |config| config.procedures.procedure_workers = 1).await;
        let address = catalog.address().to_string().parse().unwrap();
        let orders = OrdersServer::start_with(&database, |config| {
            config.catalog.address = address;
            config.service.procedures.procedure_workers = 1;
            config.service.limits.max_query_rows = rows;
            config.service.limits.max_statement_rows = rows;
            config.service.stream.write_batch_rows = config.service.stream.write_batch_rows.min(rows);
        })
        .await;
        let operator = database.connect(Role::Operator).await;
        Self { database, catalog, orders, operator }
    }

    fn procedures(&self) -> Client {
        Client::of(self.orders.channel())
    }

    /// Makes products and orders with lines that refer to them in SQL, behind the services' back.
    async fn fill(&mut self, products: usize, orders: usize, lines: usize) {
        execute(
            &mut self.operator,
            &format!(
                "insert into catalog.product (uid, name) select 'prd_' || to_char(n, 'fm00000000'), 'p' from generate_series(1, {products}) as n;
                 insert into orders.order_header (uid, currency_code) select 'ord_' || to_char(n, 'fm00000000'), 'GBP' from generate_series(1, {orders}) as n;
                 insert into orders.order_line_item (order_uid, uid, line_number, product_uid)
                 select 'ord_' || to_char(o, 'fm00000000'), 'oli_' || o || '_' || l, l,
                        'prd_' || to_char(1 + (o * 7919 + l * 104729) % {products}, 'fm00000000')
                   from generate_series(1, {orders}) as o, generate_series(1, {lines}) as l;
                 insert into orders.order_summary (order_uid) select uid from orders.order_header;
                 analyze catalog.product, orders.order_header, orders.order_line_item, orders.order_summary"
            ),
        )
        .await;
    }

    /// What is missing, found by one statement.
    async fn missing_products(&mut self) -> BTreeSet<String> {
        let sql = "select distinct l.product_uid from orders.order_line_item as l
                    where l.product_uid is not null
                      and not exists (select from catalog.product as p where p.uid = l.product_uid)";
        texts(&mut self.operator, sql).await
    }

    /// Checks that the orphans of the lines are exactly what is missing, each with a line that refers to it.
    async fn is_exact(&mut self) -> usize {
        let orphans = self
            .procedures()
            .orphans_that(OrphanFilter { relations: vec![LINES.to_owned()], ..Default::default() })
            .await;
        let found: BTreeSet<String> = orphans.iter().map(|orphan| orphan.missing_uid.clone()).collect();
        assert_eq!(found.len(), orphans.len(), "each once");
        assert_eq!(found, self.missing_products().await);
        let children: Vec<String> = orphans.iter().map(|orphan| orphan.child_uid.clone()).collect();
        let missing: Vec<String> = orphans.iter().map(|orphan| orphan.missing_uid.clone()).collect();
        let wrong: i64 = sqlx::query_scalar(
            "select count(*) from unnest($1::text[], $2::text[]) as i (child, missing)
              where not exists (select from orders.order_line_item as l where l.uid = i.child and l.product_uid = i.missing)",
        )
        .bind(children)
        .bind(missing)
        .fetch_one(&mut self.operator)
        .await
        .unwrap();
        assert_eq!(wrong, 0);
        assert!(orphans.iter().all(|orphan| orphan.first_seen_ts.is_some() && orphan.last_seen_ts.is_some()));
        found.len()
    }
}

fn at_once() -> Vec<(&'static str, Kind)> {
    vec![("grace", text("0s"))]
}

// The file and its number are those of the system that Orrery replaces.
#[tokio::test(flavor = "multi_thread")]
async fn orders_without_products_are_found_and_healed() {
    let (file, missing) = match retail_file() {
        Some(file) => (file, 3_561),
        None => (repository("tests/data/online-retail-sample.csv"), 54),
    };
    let mut shop = Shop::new().await;
    let orders = format!("--orders={}", shop.orders.address());
    let mapping = "--mapping=deploy/examples/online-retail-orders.toml";
    let file = file.to_str().unwrap();
    assert_eq!(run(&["import", "orders", file, mapping, &orders]).await.code, Some(0));
    let found = shop.procedures().numbers(PROCEDURE, &at_once()).await;
    assert_eq!(found[LINES], missing, "{found:?}");
    assert_eq!(shop.is_exact().await, usize::try_from(missing).unwrap());

    let catalog = format!("--catalog={}", shop.catalog.address());
    let mapping = "--mapping=deploy/examples/online-retail.toml";
    let imported = run(&["import", "products", file, mapping, &catalog]).await;
    assert_eq!(imported.code, Some(0), "{imported:?}");
    let healed = shop.procedures().numbers(PROCEDURE, &at_once()).await;
    assert_eq!((healed[LINES], healed["healed"]), (0, missing), "{healed:?}");
    assert!(shop.procedures().orphans().await.is_empty());
    assert_eq!(shop.is_exact().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn products_that_vanish_are_found_exactly() {
    let mut shop = Shop::new().await;
    shop.fill(30_000, 20_000, 3).await;
    assert_eq!(shop.procedures().numbers(PROCEDURE, &at_once()).await[LINES], 0);
    let delete = "delete from catalog.product where uid in (
        select product_uid from orders.order_line_item group by product_uid order by md5(product_uid) limit 1000)";
    execute(&mut shop.operator, delete).await;
    let found = shop.procedures().numbers(PROCEDURE, &at_once()).await;
    assert_eq!(found[LINES], 1_000, "{found:?}");
    assert_eq!(shop.is_exact().await, 1_000);
    // They stay, and were not seen for the first time.
    let before = shop.procedures().orphans().await;
    assert_eq!(shop.procedures().numbers(PROCEDURE, &at_once()).await[LINES], 1_000);
    let after = shop.procedures().orphans().await;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((&before.missing_uid, before.first_seen_ts), (&after.missing_uid, after.first_seen_ts));
        assert!(
            after.last_seen_ts.map(|time| (time.seconds, time.nanos))
                > before.last_seen_ts.map(|time| (time.seconds, time.nanos))
        );
    }
}
