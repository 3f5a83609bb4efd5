//! The orders service, called by its generated client where that decodes, and with bytes where it must not.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use orrery_proto::orders::v1::orders_service_client::OrdersServiceClient;
use orrery_proto::orders::v1::{ClaimDueOrdersRequest, OrderView, StreamOrdersRequest};
use orrery_proto::r#type::v1::{ReferenceCheck, WriteStart};
use orrery_proto::wire::{WritePayload, WriteRequest, WriteResponse};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

use crate::process::{ORDERS, Process};

/// The expected result of each written order.
#[derive(Clone, Copy)]
pub(super) enum Expect {
    Created,
    Unchanged,
}

/// The received data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) orders: usize,
    pub(super) lines: usize,
}

/// A `StreamOrdersResponse` or `ClaimDueOrdersResponse` whose orders stay encoded.
#[derive(Clone, PartialEq, prost::Message)]
struct UndecodedPage {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    orders: Vec<bytes::Bytes>,
}

/// See [`Service::claims`].
pub(super) struct Claims(tonic::client::Grpc<Channel>);

impl Claims {
    /// The number of orders that were claimed.
    pub(super) async fn claim(&mut self, request: ClaimDueOrdersRequest) -> anyhow::Result<usize> {
        self.0.ready().await?;
        let path = PathAndQuery::from_static("/orrery.orders.v1.OrdersService/ClaimDueOrders");
        let codec = ProstCodec::<ClaimDueOrdersRequest, UndecodedPage>::default();
        Ok(self.0.unary(tonic::Request::new(request), path, codec).await?.into_inner().orders.len())
    }
}

/// A running `orrery-orders`.
pub(super) struct Service {
    pub(super) process: Process,
}

impl Service {
    pub(super) async fn start(database_url: &str) -> anyhow::Result<Self> {
        Ok(Self { process: Process::start(ORDERS, database_url, &[]).await? })
    }

    pub(super) fn client(&self) -> OrdersServiceClient<Channel> {
        OrdersServiceClient::new(self.process.channel()).max_decoding_message_size(64 << 20)
    }

    async fn bytes_client(&self) -> anyhow::Result<tonic::client::Grpc<Channel>> {
        let mut client = tonic::client::Grpc::new(self.process.channel()).max_decoding_message_size(64 << 20);
        client.ready().await?;
        Ok(client)
    }

    /// A client that claims orders and only counts them, like pgbench, which decodes nothing either.
    pub(super) async fn claims(&self) -> anyhow::Result<Claims> {
        Ok(Claims(self.bytes_client().await?))
    }

    /// Writes chunks without checking products.
    pub(super) async fn write(&self, chunks: &[WriteRequest], expect: Expect) -> anyhow::Result<Duration> {
        let chunks = chunks.to_vec();
        let orders = chunks.iter().map(rows).sum::<usize>() as i64;
        let start = WriteStart {
            write_id: format!("bench-{}", rand::random::<u64>()),
            reference_check: ReferenceCheck::Accept.into(),
            ..WriteStart::default()
        };
        let started = Instant::now();
        let start = WriteRequest { payload: Some(WritePayload::Start(start)) };
        let requests = tonic::Request::new(tokio_stream::iter(std::iter::once(start).chain(chunks)));
        let path = PathAndQuery::from_static("/orrery.orders.v1.OrdersService/WriteOrders");
        let codec = ProstCodec::<WriteRequest, WriteResponse>::default();
        let mut acks = self.bytes_client().await?.streaming(requests, path, codec).await?.into_inner();
        let (mut committed, mut expected) = (0, 0);
        while let Some(ack) = acks.message().await? {
            let error = ack.row_errors.first();
            anyhow::ensure!(error.is_none(), "an order was refused: {error:?}");
            committed = ack.committed_offset;
            expected += match expect {
                Expect::Created => ack.created,
                Expect::Unchanged => ack.unchanged,
            };
        }
        anyhow::ensure!(committed == orders && expected == orders, "{expected} of {orders} as expected");
        Ok(started.elapsed())
    }

    /// Streams and decodes all orders with their children.
    pub(super) async fn stream_whole(&self) -> anyhow::Result<(Counted, Duration)> {
        self.stream(OrderView::Full).await
    }

    /// Streams and decodes all orders without lines and addresses.
    pub(super) async fn stream_basic(&self) -> anyhow::Result<(Counted, Duration)> {
        self.stream(OrderView::Basic).await
    }

    async fn stream(&self, view: OrderView) -> anyhow::Result<(Counted, Duration)> {
        let started = Instant::now();
        let request = StreamOrdersRequest { view: view.into(), ..StreamOrdersRequest::default() };
        let mut stream = self.client().stream_orders(request).await?.into_inner();
        let mut counted = Counted::default();
        while let Some(page) = stream.message().await? {
            counted.orders += page.orders.len();
            counted.lines += page.orders.iter().map(|order| order.line_items.len()).sum::<usize>();
        }
        Ok((counted, started.elapsed()))
    }

    /// Streams and counts all orders with their children without decoding them: the throughput of the service itself.
    pub(super) async fn stream_undecoded(&self) -> anyhow::Result<(usize, Duration)> {
        let started = Instant::now();
        let request = StreamOrdersRequest { view: OrderView::Full.into(), ..StreamOrdersRequest::default() };
        let path = PathAndQuery::from_static("/orrery.orders.v1.OrdersService/StreamOrders");
        let codec = ProstCodec::<StreamOrdersRequest, UndecodedPage>::default();
        let mut client = self.bytes_client().await?;
        let stream = client.server_streaming(tonic::Request::new(request), path, codec).await;
        let mut stream = stream.context("StreamOrders failed")?.into_inner();
        let mut count = 0;
        while let Some(page) = stream.message().await? {
            count += page.orders.len();
        }
        Ok((count, started.elapsed()))
    }
}

fn rows(request: &WriteRequest) -> usize {
    match &request.payload {
        Some(WritePayload::Chunk(chunk)) => chunk.rows.len(),
        _ => 0,
    }
}
