//! The client of a chunked write for tests, message by message, so that a test decides what is sent when.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use orrery_proto::catalog::v1::{Product, ProductMetric};
use orrery_proto::r#type::v1::{RowError, WriteStart};
use orrery_proto::wire::{WriteChunk, WritePayload, WriteRequest, WriteResponse};
use prost::Message;
use prost_types::FieldMask;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt as _;

/// Longer than any step of a test takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The two chunked writes of the catalog.
pub(crate) const PRODUCTS: &str = "/orrery.catalog.v1.CatalogService/WriteProducts";
pub(crate) const METRICS: &str = "/orrery.catalog.v1.CatalogService/WriteProductMetrics";

/// The chunked write of orders.
pub(crate) const ORDERS: &str = "/orrery.orders.v1.OrdersService/WriteOrders";

/// An open write.
pub(crate) struct WriteStream {
    requests: mpsc::Sender<WriteRequest>,
    answers: Streaming<WriteResponse>,
}

/// The sum of several acknowledgements.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
pub(crate) struct Totals {
    pub(crate) committed_offset: i64,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) unchanged: i64,
    pub(crate) rejected: i64,
    pub(crate) superseded: i64,
    pub(crate) deleted: i64,
    pub(crate) errors: Vec<RowError>,
    /// The number of messages.
    pub(crate) messages: usize,
}

impl Totals {
    pub(crate) fn add(&mut self, answer: WriteResponse) {
        assert!(answer.committed_offset >= self.committed_offset, "{answer:?} goes back behind {self:?}");
        self.committed_offset = answer.committed_offset;
        self.created += answer.created;
        self.updated += answer.updated;
        self.unchanged += answer.unchanged;
        self.rejected += answer.rejected;
        self.superseded += answer.superseded;
        self.deleted += answer.deleted;
        self.errors.extend(answer.row_errors);
        self.messages += 1;
    }

    /// created, updated, unchanged, rejected, superseded
    pub(crate) fn counts(&self) -> [i64; 5] {
        [self.created, self.updated, self.unchanged, self.rejected, self.superseded]
    }

    /// The number of rows counted.
    pub(crate) fn rows(&self) -> i64 {
        self.counts().iter().sum::<i64>() + self.deleted
    }
}

impl WriteStream {
    /// Opens a write of `method` and sends its start.
    pub(crate) async fn open(channel: Channel, method: &'static str, start: WriteStart) -> Result<Self, Status> {
        Self::open_with(channel, method, Some(WritePayload::Start(start)), None).await
    }

    /// Opens a write with any first message, and an optional deadline.
    pub(crate) async fn open_with(
        channel: Channel,
        method: &'static str,
        first: Option<WritePayload>,
        deadline: Option<Duration>,
    ) -> Result<Self, Status> {
        let (requests, receiver) = mpsc::channel(1);
        if first.is_some() {
            requests.send(WriteRequest { payload: first }).await.unwrap();
        }
        let mut request = Request::new(ReceiverStream::new(receiver));
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        let mut grpc = tonic::client::Grpc::new(channel).max_encoding_message_size(usize::MAX);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let codec = ProstCodec::<WriteRequest, WriteResponse>::default();
        let answers = grpc.streaming(request, PathAndQuery::from_static(method), codec).await?.into_inner();
        Ok(Self { requests, answers })
    }

    /// Opens a named write and returns the offset at which to continue.
    pub(crate) async fn resume(
        channel: Channel,
        method: &'static str,
        start: WriteStart,
    ) -> Result<(Self, i64), Status> {
        let mut stream = Self::open(channel, method, start).await?;
        let answer = stream.answer().await?.ok_or_else(|| Status::internal("the start was not answered"))?;
        let counts = [answer.created, answer.updated, answer.unchanged, answer.rejected, answer.superseded];
        assert_eq!(counts, [0; 5], "the answer to a start counts nothing");
        Ok((stream, answer.committed_offset))
    }

    /// Sends a chunk. Waits while the server accepts none; after the end of the stream chunks are dropped.
    pub(crate) async fn send<M: Message>(&self, offset: i64, rows: &[M]) {
        self.send_bytes(offset, rows.iter().map(|row| row.encode_to_vec().into()).collect()).await;
    }

    /// Sends a chunk of any bytes.
    pub(crate) async fn send_bytes(&self, offset: i64, rows: Vec<Bytes>) {
        self.send_message(Some(WritePayload::Chunk(WriteChunk { offset, rows }))).await;
    }

    /// Sends any message.
    pub(crate) async fn send_message(&self, message: Option<WritePayload>) {
        let _ = self.requests.send(WriteRequest { payload: message }).await;
    }

    /// Sends a chunk if that is possible within this time.
    pub(crate) async fn try_send<M: Message>(&self, offset: i64, rows: &[M], patience: Duration) -> bool {
        tokio::time::timeout(patience, self.send(offset, rows)).await.is_ok()
    }

    /// The next response; `None` at the successful end.
    pub(crate) async fn answer(&mut self) -> Result<Option<WriteResponse>, Status> {
        tokio::time::timeout(TIMEOUT, self.answers.message()).await.expect("an answer comes in time")
    }

    /// Reads responses until everything before `offset` is committed.
    pub(crate) async fn acknowledged(&mut self, offset: i64) -> Result<Totals, Status> {
        let mut totals = Totals::default();
        while totals.committed_offset < offset || totals.messages == 0 {
            let answer = self.answer().await?;
            totals.add(answer.ok_or_else(|| Status::internal("the stream ended before the acknowledgement"))?);
        }
        Ok(totals)
    }

    /// Ends the request, and returns all remaining responses and the final status.
    pub(crate) async fn finish(self) -> (Totals, Result<(), Status>) {
        let Self { requests, answers } = self;
        drop(requests);
        rest(answers).await
    }

    /// Returns all responses and the final status, without ending the request.
    pub(crate) async fn ended(self) -> (Totals, Status) {
        let Self { requests, answers } = self;
        let (totals, end) = rest(answers).await;
        drop(requests);
        (totals, end.expect_err("the stream ends with an error"))
    }

    /// Both halves, for tests that send and receive concurrently.
    pub(crate) fn split(self) -> (mpsc::Sender<WriteRequest>, Streaming<WriteResponse>) {
        (self.requests, self.answers)
    }
}

async fn rest(mut answers: Streaming<WriteResponse>) -> (Totals, Result<(), Status>) {
    let mut totals = Totals::default();
    loop {
        match tokio::time::timeout(TIMEOUT, answers.message()).await.expect("an answer comes in time") {
            Ok(Some(answer)) => totals.add(answer),
            Ok(None) => return (totals, Ok(())),
            Err(status) => return (totals, Err(status)),
        }
    }
}

/// Writes these rows in one chunk without a write_id, and returns the response.
pub(crate) async fn write<M: Message>(
    channel: Channel,
    method: &'static str,
    start: WriteStart,
    rows: &[M],
) -> (Totals, Result<(), Status>) {
    let stream = WriteStream::open(channel, method, start).await.unwrap();
    stream.send(0, rows).await;
    stream.finish().await
}

/// A new connection to a service.
pub(crate) fn connect(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

/// The message of a chunk.
pub(crate) fn chunk<M: Message>(offset: i64, rows: &[M]) -> WriteRequest {
    let rows = rows.iter().map(|row| row.encode_to_vec().into()).collect();
    WriteRequest { payload: Some(WritePayload::Chunk(WriteChunk { offset, rows })) }
}

/// A start with a write_id.
pub(crate) fn named(write_id: &str) -> WriteStart {
    WriteStart { write_id: write_id.to_owned(), ..WriteStart::default() }
}

/// A mask.
pub(crate) fn mask(paths: &[&str]) -> FieldMask {
    FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }
}

/// A product with a name.
pub(crate) fn product(uid: &str, name: &str) -> Product {
    Product { uid: format!("prd_{uid}"), name: name.to_owned(), ..Product::default() }
}

/// Products `first..last`, each with a different name.
pub(crate) fn products(numbers: std::ops::Range<i64>) -> Vec<Product> {
    numbers.map(|number| product(&format!("{number:07}"), &format!("Product {number}"))).collect()
}

/// A metric.
pub(crate) fn metric(product: &str, name: &str, value: &str) -> ProductMetric {
    ProductMetric {
        product_uid: format!("prd_{product}"),
        name: name.to_owned(),
        value: value.to_owned(),
        ..ProductMetric::default()
    }
}

/// Checks the code and reason of a status, and returns its metadata.
#[track_caller]
pub(crate) fn assert_status(status: &Status, code: Code, reason: &str) -> std::collections::HashMap<String, String> {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("{status:?} has no ErrorInfo"));
    assert_eq!((status.code(), info.reason.as_str(), info.domain.as_str()), (code, reason, "orrery"), "{status:?}");
    assert!(status.details().len() < 4096, "details stay small");
    info.metadata
}

/// The first field in a status's BadRequest.
pub(crate) fn violated(status: &Status) -> String {
    status.get_details_bad_request().unwrap_or_else(|| panic!("{status:?} has no BadRequest")).field_violations[0]
        .field
        .clone()
}
