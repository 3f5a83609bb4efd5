//! Measures the services and the limits of Postgres itself, on the same machine in the same run. Quote the ratios: they
//! differ little between machines, absolute numbers do.
//!
//! `cargo bench --locked -p orrery-tests` prints the table. Settings in the environment: `ORRERY_BENCH_ROWS` (products
//! to stream, default 1,000,000), `ORRERY_BENCH_WRITES` (products to write, default 200,000), `ORRERY_BENCH_DUE`
//! (orders to claim, default 100,000), `ORRERY_BENCH_SECONDS` (for single reads and creates, default 5),
//! `ORRERY_BENCH_RUNS` (repetitions, of which the median is used, default 3), `ORRERY_BENCH_ONLY` (some of
//! `stream,depth,get,cached,update,upsert,pooled,resolve` for products,
//! `orders-write,orders-stream,orders-create,orders-claim,orphans`, `tags-write,tags-stream,tags-refresh`,
//! `artifacts-create`, `overload`, and `deploy`),
//! `ORRERY_BENCH_LINKS` (tags of products to write, stream and sum up, default 1,000,000), `ORRERY_BENCH_LINES` (lines
//! of orders for the performance of tags, default 1,000,000), `ORRERY_BENCH_REFERENCES` (lines of orders whose products
//! are looked for, default 5,000,000). Everything runs on this machine: Postgres, the service and its client share the
//! cores, so the result includes the client's work.

mod artifacts;
mod callers;
mod deploy;
mod orders;
mod overload;
mod pooler;
mod postgres;
mod process;
mod products;
mod tags;
mod undecoded;

use std::time::Duration;

use anyhow::Context as _;

/// The settings for several measurements.
#[derive(Clone, Copy, Debug)]
struct Settings {
    runs: usize,
    seconds: usize,
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.replace('_', "").parse().ok()).unwrap_or(default)
}

/// Whether a measurement is selected.
fn wanted(work: &str) -> bool {
    let only = std::env::var("ORRERY_BENCH_ONLY").unwrap_or_default();
    only.is_empty() || only.split(',').any(|wanted| wanted == work)
}

/// Repeated measurements, of which the median is used.
#[derive(Default)]
struct Rate(Vec<f64>);

impl Rate {
    fn add(&mut self, count: usize, took: Duration) {
        self.0.push(per_second(count, took));
    }

    fn last(&self) -> f64 {
        self.0.last().copied().unwrap_or_default()
    }

    fn median(&self) -> f64 {
        let mut rates = self.0.clone();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or_default()
    }
}

fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// The lines of the final table.
#[derive(Default)]
struct Report {
    rows: Vec<String>,
    notes: Vec<String>,
}

impl Report {
    fn row(&mut self, work: &str, limit: &str, limit_rate: &Rate, rate: &Rate) {
        let (limit_rate, rate) = (limit_rate.median(), rate.median());
        self.rows.push(format!("| {work} | {limit} | {limit_rate:.0}/s | {rate:.0}/s | {:.2} |", rate / limit_rate));
    }

    fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    fn memory(&mut self, service: &str, work: &str, bytes: usize) {
        self.note(format!("peak memory of {service}, {work}: {} MiB", bytes >> 20));
    }
}

fn main() -> anyhow::Result<()> {
    // As the program does.
    orrery_kit::server::share_arenas();
    run()
}

#[tokio::main]
async fn run() -> anyhow::Result<()> {
    if let Some(ended) = process::run_as_service().await {
        return ended;
    }
    let settings = Settings { runs: setting("ORRERY_BENCH_RUNS", 3), seconds: setting("ORRERY_BENCH_SECONDS", 5) };
    let postgres = postgres::Postgres::start().await.context("Postgres did not start")?;
    let mut report = Report::default();
    products::measure(&postgres, settings, &mut report).await?;
    orders::measure(&postgres, settings, &mut report).await?;
    tags::measure(&postgres, settings, &mut report).await?;
    artifacts::measure(&postgres, settings, &mut report).await?;
    overload::measure(&postgres, settings, &mut report).await?;
    deploy::measure(&postgres, settings, &mut report).await?;
    println!("\n| work | limit | limit reaches | Orrery reaches | ratio |\n| --- | --- | --- | --- | --- |");
    for row in &report.rows {
        println!("{row}");
    }
    println!();
    for note in &report.notes {
        println!("{note}");
    }
    Ok(())
}
