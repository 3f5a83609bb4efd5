//! Claims of due orders by concurrent workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use orrery_proto::orders::v1::ClaimDueOrdersRequest;

use super::SERVICE;
use super::service::Service;
use crate::postgres::Postgres;
use crate::{Rate, Report, setting};

const CLAIMERS: usize = 8;
/// The number of orders in a claim.
const LIMIT: usize = 100;

/// The shortest possible claim: it returns no orders and does not record the transition.
const HAND_OUT: &str = "with due as materialized (
    select uid from orders.order_header
     where provision_timer_ts <= now() and status ->> 'phase' in ('confirmed', 'provisioning')
     order by provision_timer_ts, uid limit 100 for update skip locked
)
update orders.order_header as t
   set status = t.status || '{\"phase\": \"provisioning\"}', provision_timer_ts = now() + interval '1 hour',
       revision = t.revision + 1, update_ts = now()
  from due where t.uid = due.uid;
";

pub(super) async fn measure(
    postgres: &Postgres,
    service: &Service,
    runs: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let due = setting("ORRERY_BENCH_DUE", 100_000);
    let (mut pgbench, mut claims) = (Rate::default(), Rate::default());
    service.process.forget_peak()?;
    for run in 1..=runs {
        fill(postgres, due).await?;
        let transactions = due.div_ceil(LIMIT).div_ceil(CLAIMERS);
        let ran = postgres.pgbench(HAND_OUT, CLAIMERS, ["--transactions", &transactions.to_string()])?;
        let handed =
            postgres.number("select count(*) from orders.order_header where provision_timer_ts > now()").await?;
        pgbench.add(usize::try_from(handed)?, Duration::from_secs_f64(ran.transactions / ran.rate));
        fill(postgres, due).await?;
        claims.add(due, claim_all(service, due).await?);
        eprintln!("orders-claim, run {run}: {:.0}/s of {:.0}/s", claims.last(), pgbench.last());
    }
    let limit = format!("pgbench, {CLAIMERS} clients, update ... skip locked");
    report.row(&format!("claim {due} due orders, {CLAIMERS} claimers"), &limit, &pgbench, &claims);
    report.memory(SERVICE, "orders claimed", service.process.peak_memory()?);
    Ok(())
}

/// Fills the tables with this many due, confirmed orders and their totals, and nothing else.
async fn fill(postgres: &Postgres, due: usize) -> anyhow::Result<()> {
    super::tables::empty(postgres).await?;
    postgres
        .execute(&format!(
            "insert into orders.order_header (uid, customer_id, currency_code, status, annotations, provision_timer_ts)
             select 'ord_' || lpad(n::text, 26, '0'), 'customer-' || n % 5000, 'EUR', '{{\"phase\": \"confirmed\"}}',
                    jsonb_build_object('source/number', 'N-' || n), now() - n * interval '1 second'
               from generate_series(1, {due}) as n;
             insert into orders.order_summary (order_uid, line_count, quantity, subtotal, total)
             select uid, 3, 7, 12.50, 12.50 from orders.order_header"
        ))
        .await?;
    super::tables::tidy(postgres).await
}

async fn claim_all(service: &Service, due: usize) -> anyhow::Result<Duration> {
    let claimed = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let mut claimers = Vec::new();
    for _ in 0..CLAIMERS {
        let (mut client, claimed) = (service.claims().await?, Arc::clone(&claimed));
        claimers.push(tokio::spawn(async move {
            // A claim may be empty while others hold the last orders.
            while claimed.load(Ordering::Relaxed) < due {
                let lease = Some(prost_types::Duration { seconds: 3_600, nanos: 0 });
                let request = ClaimDueOrdersRequest { limit: LIMIT as i32, lease, ..ClaimDueOrdersRequest::default() };
                claimed.fetch_add(client.claim(request).await?, Ordering::Relaxed);
            }
            anyhow::Ok(())
        }));
    }
    for claimer in claimers {
        claimer.await??;
    }
    let took = started.elapsed();
    let claimed = claimed.load(Ordering::Relaxed);
    anyhow::ensure!(claimed == due, "{claimed} of {due} orders were handed out");
    Ok(took)
}
