//! The settings of a service. Each has a flag, an environment variable and a default. `--help` is the manual, and its
//! texts are the comments here: the first paragraph of a comment says what the setting is, the rest says why one would
//! change it. The defaults stand only in the attributes of the fields.

mod admin;
mod cache;
mod checks;
mod database;
mod database_url;
mod limits;
mod listen;
mod overload;
mod procedures;
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
pub use self::procedures::ProceduresConfig;
pub use self::replica::ReplicaConfig;
pub use self::server::ServerConfig;
pub use self::service_address::ServiceAddress;
pub use self::stream::{MIN_ANSWER_BYTES, StreamConfig};
pub use self::telemetry::{LogFormat, TelemetryConfig};
pub use self::units::{ByteSize, HumanDuration, parse_bytes, parse_duration};
use crate::build_info;

/// The settings of a service, in groups that can also be used alone (each is [`clap::Args`]).
#[derive(Args, Clone, Debug)]
pub struct ServiceConfig {
    /// Where to listen.
    #[command(flatten)]
    pub listen: ListenConfig,
    /// The admin port: metrics and probes.
    #[command(flatten)]
    pub admin: AdminConfig,
    /// The database and the pool of connections to it.
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// The replica that may serve reads.
    #[command(flatten)]
    pub replica: ReplicaConfig,
    /// The limits of every statement.
    #[command(flatten)]
    pub limits: Limits,
    /// The sizes of pages, statements and messages.
    #[command(flatten)]
    pub stream: StreamConfig,
    /// The limits of concurrent work.
    #[command(flatten)]
    pub overload: OverloadConfig,
    /// The transport, and the shutdown of the process.
    #[command(flatten)]
    pub server: ServerConfig,
    /// The cache of answers.
    #[command(flatten)]
    pub cache: CacheConfig,
    /// Background procedures.
    #[command(flatten)]
    pub procedures: ProceduresConfig,
    /// Logging.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
}

/// An invalid setting: its flag and what is wrong, without any secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--{flag}: {problem}")]
pub struct ConfigError {
    /// The flag's name, without the dashes.
    pub flag: &'static str,
    /// What is wrong, and what would be valid.
    pub problem: String,
}

impl ConfigError {
    /// An error in the setting `flag`.
    pub fn new(flag: &'static str, problem: impl Into<String>) -> Self {
        Self { flag, problem: problem.into() }
    }
}

/// How a service binary presents itself on the command line.
#[derive(Clone, Copy, Debug)]
pub struct Binary {
    /// The binary's name, `orrery-catalog`.
    pub name: &'static str,
    /// One sentence for the head of `--help`.
    pub about: &'static str,
    /// The default of `--listen`, `127.0.0.1:50051`.
    pub listen: &'static str,
}

#[derive(Parser)]
struct CommandLine<C: Args> {
    #[command(flatten)]
    config: C,
}

/// The whole configuration of a service: the common settings, and optionally settings of its own.
pub trait Configuration: Args {
    /// The common settings.
    fn service(&self) -> &ServiceConfig;

    /// Checks the settings together.
    ///
    /// # Errors
    ///
    /// The first invalid setting.
    fn validate(&self) -> Result<(), ConfigError>;

    /// All defaults, ignoring the environment, for a database at `url`. The address is a free port on loopback. For
    /// tests, and for processes that run several services.
    ///
    /// # Errors
    ///
    /// `url` is not a Postgres URL.
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

    /// Reads flags and environment, and validates them together.
    ///
    /// # Errors
    ///
    /// A clap error to print: a flag that cannot be parsed, a setting that [`validate`](Self::validate) refuses, or the
    /// help.
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
        self.procedures.validate()?;
        self.telemetry.validate()
    }
}
