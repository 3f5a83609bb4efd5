//! `orrery procedures schedule`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use orrery_kit::config::parse_duration;
use orrery_proto::procedures::v1::{ProcedureSchedule, SetProcedureScheduleRequest};

use super::parameters::{GivenParameter, parse_for, parse_given};
use super::target::OneService;
use super::{PatienceOptions, text, waiting};
use crate::client::describe;
use crate::terminal::{CommandOutput, printable};

/// The options of `orrery procedures schedule`.
#[derive(Debug, Args)]
pub(super) struct ScheduleOptions {
    /// The name of the procedure.
    name: String,
    /// Values of the parameters of its runs, such as dry_run=true.
    #[arg(value_name = "PARAMETER=VALUE", value_parser = parse_given, conflicts_with = "off")]
    parameters: Vec<GivenParameter>,
    /// The time from one start to the next, such as 30m, 1h or 24h.
    #[arg(long, value_name = "DURATION", value_parser = parse_interval, required_unless_present = "off")]
    every: Option<Duration>,
    /// Each start is later by a random part of this time, so that many services do not start at once.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, conflicts_with = "off")]
    jitter: Option<Duration>,
    /// The procedure does not run by itself any more.
    #[arg(long, conflicts_with = "every")]
    off: bool,
    #[command(flatten)]
    pub(super) service: OneService,
    #[command(flatten)]
    patience: PatienceOptions,
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    if interval.is_zero() { Err("must be longer than 0s; --off stops the runs".into()) } else { Ok(interval) }
}

/// Runs `orrery procedures schedule`.
pub(super) async fn run(options: ScheduleOptions) -> anyhow::Result<ExitCode> {
    let mut client = options.patience.client(options.service.address()?);
    let parameters = parse_for(&mut client, &options.name, &options.parameters).await?;
    let of = |duration: Duration| prost_types::Duration::try_from(duration).map_err(anyhow::Error::from);
    let schedule = match options.every {
        None => None,
        Some(every) => Some(ProcedureSchedule {
            interval: Some(of(every)?),
            jitter: options.jitter.map(of).transpose()?,
            parameters,
            ..ProcedureSchedule::default()
        }),
    };
    let request = SetProcedureScheduleRequest { procedure: options.name, schedule };
    let answer = client.call(&mut waiting, async |client| client.set_procedure_schedule(request.clone()).await).await;
    let procedure = answer.map_err(|status| anyhow::anyhow!(describe(&status)))?.into_inner();
    let mut output = CommandOutput::default();
    output.line(printable(&format!("{} {}", procedure.name, text::schedule(procedure.schedule.as_ref()))));
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}
