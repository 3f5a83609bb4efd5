//! A primary that acknowledges commits before they are in the log: the position that a write returns is still after the
//! write.

use std::time::Duration;

use orrery_proto::catalog::v1::{CreateProductRequest, GetProductRequest, Product};
use prost::Message as _;
use tonic::Code;

use super::positions::{catalog_writes, order_writes};
use super::{CATALOG, EVENTUAL, method, until_served_by};
use crate::harness::{CatalogServer, Postgres, Role, StandbyServer, product, run, seed, uid};

/// Delays the log writer as long as possible.
const LAZY: [(&str, &str); 3] =
    [("synchronous_commit", "off"), ("wal_writer_delay", "10s"), ("wal_writer_flush_after", "1GB")];

#[tokio::test(flavor = "multi_thread")]
async fn every_write_says_where_it_can_be_read_although_it_is_not_written_yet() {
    let primary = Postgres::own_with(&LAZY).await;
    catalog_writes(&primary.create_database().await).await;
    order_writes(&primary.create_database().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_names_the_position_sees_the_write() {
    let primary = Postgres::own_with(&LAZY).await;
    let database = primary.create_database().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 1).await;
    let standby = StandbyServer::of(&primary).await;
    let url = standby.url(Role::Catalog, &database);
    let server = CatalogServer::start_with(&database, |config| {
        config.replica.database_replica_url = Some(url.parse().unwrap());
        config.replica.database_replica_wait = Duration::from_millis(200);
    })
    .await;
    let channel = server.channel();
    let get = |uid: &str| method(CATALOG, "GetProduct", &GetProductRequest { uid: uid.to_owned(), read_mask: None });
    // Everything before that is written and replayed.
    run(&mut operator, "set synchronous_commit = on; update catalog.product set name = 'Seen'").await;
    standby.catch_up().await;
    until_served_by("replica", &channel, &get(&uid(1))).await;
    for number in 2..12 {
        let create = CreateProductRequest { product: Some(product(&uid(number))), ..CreateProductRequest::default() };
        let answer = method(CATALOG, "CreateProduct", &create).call(&channel, &[]).await;
        let lsn = answer.min_lsn.unwrap().to_string();
        let read = get(&uid(number)).call(&channel, &[EVENTUAL, ("x-min-lsn", &lsn)]).await;
        assert_eq!(read.code(), Code::Ok, "{read:?}");
        assert_eq!(Product::decode(&*read.messages.unwrap()[0]).unwrap().uid, uid(number));
    }
}
