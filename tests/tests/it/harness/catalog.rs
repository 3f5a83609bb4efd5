//! The catalog service for tests: in this process, or as a process that can be killed.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use orrery::cluster::Role;
use orrery_kit::config::{Configuration as _, ServiceConfig};
use orrery_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::serving::{LARGEST_MESSAGE, channel, until_healthy};
use super::{TestDatabase, program};

/// The service's name, as health knows it.
const NAME: &str = orrery_catalog::SERVICE_NAMES[0];

/// `orrery_catalog::run` on a free port, as the catalog's own role. Dropping it ends it at once.
pub(crate) struct CatalogServer {
    address: SocketAddr,
    channel: Channel,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl CatalogServer {
    /// Serves `database` with the default configuration, and waits until it is healthy.
    pub(crate) async fn start(database: &TestDatabase) -> Self {
        Self::start_with(database, |_| ()).await
    }

    /// As [`start`](Self::start), with settings changed by `change`.
    pub(crate) async fn start_with(database: &TestDatabase, change: impl FnOnce(&mut ServiceConfig)) -> Self {
        let mut config = ServiceConfig::for_database(&database.url(Role::Catalog)).unwrap();
        config.server.drain_timeout = Duration::from_secs(2);
        change(&mut config);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(orrery_catalog::run(config, listener, shutdown.clone()));
        let server = Self { address, channel: channel(address), shutdown, task };
        until_healthy(&server.channel, NAME).await;
        server
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection to it, shared by all who ask.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A client on the shared connection.
    pub(crate) fn client(&self) -> CatalogServiceClient<Channel> {
        client(self.channel())
    }

    /// A client on a connection of its own.
    pub(crate) fn separate_client(&self) -> CatalogServiceClient<Channel> {
        client(channel(self.address))
    }

    /// Asks it to drain, and returns what `run` returned.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        (&mut self.task).await.unwrap()
    }
}

impl Drop for CatalogServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The program `orrery-catalog` on a port of its own. Dropping it kills it; its log is printed if the test failed.
pub(crate) struct CatalogProcess {
    child: Child,
    address: SocketAddr,
    url: String,
    arguments: Vec<String>,
    log: PathBuf,
}

impl CatalogProcess {
    /// Runs it on `database`, as the catalog's own role, and waits until it is healthy.
    pub(crate) async fn spawn(database: &TestDatabase) -> Self {
        Self::spawn_with(database, &[]).await
    }

    /// As [`spawn`](Self::spawn), with more flags.
    pub(crate) async fn spawn_with(database: &TestDatabase, arguments: &[&str]) -> Self {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
        let log = tempfile::Builder::new().prefix("orrery-catalog-").suffix(".log").tempfile().unwrap();
        let log = log.into_temp_path().keep().unwrap();
        let url = database.url(Role::Catalog);
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let child = run(address, &url, &arguments, &log);
        let process = Self { child, address, url, arguments, log };
        until_healthy(&channel(address), NAME).await;
        process
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process's number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A client on a connection of its own.
    pub(crate) fn client(&self) -> CatalogServiceClient<Channel> {
        client(channel(self.address))
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Runs it again at the same address, killing it first if it still runs, and waits until it is healthy.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        self.child = run(self.address, &self.url, &self.arguments, &self.log);
        until_healthy(&channel(self.address), NAME).await;
    }

    /// The most memory that it had resident so far, in bytes. Linux only.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for CatalogProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("orrery-catalog logged:\n{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
        let _ = std::fs::remove_file(&self.log);
    }
}

fn run(address: SocketAddr, url: &str, arguments: &[String], log: &PathBuf) -> Child {
    let log = File::options().append(true).open(log).unwrap();
    Command::new(program("orrery-catalog"))
        .arg(format!("--listen={address}"))
        .args(arguments)
        .env("DATABASE_URL", url)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn client(channel: Channel) -> CatalogServiceClient<Channel> {
    CatalogServiceClient::new(channel)
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE)
}
