//! Every setting of a service: a flag, an environment variable and a default each. `--help` is the manual; the texts there come
//! from the comments here: a comment's first paragraph is what the setting is, the rest why one would change it. The defaults
//! stand in the attributes of the fields and nowhere else.

mod admin;
mod cache;
mod checks;
mod database;
mod database_url;
mod limits;
mod listen;
mod overload;
mod replica;
mod server;
mod service_address;
mod stream;
mod telemetry;
#[cfg(test)]
mod tests;
mod units;

use std::ffi::OsString;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser};

pub use self::admin::{AdminConfig, AdminListen};
pub use self::cache::CacheConfig;
pub use self::database::{DatabaseConfig, DatabasePooler};
pub use self::database_url::DatabaseUrl;
pub use self::limits::Limits;
pub use self::listen::ListenConfig;
pub use self::overload::OverloadConfig;
pub use self::replica::ReplicaConfig;
pub use self::server::ServerConfig;
pub use self::service_address::ServiceAddress;
pub use self::stream::StreamConfig;
pub use self::telemetry::{LogFormat, TelemetryConfig};
pub use self::units::{ByteSize, Span, parse_bytes, parse_duration};
use crate::build_info;

/// What a service needs to know to run, in groups that can also be used one by one (each is [`clap::Args`]).
#[derive(Args, Clone, Debug)]
pub struct ServiceConfig {
    /// Where to listen.
    #[command(flatten)]
    pub listen: ListenConfig,
    /// Where metrics and probes are served.
    #[command(flatten)]
    pub admin: AdminConfig,
    /// The database and the pool of connections to it.
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// The replica that reads may come from.
    #[command(flatten)]
    pub replica: ReplicaConfig,
    /// What no statement may exceed.
    #[command(flatten)]
    pub limits: Limits,
    /// How streams are cut into pages, statements and messages.
    #[command(flatten)]
    pub stream: StreamConfig,
    /// How much is done at one time.
    #[command(flatten)]
    pub overload: OverloadConfig,
    /// The transport, and how the process ends.
    #[command(flatten)]
    pub server: ServerConfig,
    /// The cache of answers.
    #[command(flatten)]
    pub cache: CacheConfig,
    /// What is logged, and how.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
}

/// A setting that cannot be used: its flag and what is wrong with it, without any secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--{flag}: {problem}")]
pub struct ConfigError {
    /// The flag's name, without the dashes.
    pub flag: &'static str,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl ConfigError {
    /// An error about the setting `flag`.
    pub fn new(flag: &'static str, problem: impl Into<String>) -> Self {
        Self { flag, problem: problem.into() }
    }
}

/// What the command line of a service binary says about itself.
#[derive(Clone, Copy, Debug)]
pub struct Binary {
    /// The binary's name, `orrery-catalog`.
    pub name: &'static str,
    /// One sentence for the head of `--help`.
    pub about: &'static str,
    /// The address it listens on unless told otherwise, `127.0.0.1:50051`.
    pub listen: &'static str,
}

#[derive(Parser)]
struct CommandLine<C: Args> {
    #[command(flatten)]
    config: C,
}

/// The whole configuration of a service: what every service has, and perhaps settings of its own.
pub trait Configuration: Args {
    /// What every service has.
    fn service(&self) -> &ServiceConfig;

    /// Checks what no single setting can be checked for alone.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used.
    fn validate(&self) -> Result<(), ConfigError>;

    /// All defaults, whatever the environment says, for a database at `url`; the address is a free port on loopback. For tests
    /// and for processes that hold several services.
    ///
    /// # Errors
    ///
    /// When `url` is no Postgres URL.
    fn for_database(url: &str) -> Result<Self, ConfigError> {
        let command = CommandLine::<Self>::command().mut_args(|argument| argument.env(None::<&str>));
        let matches = command
            .try_get_matches_from(["orrery", &format!("--database-url={url}")])
            .map_err(|error| ConfigError::new("database-url", error.kind().to_string()))?;
        let config = CommandLine::<Self>::from_arg_matches(&matches)
            .map_err(|error| ConfigError::new("database-url", error.kind().to_string()))?
            .config;
        config.validate()?;
        Ok(config)
    }

    /// The command line of `binary`, with its own default for `--listen`.
    fn command(binary: Binary) -> clap::Command {
        CommandLine::<Self>::command()
            .name(binary.name)
            .bin_name(binary.name)
            .version(build_info::LONG_VERSION)
            .about(binary.about)
            .mut_arg("listen", |argument| argument.default_value(binary.listen))
    }

    /// Reads flags and environment and validates them together.
    ///
    /// # Errors
    ///
    /// A clap error to print: a flag that cannot be read, a setting that [`validate`](Self::validate) refuses, or the help.
    fn from_arguments<T: Into<OsString> + Clone>(
        binary: Binary,
        arguments: impl IntoIterator<Item = T>,
    ) -> Result<Self, clap::Error> {
        let mut command = Self::command(binary);
        let matches = command.try_get_matches_from_mut(arguments)?;
        let config = CommandLine::<Self>::from_arg_matches(&matches)?.config;
        config.validate().map_err(|error| command.error(clap::error::ErrorKind::ValueValidation, error))?;
        Ok(config)
    }
}

impl Configuration for ServiceConfig {
    fn service(&self) -> &ServiceConfig {
        self
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.listen.check(self.listen.address)?;
        self.database.validate()?;
        self.replica.validate()?;
        self.limits.validate()?;
        self.stream.validate(&self.limits)?;
        self.overload.validate()?;
        self.server.validate()?;
        self.cache.validate()?;
        self.telemetry.validate()
    }
}
