//! The catalog service in a separate process, called by its generated client.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use orrery_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use orrery_proto::catalog::v1::write_products_request::{Chunk, Payload};
use orrery_proto::catalog::v1::{GetProductRequest, Product, StreamProductsRequest, WriteProductsRequest};
use orrery_proto::r#type::v1::{Status, WriteStart};
use prost::Message as _;
use tonic::transport::Channel;

use super::FIRST_WRITTEN;
use crate::callers::Callers;
use crate::process::{CATALOG, Process};
use crate::undecoded::stream_undecoded;

/// The rows in a message when the cost of depth is measured.
const PAGE: i32 = 200;
/// The common prefix of product names.
const PRODUCT_NAME: &[u8] = b"Product number ";
/// The rows in a message of a write.
const CHUNK: usize = 2_000;

/// The number of connections in point reads.
const CONNECTIONS: usize = 4;
/// The time for connecting and for filling the cache.
const WARM_UP: Duration = Duration::from_secs(1);

/// Callers that get random ones of the first `rows` products, for a second after a second of warm-up.
pub(crate) fn getters(rows: usize, callers: usize) -> Callers {
    Callers {
        method: "/orrery.catalog.v1.CatalogService/GetProduct",
        metadata: Vec::new(),
        message: |rows| {
            let uid = format!("prd_{:026}", rand::random_range(1..=rows));
            GetProductRequest { uid, read_mask: None }.encode_to_vec()
        },
        rows,
        // The name is not encoded specially within the message.
        is_right: |answer| answer.windows(PRODUCT_NAME.len()).any(|bytes| bytes == PRODUCT_NAME),
        count: callers,
        connections: CONNECTIONS,
        warm_up: WARM_UP,
        time: Duration::from_secs(1),
        pause: None,
    }
}

/// The expected result of each written row.
#[derive(Clone, Copy)]
pub(super) enum Expect {
    Created,
    Unchanged,
}

/// A running `orrery-catalog`.
pub(super) struct Service {
    process: Process,
}

impl Service {
    pub(super) async fn start(database_url: &str, flags: &[&str]) -> anyhow::Result<Self> {
        Ok(Self { process: Process::start(CATALOG, database_url, flags).await? })
    }

    /// A client of it.
    pub(super) fn client(&self) -> CatalogServiceClient<Channel> {
        CatalogServiceClient::new(self.process.channel()).max_decoding_message_size(64 << 20)
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// The peak memory of the process in bytes.
    pub(super) fn peak_memory(&self) -> anyhow::Result<usize> {
        self.process.peak_memory()
    }

    /// Streams and decodes all products.
    pub(super) async fn stream_all(&self) -> anyhow::Result<(usize, Duration)> {
        let started = Instant::now();
        let mut stream = self.client().stream_products(StreamProductsRequest::default()).await?.into_inner();
        let mut count = 0;
        while let Some(page) = stream.message().await? {
            count += page.products.len();
        }
        Ok((count, started.elapsed()))
    }

    /// Streams and counts all products without decoding them: the throughput of the service itself.
    pub(super) async fn stream_undecoded(&self) -> anyhow::Result<(usize, Duration)> {
        let method = "/orrery.catalog.v1.CatalogService/StreamProducts";
        stream_undecoded(self.process.channel(), method, StreamProductsRequest::default()).await
    }

    /// The token after the first `rows` products, or at the end of their page.
    pub(super) async fn token_behind(&self, rows: usize) -> anyhow::Result<String> {
        let request = StreamProductsRequest { page_size: PAGE, ..StreamProductsRequest::default() };
        let mut stream = self.client().stream_products(request).await?.into_inner();
        let mut count = 0;
        while let Some(page) = stream.message().await? {
            count += page.products.len();
            if count >= rows {
                return Ok(page.resume_token);
            }
        }
        anyhow::bail!("there are only {count} products")
    }

    /// The duration of the page after a token.
    pub(super) async fn page(&self, resume_token: &str) -> anyhow::Result<Duration> {
        let request = StreamProductsRequest {
            page_size: PAGE,
            resume_token: resume_token.to_owned(),
            ..StreamProductsRequest::default()
        };
        let started = Instant::now();
        let mut stream = self.client().stream_products(request).await?.into_inner();
        let page = stream.message().await?.context("no page")?;
        anyhow::ensure!(!page.products.is_empty(), "an empty page");
        Ok(started.elapsed())
    }

    /// Gets random ones of the first `rows` products and returns the throughput. Callers send the metadata
    /// `cache-control` if given.
    pub(super) async fn get(
        &self,
        rows: usize,
        callers: usize,
        time: Duration,
        cache_control: Option<&'static str>,
    ) -> anyhow::Result<f64> {
        let cache_control = cache_control.map(|directives| (CACHE_CONTROL, HeaderValue::from_static(directives)));
        let callers = Callers { metadata: cache_control.into_iter().collect(), time, ..getters(rows, callers) };
        let seen = callers.call(self.process.address()).await?;
        Ok(crate::per_second(seen.took.len(), time))
    }

    /// Writes `count` products in chunks.
    pub(super) async fn upsert(&self, count: usize, expect: Expect) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let write_id = format!("bench-{}", rand::random::<u64>());
        let start =
            WriteProductsRequest { payload: Some(Payload::Start(WriteStart { write_id, ..WriteStart::default() })) };
        let chunks = (0..count).step_by(CHUNK).map(move |offset| {
            let products = (offset..(offset + CHUNK).min(count)).map(|at| product(FIRST_WRITTEN + at)).collect();
            WriteProductsRequest { payload: Some(Payload::Chunk(Chunk { offset: offset as i64, products })) }
        });
        let requests = tokio_stream::iter(std::iter::once(start).chain(chunks));
        let mut acks = self.client().write_products(requests).await?.into_inner();
        let (mut committed, mut expected) = (0, 0);
        while let Some(ack) = acks.message().await? {
            committed = ack.committed_offset;
            expected += match expect {
                Expect::Created => ack.created,
                Expect::Unchanged => ack.unchanged,
            };
        }
        anyhow::ensure!(committed == count as i64 && expected == count as i64, "{expected} of {count} as expected");
        Ok(started.elapsed())
    }
}

/// The line of a product for `COPY FROM`.
fn product(n: usize) -> Product {
    let pairs =
        |pairs: &[(&str, String)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    Product {
        uid: format!("prd_{n:026}"),
        name: format!("Product number {n}"),
        status: Some(Status { phase: "active".to_owned(), details: None }),
        labels: pairs(&[
            ("env", "prod".to_owned()),
            ("tier", char::from(b'a' + (n % 5) as u8).to_string()),
            ("season", "winter".to_owned()),
        ]),
        annotations: pairs(&[
            ("source/stock-code", format!("SKU-{n}")),
            ("source/supplier", format!("supplier-{}", n % 100)),
        ]),
        ..Product::default()
    }
}
