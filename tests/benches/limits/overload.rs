//! More callers than a service can serve. First the number of callers is increased until the service is saturated, then
//! four times as many call. Rejected callers retry after the time in RetryInfo, or earlier.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use orrery::cluster::Role;

use crate::callers::Callers;
use crate::postgres::Postgres;
use crate::process::{CATALOG, Process};
use crate::{Report, Settings, products, setting, wanted};

/// The connections of the callers.
const CONNECTIONS: usize = 8;
/// The numbers of callers to try.
const CALLERS: [usize; 6] = [4, 8, 16, 32, 48, 64];
/// The service is saturated at this part of the best throughput.
const SATURATED: f64 = 0.95;
/// How long rejected callers wait before they retry, and its name in the report. `None`: the time in RetryInfo.
const MANNERS: [(Option<Duration>, &str); 3] = [
    (None, "come back when told"),
    (Some(Duration::from_millis(5)), "come back after 5 ms"),
    (Some(Duration::ZERO), "come back at once"),
];

/// The result of a load.
#[derive(Clone, Copy)]
struct Rates {
    /// Successful calls per second.
    served: f64,
    /// Rejected calls per second.
    refused: f64,
    /// Of successful calls.
    p99: f64,
}

pub(crate) async fn measure(postgres: &Postgres, settings: Settings, report: &mut Report) -> anyhow::Result<()> {
    if !wanted("overload") {
        return Ok(());
    }
    let rows = setting("ORRERY_BENCH_ROWS", 1_000_000).min(200_000);
    products::fill(postgres, rows).await?;
    let process = Process::start(CATALOG, &postgres.url(Role::Catalog), &[]).await?;
    let address = process.address();
    let time = Duration::from_secs(settings.seconds as u64);
    let mut rising = Vec::new();
    for callers in CALLERS {
        let reached = load(address, rows, callers, None, time).await?;
        eprintln!("overload, {callers} callers: {:.0}/s, p99 {:.2} ms", reached.served, reached.p99 * 1e3);
        rising.push((callers, reached));
    }
    let peak = rising.iter().map(|(_, reached)| reached.served).fold(0.0, f64::max);
    let saturating = rising.iter().find(|(_, reached)| reached.served >= SATURATED * peak);
    let (callers, _) = *saturating.context("nothing was served")?;
    for (pause, name) in MANNERS {
        let (mut at, mut beyond) = (Vec::new(), Vec::new());
        for _ in 0..settings.runs {
            at.push(load(address, rows, callers, pause, time).await?);
            beyond.push(load(address, rows, 4 * callers, pause, time).await?);
        }
        let (at, beyond) = (median(&at), median(&beyond));
        report.note(format!(
            "overload, {callers} callers saturate: {:.0}/s, p99 {:.2} ms; {} who {name}: {:.0}/s served (ratio \
             {:.2}), p99 {:.2} ms \
             (ratio {:.2}), {:.0}/s turned away",
            at.served,
            at.p99 * 1e3,
            4 * callers,
            beyond.served,
            beyond.served / at.served,
            beyond.p99 * 1e3,
            beyond.p99 / at.p99,
            beyond.refused
        ));
    }
    drop(process);
    postgres.execute("truncate catalog.product").await
}

fn median(all: &[Rates]) -> Rates {
    let of = |value: fn(&Rates) -> f64| {
        let mut values: Vec<f64> = all.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Rates { served: of(|one| one.served), refused: of(|one| one.refused), p99: of(|one| one.p99) }
}

async fn load(
    address: SocketAddr,
    rows: usize,
    callers: usize,
    pause: Option<Duration>,
    time: Duration,
) -> anyhow::Result<Rates> {
    let callers = Callers { connections: CONNECTIONS, time, pause, ..products::getters(rows, callers) };
    let seen = callers.call(address).await?;
    let served = crate::per_second(seen.took.len(), time);
    Ok(Rates { served, refused: crate::per_second(seen.refused, time), p99: seen.percentile(0.99) })
}
