//! A client that must not be affected by what other clients do to a service.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use orrery_proto::catalog::v1::GetProductRequest;
use orrery_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use tokio::task::JoinHandle;

use super::serving::channel;
use super::uid;

/// The limit for the 99th percentile, in a test build on a machine that runs other tests too. Normal are a few
/// milliseconds; an affected client waits for seconds or forever.
const MAX_P99: Duration = Duration::from_secs(1);
/// Fewer calls prove nothing.
const MIN_CALLS: usize = 100;
/// The pause between two calls.
const PAUSE: Duration = Duration::from_millis(2);

/// Gets products one after the other, on its own connection, until it is stopped.
pub(crate) struct Bystander {
    stop: Arc<AtomicBool>,
    calls: JoinHandle<Report>,
}

/// The results of the calls.
#[derive(Debug, Default)]
pub(crate) struct Report {
    took: Vec<Duration>,
    failed: Vec<tonic::Status>,
}

impl Bystander {
    /// Starts to call. The products with numbers below `products` exist.
    pub(crate) async fn start(address: SocketAddr, products: usize) -> Self {
        let mut client = CatalogServiceClient::new(channel(address));
        let get = move |number: usize| GetProductRequest { uid: uid(number % products + 1), read_mask: None };
        client.get_product(get(0)).await.unwrap();
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let calls = tokio::spawn(async move {
            let mut report = Report::default();
            let mut number = 0;
            while number < MIN_CALLS || !stopped.load(Ordering::Relaxed) {
                number += 1;
                let begun = Instant::now();
                match client.get_product(get(number)).await {
                    Ok(_) => report.took.push(begun.elapsed()),
                    Err(status) => report.failed.push(status),
                }
                tokio::time::sleep(PAUSE).await;
            }
            report
        });
        Self { stop, calls }
    }

    /// Stops, and fails if a call failed or if calls were too slow.
    pub(crate) async fn assert_unharmed(self, during: &str) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let mut report = self.calls.await.unwrap();
        report.took.sort_unstable();
        println!("{during}: a second caller's {report}");
        assert!(report.failed.is_empty(), "{during}: {} of {report}: {:?}", report.failed.len(), report.failed.first());
        assert!(report.p99() < MAX_P99, "{during}: {report}");
        report
    }
}

impl Report {
    fn p99(&self) -> Duration {
        self.took.get(self.took.len() * 99 / 100).copied().unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} calls with a p99 of {:?}", self.took.len(), self.p99())
    }
}
