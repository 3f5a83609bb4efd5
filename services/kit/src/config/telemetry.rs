//! Logging.

use clap::{Args, ValueEnum};

/// Logging.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Logging")]
pub struct TelemetryConfig {
    /// The format of log lines on standard error.
    #[arg(long, value_name = "FORMAT", env = "ORRERY_LOG_FORMAT", value_enum, default_value_t = LogFormat::Human)]
    pub log_format: LogFormat,

    /// Which events are logged: a level (error, warn, info, debug, trace), or a list of target=level.
    ///
    /// Successful calls and errors of callers are logged at debug under the target orrery::rpc:
    /// `info,orrery::rpc=debug` logs every call, with one line each.
    #[arg(long = "log", id = "log", value_name = "FILTER", env = "ORRERY_LOG", default_value = "info")]
    pub log: String,
}

/// The format of a log line.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people, coloured on a terminal.
    Human,
    /// One JSON object per line, for collectors.
    Json,
}
