//! Products: a table with many small rows.

mod resolve;
mod service;
mod updates;

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use orrery::cluster::Role;

pub(crate) use self::service::getters;
use self::service::{Expect, Service};
pub(crate) use self::updates::updaters;
use crate::pooler::Pooler;
use crate::postgres::Postgres;
use crate::{Rate, Report, Settings, setting, wanted};

/// The number of pages of which the median is used, at each depth.
const PAGES: usize = 200;
/// The number of concurrent calls in point reads.
const CALLERS: usize = 32;

/// The number of products that are read repeatedly.
const CACHED: usize = 10_000;

/// The columns of a test product; `n` is its number.
const PRODUCT: &str = "'prd_' || lpad(n::text, 26, '0'), 'Product number ' || n, '{\"phase\": \"active\"}'::jsonb, \
     jsonb_build_object('env', 'prod', 'tier', chr(97 + (n % 5)::int), 'season', 'winter'), \
     jsonb_build_object('source/stock-code', 'SKU-' || n, 'source/supplier', 'supplier-' || n % 100)";

/// The first number of written products.
const FIRST_WRITTEN: usize = 1_000_000_000;

pub(crate) async fn measure(postgres: &Postgres, settings: Settings, report: &mut Report) -> anyhow::Result<()> {
    if wanted("resolve") {
        resolve::measure(postgres, settings, report).await?;
    }
    if !["stream", "depth", "get", "cached", "update", "upsert", "pooled"].into_iter().any(wanted) {
        return Ok(());
    }
    let rows = setting("ORRERY_BENCH_ROWS", 1_000_000);
    fill(postgres, rows).await?;
    let url = postgres.url(Role::Catalog);
    let service = Service::start(&url, &["--cache-bytes=64MiB"]).await.context("the catalog service did not start")?;
    if wanted("stream") {
        stream(postgres, &service, rows, settings.runs, report).await?;
    }
    if wanted("depth") {
        depth(&service, rows, report).await?;
    }
    if wanted("get") {
        get(postgres, &service, rows, settings, report).await?;
    }
    if wanted("cached") {
        cached(postgres, &service, rows, settings, report).await?;
    }
    if wanted("update") {
        updates::measure(postgres, &service, rows, settings, report).await?;
    }
    if wanted("upsert") {
        upsert(postgres, &service, settings.runs, report).await?;
    }
    if wanted("pooled") {
        pooled(postgres, &service, rows, settings, report).await?;
    }
    report.memory("the catalog service", "in all", service.peak_memory()?);
    drop(service);
    postgres.execute("truncate catalog.product").await
}

pub(crate) async fn fill(postgres: &Postgres, rows: usize) -> anyhow::Result<()> {
    postgres
        .execute(&format!(
            "insert into catalog.product (uid, name, status, labels, annotations) \
             select {PRODUCT} from generate_series(1, {rows}) as n"
        ))
        .await?;
    postgres.execute("vacuum (analyze, freeze) catalog.product").await?;
    postgres.settle().await?;
    let bytes = postgres
        .number(
            "select (avg(length(uid) + length(name) + length(status::text) + length(labels::text) \
             + length(annotations::text)) + 16 + 7 * 4 + 3 + 2)::bigint from catalog.product",
        )
        .await?;
    eprintln!("{rows} products, {bytes} bytes each as COPY sends them");
    Ok(())
}

async fn stream(
    postgres: &Postgres,
    service: &Service,
    rows: usize,
    runs: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (mut copy_out, mut stream, mut undecoded) = (Rate::default(), Rate::default(), Rate::default());
    let copy = ["copy (select * from catalog.product order by uid) to stdout (format binary)".to_owned()];
    for run in 1..=runs {
        copy_out.add(rows, postgres.psql(&copy)?);
        let (count, took) = service.stream_all().await?;
        anyhow::ensure!(count == rows, "{count} of {rows} products came");
        stream.add(rows, took);
        let (count, took) = service.stream_undecoded().await?;
        anyhow::ensure!(count == rows, "{count} of {rows} products came");
        undecoded.add(rows, took);
        eprintln!("stream, run {run}: {:.0}/s of {:.0}/s", stream.last(), copy_out.last());
    }
    report.row("stream all products", "COPY TO STDOUT (FORMAT binary)", &copy_out, &stream);
    report.row("the same, rows not decoded by the client", "COPY, the same", &copy_out, &undecoded);
    report.memory("the catalog service", &format!("{rows} products streamed"), service.peak_memory()?);
    Ok(())
}

async fn depth(service: &Service, rows: usize, report: &mut Report) -> anyhow::Result<()> {
    let behind = service.token_behind(rows / 10 * 9).await?;
    let (mut first, mut deep) = (Rate::default(), Rate::default());
    for _ in 0..PAGES {
        first.0.push(service.page("").await?.as_secs_f64());
        deep.0.push(service.page(&behind).await?.as_secs_f64());
    }
    let (first, deep) = (first.median() * 1e3, deep.median() * 1e3);
    report.note(format!(
        "page of 200 behind {} products: {deep:.2} ms; the first: {first:.2} ms; ratio {:.2}",
        rows / 10 * 9,
        deep / first
    ));
    Ok(())
}

async fn get(
    postgres: &Postgres,
    service: &Service,
    rows: usize,
    settings: Settings,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (mut pgbench, mut get) = (Rate::default(), Rate::default());
    for run in 1..=settings.runs {
        pgbench.0.push(point_selects(postgres, rows, settings)?);
        get.0.push(service.get(rows, CALLERS, Duration::from_secs(settings.seconds as u64), None).await?);
        eprintln!("get, run {run}: {:.0}/s of {:.0}/s", get.last(), pgbench.last());
    }
    report.row(&format!("get one product, {CALLERS} callers"), "pgbench, prepared select", &pgbench, &get);
    Ok(())
}

/// The throughput of pgbench when it selects random ones of the first `rows` products.
fn point_selects(postgres: &Postgres, rows: usize, settings: Settings) -> anyhow::Result<f64> {
    let script = format!(
        "\\set n random(1, {rows})\nselect * from catalog.product where uid = 'prd_' || lpad(:n::text, 26, '0');\n"
    );
    Ok(postgres.pgbench(&script, CALLERS, ["--time", &settings.seconds.to_string()])?.rate)
}

/// Repeated calls of a dashboard, from the cache.
async fn cached(
    postgres: &Postgres,
    service: &Service,
    rows: usize,
    settings: Settings,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (mut pgbench, mut cached) = (Rate::default(), Rate::default());
    let rows = rows.min(CACHED);
    let time = Duration::from_secs(settings.seconds as u64);
    for run in 1..=settings.runs {
        pgbench.0.push(point_selects(postgres, rows, settings)?);
        cached.0.push(service.get(rows, CALLERS, time, Some("max-age=600")).await?);
        eprintln!("cached, run {run}: {:.0}/s of {:.0}/s", cached.last(), pgbench.last());
    }
    report.row(
        &format!("get one product of {rows}, cached, {CALLERS} callers"),
        "pgbench, prepared select",
        &pgbench,
        &cached,
    );
    Ok(())
}

/// The same work through a transaction pooler with two sessions, compared with direct connections.
async fn pooled(
    postgres: &Postgres,
    direct: &Service,
    rows: usize,
    settings: Settings,
    report: &mut Report,
) -> anyhow::Result<()> {
    let bouncer = Pooler::start(postgres, &postgres.url(Role::Catalog)).await?;
    let pooled = Service::start(&bouncer.url, &["--database-pooler=transaction"]).await?;
    let time = Duration::from_secs(settings.seconds as u64);
    let writes = setting("ORRERY_BENCH_WRITES", 200_000);
    let (mut gets, mut streams, mut upserts): ([Rate; 2], [Rate; 2], [Rate; 2]) = Default::default();
    for run in 1..=settings.runs {
        for (at, service) in [direct, &pooled].into_iter().enumerate() {
            gets[at].0.push(service.get(rows, CALLERS, time, None).await?);
            let (count, took) = service.stream_all().await?;
            anyhow::ensure!(count == rows, "{count} of {rows} products came");
            streams[at].add(rows, took);
            postgres.settle().await?;
            upserts[at].add(writes, service.upsert(writes, Expect::Created).await?);
            remove_written(postgres).await?;
        }
        let ratio = |rates: &[Rate; 2]| rates[1].last() / rates[0].last();
        eprintln!(
            "pooled, run {run}: get {:.2}, stream {:.2}, upsert {:.2}",
            ratio(&gets),
            ratio(&streams),
            ratio(&upserts)
        );
    }
    let limit = "the same, without a pooler";
    for (work, rates) in [
        (format!("get one product, {CALLERS} callers, PgBouncer with 2 sessions"), &gets),
        ("stream all products, PgBouncer".to_owned(), &streams),
        (format!("upsert {writes} new products, PgBouncer"), &upserts),
    ] {
        report.row(&work, limit, &rates[0], &rates[1]);
    }
    Ok(())
}

async fn upsert(postgres: &Postgres, service: &Service, runs: usize, report: &mut Report) -> anyhow::Result<()> {
    let writes = setting("ORRERY_BENCH_WRITES", 200_000);
    let (mut copy_in, mut create, mut again) = (Rate::default(), Rate::default(), Rate::default());
    let copy = [copy_in_of(postgres, writes)?];
    for run in 1..=runs {
        postgres.settle().await?;
        copy_in.add(writes, postgres.psql(&copy)?);
        remove_written(postgres).await?;
        postgres.settle().await?;
        create.add(writes, service.upsert(writes, Expect::Created).await?);
        again.add(writes, service.upsert(writes, Expect::Unchanged).await?);
        remove_written(postgres).await?;
        eprintln!("upsert, run {run}: {:.0}/s of {:.0}/s", create.last(), copy_in.last());
    }
    report.row(&format!("upsert {writes} new products"), "COPY FROM, same table", &copy_in, &create);
    report.row("upsert them again, unchanged", "COPY FROM, same table", &copy_in, &again);
    Ok(())
}

/// A command that copies `count` new products in.
fn copy_in_of(postgres: &Postgres, count: usize) -> anyhow::Result<String> {
    let path = postgres.file("products.tsv");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
    for n in FIRST_WRITTEN..FIRST_WRITTEN + count {
        writeln!(
            file,
            "prd_{n:026}\tProduct number \
             {n}\t{{\"phase\": \"active\"}}\t{{\"env\": \"prod\", \"tier\": \"{}\", \"season\": \"winter\"}}\t\
             {{\"source/stock-code\": \"SKU-{n}\", \"source/supplier\": \"supplier-{}\"}}",
            (b'a' + (n % 5) as u8) as char,
            n % 100
        )?;
    }
    file.flush()?;
    Ok(format!("\\copy catalog.product (uid, name, status, labels, annotations) from '{}'", path.display()))
}

/// Deletes what was written.
async fn remove_written(postgres: &Postgres) -> anyhow::Result<()> {
    postgres.execute(&format!("delete from catalog.product where uid >= 'prd_{FIRST_WRITTEN:026}'")).await?;
    postgres.execute("vacuum (analyze) catalog.product").await
}
