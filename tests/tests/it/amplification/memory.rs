//! The memory that expensive chunks need.

use orrery_proto::catalog::v1::Product;
use orrery_proto::r#type::v1::{RowErrorPolicy, WriteStart};
use prost::Message as _;
use prost_types::value::Kind;

use super::{LARGEST_REQUEST, LONG, listing, processor_seconds};
use crate::harness::admin::Admin;
use crate::harness::{CatalogProcess, CatalogServer, Role, TestDatabase, product, run, uid, until_waiting};
use crate::writes::stream::{PRODUCTS, WriteStream, connect};

/// Prints the memory; `cargo test --locked --workspace --test it -- amplification::memory --nocapture` shows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_writers_of_the_longest_numbers_cost_little() {
    const ROWS: usize = 74;
    const NUMBERS: usize = 20_000;
    let database = TestDatabase::create().await;
    let process = CatalogProcess::spawn(&database).await;
    let rows: Vec<bytes::Bytes> = (0..ROWS)
        .map(|number| listing(number, vec![Kind::NumberValue(LONG); NUMBERS]).encode_to_vec().into())
        .collect();
    assert!((15 << 20..LARGEST_REQUEST).contains(&rows.iter().map(bytes::Bytes::len).sum::<usize>()));
    for writers in [1, 6] {
        let writes = (0..writers).map(|_| async {
            let start = WriteStart { on_row_error: RowErrorPolicy::Skip.into(), ..WriteStart::default() };
            let stream = WriteStream::open(connect(process.address()), PRODUCTS, start).await.unwrap();
            stream.send_bytes(0, rows.clone()).await;
            stream.finish().await
        });
        let before = processor_seconds(process.pid());
        for (totals, end) in futures::future::join_all(writes).await {
            println!("{:?} {:?}", totals.counts(), end.map_err(|status| status.message().to_owned()));
        }
        let seconds = processor_seconds(process.pid()) - before;
        println!("{writers} writers: peak {} MiB, {seconds} s of processor time", process.peak_memory() >> 20);
    }
    let peak = process.peak_memory();
    assert!(peak < 200 << 20, "the server took {} MiB", peak >> 20);
}

/// A decoded chunk counts against the limit on held bytes from its arrival until its commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_count_decoded_until_they_are_committed() {
    const ROWS: usize = 20;
    const CHARACTERS: usize = 80_000;
    let database = TestDatabase::create().await;
    let (admin, listen) = Admin::take();
    let server = CatalogServer::start_with(&database, |config| config.admin.admin_listen = listen).await;
    // As text each of them has six characters.
    let row = |number| Product {
        annotations: [("a".to_owned(), "\u{1}".repeat(CHARACTERS))].into(),
        ..product(&uid(number))
    };
    let rows: Vec<Product> = (1..=ROWS).map(row).collect();
    let sent: usize = rows.iter().map(Product::encoded_len).sum();
    let mut operator = database.connect(Role::Operator).await;
    run(&mut operator, &format!("insert into catalog.product (uid, name) values ('{}', 'x')", uid(1))).await;
    run(&mut operator, "begin; update catalog.product set name = 'y'").await;
    let stream = WriteStream::open(server.channel(), PRODUCTS, WriteStart::default()).await.unwrap();
    stream.send(0, &rows).await;
    until_waiting(&mut database.connect(Role::Operator).await, Role::Catalog, 1).await;
    let held = admin.scrape().await.value("orrery_held_bytes", &[]);
    assert!(held > (6 * CHARACTERS * ROWS) as f64 && sent < 2 * CHARACTERS * ROWS, "{held} bytes of {sent}");
    run(&mut operator, "commit").await;
    let (totals, end) = stream.finish().await;
    end.unwrap();
    assert_eq!((totals.created, totals.updated), (ROWS as i64 - 1, 1));
    admin.scrape_until("nothing is held", |scrape| scrape.value("orrery_held_bytes", &[]) == 0.0).await;
}
