//! A caller who has nothing to do with what else happens to a service, and is to notice nothing of it.

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

/// What the slowest calls but one in a hundred may take, on a machine that runs other tests beside this one, in a build
/// for tests. Without harm it is a few milliseconds; with harm, seconds or for ever.
const ENOUGH: Duration = Duration::from_secs(1);
/// Fewer calls tell nothing.
const LEAST_CALLS: usize = 100;
/// Between two calls.
const PAUSE: Duration = Duration::from_millis(2);

/// Gets one product after the other, on a connection of its own, until it is asked what came of it.
pub(crate) struct Bystander {
    stop: Arc<AtomicBool>,
    calls: JoinHandle<Report>,
}

/// What came of the calls.
#[derive(Debug, Default)]
pub(crate) struct Report {
    took: Vec<Duration>,
    failed: Vec<tonic::Status>,
}

impl Bystander {
    /// Begins to call; `products` are there, by their numbers.
    pub(crate) async fn start(address: SocketAddr, products: usize) -> Self {
        let mut client = CatalogServiceClient::new(channel(address));
        let get = move |number: usize| GetProductRequest { uid: uid(number % products + 1), read_mask: None };
        client.get_product(get(0)).await.unwrap();
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let calls = tokio::spawn(async move {
            let mut report = Report::default();
            let mut number = 0;
            while number < LEAST_CALLS || !stopped.load(Ordering::Relaxed) {
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

    /// Ends, and fails if a call failed or the slow ones were too slow.
    pub(crate) async fn assert_unharmed(self, during: &str) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let mut report = self.calls.await.unwrap();
        report.took.sort_unstable();
        println!("{during}: a second caller's {report}");
        assert!(report.failed.is_empty(), "{during}: {} of {report}: {:?}", report.failed.len(), report.failed.first());
        assert!(report.p99() < ENOUGH, "{during}: {report}");
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
