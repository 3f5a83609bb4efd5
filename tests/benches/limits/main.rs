//! What the services reach, beside what Postgres itself reaches on the same machine in the same run. Ratios are what to quote: they
//! move little from machine to machine, seconds do.
//!
//! `cargo bench -p orrery-tests` prints the table. Settings, by environment: `ORRERY_BENCH_ROWS` (products to stream, default 1,000,000),
//! `ORRERY_BENCH_WRITES` (products to write, default 200,000), `ORRERY_BENCH_SECONDS` (of point reads, default 5), `ORRERY_BENCH_RUNS`
//! (repetitions, of which the median counts, default 3), `ORRERY_BENCH_ONLY` (some of `stream,depth,get,upsert`). Everything runs on this machine: Postgres, the service and its client share the
//! cores, so that the client's work is in the service's figure.

mod postgres;
mod service;

use std::time::Duration;

use anyhow::Context as _;

/// Pages of which the median counts, at either depth.
const PAGES: usize = 200;
/// Calls under way at once in the point reads.
const CALLERS: usize = 32;

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.replace('_', "").parse().ok()).unwrap_or(default)
}

/// How often a kind of work is measured: not at all if others are asked for.
fn wanted(work: &str, runs: usize) -> usize {
    let only = std::env::var("ORRERY_BENCH_ONLY").unwrap_or_default();
    if only.is_empty() || only.split(',').any(|wanted| wanted == work) { runs } else { 0 }
}

/// Measurements, of which the median counts.
struct Rate(Vec<f64>);

impl Rate {
    fn median(&self) -> f64 {
        let mut rates = self.0.clone();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or_default()
    }
}

fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

fn row(work: &str, limit: &str, limit_rate: f64, rate: f64) {
    if limit_rate == 0.0 {
        return;
    }
    println!("| {work} | {limit} | {limit_rate:.0}/s | {rate:.0}/s | {:.2} |", rate / limit_rate);
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let rows = setting("ORRERY_BENCH_ROWS", 1_000_000);
    let writes = setting("ORRERY_BENCH_WRITES", 200_000);
    let runs = setting("ORRERY_BENCH_RUNS", 3);
    let seconds = setting("ORRERY_BENCH_SECONDS", 5);

    let postgres = postgres::Bench::start(rows).await.context("Postgres did not start")?;
    let service = service::Service::start(&postgres.catalog_url()).await.context("the service did not start")?;
    eprintln!("{rows} products, {} bytes each as COPY sends them", postgres.row_bytes().await?);

    let (mut copy_out, mut stream, mut undecoded) = (Rate(Vec::new()), Rate(Vec::new()), Rate(Vec::new()));
    let mut stream_memory = 0;
    for run in 1..=wanted("stream", runs) {
        copy_out.0.push(per_second(rows, postgres.copy_out()?));
        let (count, took) = service.stream_all().await?;
        anyhow::ensure!(count == rows, "{count} of {rows} products came");
        stream.0.push(per_second(rows, took));
        let (count, took) = service.stream_undecoded().await?;
        anyhow::ensure!(count == rows, "{count} of {rows} products came");
        undecoded.0.push(per_second(rows, took));
        stream_memory = service.peak_memory()?;
        eprintln!("stream, run {run}: {:.0}/s of {:.0}/s", stream.0[run - 1], copy_out.0[run - 1]);
    }

    let mut depth = None;
    if wanted("depth", 1) > 0 {
        let behind = service.token_behind(rows / 10 * 9).await?;
        let (mut first, mut deep) = (Rate(Vec::new()), Rate(Vec::new()));
        for _ in 0..PAGES {
            first.0.push(service.page("").await?.as_secs_f64());
            deep.0.push(service.page(&behind).await?.as_secs_f64());
        }
        depth = Some((first.median() * 1e3, deep.median() * 1e3));
    }

    let (mut pgbench, mut get) = (Rate(Vec::new()), Rate(Vec::new()));
    for run in 1..=wanted("get", runs) {
        pgbench.0.push(postgres.pgbench(CALLERS, seconds)?);
        get.0.push(service.get(rows, CALLERS, Duration::from_secs(seconds as u64)).await?);
        eprintln!("get, run {run}: {:.0}/s of {:.0}/s", get.0[run - 1], pgbench.0[run - 1]);
    }

    let (mut copy_in, mut create, mut again) = (Rate(Vec::new()), Rate(Vec::new()), Rate(Vec::new()));
    for run in 1..=wanted("upsert", runs) {
        postgres.settle().await?;
        copy_in.0.push(per_second(writes, postgres.copy_in(writes)?));
        postgres.remove_written().await?;
        postgres.settle().await?;
        create.0.push(per_second(writes, service.upsert(writes, service::Expect::Created).await?));
        again.0.push(per_second(writes, service.upsert(writes, service::Expect::Unchanged).await?));
        postgres.remove_written().await?;
        eprintln!("upsert, run {run}: {:.0}/s of {:.0}/s", create.0[run - 1], copy_in.0[run - 1]);
    }

    println!("\n| work | limit | limit reaches | Orrery reaches | ratio |\n| --- | --- | --- | --- | --- |");
    row("stream all products", "COPY TO STDOUT (FORMAT binary)", copy_out.median(), stream.median());
    row("the same, rows not decoded by the client", "COPY, the same", copy_out.median(), undecoded.median());
    row(&format!("upsert {writes} new products"), "COPY FROM, same table", copy_in.median(), create.median());
    row("upsert them again, unchanged", "COPY FROM, same table", copy_in.median(), again.median());
    row(&format!("get one product, {CALLERS} callers"), "pgbench, prepared select", pgbench.median(), get.median());
    if let Some((first, deep)) = depth {
        println!(
            "\npage of 200 behind {} products: {deep:.2} ms; the first: {first:.2} ms; ratio {:.2}",
            rows / 10 * 9,
            deep / first
        );
    }
    println!(
        "\npeak memory of the service: {} MiB after {rows} products streamed, {} MiB in all",
        stream_memory >> 20,
        service.peak_memory()? >> 20
    );
    Ok(())
}
