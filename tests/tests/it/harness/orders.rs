//! The orders service for tests, in this process or as a process, and test orders.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use orrery::cluster::Role;
use orrery_kit::config::Configuration as _;
use orrery_orders::config::OrdersConfig;
use orrery_proto::orders::v1::orders_service_client::OrdersServiceClient;
use orrery_proto::orders::v1::{LineItem, Order};
use orrery_proto::r#type::v1::Status;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::TestDatabase;
use super::process::ServiceProcess;
use super::serving::{LARGEST_MESSAGE, channel, until_healthy};

/// `orrery_orders::run` on a free port, with the slice's own role. Dropping it stops it at once.
pub(crate) struct OrdersServer {
    address: SocketAddr,
    channel: Channel,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl OrdersServer {
    /// Serves `database` with the default configuration, without a catalog, and waits until the service is healthy.
    pub(crate) async fn start(database: &TestDatabase) -> Self {
        Self::start_with(database, |_| ()).await
    }

    /// As [`start`](Self::start), with settings changed by `change`.
    pub(crate) async fn start_with(database: &TestDatabase, change: impl FnOnce(&mut OrdersConfig)) -> Self {
        let mut config = OrdersConfig::for_database(&database.url(Role::Orders)).unwrap();
        config.service.database.database_pooler = database.pooler_mode();
        // Background work would disturb what tests measure; those of procedures switch it on.
        config.service.procedures.procedure_workers = 0;
        config.service.server.drain_timeout = Duration::from_secs(2);
        // Nothing listens there.
        config.catalog.address = "127.0.0.1:1".parse().unwrap();
        change(&mut config);
        database.enforce(&config.service.limits);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(orrery_orders::run(config, listener, shutdown.clone()));
        let server = Self { address, channel: channel(address), shutdown, task };
        until_healthy(&server.channel, orrery_orders::SERVICE_NAMES[0]).await;
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
    pub(crate) fn client(&self) -> OrdersServiceClient<Channel> {
        client(self.channel())
    }

    /// A client on a new connection.
    pub(crate) fn separate_client(&self) -> OrdersServiceClient<Channel> {
        client(channel(self.address))
    }

    /// Drains the service, and returns the result of `run`.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        (&mut self.task).await.unwrap()
    }
}

impl Drop for OrdersServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The program `orrery-orders`, without a catalog unless its flags name one.
pub(crate) struct OrdersProcess(ServiceProcess);

impl OrdersProcess {
    /// Runs the program on `database` with the slice's own role, and waits until it is healthy.
    pub(crate) async fn spawn(database: &TestDatabase) -> Self {
        Self::spawn_with(database, &[]).await
    }

    /// As [`spawn`](Self::spawn), with more flags.
    pub(crate) async fn spawn_with(database: &TestDatabase, arguments: &[&str]) -> Self {
        let name = orrery_orders::SERVICE_NAMES[0];
        let has_catalog = arguments.iter().any(|argument| argument.starts_with("--catalog="));
        let without: &[&str] = if has_catalog { &[] } else { &["--catalog=127.0.0.1:1"] };
        let arguments = [without, arguments].concat();
        Self(ServiceProcess::spawn("orrery-orders", name, (database, Role::Orders), &arguments).await)
    }

    /// A client on a new connection.
    pub(crate) fn client(&self) -> OrdersServiceClient<Channel> {
        client(channel(self.address()))
    }
}

impl Deref for OrdersProcess {
    type Target = ServiceProcess;

    fn deref(&self) -> &ServiceProcess {
        &self.0
    }
}

impl DerefMut for OrdersProcess {
    fn deref_mut(&mut self) -> &mut ServiceProcess {
        &mut self.0
    }
}

fn client(channel: Channel) -> OrdersServiceClient<Channel> {
    OrdersServiceClient::new(channel)
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE)
}

/// The uid of an order number. Uids sort like their numbers.
pub(crate) fn order_uid(number: usize) -> String {
    format!("ord_{number:07}")
}

/// A draft with one line without a product: 2 of 1.50.
pub(crate) fn order(uid: &str) -> Order {
    Order {
        uid: uid.to_owned(),
        customer_id: "17850".to_owned(),
        currency_code: "GBP".to_owned(),
        line_items: vec![line("85123A", 2, "1.50")],
        ..Order::default()
    }
}

/// A line without a product.
pub(crate) fn line(sku: &str, quantity: i32, unit_price: &str) -> LineItem {
    LineItem { sku: sku.to_owned(), quantity, unit_price: unit_price.to_owned(), ..LineItem::default() }
}

/// A status with this phase and nothing else.
pub(crate) fn status(phase: &str) -> Status {
    Status { phase: phase.to_owned(), details: None }
}
