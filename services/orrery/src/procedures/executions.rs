//! `orrery procedures executions`.

use std::process::ExitCode;

use clap::{Args, ValueEnum, value_parser};
use orrery_proto::procedures::v1::procedures_service_client::ProceduresServiceClient;
use orrery_proto::procedures::v1::{
    ExecutionPhase, ListProcedureExecutionsRequest, ProcedureExecution, ProcedureExecutionFilter,
};
use tonic::Status;

use super::list::print_each;
use super::target::AnyService;
use super::{PatienceOptions, ProceduresClient, text, waiting};

/// The options of `orrery procedures executions`.
#[derive(Debug, Args)]
pub(super) struct ExecutionsOptions {
    /// Only executions of this procedure. Can be repeated.
    #[arg(long, value_name = "NAME")]
    procedure: Vec<String>,
    /// Only executions in this phase. Can be repeated.
    #[arg(long, value_name = "PHASE")]
    phase: Vec<Phase>,
    /// The most executions of a service.
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    #[command(flatten)]
    pub(super) service: AnyService,
    #[command(flatten)]
    patience: PatienceOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl From<Phase> for ExecutionPhase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Pending => Self::Pending,
            Phase::Running => Self::Running,
            Phase::Succeeded => Self::Succeeded,
            Phase::Failed => Self::Failed,
            Phase::Cancelled => Self::Cancelled,
        }
    }
}

/// Runs `orrery procedures executions`.
pub(super) async fn run(options: ExecutionsOptions) -> anyhow::Result<ExitCode> {
    let phases = options.phase.iter().map(|phase| ExecutionPhase::from(*phase).into()).collect();
    let filter = ProcedureExecutionFilter { procedures: options.procedure, phases, created: None };
    let limit = options.limit as usize;
    let lines = async |client| {
        let executions = latest(client, filter.clone(), limit).await?;
        Ok(text::table(&executions.iter().map(cells).collect::<Vec<_>>()))
    };
    print_each(options.service.targets()?, options.patience, lines).await
}

/// The latest executions, the newest first.
pub(super) async fn latest(
    mut client: ProceduresClient,
    filter: ProcedureExecutionFilter,
    limit: usize,
) -> Result<Vec<ProcedureExecution>, Status> {
    const MAX_PAGE: usize = 1_000;
    let (mut executions, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListProcedureExecutionsRequest {
            filter: Some(filter.clone()),
            order_by: "create_ts desc".to_owned(),
            page_size: (limit - executions.len()).min(MAX_PAGE) as i32,
            page_token,
            read_mask: None,
        };
        let ask =
            async |client: &mut ProceduresServiceClient<_>| client.list_procedure_executions(request.clone()).await;
        let page = client.call(&mut waiting, ask).await?.into_inner();
        executions.extend(page.procedure_executions);
        page_token = page.next_page_token;
        if executions.len() >= limit || page_token.is_empty() {
            executions.truncate(limit);
            return Ok(executions);
        }
    }
}

fn cells(execution: &ProcedureExecution) -> Vec<String> {
    let mut about: Vec<String> = Vec::new();
    if !text::has_ended(execution) {
        // The phase has a column of its own.
        about.extend(text::state(execution).split_once(", ").map(|(_, rest)| rest.to_owned()));
    } else if !execution.error.is_empty() {
        about.push(execution.error.clone());
    } else if execution.processed > 0 {
        about.push(text::amount(execution));
    }
    about.extend(execution.result.as_ref().filter(|result| !result.fields.is_empty()).map(text::parameters));
    vec![
        execution.create_ts.map(text::time).unwrap_or_default(),
        execution.uid.clone(),
        execution.procedure.clone(),
        text::phase(execution).to_owned(),
        text::duration(execution).unwrap_or_default(),
        about.join("; "),
    ]
}
