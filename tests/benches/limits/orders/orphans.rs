//! detect_orphans, and one anti-join by hand.

use std::time::Duration;

use anyhow::Context as _;
use orrery::cluster::Role;
use orrery_proto::procedures::v1::procedures_service_client::ProceduresServiceClient;
use orrery_proto::procedures::v1::{
    ExecutionPhase, ProcedureExecution, RunProcedureRequest, WatchProcedureExecutionRequest,
};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use crate::postgres::Postgres;
use crate::process::{CATALOG, ORDERS, Process};
use crate::{Rate, Report, setting};

/// Products that lines refer to.
const PRODUCTS: usize = 100_000;
/// Those of them that do not exist.
const MISSING: usize = 1_000;
const LINES_OF_ORDER: usize = 5;
const LINES: &str = "orders.order_line_item.product_uid";

/// What detect_orphans finds for the lines, in one statement.
const ANTI_JOIN: &str = "select l.product_uid, min(l.uid) from orders.order_line_item as l
 where l.product_uid is not null
   and not exists (select from catalog.product as p where p.uid = l.product_uid)
 group by l.product_uid";

pub(super) async fn measure(postgres: &Postgres, runs: usize, report: &mut Report) -> anyhow::Result<()> {
    let lines = setting("ORRERY_BENCH_REFERENCES", 5_000_000).max(LINES_OF_ORDER);
    let catalog = Process::start(CATALOG, &postgres.url(Role::Catalog), &[]).await;
    let catalog = catalog.context("the catalog service did not start")?;
    let peer = format!("--catalog={}", catalog.address());
    let orders = Process::start(ORDERS, &postgres.url(Role::Orders), &[&peer]).await;
    let orders = orders.context("the orders service did not start")?;
    fill(postgres, lines).await?;
    let (mut by_hand, mut of_lines, mut of_all) = (Rate::default(), Rate::default(), Rate::default());
    orders.forget_peak()?;
    for run in 1..=runs {
        by_hand.add(lines, postgres.psql(&[ANTI_JOIN.to_owned()])?);
        of_lines.add(lines, detect(&orders, &[LINES]).await?);
        // The lines of each order and its summary, besides the products of lines.
        let references = 2 * lines + lines / LINES_OF_ORDER;
        of_all.add(references, detect(&orders, &[]).await?);
        let found = postgres.number("select count(*) from orders.orphan where confirm_ts is not null").await?;
        anyhow::ensure!(found == MISSING as i64, "{found} of {MISSING} missing products were found");
        postgres.execute("truncate orders.orphan").await?;
        eprintln!(
            "orphans, run {run}: {:.0}/s of {:.0}/s; all references {:.0}/s",
            of_lines.last(),
            by_hand.last(),
            of_all.last()
        );
    }
    let limit = "one anti-join by hand";
    report.row(&format!("find orphans, {lines} lines, {PRODUCTS} products, references"), limit, &by_hand, &of_lines);
    report.row("the same, all references of the slice", limit, &by_hand, &of_all);
    report.memory(super::SERVICE, "orphans found", orders.peak_memory()?);
    report.memory("the catalog service", "orphans found", catalog.peak_memory()?);
    postgres
        .execute(
            "truncate orders.order_header, orders.order_line_item, orders.order_summary, orders.procedure_execution;
             truncate catalog.product",
        )
        .await
}

async fn fill(postgres: &Postgres, lines: usize) -> anyhow::Result<()> {
    let orders = lines / LINES_OF_ORDER;
    postgres
        .execute(&format!(
            "truncate orders.order_header, orders.order_line_item, orders.order_summary;
             truncate catalog.product;
             insert into catalog.product (uid, name)
             select 'prd_' || lpad(p::text, 26, '0'), 'PRODUCT OF MANY'
               from generate_series(0, {PRODUCTS} - 1) as p where p % {} <> 7;
             insert into orders.order_header (uid, currency_code)
             select 'ord_' || lpad(o::text, 26, '0'), 'GBP' from generate_series(0, {orders} - 1) as o;
             insert into orders.order_summary (order_uid) select uid from orders.order_header;
             insert into orders.order_line_item (order_uid, uid, line_number, product_uid)
             select 'ord_' || lpad((l / {LINES_OF_ORDER})::text, 26, '0'), 'oli_' || lpad(l::text, 26, '0'),
                    l % {LINES_OF_ORDER} + 1, 'prd_' || lpad((l::bigint * 7919 % {PRODUCTS})::text, 26, '0')
               from generate_series(0, {orders} * {LINES_OF_ORDER} - 1) as l",
            PRODUCTS / MISSING
        ))
        .await?;
    for table in ["catalog.product", "orders.order_header", "orders.order_summary", "orders.order_line_item"] {
        postgres.execute(&format!("vacuum (analyze) {table}")).await?;
    }
    postgres.settle().await
}

/// Runs the procedure to its end, and returns how long it took.
async fn detect(orders: &Process, relations: &[&str]) -> anyhow::Result<Duration> {
    let mut client = ProceduresServiceClient::new(orders.channel());
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let relations = ListValue { values: relations.iter().map(|relation| text(relation)).collect() };
    let parameters =
        [("grace".to_owned(), text("0s")), ("relations".to_owned(), Value { kind: Some(Kind::ListValue(relations)) })];
    let request = RunProcedureRequest {
        procedure: "detect_orphans".to_owned(),
        parameters: Some(Struct { fields: parameters.into() }),
        ..RunProcedureRequest::default()
    };
    let uid = client.run_procedure(request).await?.into_inner().uid;
    let mut watched = client.watch_procedure_execution(WatchProcedureExecutionRequest { uid }).await?.into_inner();
    let mut last = ProcedureExecution::default();
    while let Some(execution) = watched.message().await? {
        last = execution;
    }
    anyhow::ensure!(last.phase() == ExecutionPhase::Succeeded, "{last:?}");
    let seconds = |time: Option<prost_types::Timestamp>| {
        time.map_or(0.0, |time| time.seconds as f64 + f64::from(time.nanos) / 1e9)
    };
    // By the database's clock, so that a watcher's pauses do not count.
    Ok(Duration::from_secs_f64(seconds(last.finish_ts) - seconds(last.start_ts)))
}
