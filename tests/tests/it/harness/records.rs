//! The records service for tests, in this process or as a process, and test rows.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::time::Duration;

use orrery::cluster::Role;
use orrery_kit::config::Configuration as _;
use orrery_proto::records::v1::tags_service_client::TagsServiceClient;
use orrery_proto::records::v1::{ProductTag, Tag};
use orrery_records::config::RecordsConfig;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::TestDatabase;
use super::process::ServiceProcess;
use super::serving::{LARGEST_MESSAGE, channel, until_healthy};

/// `orrery_records::run` on a free port, with the slice's own role. Dropping it stops it at once.
pub(crate) struct RecordsServer {
    address: SocketAddr,
    channel: Channel,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl RecordsServer {
    /// Serves `database` with the default configuration, without peers, and waits until the service is healthy.
    pub(crate) async fn start(database: &TestDatabase) -> Self {
        Self::start_with(database, |_| ()).await
    }

    /// As [`start`](Self::start), with settings changed by `change`.
    pub(crate) async fn start_with(database: &TestDatabase, change: impl FnOnce(&mut RecordsConfig)) -> Self {
        let mut config = RecordsConfig::for_database(&database.url(Role::Records)).unwrap();
        config.service.database.database_pooler = database.pooler_mode();
        // Background work would disturb what tests measure; those of procedures switch it on.
        config.service.procedures.procedure_workers = 0;
        config.service.server.drain_timeout = Duration::from_secs(2);
        // Nothing listens there.
        config.catalog.address = "127.0.0.1:1".parse().unwrap();
        config.orders.address = "127.0.0.1:1".parse().unwrap();
        change(&mut config);
        database.enforce(&config.service.limits);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(orrery_records::run(config, listener, shutdown.clone()));
        let server = Self { address, channel: channel(address), shutdown, task };
        until_healthy(&server.channel, orrery_records::SERVICE_NAMES[0]).await;
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
    pub(crate) fn client(&self) -> TagsServiceClient<Channel> {
        client(self.channel())
    }

    /// A client on a new connection.
    pub(crate) fn separate_client(&self) -> TagsServiceClient<Channel> {
        client(channel(self.address))
    }

    /// Drains the service, and returns the result of `run`.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        (&mut self.task).await.unwrap()
    }
}

impl Drop for RecordsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The program `orrery-records`, without peers.
pub(crate) struct RecordsProcess(ServiceProcess);

impl RecordsProcess {
    /// Runs the program on `database` with the slice's own role, with more flags and variables of the environment, and
    /// waits until it is healthy.
    pub(crate) async fn spawn_with(
        database: &TestDatabase,
        arguments: &[&str],
        environment: &[(&'static str, &str)],
    ) -> Self {
        let name = orrery_records::SERVICE_NAMES[0];
        let arguments = [&["--catalog=127.0.0.1:1", "--orders=127.0.0.1:1"], arguments].concat();
        let role = (database, Role::Records);
        Self(ServiceProcess::spawn_in("orrery-records", name, role, &arguments, environment).await)
    }
}

impl Deref for RecordsProcess {
    type Target = ServiceProcess;

    fn deref(&self) -> &ServiceProcess {
        &self.0
    }
}

fn client(channel: Channel) -> TagsServiceClient<Channel> {
    TagsServiceClient::new(channel)
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE)
}

/// The uid of a tag number. Uids sort like their numbers.
pub(crate) fn tag_uid(number: usize) -> String {
    format!("tag_{number:07}")
}

/// A tag of this number, called like its uid.
pub(crate) fn tag(number: usize) -> Tag {
    Tag { uid: tag_uid(number), name: format!("Tag {number}"), ..Tag::default() }
}

/// The tag of a product.
pub(crate) fn product_tag(product_uid: &str, number: usize) -> ProductTag {
    ProductTag { product_uid: product_uid.to_owned(), tag_uid: tag_uid(number), create_ts: None }
}
