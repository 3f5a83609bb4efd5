//! Many callers of one unary method, each of which waits for the response and then calls again.
//!
//! The client shares the cores with the service, so its cost reduces the result. This client costs little, like
//! pgbench: one thread, a few connections for all callers, and plain HTTP/2 frames with only the status of gRPC.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::future::try_join_all;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The prefix of a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The call, and the number of callers.
#[derive(Clone)]
pub(crate) struct Callers {
    /// `/package.Service/Method`.
    pub(crate) method: &'static str,
    /// The metadata of each request.
    pub(crate) metadata: Vec<(HeaderName, HeaderValue)>,
    /// Creates the message of a request.
    pub(crate) message: fn(usize) -> Vec<u8>,
    /// The argument of `message`.
    pub(crate) rows: usize,
    /// Whether a response is the expected one.
    pub(crate) is_right: fn(&[u8]) -> bool,
    /// The number of concurrent callers.
    pub(crate) count: usize,
    /// The connections that they share.
    pub(crate) connections: usize,
    /// The time at the start that is not counted.
    pub(crate) warm_up: Duration,
    /// The time that is counted.
    pub(crate) time: Duration,
    /// How long to wait after a rejected call; `None`: as long as its RetryInfo says.
    pub(crate) pause: Option<Duration>,
}

/// The results.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The durations of successful calls in seconds, sorted.
    pub(crate) took: Vec<f64>,
    /// The number of rejected calls.
    pub(crate) refused: usize,
}

impl Seen {
    /// The time that was counted, in seconds.
    pub(crate) fn percentile(&self, part: f64) -> f64 {
        let place = (self.took.len() as f64 * part) as usize;
        self.took.get(place).or(self.took.last()).copied().unwrap_or(f64::NAN)
    }
}

impl Callers {
    /// Calls until the time is over. Any status other than OK and RESOURCE_EXHAUSTED is an error.
    pub(crate) async fn call(self, address: SocketAddr) -> anyhow::Result<Seen> {
        let all =
            move || tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(self.all(address));
        tokio::task::spawn_blocking(all).await?
    }

    async fn all(self, address: SocketAddr) -> anyhow::Result<Seen> {
        let mut connections = JoinSet::new();
        let mut senders = Vec::new();
        for _ in 0..self.connections {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = h2::client::handshake(stream).await?;
            connections.spawn(connection);
            senders.push(sender);
        }
        let from = Instant::now() + self.warm_up;
        let callers = (0..self.count).map(|number| {
            let (callers, sender) = (self.clone(), senders[number % senders.len()].clone());
            async move { tokio::spawn(async move { callers.one(address, sender, from).await }).await? }
        });
        let mut all = Seen::default();
        for seen in try_join_all(callers).await? {
            all.took.extend(seen.took);
            all.refused += seen.refused;
        }
        anyhow::ensure!(!all.took.is_empty(), "nothing was served");
        all.took.sort_by(f64::total_cmp);
        Ok(all)
    }

    async fn one(&self, address: SocketAddr, mut sender: SendRequest<Bytes>, from: Instant) -> anyhow::Result<Seen> {
        let mut request = Request::builder().method(Method::POST).version(Version::HTTP_2);
        request = request.uri(format!("http://{address}{}", self.method));
        request = request.header("content-type", "application/grpc").header("te", "trailers");
        for (name, value) in &self.metadata {
            request = request.header(name, value);
        }
        let request = request.body(())?;
        let end = from + self.time;
        let mut seen = Seen::default();
        loop {
            let begun = Instant::now();
            if begun >= end {
                return Ok(seen);
            }
            let counts = begun >= from;
            match unary(&mut sender, request.clone(), &(self.message)(self.rows)).await? {
                Ok(message) => {
                    anyhow::ensure!((self.is_right)(&message), "an answer that is none");
                    if counts {
                        seen.took.push(begun.elapsed().as_secs_f64());
                    }
                }
                Err(status) if status.code() == Code::ResourceExhausted => {
                    seen.refused += usize::from(counts);
                    let told = status.get_details_retry_info().and_then(|info| info.retry_delay);
                    let pause = self.pause.or(told).context("no RetryInfo")?;
                    tokio::time::sleep(pause.min(end.saturating_duration_since(Instant::now()))).await;
                }
                Err(status) => return Err(status.into()),
            }
        }
    }
}

/// One call: its response message, or its status.
async fn unary(
    sender: &mut SendRequest<Bytes>,
    request: Request<()>,
    message: &[u8],
) -> anyhow::Result<Result<Bytes, Status>> {
    poll_fn(|context| sender.poll_ready(context)).await?;
    let (response, mut outbound) = sender.send_request(request, false)?;
    let mut data = BytesMut::with_capacity(PREFIX + message.len());
    data.put_u8(0);
    data.put_u32(u32::try_from(message.len())?);
    data.put_slice(message);
    outbound.send_data(data.freeze(), true)?;
    let (parts, mut inbound) = response.await?.into_parts();
    let mut answer = Bytes::new();
    while let Some(data) = inbound.data().await {
        let data = data?;
        inbound.flow_control().release_capacity(data.len())?;
        // A small message arrives in one frame.
        answer = if answer.is_empty() { data } else { [answer, data].concat().into() };
    }
    let trailers = inbound.trailers().await?;
    let status = trailers.as_ref().unwrap_or(&parts.headers);
    Ok(if is_ok(status) { Ok(answer.slice(PREFIX.min(answer.len())..)) } else { Err(status_of(status)?) })
}

fn is_ok(headers: &HeaderMap) -> bool {
    headers.get("grpc-status").is_some_and(|status| status == "0")
}

fn status_of(headers: &HeaderMap) -> anyhow::Result<Status> {
    Status::from_header_map(headers).context("a call without a status")
}
