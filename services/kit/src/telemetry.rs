//! Logs: one subscriber per process, for people or as JSON, on standard error: standard output is for results. Of lines
//! that say the same, one a second is written.

#[cfg(test)]
pub(crate) mod lines;
mod repeats;

use std::io::IsTerminal as _;

use tokio::runtime::Handle;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::repeats::{Once, Repeats};
use crate::config::{ConfigError, LogFormat, TelemetryConfig};

impl TelemetryConfig {
    /// Checks the filter.
    ///
    /// # Errors
    ///
    /// When `log` is not a valid filter.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.filter().map(drop)
    }

    /// Levels by target. `EnvFilter` could also filter by fields, with a regular expression engine that takes longer to
    /// compile than all other logging.
    fn filter(&self) -> Result<Targets, ConfigError> {
        let refused = |error: ParseError| ConfigError::new("log", format!("{:?} is no filter: {error}", self.log));
        self.log.parse().map_err(refused)
    }
}

/// Installs the subscriber of this process. If there is one already, it stays, and this does nothing.
///
/// # Errors
///
/// When the filter is not valid.
pub fn init(config: &TelemetryConfig) -> Result<(), ConfigError> {
    let filtered = tracing_subscriber::registry().with(config.filter()?);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let repeats = Repeats::default();
    let once = repeats.clone();
    // An error means that a subscriber is installed already: by a test, or by an earlier call.
    let installed = match config.log_format {
        LogFormat::Human => {
            let lines = lines.with_ansi(std::io::stderr().is_terminal());
            filtered.with(lines.map_event_format(|format| Once { format, repeats: once })).try_init()
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true);
            filtered.with(lines.map_event_format(|format| Once { format, repeats: once })).try_init()
        }
    };
    if installed.is_ok()
        && let Ok(runtime) = Handle::try_current()
    {
        runtime.spawn(repeats.report());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_second_call_leaves_the_first_subscriber_in_place() {
        let human = TelemetryConfig { log_format: LogFormat::Human, log: "warn".to_owned() };
        let json = TelemetryConfig { log_format: LogFormat::Json, log: "info,orrery::rpc=debug".to_owned() };
        init(&human).unwrap();
        init(&json).unwrap();
        init(&TelemetryConfig { log: "orrery=loud".to_owned(), ..human }).unwrap_err();
    }
}
