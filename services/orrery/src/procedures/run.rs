//! `orrery procedures run`.

use std::process::ExitCode;

use clap::Args;
use orrery_kit::write::check_id;
use orrery_proto::procedures::v1::{ProcedureExecution, RunProcedureRequest};
use tonic::Status;

use super::parameters::{GivenParameter, parse_for, parse_given};
use super::target::OneService;
use super::{PatienceOptions, ProceduresClient, waiting, watch};
use crate::client::describe;
use crate::terminal::CommandOutput;

pub(super) const AFTER_HELP: &str = "\
Values: booleans are true or false, durations are 500ms, 10s, 5m or 720h, lists are separated by commas. `orrery \
procedures list` shows which parameters a procedure has.

Examples:
  orrery procedures run detect_orphans dry_run=true --wait --catalog
  orrery procedures run detect_orphans relations=orders.order_line_item.product_uid --orders 10.0.0.7:50052

Exit codes: 0 the execution was asked for and, with --wait, succeeded; 1 it was not, or did not succeed; 2 the command \
line is wrong; 141 standard output had no reader.";

/// The options of `orrery procedures run`.
#[derive(Debug, Args)]
pub(super) struct RunOptions {
    /// The name of the procedure.
    name: String,
    /// Values of its parameters, such as dry_run=true.
    #[arg(value_name = "PARAMETER=VALUE", value_parser = parse_given)]
    parameters: Vec<GivenParameter>,
    /// Waits until the execution has ended, as `orrery procedures watch` does.
    #[arg(long)]
    wait: bool,
    /// The name of this run. The same command with the same name returns the same execution and starts no other one.
    /// Default: a new name.
    #[arg(long, value_name = "ID", value_parser = parse_request_id)]
    request_id: Option<String>,
    #[command(flatten)]
    pub(super) service: OneService,
    #[command(flatten)]
    patience: PatienceOptions,
}

fn parse_request_id(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("must not be empty; leave --request-id out to get a new one".into());
    }
    check_id(text).map(|()| text.to_owned())
}

/// Runs `orrery procedures run`.
pub(super) async fn run(options: RunOptions) -> anyhow::Result<ExitCode> {
    let mut client = options.patience.client(options.service.address()?);
    let parameters = parse_for(&mut client, &options.name, &options.parameters).await?;
    let request_id =
        options.request_id.unwrap_or_else(|| format!("run-{}", ulid::Ulid::generate().to_string().to_lowercase()));
    let request = RunProcedureRequest { procedure: options.name, parameters, request_id };
    let execution = start(&mut client, &request).await.map_err(|status| {
        // After these codes it may have been started.
        let unknown = orrery_peers::retry_after(&status).is_some();
        let again =
            format!("; it may have been started: to find out, run it again with --request-id {}", request.request_id);
        anyhow::anyhow!("{}{}", describe(&status), if unknown { again.as_str() } else { "" })
    })?;
    let mut output = CommandOutput::default();
    output.line(&execution.uid);
    if options.wait {
        return watch::watch(&mut client, &execution.uid, output).await;
    }
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// Asks for an execution. The request has a request_id, so that it can be sent again.
pub(super) async fn start(
    client: &mut ProceduresClient,
    request: &RunProcedureRequest,
) -> Result<ProcedureExecution, Status> {
    let answer = client.call(&mut waiting, async |client| client.run_procedure(request.clone()).await).await?;
    Ok(answer.into_inner())
}
