//! The admin port: metrics, liveness and readiness over HTTP, for operators and schedulers. It reads no customer data
//! and changes nothing. It answers until the process ends, so that a drain can be watched.

mod connections;

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::connections::BoundedListener;
use crate::config::{AdminListen, ServiceConfig};
use crate::health::Readiness;
use crate::metrics::Metrics;

/// OpenMetrics 1.0, "Text Format".
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT_TYPE: &str = "text/plain; charset=utf-8";

/// The admin port. Dropping it closes the port.
pub(crate) struct Admin {
    task: Option<JoinHandle<()>>,
}

impl Drop for Admin {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[derive(Clone)]
struct AdminState {
    metrics: Metrics,
    readiness: Readiness,
}

impl Admin {
    /// Starts the port at the address in `config`, unless it is turned off.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub(crate) async fn start(config: &ServiceConfig, metrics: Metrics, readiness: Readiness) -> anyhow::Result<Self> {
        let Some(listener) = listener(config).await? else { return Ok(Self { task: None }) };
        let address: SocketAddr = listener.local_addr().context("the admin listener has no address")?;
        let router = Router::new()
            .route("/metrics", get(show_metrics))
            .route("/livez", get(|| async { answer(StatusCode::OK, "alive") }))
            .route("/readyz", get(show_readiness))
            .with_state(AdminState { metrics, readiness });
        tracing::info!(%address, "metrics at /metrics, probes at /livez and /readyz");
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(BoundedListener::new(listener), router).await {
                tracing::error!(%error, "the admin port failed");
            }
        });
        Ok(Self { task: Some(task) })
    }
}

async fn listener(config: &ServiceConfig) -> anyhow::Result<Option<TcpListener>> {
    let listen = &config.admin.admin_listen;
    if let AdminListen::On(listener) = listen {
        let listener = listener.try_clone().context("the admin listener cannot be shared")?;
        listener.set_nonblocking(true).context("the admin listener cannot be used")?;
        return Ok(Some(TcpListener::from_std(listener).context("the admin listener cannot be used")?));
    }
    let Some(address) = listen.address(config.listen.address) else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    let problem =
        || format!("cannot listen on {address} for metrics; choose another address with --admin-listen, or off");
    Ok(Some(listener.with_context(problem)?))
}

async fn show_metrics(State(state): State<AdminState>) -> Response {
    match state.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot encode the metrics");
            answer(StatusCode::INTERNAL_SERVER_ERROR, "failed")
        }
    }
}

async fn show_readiness(State(state): State<AdminState>) -> Response {
    match state.readiness.unready_reason() {
        None => answer(StatusCode::OK, "ready"),
        Some(why) => answer(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

/// A plain text answer of one word.
fn answer(status: StatusCode, word: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, TEXT_TYPE), (header::CACHE_CONTROL, "no-store")], format!("{word}\n"))
        .into_response()
}
