//! `orrery.procedures.v1.ProceduresService`, which every slice serves.

use std::sync::Arc;
use std::time::Duration;

use orrery_proto::procedures::v1::server::ProceduresService;
use orrery_proto::procedures::v1::{
    CancelProcedureExecutionRequest, GetProcedureExecutionRequest, ListOrphansRequest, ListProcedureExecutionsRequest,
    ListProceduresRequest, ListProceduresResponse, Procedure, ProcedureExecution, ProcedureSchedule,
    RunProcedureRequest, SetProcedureScheduleRequest, StreamOrphansRequest, WatchProcedureExecutionRequest,
};
use orrery_proto::wire::Encoded;
use prost::Message as _;
use tonic::{Request, Response, Status};

use super::parameters::Parameters;
use super::procedure::Job;
use super::records::{ENDED, ProcedureRecords, execution_filter, orphan_filter};
use super::{Shared, execution, schedule};
use crate::collection::{Collection, Messages};
use crate::context::Call;
use crate::db::TransactionEnd;
use crate::db::retry::retried;
use crate::error::Error;
use crate::read::point;
use crate::resource::select::Selection;

/// How often a watched execution is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(400);

/// The service of a slice.
#[derive(Debug)]
pub struct ProceduresOfSlice {
    shared: Arc<Shared>,
    executions: Collection,
    orphans: Collection,
    records: ProcedureRecords,
}

type Answer<T> = Result<Response<T>, Status>;

impl ProceduresOfSlice {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let records = ProcedureRecords::of(shared.context.schema);
        let executions = Collection::new(&shared.context, records.executions);
        let orphans = Collection::new(&shared.context, records.orphans);
        Self { shared, executions, orphans, records }
    }

    /// An execution as it is now.
    async fn execution(&self, call: &Call, uid: &String) -> Result<Encoded, Error> {
        let resource = self.records.executions;
        let key = resource.key([uid])?;
        point::get(&self.shared.context.reads(call), resource, &Selection::whole(resource), &key, call.deadline).await
    }

    /// The procedures, each with its schedule.
    async fn procedures(&self, call: &Call) -> Result<Vec<Procedure>, Error> {
        let schedules = schedule::read(&self.shared, call.deadline).await?;
        let mut procedures: Vec<Procedure> = Vec::with_capacity(self.shared.procedures.len());
        for procedure in &self.shared.procedures {
            let stored = schedules.iter().find(|schedule| schedule.procedure == procedure.name());
            procedures.push(Procedure {
                name: procedure.name().to_owned(),
                description: procedure.description().to_owned(),
                parameters: procedure.parameters().iter().map(super::parameters::Parameter::message).collect(),
                schedule: stored.map(|schedule| ProcedureSchedule::clone(&schedule.message)),
            });
        }
        Ok(procedures)
    }

    async fn run(&self, request: Request<RunProcedureRequest>) -> Result<Response<Encoded>, Error> {
        let call = Call::of(&request)?;
        let RunProcedureRequest { procedure: name, parameters, request_id } = request.into_inner();
        let procedure = self.shared.named(&name)?;
        let parameters = Parameters::of_message(procedure.parameters(), parameters.as_ref(), "parameters")?;
        if request_id.len() > 128 || !request_id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::invalid("request_id", "must be at most 128 ASCII characters from ! to ~"));
        }
        procedure.begin(&Job { execution_uid: String::new(), parameters: parameters.clone() })?;
        let (schema, writes) = (self.shared.context.schema, self.shared.context.writes(&call));
        let uid = retried(call.deadline, || {
            let (name, parameters, request_id) = (name.clone(), parameters.stored(), request_id.clone());
            writes.transaction(call.deadline, move |transaction| {
                Box::pin(async move {
                    let uid = execution::insert(transaction, schema, &name, &parameters, &request_id).await?;
                    Ok(TransactionEnd::Commit(uid))
                })
            })
        })
        .await?;
        self.shared.woken.notify_one();
        call.answer(self.execution(&call, &uid).await?)
    }

    async fn cancel(&self, request: Request<CancelProcedureExecutionRequest>) -> Result<Response<Encoded>, Error> {
        let call = Call::of(&request)?;
        let uid = request.into_inner().uid;
        self.records.executions.key([&uid])?;
        let (schema, writes) = (self.shared.context.schema, self.shared.context.writes(&call));
        retried(call.deadline, || {
            let uid = uid.clone();
            writes.transaction(call.deadline, move |transaction| {
                Box::pin(async move {
                    execution::cancel(transaction, schema, &uid).await?;
                    Ok(TransactionEnd::Commit(()))
                })
            })
        })
        .await?;
        // Others may have waited for it.
        self.shared.woken.notify_one();
        call.answer(self.execution(&call, &uid).await?)
    }

    async fn set_schedule(&self, request: Request<SetProcedureScheduleRequest>) -> Result<Response<Encoded>, Error> {
        let call = Call::of(&request)?;
        let SetProcedureScheduleRequest { procedure: name, schedule } = request.into_inner();
        let procedure = self.shared.named(&name)?;
        let (schedule, parameters) = schedule::checked(procedure, schedule.as_ref())?;
        procedure.begin(&Job { execution_uid: String::new(), parameters: parameters.clone() })?;
        let (schema, writes) = (self.shared.context.schema, self.shared.context.writes(&call));
        let named = name.clone();
        retried(call.deadline, || {
            let (name, parameters) = (named.clone(), parameters.clone());
            writes.transaction(call.deadline, move |transaction| {
                Box::pin(async move {
                    schedule::set(transaction, schema, &name, (schedule, &parameters)).await?;
                    Ok(TransactionEnd::Commit(()))
                })
            })
        })
        .await?;
        let procedures = self.procedures(&call).await?;
        let procedure = procedures.into_iter().find(|procedure| procedure.name == name).unwrap_or_default();
        call.answer(Encoded { rows: 1, body: procedure.encode_to_vec().into(), ..Encoded::default() })
    }

    async fn list(&self, request: Request<ListProceduresRequest>) -> Result<Response<Encoded>, Error> {
        let call = Call::of(&request)?;
        let ListProceduresRequest { page_size, page_token } = request.into_inner();
        if page_size < 0 {
            return Err(Error::invalid("page_size", "must not be negative"));
        }
        if !page_token.is_empty() {
            return Err(Error::TokenInvalid("page_token"));
        }
        let procedures = self.procedures(&call).await?;
        let rows = procedures.len() as u64;
        let answer = ListProceduresResponse { procedures, next_page_token: String::new() };
        call.answer(Encoded { rows, body: answer.encode_to_vec().into(), ..Encoded::default() })
    }

    fn watch(&self, request: Request<WatchProcedureExecutionRequest>) -> Result<Response<Messages<Encoded>>, Error> {
        let call = Call::of(&request)?;
        let uid = request.into_inner().uid;
        let resource = self.records.executions;
        let key = resource.key([&uid])?;
        let reads = self.shared.context.reads(&call);
        Ok(Response::new(Box::pin(async_stream::try_stream! {
            let selection = Selection::whole(resource);
            let mut last = None;
            loop {
                let reading = point::get(&reads, resource, &selection, &key, call.deadline);
                let message = call.draining.step(reading).await?;
                let phase = ProcedureExecution::decode(message.body.clone()).map_err(Error::internal)?.phase();
                if last.as_ref() != Some(&message.body) {
                    last = Some(message.body.clone());
                    call.answers.check(message.len())?;
                    call.rows.add(message.rows);
                    yield message;
                }
                if ENDED.contains(&phase) {
                    return;
                }
                let goes_on = tokio::select! {
                    () = tokio::time::sleep(WATCH_INTERVAL) => Ok(()),
                    () = call.deadline.passed() => Err(Error::DeadlineExceeded),
                    () = call.draining.begun() => Err(Error::Draining),
                };
                goes_on?;
            }
        })))
    }
}

#[tonic::async_trait]
impl ProceduresService for ProceduresOfSlice {
    async fn list_procedures(&self, request: Request<ListProceduresRequest>) -> Answer<Encoded> {
        Ok(self.list(request).await?)
    }

    async fn run_procedure(&self, request: Request<RunProcedureRequest>) -> Answer<Encoded> {
        Ok(self.run(request).await?)
    }

    async fn get_procedure_execution(&self, request: Request<GetProcedureExecutionRequest>) -> Answer<Encoded> {
        self.executions.get(request).await
    }

    async fn list_procedure_executions(&self, request: Request<ListProcedureExecutionsRequest>) -> Answer<Encoded> {
        self.executions.list(request, execution_filter).await
    }

    type WatchProcedureExecutionStream = Messages<Encoded>;

    async fn watch_procedure_execution(
        &self,
        request: Request<WatchProcedureExecutionRequest>,
    ) -> Answer<Messages<Encoded>> {
        Ok(self.watch(request)?)
    }

    async fn cancel_procedure_execution(&self, request: Request<CancelProcedureExecutionRequest>) -> Answer<Encoded> {
        Ok(self.cancel(request).await?)
    }

    async fn set_procedure_schedule(&self, request: Request<SetProcedureScheduleRequest>) -> Answer<Encoded> {
        Ok(self.set_schedule(request).await?)
    }

    async fn list_orphans(&self, request: Request<ListOrphansRequest>) -> Answer<Encoded> {
        self.orphans.list(request, orphan_filter).await
    }

    type StreamOrphansStream = Messages<Encoded>;

    async fn stream_orphans(&self, request: Request<StreamOrphansRequest>) -> Answer<Messages<Encoded>> {
        self.orphans.stream(request, orphan_filter).await
    }
}
