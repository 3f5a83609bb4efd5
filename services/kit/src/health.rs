//! grpc.health.v1 for every service of a process and for the process itself (the empty name). NOT_SERVING until the database
//! answers, again whenever it does not, and for good from the moment that a drain begins.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// Time between two probes.
const INTERVAL: Duration = Duration::from_secs(1);
/// A probe that takes longer has failed.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The health of a process, kept by a task of its own until [`stop`](Self::stop).
pub(crate) struct Health {
    reporter: HealthReporter,
    names: Vec<String>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Health {
    /// Begins to probe. `probe` says whether the service can do its work: whether its database answers.
    pub(crate) async fn start<P, F>(service_names: &[&str], probe: P) -> Self
    where
        P: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = bool> + Send + 'static,
    {
        let reporter = HealthReporter::new();
        let names: Vec<String> = std::iter::once("").chain(service_names.iter().copied()).map(str::to_owned).collect();
        report(&reporter, &names, ServingStatus::NotServing).await;
        let stop = CancellationToken::new();
        let task = tokio::spawn(follow(reporter.clone(), names.clone(), probe, stop.clone()));
        Self { reporter, names, stop, task }
    }

    /// The service to route.
    pub(crate) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    /// Reports NOT_SERVING for good. When this returns, whoever watches can see it.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        // The task has to be over first, or it could report once more.
        if self.task.await.is_err() {
            tracing::error!("the probe of the database had failed");
        }
        report(&self.reporter, &self.names, ServingStatus::NotServing).await;
    }
}

async fn follow<P, F>(reporter: HealthReporter, names: Vec<String>, probe: P, stop: CancellationToken)
where
    P: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = bool> + Send + 'static,
{
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut serving = None;
    loop {
        let answers = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            answers = async {
                interval.tick().await;
                // A probe that panics has found nothing good.
                let probed = AssertUnwindSafe(async { probe().await }).catch_unwind();
                matches!(tokio::time::timeout(PROBE_TIMEOUT, probed).await, Ok(Ok(true)))
            } => answers,
        };
        // Reported on change only: a watcher is sent whatever is reported.
        if serving == Some(answers) {
            continue;
        }
        if answers {
            tracing::info!("the database answers; serving");
            report(&reporter, &names, ServingStatus::Serving).await;
        } else {
            tracing::warn!("the database does not answer; not serving until it does");
            report(&reporter, &names, ServingStatus::NotServing).await;
        }
        serving = Some(answers);
    }
}

async fn report(reporter: &HealthReporter, names: &[String], status: ServingStatus) {
    for name in names {
        reporter.set_service_status(name, status).await;
    }
}
