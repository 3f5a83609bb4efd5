//! More callers than a service can serve. First the load that saturates it is looked for, by more and more callers who each wait for
//! their answer and ask again; then four times as many come. Those who are turned away come back after the time that they were told, or,
//! in the last row, almost at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::future::try_join_all;
use orrery::cluster::Role;
use orrery_proto::catalog::v1::GetProductRequest;
use orrery_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;

use crate::postgres::Postgres;
use crate::process::Process;
use crate::{Report, Settings, products, setting, wanted};

/// Over which callers are spread.
const CONNECTIONS: usize = 8;
/// More and more callers.
const CALLERS: [usize; 6] = [4, 8, 16, 32, 48, 64];
/// A load saturates if it reaches this part of the best.
const SATURATED: f64 = 0.95;
/// Time before the measurement begins.
const WARM_UP: Duration = Duration::from_secs(1);
/// Between two tries of a caller who does not do as told.
const IMPATIENCE: Duration = Duration::from_millis(5);

/// What callers do who were turned away.
#[derive(Clone, Copy, PartialEq)]
enum Callers {
    Patient,
    Impatient,
}

/// What a load reached.
#[derive(Clone, Copy)]
struct Reached {
    /// Calls served in a second.
    served: f64,
    /// Calls turned away in a second.
    refused: f64,
    /// Of those served.
    p99: f64,
}

pub(crate) async fn measure(postgres: &Postgres, settings: Settings, report: &mut Report) -> anyhow::Result<()> {
    if !wanted("overload") {
        return Ok(());
    }
    let rows = setting("ORRERY_BENCH_ROWS", 1_000_000).min(200_000);
    products::fill(postgres, rows).await?;
    let process = Process::start("orrery-catalog", &postgres.url(Role::Catalog), &[]).await?;
    let channels = try_join_all((0..CONNECTIONS).map(|_| process.connect())).await?;
    let time = Duration::from_secs(settings.seconds as u64);
    let mut rising = Vec::new();
    for callers in CALLERS {
        let reached = load(&channels, rows, callers, Callers::Patient, time).await?;
        eprintln!("overload, {callers} callers: {:.0}/s, p99 {:.2} ms", reached.served, reached.p99 * 1e3);
        rising.push((callers, reached));
    }
    let peak = rising.iter().map(|(_, reached)| reached.served).fold(0.0, f64::max);
    let saturating = rising.iter().find(|(_, reached)| reached.served >= SATURATED * peak);
    let (callers, _) = *saturating.context("nothing was served")?;
    for (kind, name) in [(Callers::Patient, "come back when told"), (Callers::Impatient, "come back after 5 ms")] {
        let (mut at, mut beyond) = (Vec::new(), Vec::new());
        for _ in 0..settings.runs {
            at.push(load(&channels, rows, callers, kind, time).await?);
            beyond.push(load(&channels, rows, 4 * callers, kind, time).await?);
        }
        let (at, beyond) = (median(&at), median(&beyond));
        report.note(format!(
            "overload, {callers} callers saturate: {:.0}/s, p99 {:.2} ms; {} who {name}: {:.0}/s served (ratio {:.2}), p99 {:.2} ms \
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

fn median(all: &[Reached]) -> Reached {
    let of = |value: fn(&Reached) -> f64| {
        let mut values: Vec<f64> = all.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Reached { served: of(|one| one.served), refused: of(|one| one.refused), p99: of(|one| one.p99) }
}

/// What one caller saw.
#[derive(Default)]
struct Seen {
    took: Vec<f64>,
    refused: usize,
}

async fn load(
    channels: &[Channel],
    rows: usize,
    callers: usize,
    kind: Callers,
    time: Duration,
) -> anyhow::Result<Reached> {
    let begun = Instant::now() + WARM_UP;
    let channels: Arc<[Channel]> = channels.into();
    let tasks = (0..callers).map(|number| {
        let channels = Arc::clone(&channels);
        async move {
            let client = CatalogServiceClient::new(channels[number % channels.len()].clone());
            tokio::spawn(call_until(begun + time, begun, client, rows, kind)).await?
        }
    });
    let seen = try_join_all(tasks).await?;
    let refused = seen.iter().map(|seen| seen.refused).sum::<usize>() as f64 / time.as_secs_f64();
    let mut took: Vec<f64> = seen.into_iter().flat_map(|seen| seen.took).collect();
    took.sort_by(f64::total_cmp);
    let p99 = took.get(took.len() * 99 / 100).copied().context("nothing was served")?;
    Ok(Reached { served: took.len() as f64 / time.as_secs_f64(), refused, p99 })
}

/// Gets one product after the other. Counts what began after `from`.
async fn call_until(
    end: Instant,
    from: Instant,
    mut client: CatalogServiceClient<Channel>,
    rows: usize,
    kind: Callers,
) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    loop {
        let begun = Instant::now();
        if begun >= end {
            return Ok(seen);
        }
        let uid = format!("prd_{:026}", rand::random_range(1..=rows));
        let counts = begun >= from;
        match client.get_product(GetProductRequest { uid, read_mask: None }).await {
            Ok(_) if counts => seen.took.push(begun.elapsed().as_secs_f64()),
            Ok(_) => {}
            Err(status) if status.code() == Code::ResourceExhausted => {
                seen.refused += usize::from(counts);
                let told = status.get_details_retry_info().and_then(|info| info.retry_delay).context("no RetryInfo")?;
                let pause = if kind == Callers::Patient { told } else { IMPATIENCE };
                tokio::time::sleep(pause.min(end.saturating_duration_since(Instant::now()))).await;
            }
            Err(status) => return Err(status.into()),
        }
    }
}
