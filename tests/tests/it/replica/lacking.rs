//! A replica that can be read but has not replayed a migration or a grant. The primary serves the reads.

use std::time::Instant;

use orrery::migrate::{Folder, LockTimeouts, Migrator};
use orrery_proto::catalog::v1::GetProductRequest;
use tonic::transport::Channel;

use super::reads::{catalog_reads, order_reads};
use super::{CATALOG, EVENTUAL, Method, TIMEOUT, method, until_served_by};
use crate::harness::{CatalogServer, OrdersServer, Postgres, Role, StandbyServer, TestDatabase, run, seed, uid};

/// The services with a database and its replica.
struct Services {
    catalog: CatalogServer,
    orders: OrdersServer,
}

impl Services {
    async fn start(database: &TestDatabase, standby: &StandbyServer) -> Self {
        let of = |role| Some(standby.url(role, database).parse().unwrap());
        let catalog = CatalogServer::start_with(database, |config| {
            config.replica.database_replica_url = of(Role::Catalog);
        })
        .await;
        let orders = OrdersServer::start_with(database, |config| {
            config.service.replica.database_replica_url = of(Role::Orders);
        })
        .await;
        Self { catalog, orders }
    }

    fn reads(&self) -> Vec<(Channel, Method)> {
        let catalog = catalog_reads().into_iter().map(|read| (self.catalog.channel(), read));
        catalog.chain(order_reads().into_iter().map(|read| (self.orders.channel(), read))).collect()
    }
}

/// The number of statements that the replica refused with this SQLSTATE.
fn refused(standby: &StandbyServer, state: &str) -> usize {
    standby.log().lines().filter(|line| line.contains(&format!("] {state} ")) && line.contains("ERROR:")).count()
}

/// Checks that each read is refused by the replica and returns the primary's result.
async fn assert_reads(services: &Services, standby: &StandbyServer, state: &str) {
    for (channel, read) in services.reads() {
        let strong = read.call(&channel, &[]).await;
        let begun = Instant::now();
        let before = refused(standby, state);
        loop {
            let answer = read.call(&channel, &[EVENTUAL]).await;
            assert_eq!(answer.read(), (strong.read().0, Some("primary")), "{}: {answer:?}", read.path);
            if refused(standby, state) > before {
                break;
            }
            // The replica has not been found yet.
            assert!(begun.elapsed() < TIMEOUT, "{} does not ask the replica", read.path);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

async fn put(database: &TestDatabase) {
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 1).await;
    run(
        &mut operator,
        "insert into catalog.product_metric (product_uid, name, value) values ('prd_0000001', 'sales', 1); \
         insert into orders.order_header (uid, currency_code, customer_id, create_ts) \
             values ('ord_a', 'GBP', '17850', timestamptz '2005-01-01 12:00:00+00'); \
         insert into orders.order_line_item (order_uid, uid, line_number, product_uid, quantity, unit_price) \
             values ('ord_a', 'oli_a', 1, 'prd_0000001', 2, 1.50)",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_without_the_tables_is_not_missed() {
    let primary = Postgres::own().await;
    let database = primary.create_empty_database().await;
    let standby = StandbyServer::of(&primary).await;
    standby.catch_up().await;
    standby.pause_replay().await;
    let url = database.url(Role::Operator);
    Migrator::new(&url, Folder::compiled_in().unwrap(), LockTimeouts::default()).up(|_| ()).await.unwrap();
    put(&database).await;
    let services = Services::start(&database, &standby).await;
    // Without the schema the table does not exist for the service's role: undefined_table.
    assert_reads(&services, &standby, "42P01").await;
    standby.resume_replay().await;
    standby.catch_up().await;
    for (channel, read) in services.reads() {
        until_served_by("replica", &channel, &read).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_without_a_column_or_a_right_is_not_missed() {
    let primary = Postgres::own().await;
    let database = primary.create_database().await;
    put(&database).await;
    let mut operator = database.connect(Role::Operator).await;
    let standby = StandbyServer::of(&primary).await;
    let get = method(CATALOG, "GetProduct", &GetProductRequest { uid: uid(1), read_mask: None });
    for (before, after, state) in [
        (
            "alter table catalog.product rename uid to id; \
             alter table catalog.product_metric rename product_uid to id; \
             alter table orders.order_header rename uid to id; \
             alter table orders.order_line_item rename order_uid to id",
            "alter table catalog.product rename id to uid; \
             alter table catalog.product_metric rename id to product_uid; \
             alter table orders.order_header rename id to uid; \
             alter table orders.order_line_item rename id to order_uid",
            "42703",
        ),
        (
            "revoke select on all tables in schema catalog from catalog_service; \
             revoke select on all tables in schema orders from orders_service",
            "grant select on all tables in schema catalog to catalog_service; \
             grant select on all tables in schema orders to orders_service",
            "42501",
        ),
    ] {
        run(&mut operator, before).await;
        standby.catch_up().await;
        standby.pause_replay().await;
        run(&mut operator, after).await;
        let services = Services::start(&database, &standby).await;
        assert_reads(&services, &standby, state).await;
        standby.resume_replay().await;
        standby.catch_up().await;
        until_served_by("replica", &services.catalog.channel(), &get).await;
    }
}
