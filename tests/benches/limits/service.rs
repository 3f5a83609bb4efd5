//! The catalog service as a process of its own, driven by its generated client.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use orrery_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use orrery_proto::catalog::v1::write_products_request::{Chunk, Message};
use orrery_proto::catalog::v1::{
    GetProductRequest, ListProductsRequest, Product, StreamProductsRequest, WriteProductsRequest,
};
use orrery_proto::r#type::v1::{Status, WriteStart};
use tonic::transport::{Channel, Endpoint};

use crate::postgres::FIRST_WRITTEN;

/// Rows in one message of a read whose depth is measured.
const PAGE: i32 = 200;
/// Rows in one message of a write.
const CHUNK: usize = 2_000;

/// What every written row is to count as.
#[derive(Clone, Copy)]
pub(crate) enum Expect {
    Created,
    Unchanged,
}

/// A `StreamProductsResponse` whose products stay bytes.
#[derive(Clone, PartialEq, prost::Message)]
struct UndecodedPage {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    products: Vec<bytes::Bytes>,
}

/// A running `orrery-catalog`.
pub(crate) struct Service {
    process: Child,
    channel: Channel,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Service {
    /// Builds the program as this one was built, and starts it.
    pub(crate) async fn start(database_url: &str) -> anyhow::Result<Self> {
        let folder = std::env::current_exe()?.ancestors().nth(2).context("no target folder")?.to_owned();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let built = Command::new(std::env::var_os("CARGO").context("run me by cargo bench")?)
            .args(["build", "--quiet", "--release", "--package", "orrery-catalog", "--target-dir"])
            .arg(folder.parent().context("no target folder")?)
            .current_dir(root)
            .status()?;
        anyhow::ensure!(built.success(), "orrery-catalog does not build");
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let process = Command::new(folder.join("orrery-catalog"))
            .args(["--listen", &address.to_string(), "--log", "warn"])
            .env("DATABASE_URL", database_url)
            .stdout(Stdio::inherit())
            .spawn()?;
        let channel = Endpoint::from_shared(format!("http://{address}"))?
            .tcp_nodelay(true)
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(8 << 20)
            .connect_lazy();
        let service = Self { process, channel };
        for _ in 0..200 {
            if service.client().list_products(ListProductsRequest::default()).await.is_ok() {
                return Ok(service);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("orrery-catalog does not answer")
    }

    fn client(&self) -> CatalogServiceClient<Channel> {
        CatalogServiceClient::new(self.channel.clone()).max_decoding_message_size(64 << 20)
    }

    /// The most memory the process has held, in bytes.
    pub(crate) fn peak_memory(&self) -> anyhow::Result<usize> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("no VmHWM")?;
        let kib: usize = line.split_whitespace().nth(1).context("no VmHWM")?.parse()?;
        Ok(kib << 10)
    }

    /// Streams and decodes all products.
    pub(crate) async fn stream_all(&self) -> anyhow::Result<(usize, Duration)> {
        let started = Instant::now();
        let mut stream = self.client().stream_products(StreamProductsRequest::default()).await?.into_inner();
        let mut count = 0;
        while let Some(page) = stream.message().await? {
            count += page.products.len();
        }
        Ok((count, started.elapsed()))
    }

    /// Streams all products and counts them without decoding any: what the service delivers, whatever its client does with it.
    pub(crate) async fn stream_undecoded(&self) -> anyhow::Result<(usize, Duration)> {
        let started = Instant::now();
        let mut client = tonic::client::Grpc::new(self.channel.clone()).max_decoding_message_size(64 << 20);
        client.ready().await?;
        let path =
            tonic::codegen::http::uri::PathAndQuery::from_static("/orrery.catalog.v1.CatalogService/StreamProducts");
        let request = tonic::Request::new(StreamProductsRequest::default());
        let codec = tonic_prost::ProstCodec::<StreamProductsRequest, UndecodedPage>::default();
        let mut stream = client.server_streaming(request, path, codec).await?.into_inner();
        let mut count = 0;
        while let Some(page) = stream.message().await? {
            count += page.products.len();
        }
        Ok((count, started.elapsed()))
    }

    /// The token behind the first `rows` products, or where the page that holds them ends.
    pub(crate) async fn token_behind(&self, rows: usize) -> anyhow::Result<String> {
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

    /// How long the page behind a token takes.
    pub(crate) async fn page(&self, resume_token: &str) -> anyhow::Result<Duration> {
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

    /// Gets random products and returns the rate.
    pub(crate) async fn get(&self, rows: usize, callers: usize, time: Duration) -> anyhow::Result<f64> {
        let done = Arc::new(AtomicUsize::new(0));
        let started = Instant::now();
        let mut tasks = Vec::new();
        for _ in 0..callers {
            let (mut client, done) = (self.client(), Arc::clone(&done));
            tasks.push(tokio::spawn(async move {
                while started.elapsed() < time {
                    let uid = format!("prd_{:026}", rand::random_range(1..=rows));
                    let product = client.get_product(GetProductRequest { uid, read_mask: None }).await?.into_inner();
                    anyhow::ensure!(!product.name.is_empty(), "a product without its name");
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }));
        }
        for task in tasks {
            task.await??;
        }
        Ok(crate::per_second(done.load(Ordering::Relaxed), started.elapsed()))
    }

    /// Writes `count` products in chunks.
    pub(crate) async fn upsert(&self, count: usize, expect: Expect) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let write_id = format!("bench-{}", rand::random::<u64>());
        let start =
            WriteProductsRequest { message: Some(Message::Start(WriteStart { write_id, ..WriteStart::default() })) };
        let chunks = (0..count).step_by(CHUNK).map(move |offset| {
            let products = (offset..(offset + CHUNK).min(count)).map(|at| product(FIRST_WRITTEN + at)).collect();
            WriteProductsRequest { message: Some(Message::Chunk(Chunk { offset: offset as i64, products })) }
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

/// The product that `COPY FROM` gets as a line.
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
