//! RefreshTagPerformanceAggregate, and one statement that computes the same sums in the same database.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use orrery::cluster::Role;
use orrery_proto::records::v1::{RefreshStep, RefreshTagPerformanceAggregateRequest};

use super::{TAGS, TAGS_OF_PRODUCT, client};
use crate::postgres::Postgres;
use crate::process::{CATALOG, ORDERS, Process, RECORDS};
use crate::{Rate, Report, Settings, setting};

/// The lines of one order: as many as a shop's orders have on average.
const LINES_OF_ORDER: usize = 20;
/// The last day that counts. Orders were created on the 365 days up to it.
const DAY: &str = "2011-12-09";
/// Where the statement by hand writes.
const BY_HAND: &str = "public.tag_performance_by_hand";

/// The number of rows that a rebuild reads.
struct Sizes {
    links: usize,
    lines: usize,
}

pub(super) async fn measure(postgres: &Postgres, settings: Settings, report: &mut Report) -> anyhow::Result<()> {
    let sizes = Sizes {
        links: setting("ORRERY_BENCH_LINKS", 1_000_000),
        lines: setting("ORRERY_BENCH_LINES", 1_000_000).max(LINES_OF_ORDER),
    };
    let catalog = Process::start(CATALOG, &postgres.url(Role::Catalog), &[]).await;
    let catalog = catalog.context("the catalog service did not start")?;
    let orders = Process::start(ORDERS, &postgres.url(Role::Orders), &[]).await;
    let orders = orders.context("the orders service did not start")?;
    let peers = [format!("--catalog={}", catalog.address()), format!("--orders={}", orders.address())];
    let peers = peers.each_ref().map(String::as_str);
    let records = Process::start(RECORDS, &postgres.url(Role::Records), &peers).await;
    let records = records.context("the records service did not start")?;
    fill(postgres, &sizes).await?;
    // Two generations are kept: from the third rebuild on, each deletes one.
    for _ in 0..2 {
        refresh(&records).await?;
    }
    let (mut by_hand, mut refreshed) = (Rate::default(), Rate::default());
    for run in 1..=settings.runs {
        postgres.execute(&format!("truncate {BY_HAND}")).await?;
        postgres.settle().await?;
        by_hand.add(sizes.lines, postgres.psql(&[statement()])?);
        postgres.settle().await?;
        refreshed.add(sizes.lines, refresh(&records).await?);
        let differences = postgres.number(&differences()).await?;
        anyhow::ensure!(differences == 0, "{differences} sums are not those of the statement");
        eprintln!("tags-refresh, run {run}: {:.2}", refreshed.last() / by_hand.last());
    }
    let work = format!("rebuild the performance of tags, {} lines, {} links, lines", sizes.lines, sizes.links);
    report.row(&work, "one statement by hand", &by_hand, &refreshed);
    for (service, process) in [("records", &records), ("orders", &orders)] {
        report.memory(&format!("the {service} service"), "performance of tags rebuilt", process.peak_memory()?);
    }
    let drop = format!(
        "drop table {BY_HAND};
         truncate orders.order_header, orders.order_line_item, records.link_product_tag, records.product_performance,
                  records.tag_performance_aggregate, records.tag_performance_refresh"
    );
    postgres.execute(&drop).await
}

/// Rebuilds the aggregate.
async fn refresh(records: &Process) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let request = RefreshTagPerformanceAggregateRequest { day_as_of: DAY.to_owned(), time_zone: String::new() };
    let mut stream = client(records).refresh_tag_performance_aggregate(request).await?.into_inner();
    let mut last = RefreshStep::Unspecified;
    let mut steps = Vec::new();
    while let Some(progress) = stream.message().await? {
        if progress.step() != last {
            last = progress.step();
            steps.push(format!("{} after {:.1} s", last.as_str_name(), started.elapsed().as_secs_f64()));
        }
    }
    anyhow::ensure!(last == RefreshStep::Done, "the rebuild ended with {last:?}");
    eprintln!("tags-refresh: {}", steps.join(", "));
    Ok(started.elapsed())
}

/// Every product is sold and tagged equally often. A product has as many tags as in `tags-write`.
async fn fill(postgres: &Postgres, Sizes { links, lines }: &Sizes) -> anyhow::Result<()> {
    let (products, orders) = ((links / TAGS_OF_PRODUCT).max(1), lines / LINES_OF_ORDER);
    let nth = TAGS / TAGS_OF_PRODUCT;
    let sql = format!(
        "create table {BY_HAND} (like records.tag_performance_aggregate including all);
         truncate orders.order_header, orders.order_line_item, records.link_product_tag;
         insert into records.link_product_tag (product_uid, tag_uid)
         select 'prd_' || lpad(p::text, 26, '0'), 'tag_' || lpad(((p * 7 + n * {nth}) % {TAGS})::text, 26, '0')
           from generate_series(0, {products} - 1) as p, generate_series(0, {TAGS_OF_PRODUCT} - 1) as n;
         insert into orders.order_header (uid, currency_code, status, create_ts)
         select 'ord_' || lpad(o::text, 26, '0'), case when o % 5 = 0 then 'EUR' else 'GBP' end,
                '{{\"phase\": \"fulfilled\"}}', timestamptz '{DAY} 12:00:00Z' - o % 365 * interval '1 day'
           from generate_series(0, {orders} - 1) as o;
         insert into orders.order_line_item
                (order_uid, uid, line_number, product_uid, sku, name, quantity, unit_price)
         select 'ord_' || lpad((l / {LINES_OF_ORDER})::text, 26, '0'), 'oli_' || lpad(l::text, 26, '0'),
                l % {LINES_OF_ORDER} + 1, 'prd_' || lpad((l::bigint * 7919 % {products})::text, 26, '0'),
                (l % 4000)::text, 'PRODUCT OF MANY', l % 24 + 1, (l % 1300) * 0.01
           from generate_series(0, {orders} * {LINES_OF_ORDER} - 1) as l"
    );
    postgres.execute(&sql).await?;
    for table in ["orders.order_header", "orders.order_line_item", "records.link_product_tag"] {
        postgres.execute(&format!("vacuum (analyze, freeze) {table}")).await?;
    }
    Ok(())
}

/// The same sums by one statement: those of each product first, because that is the shortest way.
fn statement() -> String {
    let last = |sum: &str, days: u32| format!("coalesce({sum} filter (where t.day > date '{DAY}' - {days}), 0)");
    let windows: Vec<String> = [("units", "sum(l.quantity)"), ("gross", "sum(l.quantity * l.unit_price)")]
        .into_iter()
        .flat_map(|(name, sum)| [7, 30, 90].map(|days| format!("{} as {name}_{days}d", last(sum, days))))
        .collect();
    let columns = "units, gross, units_7d, gross_7d, units_30d, gross_30d, units_90d, gross_90d";
    let sums: Vec<String> = columns.split(", ").map(|column| format!("sum(s.{column})")).collect();
    let zeros = vec!["0"; sums.len()].join(", ");
    format!(
        "insert into {BY_HAND} (tag_uid, generation, currency_code, product_count, {columns})
         with sales as materialized (
             select l.product_uid, t.currency_code, sum(l.quantity) as units,
                    sum(l.quantity * l.unit_price) as gross, {}
               from orders.order_line_item as l
               join (select h.uid, h.currency_code, (h.create_ts at time zone 'UTC')::date as day
                       from orders.order_header as h
                      where h.status ->> 'phase' in ('confirmed', 'provisioning', 'fulfilled', 'closed', 'returned')
                    ) as t on t.uid = l.order_uid
              where l.product_uid is not null
                and t.day between date '{DAY}' - 3660 and date '{DAY}'
              group by 1, 2
         )
         select k.tag_uid, 0, s.currency_code, count(*), {}
           from records.link_product_tag as k
           join sales as s on s.product_uid = k.product_uid
          group by 1, 2, 3
          union all
         select k.tag_uid, 0, '', count(*), {zeros}
           from records.link_product_tag as k
          group by 1",
        windows.join(", "),
        sums.join(", ")
    )
}

/// How many rows of the current aggregate or of the statement the other one has not.
fn differences() -> String {
    let rows = |table: &str, generations: &str| {
        format!(
            "select tag_uid, currency_code, product_count, units, gross, units_7d, gross_7d, units_30d, gross_30d, \
             units_90d, gross_90d from {table} {generations}"
        )
    };
    let current = "where generation = (select generation from records.tag_performance_refresh where phase = 'current')";
    let (built, by_hand) = (rows("records.tag_performance_aggregate", current), rows(BY_HAND, ""));
    format!(
        "select count(*) from (({built} except all {by_hand}) union all ({by_hand} except all {built})) as differences"
    )
}
