//! `orrery procedures watch`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use orrery_proto::procedures::v1::{ExecutionPhase, ProcedureExecution, WatchProcedureExecutionRequest};
use tonic::Status;

use super::progress::Progress;
use super::target::OneService;
use super::{PatienceOptions, ProceduresClient, text};
use crate::client::{Waiting, describe, ended_early};
use crate::terminal::{CommandOutput, printable};

pub(super) const AFTER_HELP: &str = "\
Exit codes: 0 the execution succeeded; 1 it failed or was cancelled, or could not be watched to its end; 2 the command \
line is wrong; 1 or 141 it succeeded, but its result could not be written to standard output or had no reader.";

/// The options of `orrery procedures watch`.
#[derive(Debug, Args)]
pub(super) struct WatchOptions {
    /// The uid of the execution.
    uid: String,
    #[command(flatten)]
    pub(super) service: OneService,
    #[command(flatten)]
    patience: PatienceOptions,
}

/// Runs `orrery procedures watch`.
pub(super) async fn run(options: WatchOptions) -> anyhow::Result<ExitCode> {
    let mut client = options.patience.client(options.service.address()?);
    watch(&mut client, &options.uid, CommandOutput::default()).await
}

/// Shows an execution until it ends, and adds its result to the output.
///
/// # Errors
/// It did not succeed or cannot be watched, or the output cannot be written.
pub(super) async fn watch(
    client: &mut ProceduresClient,
    uid: &str,
    mut output: CommandOutput,
) -> anyhow::Result<ExitCode> {
    let mut progress = Progress::new();
    let bar = progress.bar();
    let mut waiting = |status: &Status, wait: Duration| crate::progress::print_retry(&bar, status, wait);
    let ended = until_ended(client, uid, &mut waiting, &mut |execution| progress.show(execution)).await;
    progress.finish();
    let execution = match ended {
        Ok(execution) => execution,
        Err(status) => anyhow::bail!("{uid} cannot be watched any more: {}", describe(&status)),
    };
    for line in outcome(&execution) {
        output.line(printable(&line));
    }
    match execution.phase() {
        ExecutionPhase::Succeeded => {}
        ExecutionPhase::Failed => anyhow::bail!("{uid} failed: {}", execution.error),
        _ => anyhow::bail!("{uid} was cancelled"),
    }
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// Watches an execution until it has ended, on as many streams as it takes, and returns it.
pub(super) async fn until_ended(
    client: &mut ProceduresClient,
    uid: &str,
    waiting: Waiting<'_>,
    on_message: &mut dyn FnMut(&ProcedureExecution),
) -> Result<ProcedureExecution, Status> {
    client.begin();
    loop {
        match watch_once(client, uid, on_message).await {
            Ok(execution) => return Ok(execution),
            Err(status) => client.wait_after(status, waiting).await?,
        }
    }
}

/// Watches an execution on one stream.
async fn watch_once(
    client: &mut ProceduresClient,
    uid: &str,
    on_message: &mut dyn FnMut(&ProcedureExecution),
) -> Result<ProcedureExecution, Status> {
    let request = WatchProcedureExecutionRequest { uid: uid.to_owned() };
    let mut stream = client.connected().await?.watch_procedure_execution(request).await?.into_inner();
    let result = loop {
        match stream.message().await {
            Ok(Some(execution)) => {
                client.answered();
                on_message(&execution);
                if text::has_ended(&execution) {
                    return Ok(execution);
                }
            }
            Ok(None) => break Err(ended_early()),
            Err(status) => break Err(status),
        }
    };
    // An execution may take longer than the patience without a change.
    client.begin();
    result
}

/// What became of an execution: a line, and one for each number of its result.
fn outcome(execution: &ProcedureExecution) -> Vec<String> {
    let took = text::duration(execution).map(|took| format!(" after {took}")).unwrap_or_default();
    let mut lines = vec![format!(
        "{} {}{took}, {} processed",
        execution.procedure,
        text::phase(execution),
        crate::numbers::grouped(text::count(execution.processed))
    )];
    lines.extend(execution.result.as_ref().map(text::result_lines).unwrap_or_default());
    lines
}
