//! The sockets: a listener on loopback, and for each connection one to the server. All proxies of the process share a
//! separate runtime, so that they do not depend on the runtime of a test.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;

use super::frames::Frames;
use super::limits::{Violation, WireLimits};
use super::messages::fatal;
use super::session::Session;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).thread_name("wire").enable_all().build().unwrap());

/// Codes in place of the protocol version in the first message (manual, 55.7).
const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
/// A larger first message is not from Postgres.
const LARGEST_STARTUP: usize = 10_000;
/// How long a client can read the error before its connection is closed.
const ERROR_GRACE: Duration = Duration::from_secs(1);

/// A proxy to a server that enforces limits. Dropping it closes the listener; sessions continue until one end closes
/// them.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

struct Shared {
    /// The server's port on 127.0.0.1. It changes if the server restarts and finds its port taken.
    server: Arc<AtomicU16>,
    limits: Mutex<WireLimits>,
    violations: Mutex<Vec<Violation>>,
    /// Whether new sessions record their statements, and what they recorded.
    records: AtomicBool,
    recorded: Arc<Mutex<Vec<String>>>,
}

/// How a session ended.
enum End {
    Closed,
    Broken(Violation),
}

impl From<Violation> for End {
    fn from(violation: Violation) -> Self {
        Self::Broken(violation)
    }
}

impl From<io::Error> for End {
    /// If one side fails, both are closed.
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

impl Proxy {
    /// Listens on a free port in front of the server on a port of 127.0.0.1.
    pub(crate) fn start(server: Arc<AtomicU16>) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            server,
            limits: Mutex::default(),
            violations: Mutex::default(),
            records: AtomicBool::new(false),
            recorded: Arc::default(),
        });
        let accepting = RUNTIME.spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Self { port, shared, accepting }
    }

    /// The port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The limits for new sessions.
    pub(crate) fn limits(&self) -> WireLimits {
        *self.shared.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the limits for new sessions.
    pub(crate) fn set_limits(&self, limits: WireLimits) {
        *self.shared.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// Records the statements of new sessions.
    pub(crate) fn record(&self) {
        self.shared.records.store(true, Ordering::Relaxed);
    }

    /// Returns and clears the texts of the statements that were sent, in their order.
    pub(crate) fn take_recorded(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.recorded.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns and clears the violations.
    pub(crate) fn take_violations(&self) -> Vec<Violation> {
        std::mem::take(&mut self.shared.violations.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        // The error is about one connection, or about a temporary lack of file descriptors.
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        tokio::spawn(serve(client, Arc::clone(&shared)));
    }
}

/// Serves one connection to its end.
async fn serve(mut client: TcpStream, shared: Arc<Shared>) {
    let Ok(Some(startup)) = startup(&mut client).await else { return };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, shared.server.load(Ordering::Relaxed)));
    let Ok(mut server) = TcpStream::connect(address).await else {
        // Clients see this as a server that is starting: cannot_connect_now.
        let _ = client.write_all(&fatal("57P03", "there is no server behind the proxy")).await;
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    if server.write_all(&startup).await.is_err() {
        return;
    }
    let limits = *shared.limits.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut client_reader, mut client_writer) = client.into_split();
    let (server_reader, server_writer) = server.into_split();
    let recorded = shared.records.load(Ordering::Relaxed).then(|| Arc::clone(&shared.recorded));
    let session = Mutex::new(Session::new(limits, recorded));
    let (mut requests, mut answers) = (Frames::new(), Frames::new());
    let mut whole = true;
    let end = tokio::select! {
        end = pass_answers(server_reader, &mut client_writer, &mut answers, &session, &mut whole) => end,
        end = pass_requests(&mut client_reader, server_writer, &mut requests, &session) => end,
        end = watch(&session) => end,
    };
    let End::Broken(violation) = end else { return };
    let words = fatal(violation.limit.sqlstate(), &format!("limit exceeded: {violation}"));
    shared.violations.lock().unwrap_or_else(PoisonError::into_inner).push(violation);
    if whole && !answers.within_message() && !limits.silent {
        let farewell = async {
            client_writer.write_all(&words).await?;
            client_writer.shutdown().await?;
            // Closing a socket with unread data would discard what was sent.
            let mut unread = [0; 4096];
            while client_reader.read(&mut unread).await? > 0 {}
            io::Result::Ok(())
        };
        let _ = tokio::time::timeout(ERROR_GRACE, farewell).await;
    }
}

/// Reads the client's first message. Encryption is declined, as by a server without it. A cancel request is forwarded
/// as it is; it has no response.
async fn startup(client: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    loop {
        let length = client.read_u32().await?;
        let code = client.read_u32().await?;
        if matches!(code, SSL_REQUEST | GSSENC_REQUEST) {
            client.write_all(b"N").await?;
            continue;
        }
        let mut message = [length.to_be_bytes(), code.to_be_bytes()].concat();
        let Some(rest) = (length as usize).checked_sub(message.len()).filter(|&rest| rest <= LARGEST_STARTUP) else {
            return Ok(None);
        };
        message.resize(length as usize, 0);
        let start = message.len() - rest;
        client.read_exact(&mut message[start..]).await?;
        return Ok(Some(message));
    }
}

async fn pass_answers(
    mut server: OwnedReadHalf,
    client: &mut OwnedWriteHalf,
    frames: &mut Frames,
    session: &Mutex<Session>,
    whole: &mut bool,
) -> End {
    loop {
        if !frames.read(&mut server).await.unwrap_or(false) {
            let _ = client.write_all(frames.all()).await;
            return End::Closed;
        }
        let (bytes, verdict) = {
            let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
            frames.look(|piece| session.answered(&piece))
        };
        // False while it is unknown how much of the message the client received.
        *whole = false;
        if let Err(error) = client.write_all(frames.first(bytes)).await {
            return error.into();
        }
        *whole = true;
        if let Err(violation) = verdict {
            return violation.into();
        }
        frames.passed_on(bytes);
    }
}

async fn pass_requests(
    client: &mut OwnedReadHalf,
    mut server: OwnedWriteHalf,
    frames: &mut Frames,
    session: &Mutex<Session>,
) -> End {
    loop {
        if !frames.read(client).await.unwrap_or(false) {
            let _ = server.write_all(frames.all()).await;
            return End::Closed;
        }
        let (bytes, verdict) = {
            let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
            frames.look(|piece| session.asked(&piece))
        };
        if let Err(violation) = verdict {
            return violation.into();
        }
        if let Err(error) = server.write_all(frames.first(bytes)).await {
            return error.into();
        }
        frames.passed_on(bytes);
    }
}

/// Ends when a transaction or statement is too old, even if nothing is sent.
async fn watch(session: &Mutex<Session>) -> End {
    loop {
        let look = session.lock().unwrap_or_else(PoisonError::into_inner).age();
        match look {
            Ok(next) => tokio::time::sleep_until(next.into()).await,
            Err(violation) => return violation.into(),
        }
    }
}
