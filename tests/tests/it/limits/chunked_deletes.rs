//! Chunked deletes of rows to which more belongs than one statement may touch.

use std::time::{Duration, Instant};

use orrery_kit::config::ServiceConfig;
use orrery_proto::orders::v1::Order;
use orrery_proto::r#type::v1::{WriteMode, WriteStart};
use sqlx::PgConnection;

use super::managed;
use crate::harness::{
    CatalogServer, OrdersServer, Role, TestDatabase, line, order, order_uid, product, run, seed, uid,
};
use crate::writes::Fixture;
use crate::writes::stream::{ORDERS, PRODUCTS, Totals, WriteStream, write};

/// Most rows of one statement, and of one chunk: the fewest that a service takes.
const MOST: usize = 1_000;

async fn count(connection: &mut PgConnection, select: &'static str) -> i64 {
    sqlx::query_scalar(select).fetch_one(connection).await.unwrap()
}

fn bound(config: &mut ServiceConfig) {
    config.limits.max_statement_rows = MOST;
    config.stream.write_batch_rows = MOST;
}

fn deleting() -> WriteStart {
    WriteStart { mode: WriteMode::Delete.into(), ..WriteStart::default() }
}

#[tokio::test]
async fn products_go_with_their_metrics_in_bounded_statements() {
    let database = TestDatabase::limited(managed()).await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 2 * MOST + 1).await;
    // Of each of them some, and of one more than a statement may touch.
    run(
        &mut operator,
        "insert into catalog.product_metric (product_uid, name, value) \
         select p.uid, 'm' || n, n from catalog.product p, generate_series(1, 4) n; \
         insert into catalog.product_metric (product_uid, name, value) \
         select 'prd_0000007', 'day-' || n, n from generate_series(1, 3000) n",
    )
    .await;
    let server = CatalogServer::start_with(&database, bound).await;
    let mut stream = WriteStream::open(server.channel(), PRODUCTS, deleting()).await.unwrap();
    let mut totals = Totals::default();
    for first in [1, MOST + 1] {
        let products: Vec<_> = (first..first + MOST).map(|number| product(&uid(number))).collect();
        stream.send(first as i64 - 1, &products).await;
        totals.deleted += stream.acknowledged((first + MOST) as i64 - 1).await.unwrap().deleted;
    }
    stream.finish().await.1.unwrap();
    assert_eq!(totals.deleted, 2 * MOST as i64);
    assert_eq!(count(&mut operator, "select count(*) from catalog.product").await, 1);
    assert_eq!(count(&mut operator, "select count(*) from catalog.product_metric").await, 4);
}

#[tokio::test]
async fn orders_go_with_their_lines_in_bounded_statements() {
    let database = TestDatabase::limited(managed()).await;
    let mut operator = database.connect(Role::Operator).await;
    let orders: Vec<Order> = (1..=300)
        .map(|number| Order {
            line_items: (0..10).map(|at| line(&format!("sku-{at}"), 1, "2.50")).collect(),
            ..order(&order_uid(number))
        })
        .collect();
    let loading = OrdersServer::start(&database).await;
    write(loading.channel(), ORDERS, WriteStart::default(), &orders).await.1.unwrap();
    drop(loading);
    let server = OrdersServer::start_with(&database, |config| bound(&mut config.service)).await;
    let rows: Vec<Order> = (1..300).map(|number| Order { uid: order_uid(number), ..Order::default() }).collect();
    let (totals, end) = write(server.channel(), ORDERS, deleting(), &rows).await;
    end.unwrap();
    assert_eq!(totals.deleted, 299);
    assert_eq!(count(&mut operator, "select count(*) from orders.order_header").await, 1);
    assert_eq!(count(&mut operator, "select count(*) from orders.order_line_item").await, 10);
    assert_eq!(count(&mut operator, "select count(*) from orders.order_summary").await, 1);
}

#[tokio::test]
async fn lines_of_other_orders_are_not_read() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    // 2,000 orders of 20 lines, of which every tenth is deleted.
    run(
        &mut operator,
        "insert into orders.order_header (uid, currency_code) \
         select 'ord_' || lpad(n::text, 7, '0'), 'GBP' from generate_series(1, 2000) n; \
         insert into orders.order_line_item (order_uid, uid, line_number) \
         select 'ord_' || lpad(n::text, 7, '0'), 'oli_' || l, l from generate_series(1, 2000) n, \
                generate_series(1, 20) l; \
         analyze orders.order_header, orders.order_line_item; \
         select pg_stat_force_next_flush()",
    )
    .await;
    let blocks = "select (idx_blks_hit + idx_blks_read)::bigint from pg_statio_user_indexes \
                  where schemaname = 'orders' and indexrelname = 'order_line_item_pkey'";
    let before = count(&mut operator, blocks).await;
    let server = OrdersServer::start_with(&database, |config| bound(&mut config.service)).await;
    let rows: Vec<Order> = (1..=200).map(|n| Order { uid: order_uid(10 * n), ..Order::default() }).collect();
    let (totals, end) = write(server.channel(), ORDERS, deleting(), &rows).await;
    end.unwrap();
    assert_eq!(totals.deleted, 200);
    assert_eq!(count(&mut operator, "select count(*) from orders.order_line_item").await, 36_000);
    // Sessions report their statistics when they end.
    server.stop().await.unwrap();
    let deleted =
        "select n_tup_del from pg_stat_user_tables where schemaname = 'orders' and relname = 'order_line_item'";
    let patience = Instant::now();
    while count(&mut operator, deleted).await < 4_000 {
        assert!(patience.elapsed().as_secs() < 20, "the statistics were not reported");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A few for each line that is deleted. All lines between the orders would be a hundred thousand and more.
    let read = count(&mut operator, blocks).await - before;
    assert!(read < 40_000, "{read} blocks were read");
}

#[tokio::test]
async fn what_is_added_while_its_owner_is_being_deleted_goes_too() {
    let fixture = Fixture::new().await;
    write(fixture.server.channel(), PRODUCTS, WriteStart::default(), &[product(&uid(1))]).await.1.unwrap();
    // Another writer has found the product and refers to it.
    let mut other = fixture.pool.begin().await.unwrap();
    sqlx::raw_sql(
        "select uid from catalog.product where uid = 'prd_0000001' for key share; \
         insert into catalog.product_metric (product_uid, name, value) values ('prd_0000001', 'late', 1)",
    )
    .execute(&mut *other)
    .await
    .unwrap();
    let stream = WriteStream::open(fixture.server.channel(), PRODUCTS, deleting()).await.unwrap();
    stream.send(0, &[product(&uid(1))]).await;
    fixture.until_blocked().await;
    other.commit().await.unwrap();
    let (totals, end) = stream.finish().await;
    end.unwrap();
    assert_eq!(totals.deleted, 1);
    assert_eq!(fixture.count("catalog.product_metric").await, 0);
}
