//! The settings, group by group. A comment's first paragraph is what the setting is, the rest why one would change it.

use std::net::SocketAddr;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use super::units::{ByteSize, Span, parse_bytes, parse_duration};
use super::{ConfigError, DatabaseUrl};

/// Where to listen.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Listening")]
pub struct ListenConfig {
    /// Address and port to listen on.
    ///
    /// Port 0 takes a free one. An address beyond loopback is refused without --insecure.
    #[arg(
        long = "listen",
        id = "listen",
        value_name = "ADDRESS",
        env = "ORRERY_LISTEN",
        default_value = "127.0.0.1:0"
    )]
    pub address: SocketAddr,

    /// Listen beyond loopback although nothing is encrypted and nobody is authenticated.
    ///
    /// This process has no TLS and no authentication: whoever reaches the port can read and write everything. Say
    /// this only where something in front of it (a service mesh, a private network) keeps strangers out. Default: false.
    #[arg(long, env = "ORRERY_INSECURE", value_parser = BoolishValueParser::new())]
    pub insecure: bool,
}

/// The database and the pool of connections to it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Database")]
pub struct DatabaseConfig {
    /// Where the database is: postgres://user:password@host:port/database.
    ///
    /// Prefer the environment variable: other users of the machine can read a command line. `?sslmode=verify-full` asks for TLS.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: DatabaseUrl,

    /// Connections that are kept open even when nothing happens.
    ///
    /// More makes a burst after a quiet time faster; each costs the database memory.
    #[arg(long, value_name = "CONNECTIONS", env = "DATABASE_POOL_MIN", default_value_t = 2)]
    pub database_pool_min: u32,

    /// Most connections that this process opens.
    ///
    /// All processes together must stay under the server's max_connections. More than a few per core of the database seldom helps.
    #[arg(long, value_name = "CONNECTIONS", env = "DATABASE_POOL_MAX", default_value_t = 16)]
    pub database_pool_max: u32,

    /// How long a call waits for a connection, a free one or a new one, before it fails with UNAVAILABLE.
    ///
    /// Shorter sheds load earlier; longer rides out short peaks, and a database that is far away or wakes from sleep.
    #[arg(long, value_name = "DURATION", env = "DATABASE_ACQUIRE_TIMEOUT", default_value = "5s", value_parser = parse_duration)]
    pub database_acquire_timeout: Duration,

    /// Age at which a connection is replaced by a new one.
    ///
    /// Keeps connections spread over a database that fails over or scales; lower it where a proxy closes them earlier.
    #[arg(long, value_name = "DURATION", env = "DATABASE_MAX_LIFETIME", default_value = "30m", value_parser = parse_duration)]
    pub database_max_lifetime: Duration,

    /// How long a connection above the minimum may idle before it is closed.
    ///
    /// Lower it where connections are scarce, raise it where bursts come at long intervals.
    #[arg(long, value_name = "DURATION", env = "DATABASE_IDLE_TIMEOUT", default_value = "10m", value_parser = parse_duration)]
    pub database_idle_timeout: Duration,
}

/// What no statement may exceed, whichever RPC or procedure issues it. The defaults are those of a managed Postgres; lower them
/// where yours allows less.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Most rows that one query returns.
    ///
    /// Larger reads are cut into pages. Lower it if the database server refuses results of that many rows.
    #[arg(long, value_name = "ROWS", env = "ORRERY_MAX_QUERY_ROWS", default_value_t = 100_000)]
    pub max_query_rows: usize,

    /// Most rows that one statement writes, over all tables that it touches.
    ///
    /// Larger writes are cut into statements. Lower it if the database server refuses statements of that many rows.
    #[arg(long, value_name = "ROWS", env = "ORRERY_MAX_STATEMENT_ROWS", default_value_t = 100_000)]
    pub max_statement_rows: usize,

    /// Most bytes that one query returns.
    ///
    /// A page that would be larger is halved; a single row that does not fit is RESOURCE_EXHAUSTED.
    #[arg(long, value_name = "BYTES", env = "ORRERY_MAX_RESULT_BYTES", default_value = "64MiB", value_parser = parse_bytes)]
    pub max_result_bytes: usize,

    /// Longest duration of a transaction.
    ///
    /// It is set inside each transaction, so the database keeps it even when this process does not.
    #[arg(long, value_name = "DURATION", env = "ORRERY_TRANSACTION_TIMEOUT", default_value = "20s", value_parser = parse_duration)]
    pub transaction_timeout: Duration,

    /// Longest duration of a statement outside a transaction.
    ///
    /// A caller's deadline shortens it. Lower it to protect the database from slow filters.
    #[arg(long, value_name = "DURATION", env = "ORRERY_STATEMENT_TIMEOUT", default_value = "900s", value_parser = parse_duration)]
    pub statement_timeout: Duration,
}

/// How streams are cut into pages, statements and messages.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Streams")]
pub struct StreamConfig {
    /// Encoded size that one page of a streamed read aims at.
    ///
    /// Larger costs memory per reader and gains little; clients of gRPC refuse messages over 4 MiB unless told otherwise.
    #[arg(long, value_name = "BYTES", env = "ORRERY_PAGE_BYTES", default_value = "1MiB", value_parser = parse_bytes)]
    pub page_bytes: usize,

    /// Most rows that one statement of a chunked write takes.
    ///
    /// More amortises the round trip to a database that is far away; fewer holds row locks for shorter.
    #[arg(long, value_name = "ROWS", env = "ORRERY_WRITE_BATCH_ROWS", default_value_t = 8192)]
    pub write_batch_rows: usize,

    /// Most bytes of rows that one statement of a chunked write takes.
    ///
    /// Bounds the memory of a writer whose rows are large. One larger row is still written, alone.
    #[arg(long, value_name = "BYTES", env = "ORRERY_WRITE_BATCH_BYTES", default_value = "4MiB", value_parser = parse_bytes)]
    pub write_batch_bytes: usize,

    /// Longest silence of a streamed read whose filter matches few rows.
    ///
    /// After it an empty page with a fresh resume token is sent, so that a broken stream goes on near where it was.
    #[arg(long, value_name = "DURATION", env = "ORRERY_PROGRESS_INTERVAL", default_value = "2s", value_parser = parse_duration)]
    pub progress_interval: Duration,

    /// Largest request message.
    ///
    /// Larger ones are INVALID_ARGUMENT. Raise it for clients that send chunks of many thousand rows; each open write may hold as much.
    #[arg(long, value_name = "BYTES", env = "ORRERY_MAX_MESSAGE_BYTES", default_value = "16MiB", value_parser = parse_bytes)]
    pub max_message_bytes: usize,
}

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

/// What is logged, and how.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Logging")]
pub struct TelemetryConfig {
    /// How log lines are written to standard error.
    #[arg(long, value_name = "FORMAT", env = "ORRERY_LOG_FORMAT", value_enum, default_value_t = LogFormat::Human)]
    pub log_format: LogFormat,

    /// What is logged: a level (error, warn, info, debug, trace), or a list of target=level.
    ///
    /// Calls that succeed, and mistakes of callers, are logged at debug under the target orrery::rpc: `info,orrery::rpc=debug` shows
    /// every call, which costs a line per call.
    #[arg(long = "log", id = "log", value_name = "FILTER", env = "ORRERY_LOG", default_value = "info")]
    pub log: String,
}

/// How a log line looks.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people, coloured on a terminal.
    Human,
    /// One JSON object per line, for collectors.
    Json,
}

impl DatabaseConfig {
    /// Refuses what the pool could not work with.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.database_url.options()?;
        at_least("database-pool-max", self.database_pool_max, 1)?;
        if self.database_pool_min > self.database_pool_max {
            let (min, max) = (self.database_pool_min, self.database_pool_max);
            let problem = format!("{min} is more than --database-pool-max, {max}");
            return Err(ConfigError::new("database-pool-min", problem));
        }
        not_zero("database-acquire-timeout", self.database_acquire_timeout)?;
        not_zero("database-max-lifetime", self.database_max_lifetime)?;
        not_zero("database-idle-timeout", self.database_idle_timeout)
    }
}

impl Limits {
    /// Refuses limits under which nothing could be done.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used.
    pub fn validate(&self) -> Result<(), ConfigError> {
        at_least("max-query-rows", self.max_query_rows, 2)?;
        // The ledger of writes and the deletion of what belongs to a row touch that many at once.
        at_least("max-statement-rows", self.max_statement_rows, 1_000)?;
        at_least("max-result-bytes", self.max_result_bytes, 1024)?;
        timeout("transaction-timeout", self.transaction_timeout)?;
        timeout("statement-timeout", self.statement_timeout)
    }
}

impl StreamConfig {
    /// Refuses what cannot work, alone or under `limits`.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used.
    pub fn validate(&self, limits: &Limits) -> Result<(), ConfigError> {
        at_least("page-bytes", self.page_bytes, 1024)?;
        if self.page_bytes > limits.max_result_bytes {
            let (page, limit) = (ByteSize(self.page_bytes), ByteSize(limits.max_result_bytes));
            return Err(ConfigError::new("page-bytes", format!("{page} is more than --max-result-bytes, {limit}")));
        }
        at_least("write-batch-rows", self.write_batch_rows, 1)?;
        if self.write_batch_rows > limits.max_statement_rows {
            let (rows, limit) = (self.write_batch_rows, limits.max_statement_rows);
            let problem = format!("{rows} is more than --max-statement-rows, {limit}");
            return Err(ConfigError::new("write-batch-rows", problem));
        }
        at_least("write-batch-bytes", self.write_batch_bytes, 1024)?;
        not_zero("progress-interval", self.progress_interval)?;
        at_least("max-message-bytes", self.max_message_bytes, 1024)?;
        at_most("max-message-bytes", self.max_message_bytes, i32::MAX as usize)
    }
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
        at_least("max-concurrent-streams", self.max_concurrent_streams, 1)?;
        // HTTP/2 starts every connection with 65,535 bytes and has no way to take them back.
        at_least("http2-stream-window", self.http2_stream_window, 65_535)?;
        at_most("http2-stream-window", self.http2_stream_window, i32::MAX as usize)?;
        at_least("http2-connection-window", self.http2_connection_window, 65_535)?;
        at_most("http2-connection-window", self.http2_connection_window, i32::MAX as usize)?;
        not_zero("tcp-keepalive", self.tcp_keepalive)
    }
}

fn at_least<N: PartialOrd + std::fmt::Display + Copy>(
    flag: &'static str,
    value: N,
    least: N,
) -> Result<(), ConfigError> {
    if value < least {
        return Err(ConfigError::new(flag, format!("{value} is too small; at least {least}")));
    }
    Ok(())
}

fn at_most(flag: &'static str, value: usize, most: usize) -> Result<(), ConfigError> {
    if value > most {
        return Err(ConfigError::new(flag, format!("{value} is too large; at most {most}")));
    }
    Ok(())
}

fn not_zero(flag: &'static str, value: Duration) -> Result<(), ConfigError> {
    if value.is_zero() {
        return Err(ConfigError::new(flag, "must be longer than 0s"));
    }
    Ok(())
}

/// Postgres takes its timeouts in milliseconds in 32 bits, and 0 means that there is none.
fn timeout(flag: &'static str, value: Duration) -> Result<(), ConfigError> {
    let range = Duration::from_millis(1)..=Duration::from_millis(i32::MAX as u64);
    if !range.contains(&value) {
        let (least, most) = (Span(*range.start()), Span(*range.end()));
        return Err(ConfigError::new(flag, format!("{} is out of range; from {least} to {most}", Span(value))));
    }
    Ok(())
}
