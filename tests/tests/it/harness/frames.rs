//! A client that sends HTTP/2 frames as given, valid or not, without a library's checks. It answers SETTINGS and PINGs,
//! counts received frames, respects the windows that it gets, and never extends the windows of the server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex as AsyncMutex;
use tokio_util::task::AbortOnDropHandle;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Longer than any step of a test takes.
const TIMEOUT: Duration = Duration::from_secs(60);
const LARGEST_FRAME: usize = 16_384;
/// How long a window may stay closed.
const WINDOW_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
/// SETTINGS_INITIAL_WINDOW_SIZE.
pub(crate) const INITIAL_WINDOW: u16 = 4;

/// A connection.
pub(crate) struct FrameClient {
    out: Arc<AsyncMutex<OwnedWriteHalf>>,
    seen: Arc<Mutex<Seen>>,
    _reading: AbortOnDropHandle<()>,
}

/// What was received.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The number of frames of each kind.
    pub(crate) kinds: BTreeMap<u8, usize>,
    /// The streams that ended, by END_STREAM or by a reset.
    pub(crate) ended: BTreeSet<u32>,
    /// The error code of a GOAWAY.
    pub(crate) goaway: Option<u32>,
    /// Whether the server closed the connection.
    pub(crate) closed: bool,
    windows: Windows,
}

/// How much may be sent.
#[derive(Clone, Debug)]
struct Windows {
    connection: i64,
    /// The initial window of a stream.
    initial: i64,
    /// The change of each stream's window since then.
    streams: BTreeMap<u32, i64>,
}

impl Default for Windows {
    /// RFC 9113, 6.9.2.
    fn default() -> Self {
        Self { connection: 65_535, initial: 65_535, streams: BTreeMap::new() }
    }
}

impl Windows {
    /// Takes up to `wanted` bytes from a window.
    fn take(&mut self, stream: u32, wanted: usize) -> usize {
        let used = self.streams.entry(stream).or_default();
        let most = self.connection.min(self.initial + *used).clamp(0, wanted as i64);
        *used -= most;
        self.connection -= most;
        most as usize
    }

    /// Handles a received frame.
    fn learn(&mut self, kind: u8, stream: u32, payload: &[u8]) {
        match kind {
            WINDOW_UPDATE => {
                let more = i64::from(u32::from_be_bytes(payload.try_into().unwrap()));
                *(if stream == 0 { &mut self.connection } else { self.streams.entry(stream).or_default() }) += more;
            }
            SETTINGS => {
                for setting in payload.chunks_exact(6) {
                    if setting[..2] == INITIAL_WINDOW.to_be_bytes() {
                        self.initial = i64::from(u32::from_be_bytes(setting[2..].try_into().unwrap()));
                    }
                }
            }
            _ => {}
        }
    }
}

impl Seen {
    pub(crate) fn count(&self, kind: u8) -> usize {
        self.kinds.get(&kind).copied().unwrap_or_default()
    }
}

/// Encodes a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length.to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The headers of a call, each as a literal without indexing (RFC 7541, 6.2.2).
pub(crate) fn header_block(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let mut block = Vec::new();
    for (name, value) in usual.iter().chain(more) {
        block.push(0);
        for text in [name, value] {
            put_length(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541, 5.1).
fn put_length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        block.push(length as u8);
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// The stream id of a connection's nth call, from 0.
pub(crate) fn stream(nth: usize) -> u32 {
    2 * u32::try_from(nth).unwrap() + 1
}

impl FrameClient {
    /// A connection that has sent its preface and these settings.
    pub(crate) async fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let connection = Self::new(address, true).await;
        connection.send(&Self::hello(settings)).await;
        connection
    }

    /// A connection that sends nothing by itself.
    pub(crate) async fn silent(address: SocketAddr) -> Self {
        Self::new(address, false).await
    }

    async fn new(address: SocketAddr, answers: bool) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        let (reading, writing) = socket.into_split();
        let (out, seen) = (Arc::new(AsyncMutex::new(writing)), Arc::<Mutex<Seen>>::default());
        let reading = tokio::spawn(read(reading, answers.then(|| Arc::clone(&out)), Arc::clone(&seen)));
        Self { out, seen, _reading: AbortOnDropHandle::new(reading) }
    }

    /// What a client says first.
    pub(crate) fn hello(settings: &[(u16, u32)]) -> Vec<u8> {
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        [PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat()
    }

    /// Sends bytes as they are. Whether the other end still takes them is seen by [`seen`](Self::seen).
    pub(crate) async fn send(&self, bytes: &[u8]) {
        let _closed = self.out.lock().await.write_all(bytes).await;
    }

    /// Sends the headers of a call.
    pub(crate) async fn headers(&self, stream: u32, path: &str, flags: u8) {
        self.send(&frame(HEADERS, flags | END_HEADERS, stream, &header_block(path, &[]))).await;
    }

    /// Sends a part of a call's body, in as many frames as it takes, as far as the windows go; what does not fit them
    /// in time, or comes after the call has ended, is left out.
    pub(crate) async fn data(&self, stream: u32, mut bytes: &[u8], flags: u8) {
        let begun = Instant::now();
        while !bytes.is_empty() && begun.elapsed() < WINDOW_TIMEOUT {
            let room = {
                let mut seen = self.seen.lock().unwrap();
                if seen.closed || seen.ended.contains(&stream) {
                    return;
                }
                seen.windows.take(stream, bytes.len().min(LARGEST_FRAME))
            };
            if room == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            }
            let (piece, rest) = bytes.split_at(room);
            self.send(&frame(DATA, if rest.is_empty() { flags } else { 0 }, stream, piece)).await;
            bytes = rest;
        }
    }

    /// Sends a whole call.
    pub(crate) async fn call(&self, stream: u32, path: &str, message: &[u8]) {
        self.headers(stream, path, 0).await;
        self.data(stream, &super::http2::framed(false, message), END_STREAM).await;
    }

    /// What was received so far.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until what was received satisfies `wanted`.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Seen) -> bool) -> Seen {
        let begun = Instant::now();
        loop {
            let seen = self.seen();
            if wanted(&seen) {
                return seen;
            }
            assert!(begun.elapsed() < TIMEOUT, "not seen in time: {what}; {seen:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn read(mut reading: OwnedReadHalf, out: Option<Arc<AsyncMutex<OwnedWriteHalf>>>, seen: Arc<Mutex<Seen>>) {
    let mut head = [0; 9];
    let mut payload = Vec::new();
    while reading.read_exact(&mut head).await.is_ok() {
        let [high, middle, low, kind, flags, number @ ..] = head;
        payload.resize(u32::from_be_bytes([0, high, middle, low]) as usize, 0);
        if reading.read_exact(&mut payload).await.is_err() {
            break;
        }
        let answer = match kind {
            SETTINGS if flags & ACK == 0 => Some(frame(SETTINGS, ACK, 0, &[])),
            PING if flags & ACK == 0 => Some(frame(PING, ACK, 0, &payload)),
            _ => None,
        };
        {
            let mut seen = seen.lock().unwrap();
            *seen.kinds.entry(kind).or_default() += 1;
            if kind == GOAWAY {
                seen.goaway = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
            seen.windows.learn(kind, u32::from_be_bytes(number), &payload);
            if kind == RST_STREAM || (matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0) {
                seen.ended.insert(u32::from_be_bytes(number) & 0x7fff_ffff);
            }
        }
        if let Some((answer, out)) = answer.zip(out.as_ref()) {
            let _closed = out.lock().await.write_all(&answer).await;
        }
    }
    seen.lock().unwrap().closed = true;
}
