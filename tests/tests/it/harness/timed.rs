//! Calls whose deadline only the server enforces. A tonic client has its own timer, which fires slightly earlier and
//! hides the server's response.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use prost::Message;
use tonic::codegen::http::{HeaderMap, Request};
use tonic::{Code, Status};

/// Longer than any call takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A connection.
#[derive(Clone)]
pub(crate) struct TimedClient {
    requests: SendRequest<Bytes>,
    address: SocketAddr,
}

/// The result of a call.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The received messages.
    pub(crate) messages: Vec<Bytes>,
    /// The status.
    pub(crate) status: Status,
    /// The duration.
    pub(crate) took: Duration,
}

impl Outcome {
    /// The only message of a successful call.
    pub(crate) fn answer<M: Message + Default>(&self) -> M {
        assert_eq!((self.status.code(), self.messages.len()), (Code::Ok, 1), "{self:?}");
        M::decode(self.messages[0].clone()).unwrap()
    }
}

impl TimedClient {
    /// Connects to a service.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let (requests, connection) = h2::client::handshake(socket).await.unwrap();
        tokio::spawn(connection);
        Self { requests, address }
    }

    /// Sends these messages, ends the request if `ends`, and returns the response.
    pub(crate) async fn call(&self, path: &str, deadline: Duration, messages: &[Bytes], ends: bool) -> Outcome {
        let begun = Instant::now();
        let mut received = Vec::new();
        let call = self.exchange(path, deadline, messages, ends, &mut received);
        let ended = tokio::time::timeout(TIMEOUT, call).await.expect("the call ends");
        let status = ended.unwrap_or_else(|error| Status::unknown(error.to_string()));
        Outcome { messages: received, status, took: begun.elapsed() }
    }

    async fn exchange(
        &self,
        path: &str,
        deadline: Duration,
        messages: &[Bytes],
        ends: bool,
        received: &mut Vec<Bytes>,
    ) -> Result<Status, h2::Error> {
        let request = Request::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", format!("{}m", deadline.as_millis()))
            .body(())
            .unwrap();
        let (response, mut sender) = self.requests.clone().ready().await?.send_request(request, false)?;
        let mut body = BytesMut::new();
        for message in messages {
            body.put_u8(0);
            body.put_u32(u32::try_from(message.len()).unwrap());
            body.put_slice(message);
        }
        sender.send_data(body.freeze(), ends)?;
        let response = response.await?;
        if let Some(status) = Status::from_header_map(response.headers()) {
            return Ok(status);
        }
        let mut body = response.into_body();
        let mut bytes = BytesMut::new();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            bytes.put(data);
            while bytes.len() >= 5 {
                let length = (&bytes[1..5]).get_u32() as usize;
                if bytes.len() < 5 + length {
                    break;
                }
                bytes.advance(5);
                received.push(bytes.split_to(length).freeze());
            }
        }
        let trailers = body.trailers().await?.unwrap_or_default();
        Ok(status(&trailers))
    }
}

fn status(trailers: &HeaderMap) -> Status {
    Status::from_header_map(trailers).unwrap_or_else(|| Status::unknown("the call ended without a status"))
}
