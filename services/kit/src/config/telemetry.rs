//! What is logged, and how.

use clap::{Args, ValueEnum};

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
