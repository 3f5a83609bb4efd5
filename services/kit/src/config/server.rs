//! The transport, and how a process ends.

use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::ConfigError;
use super::checks::{at_least, at_most, not_zero};
use super::units::{parse_bytes, parse_duration};
use crate::compression::Encodings;

/// How much more metadata HTTP/2 reads than a call may have. What is read and refused is answered as the contract says,
/// while what HTTP/2 refuses may cost the connection. By default that is as much as a connection's window.
const HEADROOM: usize = 64;
/// The most that HTTP/2 reads, whatever a call may have: what h2 takes for its own bound where nobody sets one.
const MOST_HEADER_BYTES: usize = 16 << 20;

/// The transport, and how the process ends.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Transport")]
pub struct ServerConfig {
    /// How long running calls may go on after SIGTERM or SIGINT.
    ///
    /// What still runs then ends with UNAVAILABLE. Keep it under the time after which your scheduler kills (30 s in Kubernetes).
    #[arg(long, value_name = "DURATION", env = "ORRERY_DRAIN_TIMEOUT", default_value = "20s", value_parser = parse_duration)]
    pub drain_timeout: Duration,

    /// How often a connection is probed by an HTTP/2 ping.
    ///
    /// Shorter than the idle timeout of what stands between client and server keeps quiet streams alive.
    #[arg(long, value_name = "DURATION", env = "ORRERY_HTTP2_KEEPALIVE_INTERVAL", default_value = "30s", value_parser = parse_duration)]
    pub http2_keepalive_interval: Duration,

    /// How long an HTTP/2 ping may stay unanswered before the connection is closed.
    ///
    /// Longer forgives slow networks; shorter frees what dead clients hold.
    #[arg(long, value_name = "DURATION", env = "ORRERY_HTTP2_KEEPALIVE_TIMEOUT", default_value = "20s", value_parser = parse_duration)]
    pub http2_keepalive_timeout: Duration,

    /// Most calls at one time on one connection.
    ///
    /// Further calls wait in the client. Lower it to keep one client from taking everything.
    #[arg(long, value_name = "STREAMS", env = "ORRERY_MAX_CONCURRENT_STREAMS", default_value_t = 1000)]
    pub max_concurrent_streams: u32,

    /// Bytes of one stream that a client may send before they were taken up.
    ///
    /// Throughput of a chunked write over a long line is at most this per round trip; each open write may hold as much.
    #[arg(long, value_name = "BYTES", env = "ORRERY_HTTP2_STREAM_WINDOW", default_value = "1MiB", value_parser = parse_bytes)]
    pub http2_stream_window: usize,

    /// Bytes of one connection, over all its streams, that a client may send before they were taken up.
    ///
    /// Several writes on one connection share it.
    #[arg(long, value_name = "BYTES", env = "ORRERY_HTTP2_CONNECTION_WINDOW", default_value = "4MiB", value_parser = parse_bytes)]
    pub http2_connection_window: usize,

    /// Most connections of callers. Default: 4096, and in any case so few that the database and the admin port have the
    /// files that they need (ulimit -n, which is raised as far as it may be).
    ///
    /// Beyond it a new connection takes the place of one that has not spoken HTTP/2, or of the one that has had no call
    /// for the longest, a second at least; where all are in use, the new one is closed.
    #[arg(long, value_name = "CONNECTIONS", env = "ORRERY_MAX_CONNECTIONS")]
    pub max_connections: Option<usize>,

    /// Most connections from one address, or from one network of IPv6 (64 bits). Default: half of all.
    ///
    /// Raise it to --max-connections where all callers come through one proxy.
    #[arg(long, value_name = "CONNECTIONS", env = "ORRERY_MAX_CONNECTIONS_PER_ADDRESS")]
    pub max_connections_per_address: Option<usize>,

    /// How long a new connection may take to speak HTTP/2: its preface and first SETTINGS.
    #[arg(long, value_name = "DURATION", env = "ORRERY_HANDSHAKE_TIMEOUT", default_value = "10s", value_parser = parse_duration)]
    pub handshake_timeout: Duration,

    /// How long a caller may take to send a message that it has begun, a unary call or the first message of a stream from
    /// its headers on, and to take the answer of a unary call.
    ///
    /// Between the messages of a stream callers may pause for as long as they like, and they may take the messages of a
    /// stream as slowly as they like.
    #[arg(long, value_name = "DURATION", env = "ORRERY_TRANSFER_TIMEOUT", default_value = "30s", value_parser = parse_duration)]
    pub transfer_timeout: Duration,

    /// Most bytes of one call's request metadata; more is RESOURCE_EXHAUSTED, reason METADATA_TOO_LARGE.
    ///
    /// Counted as HTTP/2 does: names and values, and 32 for each pair. HTTP/2 itself reads 64 times as much, 16MiB at
    /// most, and announces that (SETTINGS_MAX_HEADER_LIST_SIZE). Beyond it, it answers with status 431, which gRPC
    /// clients show as UNKNOWN or INTERNAL, and from a quarter more on it closes the connection, which ends every call
    /// on it.
    #[arg(long, value_name = "BYTES", env = "ORRERY_MAX_METADATA_BYTES", default_value = "64KiB", value_parser = parse_bytes)]
    pub max_metadata_bytes: usize,

    /// Compress the messages of answers for callers that accept it: "none", or some of gzip, deflate and zstd, the
    /// preferred one first.
    ///
    /// Saves bytes on a line that is slow or billed by them, and costs time on both sides. Messages of less than 1 KiB
    /// are sent as they are. Requests may be compressed in all three ways, whatever stands here.
    #[arg(long, value_name = "ENCODINGS", env = "ORRERY_COMPRESS_RESPONSES", default_value = "none", value_parser = Encodings::parse)]
    pub compress_responses: Encodings,

    /// Send small packets at once instead of gathering them (TCP_NODELAY).
    ///
    /// Without it short answers wait up to 40 ms. Turn it off only to save packets on a line that is billed by them.
    #[arg(long, value_name = "BOOL", env = "ORRERY_TCP_NODELAY", default_value = "true", action = clap::ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub tcp_nodelay: bool,

    /// Quiet time after which the kernel probes a connection (TCP keepalive).
    ///
    /// Finds peers that vanished without a word before HTTP/2 was spoken.
    #[arg(long, value_name = "DURATION", env = "ORRERY_TCP_KEEPALIVE", default_value = "60s", value_parser = parse_duration)]
    pub tcp_keepalive: Duration,
}

impl ServerConfig {
    /// Refuses what HTTP/2 does not allow.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used.
    pub fn validate(&self) -> Result<(), ConfigError> {
        not_zero("http2-keepalive-interval", self.http2_keepalive_interval)?;
        not_zero("http2-keepalive-timeout", self.http2_keepalive_timeout)?;
        not_zero("handshake-timeout", self.handshake_timeout)?;
        not_zero("transfer-timeout", self.transfer_timeout)?;
        at_least("max-connections", self.max_connections.unwrap_or(1), 1)?;
        at_least("max-connections-per-address", self.max_connections_per_address.unwrap_or(1), 1)?;
        at_least("max-concurrent-streams", self.max_concurrent_streams, 1)?;
        // HTTP/2 starts every connection with 65,535 bytes and has no way to take them back.
        at_least("http2-stream-window", self.http2_stream_window, 65_535)?;
        at_most("http2-stream-window", self.http2_stream_window, i32::MAX as usize)?;
        at_least("http2-connection-window", self.http2_connection_window, 65_535)?;
        at_most("http2-connection-window", self.http2_connection_window, i32::MAX as usize)?;
        // What clients of gRPC add by themselves takes some hundred bytes.
        at_least("max-metadata-bytes", self.max_metadata_bytes, 4 << 10)?;
        at_most("max-metadata-bytes", self.max_metadata_bytes, 1 << 20)?;
        not_zero("tcp-keepalive", self.tcp_keepalive)
    }

    /// How much metadata HTTP/2 reads before it refuses a call in its own, rougher way.
    pub(crate) fn http2_header_bytes(&self) -> usize {
        self.max_metadata_bytes.saturating_mul(HEADROOM).min(MOST_HEADER_BYTES)
    }
}
