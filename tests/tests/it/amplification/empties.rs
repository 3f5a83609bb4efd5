//! Messages with many empty entries: each takes two bytes on the wire and more than ten times as many as a Rust value.

use bytes::Bytes;

use super::LARGEST_REQUEST;
use crate::harness::{CatalogProcess, OrdersProcess, TestDatabase, raw};
use crate::writes::stream::connect;

/// A length-delimited field.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = Vec::with_capacity(bytes.len() + 6);
    prost::encoding::bytes::encode(u32::from(number), &bytes.to_vec(), &mut field);
    field
}

/// As many empty entries of a field as fit into a message.
fn empties(number: u8) -> Vec<u8> {
    [number << 3 | 2, 0].repeat(LARGEST_REQUEST / 2 - 64)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn catalog_requests_of_empty_entries_cost_little() {
    const PATH: &str = "/orrery.catalog.v1.CatalogService/";
    let database = TestDatabase::create().await;
    let deep = |entries: &[u8]| field(1, &[field(1, b"prd_0000001"), field(3, &field(2, entries))].concat());
    let cases: Vec<(&str, &str, Vec<u8>)> = vec![
        ("uids", "BatchGetProducts", empties(1)),
        ("read_mask", "GetProduct", field(2, &empties(1))),
        ("filter.uids", "ListProducts", field(1, &empties(3))),
        ("check", "CheckProducts", empties(1)),
        ("labels", "CreateProduct", field(1, &empties(4))),
        ("details", "CreateProduct", deep(&empties(1))),
        ("list", "CreateProduct", deep(&field(1, &field(2, &field(6, &empties(1)))))),
        ("update_mask", "UpdateProduct", field(2, &empties(1))),
        ("chunk rows", "WriteProducts", field(2, &empties(2))),
        ("start mask", "WriteProducts", field(1, &field(4, &empties(1)))),
    ];
    for (name, method, message) in cases {
        let process = CatalogProcess::spawn(&database).await;
        let before = process.peak_memory();
        let mut messages = vec![Bytes::from(message)];
        if name == "chunk rows" {
            messages.insert(0, Bytes::from(field(1, &[])));
        }
        let answer = raw::call(&connect(process.address()), &format!("{PATH}{method}"), messages).await;
        let grown = (process.peak_memory() - before) >> 20;
        println!(
            "{name}: {grown} MiB, {:?}",
            answer.map_err(|status| status.message().chars().take(90).collect::<String>())
        );
        assert!(grown < 64, "{name}: the server grew by {grown} MiB");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_requests_of_empty_entries_cost_little() {
    const PATH: &str = "/orrery.orders.v1.OrdersService/";
    let database = TestDatabase::create().await;
    let cases: Vec<(&str, &str, Vec<u8>)> = vec![
        ("lines", "CreateOrder", field(1, &empties(12))),
        ("addresses", "UpdateOrder", field(1, &empties(13))),
        ("chunk lines", "WriteOrders", field(2, &field(2, &empties(12)))),
        ("skus", "StreamLineItems", field(1, &empties(3))),
    ];
    for (name, method, message) in cases {
        let process = OrdersProcess::spawn(&database).await;
        let before = process.peak_memory();
        let mut messages = vec![Bytes::from(message)];
        if name == "chunk lines" {
            messages.insert(0, Bytes::from(field(1, &[])));
        }
        let answer = raw::call(&connect(process.address()), &format!("{PATH}{method}"), messages).await;
        let grown = (process.peak_memory() - before) >> 20;
        println!(
            "{name}: {grown} MiB, {:?}",
            answer.map_err(|status| status.message().chars().take(90).collect::<String>())
        );
        assert!(grown < 64, "{name}: the server grew by {grown} MiB");
    }
}
