//! Orders: rows of four tables that are written and read together.

mod claims;
mod creates;
mod input;
mod orphans;
mod service;
mod tables;

use anyhow::Context as _;
use orrery::cluster::Role;

use self::service::{Counted, Expect, Service};
use crate::postgres::Postgres;
use crate::{Rate, Report, Settings, wanted};

const SERVICE: &str = "the orders service";

pub(crate) async fn measure(postgres: &Postgres, settings: Settings, report: &mut Report) -> anyhow::Result<()> {
    let (write, stream) = (wanted("orders-write"), wanted("orders-stream"));
    let (create, claim) = (wanted("orders-create"), wanted("orders-claim"));
    if wanted("orphans") {
        orphans::measure(postgres, settings.runs, report).await?;
    }
    if !(write || stream || create || claim) {
        return Ok(());
    }
    let service = Service::start(&postgres.url(Role::Orders)).await.context("the orders service did not start")?;
    if write || stream {
        let input = input::Input::of_a_shop()?;
        eprintln!("{} orders of {} lines, {}", input.orders.len(), input.lines, input.source);
        report.note(format!("orders: {} orders of {} lines, {}", input.orders.len(), input.lines, input.source));
        if write {
            writes(postgres, &service, &input, settings.runs, report).await?;
        } else {
            service.write(&input.chunks, Expect::Created).await?;
        }
        if stream {
            streams(postgres, &service, &input, settings.runs, report).await?;
        }
    }
    if create {
        creates::measure(postgres, &service, settings, report).await?;
    }
    if claim {
        claims::measure(postgres, &service, settings.runs, report).await?;
    }
    Ok(())
}

/// Keeps the written orders.
async fn writes(
    postgres: &Postgres,
    service: &Service,
    input: &input::Input,
    runs: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (mut copy_in, mut create, mut again) = (Rate::default(), Rate::default(), Rate::default());
    let (mut create_memory, mut again_memory) = (0, 0);
    for run in 1..=runs {
        tables::empty(postgres).await?;
        service.process.forget_peak()?;
        create.add(input.lines, service.write(&input.chunks, Expect::Created).await?);
        create_memory = create_memory.max(service.process.peak_memory()?);
        postgres.settle().await?;
        service.process.forget_peak()?;
        again.add(input.lines, service.write(&input.chunks, Expect::Unchanged).await?);
        again_memory = again_memory.max(service.process.peak_memory()?);
        // The same rows that the service wrote, in the shortest way.
        tables::copy_out(postgres)?;
        let written = tables::line_count(postgres).await?;
        anyhow::ensure!(written == input.lines, "{written} of {} lines were written", input.lines);
        tables::empty(postgres).await?;
        copy_in.add(input.lines, tables::copy_in(postgres)?);
        let copied = tables::line_count(postgres).await?;
        anyhow::ensure!(copied == input.lines, "{copied} of {} lines were copied", input.lines);
        eprintln!(
            "orders-write, run {run}: {:.0} lines/s and {:.0}, unchanged, of {:.0}",
            create.last(),
            again.last(),
            copy_in.last()
        );
    }
    let limit = "COPY FROM (FORMAT binary), same four tables";
    report.row(&format!("write {} new orders, lines", input.orders.len()), limit, &copy_in, &create);
    report.row("write them again, unchanged, lines", limit, &copy_in, &again);
    report.memory(SERVICE, "orders created", create_memory);
    report.memory(SERVICE, "orders unchanged", again_memory);
    Ok(())
}

/// Of written orders.
async fn streams(
    postgres: &Postgres,
    service: &Service,
    input: &input::Input,
    runs: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (mut copy_out, mut whole, mut undecoded, mut basic) =
        (Rate::default(), Rate::default(), Rate::default(), Rate::default());
    tables::tidy(postgres).await?;
    service.process.forget_peak()?;
    let all = Counted { orders: input.orders.len(), lines: input.lines };
    for run in 1..=runs {
        copy_out.add(all.lines, postgres.psql(&[tables::JOINED.to_owned()])?);
        let (counted, took) = service.stream_whole().await?;
        anyhow::ensure!(counted == all, "{counted:?} of {all:?} came");
        whole.add(all.lines, took);
        let (orders, took) = service.stream_undecoded().await?;
        anyhow::ensure!(orders == all.orders, "{orders} of {} orders came", all.orders);
        undecoded.add(all.lines, took);
        let (counted, took) = service.stream_basic().await?;
        anyhow::ensure!(counted.orders == all.orders, "{} of {} orders came", counted.orders, all.orders);
        basic.add(all.orders, took);
        eprintln!(
            "orders-stream, run {run}: {:.0} lines/s and {:.0}, not decoded, of {:.0}",
            whole.last(),
            undecoded.last(),
            copy_out.last()
        );
    }
    let limit = "COPY TO STDOUT (FORMAT binary) of the joined rows";
    report.row(&format!("stream {} orders, FULL, lines", all.orders), limit, &copy_out, &whole);
    report.row("the same, orders not decoded by the client, lines", limit, &copy_out, &undecoded);
    report.note(format!("stream {} orders, BASIC: {:.0} orders/s", all.orders, basic.median()));
    report.memory(SERVICE, "orders streamed", service.process.peak_memory()?);
    Ok(())
}
