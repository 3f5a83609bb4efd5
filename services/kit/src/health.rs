//! grpc.health.v1 for every service of a process and for the process itself (the empty name). NOT_SERVING at the start
//! and whenever the database does not answer, and permanently once a drain begins.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// How often the database is probed, and with which timeout.
#[derive(Clone, Copy)]
pub(crate) struct ProbeTiming {
    /// Time between two probes.
    interval: Duration,
    /// A probe that takes longer counts as failed.
    timeout: Duration,
}

impl ProbeTiming {
    pub(crate) const DEFAULT: Self = Self { interval: Duration::from_secs(1), timeout: Duration::from_secs(2) };
}

/// Whether new calls should be sent here, and if not, why. The same state as the gRPC health service, for the HTTP
/// probe.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readiness(Arc<AtomicU8>);

impl Readiness {
    const STARTING: u8 = 0;
    const READY: u8 = 1;
    const NO_DATABASE: u8 = 2;
    const DRAINING: u8 = 3;

    fn set(&self, state: u8) {
        self.0.store(state, Ordering::Release);
    }

    /// One word, or `None` if the process is ready.
    pub(crate) fn unready_reason(&self) -> Option<&'static str> {
        match self.0.load(Ordering::Acquire) {
            Self::READY => None,
            Self::STARTING => Some("starting"),
            Self::NO_DATABASE => Some("database"),
            _ => Some("draining"),
        }
    }
}

/// The health of a process. A task of its own updates it until [`stop`](Self::stop), or until this is dropped.
pub(crate) struct Health {
    reporter: HealthReporter,
    names: Vec<String>,
    readiness: Readiness,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Health {
    /// Starts to probe. `probe` returns whether the service can work: whether its database answers.
    pub(crate) async fn start<P, F>(service_names: &[&str], timing: ProbeTiming, probe: P) -> Self
    where
        P: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = bool> + Send + 'static,
    {
        let reporter = HealthReporter::new();
        let names: Vec<String> = std::iter::once("").chain(service_names.iter().copied()).map(str::to_owned).collect();
        report(&reporter, &names, ServingStatus::NotServing).await;
        let stop = CancellationToken::new();
        let (reporting, readiness) = ((reporter.clone(), names.clone()), Readiness::default());
        let watch = watch_database(reporting, readiness.clone(), timing, probe, stop.clone());
        let task = AbortOnDropHandle::new(tokio::spawn(watch));
        Self { reporter, names, readiness, stop, task }
    }

    /// The gRPC service, for the router.
    pub(crate) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    /// The same state for HTTP probes.
    pub(crate) fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Reports NOT_SERVING permanently. When this returns, watchers can see it.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        // The task must end first: it could report SERVING once more.
        if self.task.await.is_err() {
            tracing::error!("the task that probes the database panicked");
        }
        self.readiness.set(Readiness::DRAINING);
        report(&self.reporter, &self.names, ServingStatus::NotServing).await;
    }
}

async fn watch_database<P, F>(
    (reporter, names): (HealthReporter, Vec<String>),
    readiness: Readiness,
    timing: ProbeTiming,
    probe: P,
    stop: CancellationToken,
) where
    P: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = bool> + Send + 'static,
{
    let mut interval = tokio::time::interval(timing.interval);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = None;
    loop {
        let answers = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            answers = async {
                interval.tick().await;
                // A probe that panics counts as failed.
                let probed = AssertUnwindSafe(async { probe().await }).catch_unwind();
                matches!(tokio::time::timeout(timing.timeout, probed).await, Ok(Ok(true)))
            } => answers,
        };
        if last != Some(answers) {
            if answers {
                tracing::info!("the database answers; serving");
            } else {
                tracing::warn!("the database does not answer; not serving until it does");
            }
        }
        readiness.set(if answers { Readiness::READY } else { Readiness::NO_DATABASE });
        // Report only changes: watchers are sent every report, even an equal one. NOT_SERVING was reported at the
        // start.
        if answers != last.unwrap_or(false) {
            let status = if answers { ServingStatus::Serving } else { ServingStatus::NotServing };
            report(&reporter, &names, status).await;
        }
        last = Some(answers);
    }
}

async fn report(reporter: &HealthReporter, names: &[String], status: ServingStatus) {
    for name in names {
        reporter.set_service_status(name, status).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::StreamExt as _;
    use tonic::Request;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};
    use tonic_health::pb::health_server::Health as _;

    use super::*;

    /// Everything that a watcher receives while the probe is called for the first, second, ... time, and then when
    /// health stops.
    async fn told<F>(probe: impl Fn(usize) -> F + Send + Sync + 'static) -> Vec<i32>
    where
        F: Future<Output = bool> + Send + 'static,
    {
        let timing = ProbeTiming { interval: Duration::from_millis(200), timeout: Duration::from_millis(50) };
        let count = Arc::new(AtomicUsize::new(0));
        let asked = count.clone();
        let health = Health::start(&["a.B"], timing, move || probe(count.fetch_add(1, Ordering::SeqCst))).await;
        let service = HealthService::from_health_reporter(health.reporter.clone());
        let request = Request::new(HealthCheckRequest { service: "a.B".to_owned() });
        let watch = service.watch(request).await.unwrap().into_inner();
        let watcher = tokio::spawn(watch.map(|reported| reported.unwrap().status).collect::<Vec<_>>());
        // The watch ends when the last sender is dropped.
        drop(service);
        while asked.load(Ordering::SeqCst) < 8 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        health.stop().await;
        watcher.await.unwrap()
    }

    #[tokio::test]
    async fn changes_are_told_once_each() {
        let reported = told(|n| std::future::ready([false, true, true, false, true][n.min(4)])).await;
        assert_eq!(reported, [NotServing, Serving, NotServing, Serving, NotServing].map(i32::from));
    }

    #[tokio::test]
    async fn a_probe_that_hangs_or_panics_has_failed() {
        let reported = told(|n| async move {
            match n {
                2 => std::future::pending().await,
                4 => panic!("the probe panics"),
                _ => true,
            }
        })
        .await;
        let changes = [NotServing, Serving, NotServing, Serving, NotServing, Serving, NotServing];
        assert_eq!(reported, changes.map(i32::from));
    }
    /// A service that is dropped without a drain must leave the database alone.
    #[tokio::test]
    async fn nothing_is_asked_after_a_drop() {
        let timing = ProbeTiming { interval: Duration::from_millis(20), timeout: Duration::from_millis(10) };
        let count = Arc::new(AtomicUsize::new(0));
        let asked = count.clone();
        let probe = move || std::future::ready(count.fetch_add(1, Ordering::SeqCst) > 0);
        let health = Health::start(&["a.B"], timing, probe).await;
        while asked.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(timing.interval).await;
        }
        drop(health);
        // An aborted task may be in the middle of a probe.
        tokio::task::yield_now().await;
        let before = asked.load(Ordering::SeqCst);
        tokio::time::sleep(timing.interval * 10).await;
        assert_eq!(asked.load(Ordering::SeqCst), before);
    }
}
