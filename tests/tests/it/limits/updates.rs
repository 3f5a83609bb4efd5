//! Writes that change more rows than one statement may.

use orrery_proto::r#type::v1::{WriteMode, WriteStart};

use super::managed;
use crate::harness::{CatalogServer, Role, TestDatabase, product, seed, uid};
use crate::writes::stream::{PRODUCTS, WriteStream};

const ROWS: usize = 250_000;
const CHUNK: usize = 25_000;

#[tokio::test]
async fn a_quarter_million_stored_rows_are_updated_by_one_write() {
    let database = TestDatabase::limited(managed()).await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, ROWS).await;
    let server = CatalogServer::start(&database).await;
    let start = WriteStart { mode: WriteMode::Update.into(), ..WriteStart::default() };
    let mut stream = WriteStream::open(server.channel(), PRODUCTS, start).await.unwrap();
    let mut updated = 0;
    for first in (0..ROWS).step_by(CHUNK) {
        let products: Vec<_> = (first + 1..=first + CHUNK).map(|number| product(&uid(number))).collect();
        stream.send(first as i64, &products).await;
        updated += stream.acknowledged((first + CHUNK) as i64).await.unwrap().updated;
    }
    assert_eq!(updated, ROWS as i64);
    let (_, end) = stream.finish().await;
    end.unwrap();
    let changed: i64 = sqlx::query_scalar("select count(*) from catalog.product where name = 'Name of ' || uid")
        .fetch_one(&mut operator)
        .await
        .unwrap();
    assert_eq!(changed, ROWS as i64);
}
