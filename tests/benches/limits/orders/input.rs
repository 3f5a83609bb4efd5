//! Orders as a client sends them, encoded before the measurement.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use orrery_proto::orders::v1::{LineItem, Order};
use orrery_proto::r#type::v1::Status;
use orrery_proto::wire::{WriteChunk, WritePayload, WriteRequest};
use prost::Message as _;
use prost_types::Timestamp;

/// The invoices of a real shop.
const FILE: &str = "../shared/data/online-retail-2010-12_2011-06.csv.gz";
const MAPPING: &str = "deploy/examples/online-retail-orders.toml";
/// The numbers of orders and lines.
const ORDERS: usize = 12_795;
const LINES: usize = 245_903;

/// The limits of a chunk, as in `orrery import`.
const CHUNK_ROWS: usize = 2_000;
const CHUNK_BYTES: usize = 900 * 1024;

pub(super) struct Input {
    /// The source of the orders.
    pub(super) source: String,
    /// The encoded orders.
    pub(super) orders: Vec<Bytes>,
    pub(super) lines: usize,
    /// The same, as messages of a write.
    pub(super) chunks: Vec<WriteRequest>,
}

impl Input {
    /// The file's orders, by the operator's mapping; without the file, similar orders.
    pub(super) fn of_a_shop() -> anyhow::Result<Self> {
        let file = repository(FILE);
        let (source, orders) = if file.exists() {
            (
                "read from the online-retail file".to_owned(),
                orrery::import::encoded_orders(&file, &repository(MAPPING))?,
            )
        } else {
            (
                format!("MADE UP, since {} is not there", file.display()),
                (0..ORDERS).map(|n| order(n).encode_to_vec().into()).collect(),
            )
        };
        let mut lines = 0;
        for order in &orders {
            lines += Order::decode(order.clone()).context("an order cannot be read")?.line_items.len();
        }
        let chunks = chunks(&orders);
        Ok(Self { source, orders, lines, chunks })
    }
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn chunks(orders: &[Bytes]) -> Vec<WriteRequest> {
    let mut chunks: Vec<WriteChunk> = Vec::new();
    let mut bytes = 0;
    for (offset, order) in orders.iter().enumerate() {
        match chunks.last_mut() {
            Some(chunk) if chunk.rows.len() < CHUNK_ROWS && bytes + order.len() <= CHUNK_BYTES => {
                chunk.rows.push(order.clone());
                bytes += order.len();
            }
            _ => {
                chunks.push(WriteChunk { offset: offset as i64, rows: vec![order.clone()] });
                bytes = order.len();
            }
        }
    }
    chunks.into_iter().map(|chunk| WriteRequest { payload: Some(WritePayload::Chunk(chunk)) }).collect()
}

/// An order like those in the file.
fn order(n: usize) -> Order {
    let lines = LINES / ORDERS + usize::from(n < LINES % ORDERS);
    let status = Status { phase: "fulfilled".to_owned(), details: None };
    Order {
        uid: format!("ord_{}", 500_000 + n),
        customer_id: (12_000 + n % 4_000).to_string(),
        currency_code: "GBP".to_owned(),
        status: Some(status),
        annotations: [("source/country".to_owned(), "United Kingdom".to_owned())].into(),
        create_ts: Some(Timestamp { seconds: 1_291_000_000 + n as i64 * 1_400, nanos: 0 }),
        line_items: (0..lines).map(|line| line_item(n * 31 + line * 7)).collect(),
        ..Order::default()
    }
}

fn line_item(n: usize) -> LineItem {
    let product = 20_000 + n % 3_500;
    LineItem {
        product_uid: format!("prd_{product}"),
        sku: product.to_string(),
        name: format!("PRODUCT NUMBER {product} OF MANY"),
        quantity: (n % 24) as i32 + 1,
        unit_price: format!("{}.{:02}", n % 13, n % 100),
        ..LineItem::default()
    }
}
