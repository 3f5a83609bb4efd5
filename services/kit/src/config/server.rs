//! The transport, and the shutdown of a process.

use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::ConfigError;
use super::checks::{at_least, at_most, not_zero};
use super::units::{parse_bytes, parse_duration};
use crate::compression::Encodings;

/// HTTP/2 reads this many times the metadata that a call may have. Metadata that is read and then refused gets the
/// error of the contract, while metadata that HTTP/2 refuses may cost the connection. With the default, this is as much
/// as the window of a connection.
const HEADER_FACTOR: usize = 64;
/// The most metadata that HTTP/2 reads, whatever a call may have: h2's own default.
const MAX_HEADER_BYTES: usize = 16 << 20;

/// The transport, and the shutdown of the process.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Transport")]
pub struct ServerConfig {
    /// How long running calls may continue after SIGTERM or SIGINT.
    ///
    /// Calls that still run then end with UNAVAILABLE. Keep it below the time after which your scheduler kills the
    /// process (30 s in Kubernetes).
    #[arg(
        long,
        value_name = "DURATION",
        env = "ORRERY_DRAIN_TIMEOUT",
        default_value = "20s",
        value_parser = parse_duration
    )]
    pub drain_timeout: Duration,

    /// How often a connection is probed with an HTTP/2 ping.
    ///
    /// Keep it shorter than the idle timeout of proxies between client and server, so that quiet streams stay open.
    #[arg(
        long,
        value_name = "DURATION",
        env = "ORRERY_HTTP2_KEEPALIVE_INTERVAL",
        default_value = "30s",
        value_parser = parse_duration
    )]
    pub http2_keepalive_interval: Duration,

    /// How long an HTTP/2 ping may stay unanswered before the connection is closed.
    ///
    /// Longer tolerates slow networks; shorter frees the resources of dead clients sooner.
    #[arg(
        long,
        value_name = "DURATION",
        env = "ORRERY_HTTP2_KEEPALIVE_TIMEOUT",
        default_value = "20s",
        value_parser = parse_duration
    )]
    pub http2_keepalive_timeout: Duration,

    /// Maximum number of concurrent calls on one connection.
    ///
    /// Further calls wait in the client. Lower it to keep one client from using the whole service.
    #[arg(long, value_name = "STREAMS", env = "ORRERY_MAX_CONCURRENT_STREAMS", default_value_t = 1000)]
    pub max_concurrent_streams: u32,

    /// Bytes that a client may send on one stream before the service has read them.
    ///
    /// A chunked write over a slow line sends at most this much per round trip; each open write may hold this much
    /// memory.
    #[arg(
        long,
        value_name = "BYTES",
        env = "ORRERY_HTTP2_STREAM_WINDOW",
        default_value = "1MiB",
        value_parser = parse_bytes
    )]
    pub http2_stream_window: usize,

    /// Bytes that a client may send on one connection, on all its streams together, before the service has read them.
    ///
    /// Writes on the same connection share it.
    #[arg(
        long,
        value_name = "BYTES",
        env = "ORRERY_HTTP2_CONNECTION_WINDOW",
        default_value = "4MiB",
        value_parser = parse_bytes
    )]
    pub http2_connection_window: usize,

    /// Maximum number of client connections. Default: 4096, or fewer, so that enough file descriptors remain for the
    /// database and the admin port (ulimit -n, which is raised as far as allowed).
    ///
    /// Beyond it, a new connection replaces one that has not sent its HTTP/2 preface, or else the one that has been
    /// without a call for the longest time, if for at least a second. If all are in use, the new one is closed.
    #[arg(long, value_name = "CONNECTIONS", env = "ORRERY_MAX_CONNECTIONS")]
    pub max_connections: Option<usize>,

    /// Maximum number of connections from one address, or from one IPv6 network (64 bits). Default: half of all.
    ///
    /// Raise it to --max-connections if all callers come through one proxy.
    #[arg(long, value_name = "CONNECTIONS", env = "ORRERY_MAX_CONNECTIONS_PER_ADDRESS")]
    pub max_connections_per_address: Option<usize>,

    /// How long a new connection may take to begin HTTP/2: its preface and first SETTINGS.
    #[arg(
        long,
        value_name = "DURATION",
        env = "ORRERY_HANDSHAKE_TIMEOUT",
        default_value = "10s",
        value_parser = parse_duration
    )]
    pub handshake_timeout: Duration,

    /// How long a caller may take to send a message that it has begun (for a unary call or the first message of a
    /// stream: from its headers on), and to read the answer of a unary call.
    ///
    /// Between the messages of a stream, callers may pause for any time, and they may read the messages of a stream as
    /// slowly as they like.
    #[arg(
        long,
        value_name = "DURATION",
        env = "ORRERY_TRANSFER_TIMEOUT",
        default_value = "30s",
        value_parser = parse_duration
    )]
    pub transfer_timeout: Duration,

    /// Maximum size of the request metadata of one call; more fails with RESOURCE_EXHAUSTED, reason METADATA_TOO_LARGE.
    ///
    /// Counted as in HTTP/2: names, values, and 32 bytes for each pair. HTTP/2 itself reads 64 times as much, at most
    /// 16MiB, and announces that (SETTINGS_MAX_HEADER_LIST_SIZE). Beyond that it answers with status 431, which gRPC
    /// clients show as UNKNOWN or INTERNAL; a quarter beyond that, it closes the connection and ends every call on it.
    #[arg(
        long,
        value_name = "BYTES",
        env = "ORRERY_MAX_METADATA_BYTES",
        default_value = "64KiB",
        value_parser = parse_bytes
    )]
    pub max_metadata_bytes: usize,

    /// Compress response messages for callers that accept it: "none", or a list of gzip, deflate and zstd, the
    /// preferred one first.
    ///
    /// Saves bytes on a network that is slow or billed by volume, and costs CPU time on both sides. Messages of less
    /// than 1 KiB are sent uncompressed. Requests may be compressed in all three ways, whatever is set here.
    #[arg(
        long,
        value_name = "ENCODINGS",
        env = "ORRERY_COMPRESS_RESPONSES",
        default_value = "none",
        value_parser = Encodings::parse
    )]
    pub compress_responses: Encodings,

    /// Send small packets at once instead of collecting them (TCP_NODELAY).
    ///
    /// Without it, short answers wait up to 40 ms. Turn it off only to save packets on a network that bills by packets.
    #[arg(
        long,
        value_name = "BOOL",
        env = "ORRERY_TCP_NODELAY",
        default_value = "true",
        action = clap::ArgAction::Set,
        value_parser = BoolishValueParser::new()
    )]
    pub tcp_nodelay: bool,

    /// Idle time after which the kernel probes a connection (TCP keepalive).
    ///
    /// Detects clients that disappear before HTTP/2 begins.
    #[arg(
        long,
        value_name = "DURATION",
        env = "ORRERY_TCP_KEEPALIVE",
        default_value = "60s",
        value_parser = parse_duration
    )]
    pub tcp_keepalive: Duration,
}

impl ServerConfig {
    /// Refuses values that HTTP/2 does not allow.
    ///
    /// # Errors
    ///
    /// The first invalid setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        not_zero("http2-keepalive-interval", self.http2_keepalive_interval)?;
        not_zero("http2-keepalive-timeout", self.http2_keepalive_timeout)?;
        not_zero("handshake-timeout", self.handshake_timeout)?;
        not_zero("transfer-timeout", self.transfer_timeout)?;
        at_least("max-connections", self.max_connections.unwrap_or(1), 1)?;
        at_least("max-connections-per-address", self.max_connections_per_address.unwrap_or(1), 1)?;
        at_least("max-concurrent-streams", self.max_concurrent_streams, 1)?;
        // HTTP/2 starts every connection with windows of 65,535 bytes and cannot reduce them at the start.
        at_least("http2-stream-window", self.http2_stream_window, 65_535)?;
        at_most("http2-stream-window", self.http2_stream_window, i32::MAX as usize)?;
        at_least("http2-connection-window", self.http2_connection_window, 65_535)?;
        at_most("http2-connection-window", self.http2_connection_window, i32::MAX as usize)?;
        // The metadata that gRPC clients add by themselves takes some hundred bytes.
        at_least("max-metadata-bytes", self.max_metadata_bytes, 4 << 10)?;
        at_most("max-metadata-bytes", self.max_metadata_bytes, 1 << 20)?;
        not_zero("tcp-keepalive", self.tcp_keepalive)
    }

    /// How much metadata HTTP/2 reads before it refuses a call itself, in ways that clients show badly.
    pub(crate) fn http2_header_bytes(&self) -> usize {
        self.max_metadata_bytes.saturating_mul(HEADER_FACTOR).min(MAX_HEADER_BYTES)
    }
}
