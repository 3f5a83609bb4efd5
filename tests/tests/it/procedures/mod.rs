//! Procedures: how executions are run, by one worker or many, and what the procedures of the services do.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod arbitrary_input;
mod orphans;
mod rpc;
mod slices;
mod worker;

use std::collections::BTreeMap;
use std::time::Duration;

use orrery_proto::procedures::v1::procedures_service_client::ProceduresServiceClient;
use orrery_proto::procedures::v1::{
    ExecutionPhase, Orphan, OrphanFilter, ProcedureExecution, RunProcedureRequest, StreamOrphansRequest,
    WatchProcedureExecutionRequest,
};
use prost_types::value::Kind;
use tonic::transport::Channel;

/// How long an execution may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// A client of a service's procedures.
pub(crate) struct Client(pub(crate) ProceduresServiceClient<Channel>);

impl Client {
    pub(crate) fn of(channel: Channel) -> Self {
        Self(ProceduresServiceClient::new(channel).max_decoding_message_size(64 << 20))
    }

    /// Asks for an execution.
    pub(crate) async fn run(&self, procedure: &str, parameters: &[(&str, Kind)]) -> String {
        let request = RunProcedureRequest {
            procedure: procedure.to_owned(),
            parameters: Some(object(parameters)),
            ..Default::default()
        };
        self.0.clone().run_procedure(request).await.unwrap().into_inner().uid
    }

    /// Waits until an execution has ended.
    pub(crate) async fn ended(&self, uid: &str) -> ProcedureExecution {
        self.until(uid, |execution| execution.finish_ts.is_some()).await
    }

    /// Waits until an execution is in some state.
    pub(crate) async fn until(&self, uid: &str, reached: impl Fn(&ProcedureExecution) -> bool) -> ProcedureExecution {
        let mut last = None;
        let watch = async {
            loop {
                let request = WatchProcedureExecutionRequest { uid: uid.to_owned() };
                // The service may be restarted meanwhile.
                let Ok(watched) = self.0.clone().watch_procedure_execution(request).await else {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let mut watched = watched.into_inner();
                while let Ok(Some(execution)) = watched.message().await {
                    if reached(&execution) {
                        return execution;
                    }
                    last = Some(execution);
                }
            }
        };
        let reached = tokio::time::timeout(PATIENCE, watch).await;
        reached.unwrap_or_else(|_| unreachable!("the execution stays at {last:?}"))
    }

    /// Runs a procedure to its end, which must be a success, and returns its numbers.
    pub(crate) async fn numbers(&self, procedure: &str, parameters: &[(&str, Kind)]) -> BTreeMap<String, i64> {
        let uid = self.run(procedure, parameters).await;
        let ended = self.ended(&uid).await;
        assert_eq!(ended.phase(), ExecutionPhase::Succeeded, "{ended:?}");
        numbers(&ended)
    }

    /// All confirmed orphans.
    pub(crate) async fn orphans(&self) -> Vec<Orphan> {
        self.orphans_that(OrphanFilter::default()).await
    }

    /// The orphans that pass a filter.
    pub(crate) async fn orphans_that(&self, filter: OrphanFilter) -> Vec<Orphan> {
        let request = StreamOrphansRequest { filter: Some(filter), ..Default::default() };
        let mut pages = self.0.clone().stream_orphans(request).await.unwrap().into_inner();
        let mut orphans = Vec::new();
        while let Some(page) = pages.message().await.unwrap() {
            orphans.extend(page.orphans);
        }
        orphans
    }
}

/// A Struct.
pub(crate) fn object(entries: &[(&str, Kind)]) -> prost_types::Struct {
    let fields = entries.iter().map(|(key, kind)| ((*key).to_owned(), prost_types::Value { kind: Some(kind.clone()) }));
    prost_types::Struct { fields: fields.collect() }
}

/// A text of a Struct.
pub(crate) fn text(text: &str) -> Kind {
    Kind::StringValue(text.to_owned())
}

/// The numbers of an execution's result.
#[expect(clippy::cast_possible_truncation, reason = "they are whole")]
pub(crate) fn numbers(execution: &ProcedureExecution) -> BTreeMap<String, i64> {
    let result = execution.result.clone().unwrap_or_default();
    let number = |(name, value): (String, prost_types::Value)| match value.kind {
        Some(Kind::NumberValue(number)) => (name, number as i64),
        other => unreachable!("{name} is {other:?}"),
    };
    result.fields.into_iter().map(number).collect()
}
