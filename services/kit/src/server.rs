//! Serves: what every service has beside its own RPCs (health, reflection, the layer around all calls), the settings of
//! the transport, and a drain that takes a bounded time.

mod connections;
mod files;
mod frames;
mod linger;
mod memory;
#[cfg(test)]
pub(crate) mod odd_service;
mod reflection;
mod services;
#[cfg(test)]
mod tests;
mod watched;

use std::time::Duration;

use anyhow::Context as _;
use futures::future::BoxFuture;
use orrery_proto::FILE_DESCRIPTOR_SET;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use self::connections::Connections;
pub use self::files::connections;
pub use self::memory::share_arenas;
pub use self::services::Services;
use self::watched::Watched;
use crate::admin::Admin;
use crate::cache::CacheLayer;
use crate::config::{Configuration, HumanDuration, ServerConfig, ServiceConfig};
use crate::db::Database;
use crate::deadline::Deadline;
use crate::drain::Drain;
pub use crate::drain::Draining;
use crate::health::{Health, ProbeTiming};
use crate::integrity::{References, RequiredColumns};
use crate::metrics::Metrics;
use crate::rpc_layer::RpcLayer;
use crate::rpc_layer::admission::Admission;
use crate::telemetry;

/// A running service. Boxed, so that each slice is compiled once, in its own crate.
pub type RunningService = BoxFuture<'static, anyhow::Result<()>>;

/// Tells whether the service can work.
pub struct Probe {
    /// Asks whether it can work now.
    ask: Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>,
    /// Returns if it can never work.
    refusal: BoxFuture<'static, anyhow::Error>,
}

#[cfg(test)]
impl Probe {
    /// A probe that never finds that the service cannot work at all.
    pub(crate) fn asking(ask: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        let ask = Box::new(move || -> BoxFuture<'static, bool> { Box::pin(std::future::ready(ask())) });
        Self { ask, refusal: Box::pin(std::future::pending()) }
    }
}

/// How long connections may take to close after their calls were cut off.
const CLOSING: Duration = Duration::from_millis(500);
/// Pause after a connection could not be accepted. Without it, a process without free file descriptors would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Most streams that the transport resets on a connection because its client broke a rule of HTTP/2; one more closes
/// the connection (RUSTSEC-2024-0003). This is h2's own default; tonic removes it unless a value is set.
const MOST_LOCAL_RESETS: usize = 1024;
const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: [&str; 2] = ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/// Serves `services` on `listener`, with health for each of `service_names` and with reflection, until `shutdown` is
/// cancelled and the drain is over. Calls are counted in `metrics`, which the admin port shows.
///
/// `probe` is asked every second whether the service can work, and health reports its answer. If it finds that the
/// service can never work, the service is drained and this function fails. The extensions of every
/// request hold a [`Draining`], a [`Deadline`](crate::deadline::Deadline) and an
/// [`RpcRows`](crate::rpc_layer::RpcRows); each type has a function `of(&request)`.
///
/// A drain: Health reports NOT_SERVING. New calls are refused with UNAVAILABLE, reason DRAINING. Idle connections
/// close, and no new ones are accepted. Running calls go on for at most `drain_timeout`; then they end with
/// UNAVAILABLE, and at most a second and a half later this function returns. A connection whose client does not read
/// even then is closed with the runtime.
///
/// # Errors
///
/// When `config` is not valid, `listener`'s address is not allowed, the admin port cannot be opened, the transport
/// fails, or `probe` says why the service can never work.
///
/// Boxed, so that the transport is compiled here and not in each slice: an async function is compiled where it is
/// awaited.
pub fn serve<'s>(
    config: &'s ServiceConfig,
    metrics: &'s Metrics,
    listener: TcpListener,
    services: Services,
    service_names: &'s [&'s str],
    probe: Probe,
    shutdown: CancellationToken,
) -> BoxFuture<'s, anyhow::Result<()>> {
    Box::pin(serve_until_drained(config, metrics, listener, services, service_names, probe, shutdown))
}

async fn serve_until_drained(
    config: &ServiceConfig,
    metrics: &Metrics,
    listener: TcpListener,
    services: Services,
    service_names: &[&str],
    probe: Probe,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    config.validate()?;
    let address = listener.local_addr().context("the listener has no address")?;
    config.listen.check(address)?;

    let Probe { ask, refusal } = probe;
    let health = Health::start(service_names, ProbeTiming::DEFAULT, ask).await;
    // Answers until this function returns.
    let _admin = Admin::start(config, metrics.clone(), health.readiness()).await?;
    let routes = with_reflection(Routes::new(health.service()), service_names)?;
    let drain = Drain::default();
    let settings = &config.server;
    let incoming = TcpIncoming::from(listener)
        .with_nodelay(Some(settings.tcp_nodelay))
        .with_keepalive(Some(settings.tcp_keepalive));
    let closing = TaskTracker::new();
    let admission = Admission::new(config, metrics);
    let most = files::connections(config, 1)?;
    let connections = Connections::new(settings, most, admission.clone(), metrics.connections.clone());
    let (lingering, admitting) = (closing.clone(), connections.clone());
    let settings_of_each = *settings;
    let incoming = futures::StreamExt::filter_map(incoming, move |accepted| {
        let accepted = accepted.map(|stream| watched(stream, &admitting, lingering.clone(), &settings_of_each));
        async move {
            match accepted {
                Ok(connection) => connection.map(Ok),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    Some(Err(error))
                }
            }
        }
    });
    let server = Server::builder()
        .layer(RpcLayer::new(drain.clone(), admission.clone(), config, metrics))
        .layer(CacheLayer::new(&config.cache, metrics.cache.clone(), admission)?)
        .layer(services)
        .initial_stream_window_size(u32::try_from(settings.http2_stream_window)?)
        .initial_connection_window_size(u32::try_from(settings.http2_connection_window)?)
        .max_concurrent_streams(settings.max_concurrent_streams)
        .http2_max_header_list_size(u32::try_from(settings.http2_header_bytes())?)
        .http2_max_local_error_reset_streams(Some(MOST_LOCAL_RESETS))
        .http2_keepalive_interval(Some(settings.http2_keepalive_interval))
        .http2_keepalive_timeout(Some(settings.http2_keepalive_timeout))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, drain.clone().until_begun());
    let mut server = std::pin::pin!(server);

    tracing::info!(%address, services = service_names.join(" "), "listening");
    let _looked_after = AbortOnDropHandle::new(tokio::spawn(async move { connections.look_after().await }));
    let ending = tokio::select! {
        result = &mut server => return result.context("the transport failed"),
        () = shutdown.cancelled() => Ok(()),
        error = refusal => Err(error),
    };

    tracing::info!(bound = %HumanDuration(settings.drain_timeout), "draining");
    health.stop().await;
    metrics.set_draining();
    drain.begin();
    if let Ok(result) = tokio::time::timeout(settings.drain_timeout, &mut server).await {
        closing.close();
        // These wait only a moment for their peers.
        closing.wait().await;
        tracing::info!("drained");
        return ending.and(result.context("the transport failed"));
    }
    tracing::warn!(bound = %HumanDuration(settings.drain_timeout), "calls still run at the end of the drain; ending them");
    drain.abort();
    let Ok(result) = tokio::time::timeout(CLOSING, &mut server).await else { return ending };
    closing.close();
    closing.wait().await;
    ending.and(result.context("the transport failed"))
}

/// An accepted connection; `None` if there are too many, or its peer has gone.
fn watched(
    stream: TcpStream,
    connections: &Connections,
    closing: TaskTracker,
    config: &ServerConfig,
) -> Option<Watched> {
    let peer = stream.peer_addr().ok()?;
    let place = connections.admit(peer.ip())?;
    Some(Watched::new(stream, place, closing, config))
}

/// Runs a service as this process: sets up logs, listens at the configured address, and drains on SIGTERM or SIGINT. A
/// second signal ends the process at once.
///
/// # Errors
///
/// When the address cannot be listened on, `run` fails, or a second signal came.
pub async fn run_until_signal<C: Configuration>(
    config: C,
    run: fn(C, TcpListener, CancellationToken) -> RunningService,
) -> anyhow::Result<()> {
    telemetry::init(&config.service().telemetry)?;
    config.validate()?;
    // First, so that no signal is lost.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let address = config.service().listen.address;
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let shutdown = CancellationToken::new();
    let mut running = run(config, listener, shutdown.clone());
    tokio::select! {
        result = &mut running => return result,
        name = either(&mut terminate, &mut interrupt) => tracing::info!("{name} received"),
    }
    shutdown.cancel();
    tokio::select! {
        result = &mut running => result,
        name = either(&mut terminate, &mut interrupt) => {
            anyhow::bail!("{name} received during the drain; running calls were cancelled")
        }
    }
}

/// A probe for [`serve`]: whether `database` answers, has the columns and its references are read. A service can never
/// work if the schema is older than it, or references are not valid.
pub fn database_probe(database: &Database, references: &References, columns: &RequiredColumns) -> Probe {
    let all = (database.clone(), references.clone(), columns.clone());
    let ask = Box::new(move || -> BoxFuture<'static, bool> {
        let (database, references, columns) = all.clone();
        Box::pin(async move {
            database.ping().await
                && columns.are_there(&database).await
                && references.get(Deadline::none()).await.is_ok()
        })
    });
    let (database, references, columns) = (database.clone(), references.clone(), columns.clone());
    let refusal = Box::pin(async move {
        match columns.until_checked(&database).await {
            Some(outdated) => outdated.into(),
            None => references.until_refused().await.into(),
        }
    });
    Probe { ask, refusal }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Adds both versions of reflection. They list the services of this process and describe the whole contract.
fn with_reflection(routes: Routes, service_names: &[&str]) -> anyhow::Result<Routes> {
    let sets = [
        FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        // The details of errors, so that a command-line client can print them.
        tonic_types::pb::FILE_DESCRIPTOR_SET,
    ];
    let names = service_names.iter().copied().chain([HEALTH]).chain(REFLECTION).map(str::to_owned);
    reflection::with_reflection(routes, &sets, names)
}
