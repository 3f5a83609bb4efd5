//! The three services of `orrery up`, as tasks of one process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use orrery_kit::config::{AdminListen, Configuration as _, ListenConfig, ServiceAddress, ServiceConfig};
use orrery_kit::server::Run;
use orrery_orders::config::OrdersConfig;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::Options;
use crate::terminal::say;

/// How long a service may take to call itself healthy.
const HEALTH_PATIENCE: Duration = Duration::from_secs(30);
const HEALTH_PAUSE: Duration = Duration::from_millis(50);

/// What a service starts with.
struct Start {
    config: ServiceConfig,
    listener: TcpListener,
    /// Where the catalog is, for those who ask it.
    catalog: ServiceAddress,
    shutdown: CancellationToken,
}

/// One service.
struct Slice {
    /// The slice's name, which is also that of the flag with its address.
    name: &'static str,
    /// The gRPC service whose health stands for the process.
    grpc: &'static str,
    run: fn(Start) -> Run,
}

const SLICES: [Slice; 3] = [
    Slice {
        name: "catalog",
        grpc: orrery_catalog::SERVICE_NAMES[0],
        run: |start| orrery_catalog::run(start.config, start.listener, start.shutdown),
    },
    Slice {
        name: "orders",
        grpc: orrery_orders::SERVICE_NAMES[0],
        run: |start| {
            Box::pin(async move {
                let mut config = OrdersConfig::with_service(start.config)?;
                config.catalog.address = start.catalog;
                orrery_orders::run(config, start.listener, start.shutdown).await
            })
        },
    },
    Slice {
        name: "records",
        grpc: orrery_records::SERVICE_NAMES[0],
        run: |start| orrery_records::run(start.config, start.listener, start.shutdown),
    },
];

/// Where a service listens.
pub(super) struct Listeners {
    grpc: TcpListener,
    /// For metrics and probes.
    admin: Option<Arc<std::net::TcpListener>>,
}

/// Takes the addresses of the three services.
///
/// # Errors
///
/// A sentence that names the address and the flag.
pub(super) async fn listen(options: &Options) -> anyhow::Result<[Listeners; 3]> {
    let [catalog, orders, records] = &SLICES;
    Ok([
        listen_on(catalog, options.catalog, options).await?,
        listen_on(orders, options.orders, options).await?,
        listen_on(records, options.records, options).await?,
    ])
}

async fn listen_on(slice: &Slice, address: SocketAddr, options: &Options) -> anyhow::Result<Listeners> {
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
            "{} cannot listen on {beside} for its metrics: {error}; choose another address with --{0}, or say --no-admin",
            slice.name
        ),
    }
}

/// The running services.
pub(super) struct Services {
    tasks: JoinSet<(&'static str, anyhow::Result<()>)>,
    shutdown: CancellationToken,
    addresses: [SocketAddr; 3],
    /// Where metrics and probes are.
    admin: Vec<SocketAddr>,
}

impl Services {
    /// Starts each service on its listener, with the database URL of its role.
    pub(super) fn start(options: &Options, listeners: [Listeners; 3], urls: &[String; 3]) -> anyhow::Result<Self> {
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (mut addresses, mut admin) = (Vec::new(), Vec::new());
        let catalog = reachable(listeners[0].grpc.local_addr().context("a listener has no address")?);
        let catalog: ServiceAddress = catalog.to_string().parse().map_err(|error: String| anyhow!(error))?;
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
            // All of them share the files that this process may have open.
            config.server.max_connections = Some(orrery_kit::server::connections(&config, SLICES.len())?);
            let start = Start { config, listener: listener.grpc, catalog: catalog.clone(), shutdown: shutdown.clone() };
            let service = (slice.run)(start);
            tasks.spawn(async move { (slice.name, service.await) });
        }
        let addresses = addresses.try_into().map_err(|_| anyhow!("there are three services"))?;
        Ok(Self { tasks, shutdown, addresses, admin })
    }

    /// Asks each service for its health, as a client would, and says so when it is well.
    pub(super) async fn wait_until_healthy(&self) -> anyhow::Result<()> {
        for (slice, address) in SLICES.iter().zip(&self.addresses) {
            let answer = timeout(HEALTH_PATIENCE, until_healthy(slice.grpc, *address)).await;
            if answer.is_err() {
                bail!("{} did not become healthy within {} s; its log says why", slice.name, HEALTH_PATIENCE.as_secs());
            }
            say(&format!("{:8}is healthy on {address}", slice.name));
        }
        for (slice, address) in SLICES.iter().zip(&self.admin) {
            say(&format!("{:8}has metrics and probes on http://{address}/metrics, /livez and /readyz", slice.name));
        }
        Ok(())
    }

    /// Three lines to type, and how to end.
    pub(super) fn what_to_try(&self) -> String {
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
             \x20 grpcurl -plaintext -d '{{\"product\": {{\"name\": \"Brass orrery\", \"labels\": {{\"season\": \"winter\"}}}}}}' {host} {service}/CreateProduct\n\
             {admin}\
             \nCtrl-C stops everything; what was written stays."
        )
    }

    /// Waits for a service to end, which none does by itself unless it failed.
    pub(super) async fn first_end(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Ok((name, Err(error)))) => error.context(format!("{name} failed")),
            Some(Ok((name, Ok(())))) => anyhow!("{name} ended although nobody asked it to"),
            Some(Err(error)) => anyhow!("a service failed: {error}"),
            None => anyhow!("no service runs"),
        }
    }

    /// Lets every service drain and waits for the last.
    pub(super) async fn stop(&mut self) {
        self.shutdown.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if let Ok((name, Err(error))) = ended {
                say(&format!("{name} did not end well: {error:#}"));
            }
        }
    }
}

async fn until_healthy(service: &str, address: SocketAddr) {
    loop {
        if is_healthy(service, address).await.unwrap_or(false) {
            return;
        }
        tokio::time::sleep(HEALTH_PAUSE).await;
    }
}

async fn is_healthy(service: &str, address: SocketAddr) -> anyhow::Result<bool> {
    let channel = Endpoint::from_shared(format!("http://{}", reachable(address)))?.connect().await?;
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(channel).check(request).await?;
    Ok(answer.into_inner().status() == ServingStatus::Serving)
}

/// Where a client of this machine reaches what listens on `address`.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}
