//! The catalog service for tests, in this process or as a process that can be killed.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use orrery::cluster::Role;
use orrery_kit::config::{Configuration as _, ServiceConfig};
use orrery_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::TestDatabase;
use super::process::ServiceProcess;
use super::serving::{LARGEST_MESSAGE, channel, until_healthy};

/// The name of the service in health checks.
const NAME: &str = orrery_catalog::SERVICE_NAMES[0];

/// `orrery_catalog::run` on a free port, with the catalog's own role. Dropping it stops it at once.
pub(crate) struct CatalogServer {
    address: SocketAddr,
    channel: Channel,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl CatalogServer {
    /// Serves `database` with the default configuration, and waits until the service is healthy.
    pub(crate) async fn start(database: &TestDatabase) -> Self {
        Self::start_with(database, |_| ()).await
    }

    /// As [`start`](Self::start), at an address where a service was stopped.
    pub(crate) async fn start_at(database: &TestDatabase, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        Self::serve(database, listener, |_| ()).await
    }

    /// As [`start`](Self::start), with settings changed by `change`.
    pub(crate) async fn start_with(database: &TestDatabase, change: impl FnOnce(&mut ServiceConfig)) -> Self {
        Self::serve(database, TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(), change).await
    }

    async fn serve(database: &TestDatabase, listener: TcpListener, change: impl FnOnce(&mut ServiceConfig)) -> Self {
        let mut config = ServiceConfig::for_database(&database.url(Role::Catalog)).unwrap();
        config.database.database_pooler = database.pooler_mode();
        // Background work would disturb what tests measure; those of procedures switch it on.
        config.procedures.procedure_workers = 0;
        config.server.drain_timeout = Duration::from_secs(2);
        change(&mut config);
        database.enforce(&config.limits);
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(orrery_catalog::run(config, listener, shutdown.clone()));
        let server = Self { address, channel: channel(address), shutdown, task };
        until_healthy(&server.channel, NAME).await;
        server
    }

    /// The address of the service.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A shared connection to the service.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A client on the shared connection.
    pub(crate) fn client(&self) -> CatalogServiceClient<Channel> {
        client(self.channel())
    }

    /// A client on a new connection.
    pub(crate) fn separate_client(&self) -> CatalogServiceClient<Channel> {
        client(channel(self.address))
    }

    /// Drains the service, and returns the result of `run`.
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

/// The program `orrery-catalog`.
pub(crate) struct CatalogProcess(ServiceProcess);

impl CatalogProcess {
    /// Runs the program on `database` with the catalog's own role, and waits until it is healthy.
    pub(crate) async fn spawn(database: &TestDatabase) -> Self {
        Self::spawn_with(database, &[]).await
    }

    /// As [`spawn`](Self::spawn), with more flags.
    pub(crate) async fn spawn_with(database: &TestDatabase, arguments: &[&str]) -> Self {
        Self(ServiceProcess::spawn("orrery-catalog", NAME, (database, Role::Catalog), arguments).await)
    }

    /// As [`spawn_with`](Self::spawn_with), with a limit on open files if one is given.
    pub(crate) async fn spawn_with_files(database: &TestDatabase, arguments: &[&str], files: Option<u32>) -> Self {
        let role = (database, Role::Catalog);
        Self(ServiceProcess::spawn_with_files("orrery-catalog", NAME, role, arguments, files).await)
    }

    /// A client on a new connection.
    pub(crate) fn client(&self) -> CatalogServiceClient<Channel> {
        client(channel(self.address()))
    }
}

impl Deref for CatalogProcess {
    type Target = ServiceProcess;

    fn deref(&self) -> &ServiceProcess {
        &self.0
    }
}

impl DerefMut for CatalogProcess {
    fn deref_mut(&mut self) -> &mut ServiceProcess {
        &mut self.0
    }
}

fn client(channel: Channel) -> CatalogServiceClient<Channel> {
    CatalogServiceClient::new(channel)
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE)
}
