//! `orrery procedures cancel`.

use std::process::ExitCode;

use clap::Args;
use orrery_proto::procedures::v1::CancelProcedureExecutionRequest;
use orrery_proto::procedures::v1::procedures_service_client::ProceduresServiceClient;

use super::target::OneService;
use super::{PatienceOptions, text, waiting};
use crate::client::describe;
use crate::terminal::CommandOutput;

/// The options of `orrery procedures cancel`.
#[derive(Debug, Args)]
pub(super) struct CancelOptions {
    /// The uid of the execution.
    uid: String,
    #[command(flatten)]
    pub(super) service: OneService,
    #[command(flatten)]
    patience: PatienceOptions,
}

/// Runs `orrery procedures cancel`.
pub(super) async fn run(options: CancelOptions) -> anyhow::Result<ExitCode> {
    let mut client = options.patience.client(options.service.address()?);
    let request = CancelProcedureExecutionRequest { uid: options.uid };
    let ask = async |client: &mut ProceduresServiceClient<_>| client.cancel_procedure_execution(request.clone()).await;
    let execution =
        client.call(&mut waiting, ask).await.map_err(|status| anyhow::anyhow!(describe(&status)))?.into_inner();
    let uid = &request.uid;
    let mut output = CommandOutput::default();
    if text::has_ended(&execution) {
        output.line(format_args!("{uid} {}", text::phase(&execution)));
    } else {
        output.line(format_args!("{uid} {}, ends before its next commit", text::phase(&execution)));
    }
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}
