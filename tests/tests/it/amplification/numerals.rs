//! Numbers that are short on the wire and on disk, and long in Postgres's output.

use orrery_proto::catalog::v1::{StreamProductsRequest, StreamProductsResponse};
use prost_types::value::Kind;
use tokio_stream::StreamExt as _;

use super::{LONG, processor_seconds};
use crate::harness::{CatalogProcess, Role, TestDatabase, run};

/// Rows written by another program. Prints the cost of reading them.
#[tokio::test]
async fn rows_of_long_numbers_are_read_as_what_they_are() {
    const ROWS: usize = 74;
    const NUMBERS: usize = 20_000;
    let database = TestDatabase::create().await;
    let sql = format!(
        "insert into catalog.product (uid, name, status) \
         select 'prd_' || lpad(n::text, 7, '0'), 'x', jsonb_build_object('list', \
                (select jsonb_agg('5e-324'::numeric) from generate_series(1, {NUMBERS}))) \
         from generate_series(1, {ROWS}) n"
    );
    run(&mut database.connect(Role::Operator).await, &sql).await;
    let process = CatalogProcess::spawn(&database).await;
    let before = processor_seconds(process.pid());
    let stream = process.client().stream_products(StreamProductsRequest::default()).await.unwrap().into_inner();
    let pages: Vec<StreamProductsResponse> = stream.map(Result::unwrap).collect().await;
    let seconds = processor_seconds(process.pid()) - before;
    println!(
        "{ROWS} rows of {NUMBERS} numbers: {seconds} s of processor time, peak {} MiB",
        process.peak_memory() >> 20
    );
    let products: Vec<_> = pages.iter().flat_map(|page| &page.products).collect();
    assert_eq!(products.len(), ROWS);
    for product in products {
        let details = product.status.as_ref().and_then(|status| status.details.as_ref()).unwrap();
        let Some(Kind::ListValue(list)) = &details.fields["list"].kind else { unreachable!("{details:?}") };
        assert_eq!(list.values.len(), NUMBERS);
        assert!(list.values.iter().all(|value| value.kind == Some(Kind::NumberValue(LONG))));
    }
}
