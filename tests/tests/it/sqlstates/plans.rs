//! Prepared statements whose table is changed.

use orrery_proto::catalog::v1::{GetProductRequest, UpdateProductRequest};
use orrery_proto::r#type::v1::{RowErrorPolicy, WriteStart};

use super::{direct, logged, operator};
use crate::harness::{CatalogServer, product, run};
use crate::writes::stream::{PRODUCTS, write};

/// A migration that changes the type of a column invalidates prepared statements on all connections ("0A000"). Clients
/// do not notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_gets_another_type_costs_nobody_a_call() {
    change_under_connections(16).await;
    // Each connection with an old plan could be the only one.
    change_under_connections(1).await;
}

async fn change_under_connections(connections: u32) {
    const CALLERS: usize = 12;
    let database = direct().await;
    let mut connection = operator(&database).await;
    run(&mut connection, "insert into catalog.product (uid, name) values ('prd_a', 'A')").await;
    let server = CatalogServer::start_with(&database, |config| {
        config.database.database_pool_min = 1;
        config.database.database_pool_max = connections;
        config.database.database_acquire_timeout = std::time::Duration::from_secs(30);
    })
    .await;
    let mut before = None;
    for name_type in ["varchar(4000)", "text", "varchar(4000)", "text"] {
        // All at once, so that each connection prepares its statements; and twice, so that new statements are reused as
        // well.
        for _ in 0..2 {
            let calls = (0..CALLERS).map(|caller| {
                let (mut client, channel) = (server.client(), server.channel());
                tokio::spawn(async move {
                    let get = GetProductRequest { uid: "prd_a".to_owned(), read_mask: None };
                    let read = client.get_product(get).await.unwrap().into_inner();
                    let mut changed = product("prd_a");
                    changed.name = format!("caller {caller}");
                    let update = UpdateProductRequest { product: Some(changed.clone()), ..Default::default() };
                    client.update_product(update).await.unwrap();
                    // The stored row is read for its etag, which has changed.
                    changed.etag = read.etag;
                    let start = WriteStart { on_row_error: RowErrorPolicy::Skip.into(), ..WriteStart::default() };
                    write(channel, PRODUCTS, start, &[changed]).await.1.unwrap();
                })
            });
            for call in calls.collect::<Vec<_>>() {
                call.await.unwrap();
            }
        }
        let now = logged(&database, "0A000");
        assert!(before.is_none_or(|before| now > before), "the plans were outdated");
        before = Some(now);
        run(&mut connection, &format!("alter table catalog.product alter column name type {name_type}")).await;
    }
}
