//! `orrery procedures list`.

use std::process::ExitCode;

use clap::Args;
use orrery_proto::procedures::v1::{ListProceduresRequest, Procedure};
use tonic::Status;

use super::target::{AnyService, Target};
use super::{PatienceOptions, ProceduresClient, text, waiting};
use crate::client::describe;
use crate::terminal::{CommandOutput, eprint_line, printable};

/// The options of `orrery procedures list`.
#[derive(Debug, Args)]
pub(super) struct ListOptions {
    #[command(flatten)]
    pub(super) service: AnyService,
    #[command(flatten)]
    patience: PatienceOptions,
}

/// Runs `orrery procedures list`.
pub(super) async fn run(options: ListOptions) -> anyhow::Result<ExitCode> {
    let lines = async |mut client| {
        let procedures = procedures(&mut client).await?;
        Ok(procedures.iter().flat_map(text::procedure_lines).collect())
    };
    print_each(options.service.targets()?, options.patience, lines).await
}

async fn procedures(client: &mut ProceduresClient) -> Result<Vec<Procedure>, Status> {
    let request = ListProceduresRequest::default();
    let answer = client.call(&mut waiting, async |client| client.list_procedures(request.clone()).await).await?;
    Ok(answer.into_inner().procedures)
}

/// Asks services at the same time and prints their lines, each below its name and address. A service that does not
/// answer does not hold back the others; the exit code tells.
///
/// # Errors
/// Standard output cannot be written.
pub(super) async fn print_each(
    targets: Vec<Target>,
    patience: PatienceOptions,
    lines: impl AsyncFn(ProceduresClient) -> Result<Vec<String>, Status>,
) -> anyhow::Result<ExitCode> {
    let asked = targets.iter().map(|target| lines(patience.client(target.address.clone())));
    let answers = futures::future::join_all(asked).await;
    let (mut output, mut code) = (CommandOutput::default(), ExitCode::SUCCESS);
    for (place, (Target { name, address }, answer)) in targets.iter().zip(answers).enumerate() {
        match answer {
            Ok(lines) => {
                if place > 0 {
                    output.line("");
                }
                output.line(format_args!("{name} {address}"));
                for line in lines {
                    output.line(printable(&line));
                }
            }
            Err(status) => {
                code = ExitCode::FAILURE;
                eprint_line(format_args!("orrery: {name}: {}", printable(&describe(&status))));
            }
        }
    }
    output.finish()?;
    Ok(code)
}
