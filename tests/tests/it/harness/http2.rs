//! An HTTP/2 connection that can send any request, with any metadata and body, and several calls at once.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use tonic::Status;
use tonic::codegen::http::{HeaderMap, Request, Response, StatusCode};

/// Longer than any call takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A connection.
#[derive(Clone)]
pub(crate) struct Http2 {
    requests: SendRequest<Bytes>,
    address: SocketAddr,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) http_status: StatusCode,
    /// Headers and trailers.
    pub(crate) metadata: HeaderMap,
    /// For each message its compression flag and its bytes.
    pub(crate) messages: Vec<(bool, Bytes)>,
}

impl Exchange {
    /// The gRPC status; `None` if there is only an HTTP status.
    pub(crate) fn status(&self) -> Option<Status> {
        Status::from_header_map(&self.metadata)
    }

    /// A header or trailer; empty if missing.
    pub(crate) fn metadata(&self, key: &str) -> &str {
        self.metadata.get(key).map_or("", |value| value.to_str().unwrap())
    }
}

/// A call whose request was started and not ended.
pub(crate) struct Open {
    response: h2::client::ResponseFuture,
    request: SendStream<Bytes>,
}

/// Encodes a message with its prefix.
pub(crate) fn framed(compressed: bool, message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(compressed.into());
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    frame.freeze()
}

impl Http2 {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let (requests, connection) = h2::client::handshake(socket).await.unwrap();
        tokio::spawn(connection);
        Self { requests, address }
    }

    /// Sends the headers of a call.
    pub(crate) async fn open(&self, path: &str, metadata: &[(&str, &str)]) -> Result<Open, h2::Error> {
        self.open_as("application/grpc", path, metadata).await
    }

    async fn open_as(&self, kind: &str, path: &str, metadata: &[(&str, &str)]) -> Result<Open, h2::Error> {
        let mut request = Request::post(format!("http://{}{path}", self.address))
            .header("content-type", kind)
            .header("te", "trailers");
        for (key, value) in metadata {
            request = request.header(*key, *value);
        }
        let (response, request) =
            self.requests.clone().ready().await?.send_request(request.body(()).unwrap(), false)?;
        Ok(Open { response, request })
    }

    /// Sends a whole call.
    pub(crate) async fn call(&self, path: &str, metadata: &[(&str, &str)], body: Bytes) -> Result<Exchange, h2::Error> {
        self.open(path, metadata).await?.end(body).await
    }

    /// Sends a whole request with this content type.
    pub(crate) async fn call_as(&self, kind: &str, path: &str, body: Bytes) -> Result<Exchange, h2::Error> {
        self.open_as(kind, path, &[]).await?.end(body).await
    }
}

impl Open {
    /// Sends the body and ends the request, and returns the response.
    pub(crate) async fn end(mut self, mut body: Bytes) -> Result<Exchange, h2::Error> {
        let exchange = async {
            while !body.is_empty() {
                self.request.reserve_capacity(body.len());
                let room = std::future::poll_fn(|context| self.request.poll_capacity(context)).await;
                // A server that has responded may stop reading.
                let Some(Ok(room)) = room else { break };
                self.request.send_data(body.split_to(room.min(body.len())), false)?;
            }
            let _answered_before = self.request.send_data(Bytes::new(), true);
            taken(self.response.await?).await
        };
        tokio::time::timeout(TIMEOUT, exchange).await.expect("the call ends")
    }
}

async fn taken(response: Response<RecvStream>) -> Result<Exchange, h2::Error> {
    let (parts, mut body) = response.into_parts();
    let mut bytes = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.put(data);
    }
    let mut metadata = parts.headers;
    metadata.extend(body.trailers().await?.unwrap_or_default());
    let mut messages = Vec::new();
    while bytes.len() >= 5 {
        let head = bytes.split_to(5);
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        messages.push((head[0] == 1, bytes.split_to(length).freeze()));
    }
    Ok(Exchange { http_status: parts.status, metadata, messages })
}
