//! A page ends with the last row that fits, to the byte. The sizes are computed here from the messages alone.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use orrery_proto::catalog::v1::{ListProductsRequest, StreamProductsRequest};
use orrery_proto::orders::v1::{ListOrdersRequest, OrderView, StreamOrdersRequest};
use prost::Message;
use prost::encoding::encoded_len_varint;
use sqlx::PgConnection;

use crate::harness::{CatalogServer, OrdersServer, Role, TestDatabase, run};

const ROWS: usize = 40;

/// The size of a message as a repeated field with a number below 16.
fn in_page(message: &impl Message) -> usize {
    let length = message.encoded_len();
    1 + encoded_len_varint(length as u64) + length
}

/// The expected pages: as many rows as fit, and a larger row alone.
fn cut(sizes: &[usize], page_bytes: usize) -> Vec<usize> {
    let mut pages = vec![];
    let (mut rows, mut bytes) = (0, 0);
    for size in sizes {
        if rows > 0 && bytes + size > page_bytes {
            pages.push(rows);
            (rows, bytes) = (0, 0);
        }
        rows += 1;
        bytes += size;
    }
    pages.push(rows);
    pages
}

/// Page sizes with one row more or less on the first page, and some others.
fn page_sizes(sizes: &[usize]) -> Vec<usize> {
    let sum = |rows: usize| sizes[..rows].iter().sum::<usize>();
    vec![sum(3), sum(3) - 1, sum(3) + 1, sum(7), sum(7) - 1, 1_024, 9_999]
}

/// Texts of different sizes from 400 to about 4,000 bytes, one larger than any page, the same each time.
const SIZE: &str = "case n when 20 then 20000 else 400 + n * 7919 % 3600 end";

async fn put_products(connection: &mut PgConnection) {
    run(
        connection,
        &format!(
            "insert into catalog.product (uid, name, annotations) \
             select 'prd_' || lpad(n::text, 7, '0'), 'Thing ' || n, jsonb_build_object('text', repeat('x', {SIZE})) \
               from generate_series(1, {ROWS}) n"
        ),
    )
    .await;
}

#[tokio::test]
async fn products_are_cut_to_the_byte() {
    let database = TestDatabase::create().await;
    put_products(&mut database.connect(Role::Operator).await).await;
    let whole = CatalogServer::start(&database).await;
    let all = ListProductsRequest { page_size: 1_000, ..ListProductsRequest::default() };
    let products = whole.client().list_products(all.clone()).await.unwrap().into_inner().products;
    assert_eq!(products.len(), ROWS);
    let sizes: Vec<usize> = products.iter().map(in_page).collect();
    for page_bytes in page_sizes(&sizes) {
        let server = CatalogServer::start_with(&database, |config| config.stream.page_bytes = page_bytes).await;
        let expected = cut(&sizes, page_bytes);
        let mut listed = Vec::new();
        let mut request = all.clone();
        loop {
            let page = server.client().list_products(request.clone()).await.unwrap().into_inner();
            listed.push(page.products);
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(listed.iter().map(Vec::len).collect::<Vec<_>>(), expected, "lists of {page_bytes} bytes");
        assert_eq!(listed.concat(), products);
        let mut stream = server.client().stream_products(StreamProductsRequest::default()).await.unwrap().into_inner();
        let mut streamed = Vec::new();
        while let Some(page) = stream.message().await.unwrap() {
            streamed.push(page.products);
        }
        assert_eq!(streamed.concat(), products);
        // A later page of a stream may have fewer rows than fit, because its query depends on the sizes before. The
        // first page may not.
        assert_eq!(streamed[0].len(), expected[0], "a stream of {page_bytes} bytes");
        for page in &streamed {
            let bytes: usize = page.iter().map(in_page).sum();
            assert!(page.len() == 1 || bytes <= page_bytes, "{} rows of {bytes} bytes", page.len());
        }
    }
}

#[tokio::test]
async fn orders_are_cut_to_the_byte_with_all_that_belongs_to_them() {
    let database = TestDatabase::create().await;
    run(
        &mut database.connect(Role::Operator).await,
        &format!(
            "insert into orders.order_header (uid, currency_code) \
                 select 'ord_' || lpad(n::text, 7, '0'), 'GBP' from generate_series(1, {ROWS}) n; \
             insert into orders.order_line_item (order_uid, uid, line_number, name) \
                 select 'ord_' || lpad(n::text, 7, '0'), 'oli_' || l, l, repeat('x', ({SIZE}) / 3) \
                   from generate_series(1, {ROWS}) n, generate_series(1, 3) l"
        ),
    )
    .await;
    let view = OrderView::Full.into();
    let all = ListOrdersRequest { page_size: 1_000, view, ..ListOrdersRequest::default() };
    let whole = OrdersServer::start(&database).await;
    let orders = whole.client().list_orders(all.clone()).await.unwrap().into_inner().orders;
    assert_eq!(orders.len(), ROWS);
    let sizes: Vec<usize> = orders.iter().map(in_page).collect();
    for page_bytes in page_sizes(&sizes) {
        let server = OrdersServer::start_with(&database, |config| config.service.stream.page_bytes = page_bytes).await;
        let page = server.client().list_orders(all.clone()).await.unwrap().into_inner();
        assert_eq!(page.orders.len(), cut(&sizes, page_bytes)[0], "a list of {page_bytes} bytes");
        let request = StreamOrdersRequest { view, ..StreamOrdersRequest::default() };
        let mut stream = server.client().stream_orders(request).await.unwrap().into_inner();
        let mut streamed = Vec::new();
        while let Some(page) = stream.message().await.unwrap() {
            let bytes: usize = page.orders.iter().map(in_page).sum();
            assert!(page.orders.len() == 1 || bytes <= page_bytes, "{} orders of {bytes} bytes", page.orders.len());
            streamed.extend(page.orders);
        }
        assert!(streamed == orders);
    }
}
