//! The three services of `orrery up`, as tasks of one process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use orrery_kit::config::{AdminListen, ConfigError, Configuration as _, ListenConfig, ServiceAddress, ServiceConfig};
use orrery_kit::server::RunningService;
use orrery_orders::config::OrdersConfig;
use orrery_records::config::RecordsConfig;
use orrery_records::storage::DocumentsLocation;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::UpOptions;
use crate::terminal::print_line;

/// How long a service may take to become healthy.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(30);
const HEALTH_INTERVAL: Duration = Duration::from_millis(50);
/// The folder of documents in the data folder.
const DOCUMENTS_DIR: &str = "documents";

/// What a service is started with.
struct ServiceStart {
    config: ServiceConfig,
    listener: TcpListener,
    peers: Peers,
    /// The folder of documents.
    documents: PathBuf,
    shutdown: CancellationToken,
}

/// The addresses of the services that other services call.
#[derive(Clone)]
struct Peers {
    catalog: ServiceAddress,
    orders: ServiceAddress,
}

impl Peers {
    fn of(listeners: &[Listeners; 3]) -> anyhow::Result<Self> {
        let [catalog, orders, _] = listeners;
        Ok(Self { catalog: catalog.as_peer()?, orders: orders.as_peer()? })
    }

    /// The configuration of the orders service with these addresses.
    fn orders_config(self, service: ServiceConfig) -> Result<OrdersConfig, ConfigError> {
        let mut config = OrdersConfig::with_service(service)?;
        config.catalog.address = self.catalog;
        Ok(config)
    }

    /// The configuration of the records service with these addresses and a folder for documents.
    fn records_config(self, service: ServiceConfig, documents: PathBuf) -> Result<RecordsConfig, ConfigError> {
        let mut config = RecordsConfig::with_service(service)?;
        config.documents.location = DocumentsLocation::Folder(documents);
        config.catalog.address = self.catalog;
        config.orders.address = self.orders;
        Ok(config)
    }
}

/// A service of `orrery up`.
struct SliceSpec {
    /// The slice's name, which is also the name of the flag for its address.
    name: &'static str,
    /// The gRPC service whose health is the health of the process.
    grpc: &'static str,
    run: fn(ServiceStart) -> RunningService,
}

const SLICES: [SliceSpec; 3] = [
    SliceSpec {
        name: "catalog",
        grpc: orrery_catalog::SERVICE_NAMES[0],
        run: |start| orrery_catalog::run(start.config, start.listener, start.shutdown),
    },
    SliceSpec {
        name: "orders",
        grpc: orrery_orders::SERVICE_NAMES[0],
        run: |start| {
            Box::pin(async move {
                let config = start.peers.orders_config(start.config)?;
                orrery_orders::run(config, start.listener, start.shutdown).await
            })
        },
    },
    SliceSpec {
        name: "records",
        grpc: orrery_records::SERVICE_NAMES[0],
        run: |start| {
            Box::pin(async move {
                let config = start.peers.records_config(start.config, start.documents)?;
                orrery_records::run(config, start.listener, start.shutdown).await
            })
        },
    },
];

/// A service that has ended: its name, and how.
type Ended = (&'static str, anyhow::Result<()>);

/// The sockets that a service listens on.
pub(super) struct Listeners {
    grpc: TcpListener,
    /// For metrics and probes.
    admin: Option<Arc<std::net::TcpListener>>,
}

impl Listeners {
    /// The address under which other services reach this one.
    fn as_peer(&self) -> anyhow::Result<ServiceAddress> {
        let address = reachable(self.grpc.local_addr().context("a listener has no address")?);
        address.to_string().parse().map_err(|error: String| anyhow!(error))
    }
}

/// Binds the addresses of the three services.
///
/// # Errors
///
/// Names the address and the flag.
pub(super) async fn listen(options: &UpOptions) -> anyhow::Result<[Listeners; 3]> {
    let [catalog, orders, records] = &SLICES;
    Ok([
        listen_on(catalog, options.catalog, options).await?,
        listen_on(orders, options.orders, options).await?,
        listen_on(records, options.records, options).await?,
    ])
}

async fn listen_on(slice: &SliceSpec, address: SocketAddr, options: &UpOptions) -> anyhow::Result<Listeners> {
    if let Err(error) = (ListenConfig { address, insecure: options.insecure }).check(address) {
        bail!("--{}: {}", slice.name, error.problem);
    }
    let grpc = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => bail!("{} cannot listen on {address}: {error}; choose another address with --{0}", slice.name),
    };
    if options.no_admin {
        return Ok(Listeners { grpc, admin: None });
    }
    let beside = AdminListen::auto_address(address);
    match std::net::TcpListener::bind(beside) {
        Ok(listener) => Ok(Listeners { grpc, admin: Some(Arc::new(listener)) }),
        Err(error) => bail!(
            "{} cannot listen on {beside} for its metrics: {error}; choose another address with --{0}, or use \
             --no-admin",
            slice.name
        ),
    }
}

/// The running services.
pub(super) struct RunningServices {
    tasks: JoinSet<Ended>,
    shutdown: CancellationToken,
    addresses: [SocketAddr; 3],
    /// The addresses of metrics and probes.
    admin: Vec<SocketAddr>,
}

impl RunningServices {
    /// Starts each service on its socket, with the database URL of its role.
    pub(super) fn start(options: &UpOptions, listeners: [Listeners; 3], urls: &[String; 3]) -> anyhow::Result<Self> {
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (mut addresses, mut admin) = (Vec::new(), Vec::new());
        let peers = Peers::of(&listeners)?;
        for ((slice, listener), url) in SLICES.iter().zip(listeners).zip(urls) {
            let address = listener.grpc.local_addr().context("a listener has no address")?;
            addresses.push(address);
            let mut config = ServiceConfig::for_database(url)?;
            config.listen = ListenConfig { address, insecure: options.insecure };
            config.admin.admin_listen = match listener.admin {
                Some(listener) => {
                    admin.push(listener.local_addr().context("a listener has no address")?);
                    AdminListen::On(listener)
                }
                None => AdminListen::Off,
            };
            config.limits = options.limits;
            config.stream = options.stream;
            config.overload = options.overload;
            config.server = options.server;
            config.validate()?;
            // The services share the process's limit of open files.
            config.server.max_connections = Some(orrery_kit::server::connections(&config, SLICES.len())?);
            let start = ServiceStart {
                config,
                listener: listener.grpc,
                peers: peers.clone(),
                documents: options.data_dir.join(DOCUMENTS_DIR),
                shutdown: shutdown.clone(),
            };
            let service = (slice.run)(start);
            tasks.spawn(async move { (slice.name, service.await) });
        }
        let addresses = addresses.try_into().map_err(|_| anyhow!("there are three services"))?;
        Ok(Self { tasks, shutdown, addresses, admin })
    }

    /// Waits until each service is healthy, as seen by a client, and prints a line for each.
    ///
    /// # Errors
    /// Why a service has ended, or which one does not become healthy.
    pub(super) async fn wait_until_healthy(&mut self) -> anyhow::Result<()> {
        for (slice, address) in SLICES.iter().zip(&self.addresses) {
            let answer = tokio::select! {
                answer = timeout(HEALTH_TIMEOUT, until_healthy(slice.grpc, *address)) => answer,
                fault = first_end(&mut self.tasks) => return Err(fault),
            };
            if answer.is_err() {
                bail!("{} did not become healthy within {} s; its log says why", slice.name, HEALTH_TIMEOUT.as_secs());
            }
            print_line(&format!("{:8}is healthy on {address}", slice.name));
        }
        for (slice, address) in SLICES.iter().zip(&self.admin) {
            print_line(&format!(
                "{:8}has metrics and probes on http://{address}/metrics, /livez and /readyz",
                slice.name
            ));
        }
        Ok(())
    }

    /// Three example commands, and how to stop.
    pub(super) fn examples(&self) -> String {
        let address = reachable(self.addresses[0]);
        let host = if address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
            format!("localhost:{}", address.port())
        } else {
            address.to_string()
        };
        let service = SLICES[0].grpc;
        let admin = self
            .admin
            .first()
            .map_or_else(String::new, |address| format!("  curl {address}/readyz {address}/metrics\n"));
        format!(
            "\nTry, with grpcurl (https://github.com/fullstorydev/grpcurl):\n\
             \x20 grpcurl -plaintext {host} list\n\
             \x20 grpcurl -plaintext {host} describe {service}\n\
             \x20 grpcurl -plaintext -d '{{\"product\": {{\"name\": \"Brass orrery\", \"labels\": \
             {{\"season\": \"winter\"}}}}}}' {host} {service}/CreateProduct\n\
             {admin}\
             \nCtrl-C stops everything; what was written stays."
        )
    }

    /// Waits until a service ends, which only happens after a failure.
    pub(super) async fn first_end(&mut self) -> anyhow::Error {
        first_end(&mut self.tasks).await
    }

    /// Drains all services and waits until the last has ended.
    pub(super) async fn stop(&mut self) {
        self.shutdown.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if let Ok((name, Err(error))) = ended {
                print_line(&format!("{name} failed while stopping: {error:#}"));
            }
        }
    }
}

async fn first_end(tasks: &mut JoinSet<Ended>) -> anyhow::Error {
    match tasks.join_next().await {
        Some(Ok((name, Err(error)))) => error.context(format!("{name} failed")),
        Some(Ok((name, Ok(())))) => anyhow!("{name} ended unexpectedly"),
        Some(Err(error)) => anyhow!("a service failed: {error}"),
        None => anyhow!("no service runs"),
    }
}

async fn until_healthy(service: &str, address: SocketAddr) {
    loop {
        if is_healthy(service, address).await.unwrap_or(false) {
            return;
        }
        tokio::time::sleep(HEALTH_INTERVAL).await;
    }
}

async fn is_healthy(service: &str, address: SocketAddr) -> anyhow::Result<bool> {
    let channel = Endpoint::from_shared(format!("http://{}", reachable(address)))?.connect().await?;
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(channel).check(request).await?;
    Ok(answer.into_inner().status() == ServingStatus::Serving)
}

/// The address under which a client on this machine reaches a server that listens on `address`.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[tokio::test]
    async fn each_service_is_told_where_the_others_are() {
        let listening = async |address: &str| {
            let grpc = TcpListener::bind((address, 0)).await.unwrap();
            (grpc.local_addr().unwrap().port(), Listeners { grpc, admin: None })
        };
        // An address that stands for all of this machine's is none that can be called.
        let ((first, catalog), (second, orders), (_, records)) =
            (listening("0.0.0.0").await, listening("127.0.0.1").await, listening("127.0.0.1").await);
        let (catalog_at, orders_at) = (format!("127.0.0.1:{first}"), format!("127.0.0.1:{second}"));
        let peers = Peers::of(&[catalog, orders, records]).unwrap();
        let service = ServiceConfig::for_database("postgres://me@localhost/shop").unwrap();
        let config = peers.clone().orders_config(service.clone()).unwrap();
        assert_eq!(config.catalog.address.to_string(), catalog_at);
        let config = peers.records_config(service, "data/documents".into()).unwrap();
        assert_eq!((config.catalog.address.to_string(), config.orders.address.to_string()), (catalog_at, orders_at));
        assert_eq!(config.documents.location.to_string(), "data/documents");
    }
}
