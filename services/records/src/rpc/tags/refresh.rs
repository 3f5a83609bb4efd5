//! RefreshTagPerformanceAggregate: runs the steps of a refresh, and tells how far it is.

use std::sync::Arc;

use orrery_kit::collection::Messages;
use orrery_kit::context::{Call, Context, Writes};
use orrery_kit::db::TransactionEnd;
use orrery_kit::db::retry::retried;
use orrery_kit::error::Error;
use orrery_proto::records::v1::{
    RefreshStep, RefreshTagPerformanceAggregateRequest, RefreshTagPerformanceAggregateResponse,
};
use tonic::{Request, Response};

use crate::refresh::{Asked, Refresh, Sources, Stage, Work};
use crate::store::tag_performance::refresh::{Part, Rebuild};

type Progress = RefreshTagPerformanceAggregateResponse;

pub(super) fn refresh(
    context: &Context,
    sources: &Sources,
    request: Request<RefreshTagPerformanceAggregateRequest>,
) -> Result<Response<Messages<Progress>>, Error> {
    let call = Call::of(&request)?;
    let writes = context.writes(&call);
    let RefreshTagPerformanceAggregateRequest { day_as_of, time_zone } = request.into_inner();
    let asked = Asked { day_as_of, time_zone };
    asked.check("")?;
    let mut refresh = Refresh::new(sources, asked, "", call.deadline);
    Ok(Response::new(Box::pin(async_stream::try_stream! {
        let mut stage = Stage::Beginning;
        loop {
            let work = call.draining.step(refresh.step(&stage)).await?;
            let next = run(&writes, &call, work).await?;
            if let Some(progress) = progress(&stage, &next) {
                yield progress;
            }
            if let Stage::Done { processed, .. } = next {
                call.rows.add(processed.unsigned_abs());
                break;
            }
            stage = next;
        }
    })))
}

/// What is told of a step: the beginning, each page that was processed, and the end.
fn progress(before: &Stage, after: &Stage) -> Option<Progress> {
    match (before, after) {
        (_, Stage::Done { generation, processed }) => {
            Some(Progress { generation: *generation, step: RefreshStep::Done.into(), processed: *processed })
        }
        (Stage::Rebuilding(before, _), Stage::Rebuilding(after, _))
            if before.generation == after.generation && before.part != after.part && before.part != Part::Tags =>
        {
            None
        }
        (_, Stage::Rebuilding(Rebuild { generation, part, processed, .. }, _)) => {
            let step = match part {
                Part::Sales => RefreshStep::Sales,
                Part::Metrics => RefreshStep::Metrics,
                Part::Tags | Part::Publish => RefreshStep::Tags,
            };
            Some(Progress { generation: *generation, step: step.into(), processed: *processed })
        }
        _ => None,
    }
}

/// Runs the work of a step in a transaction, again if that gave way to another one. None begins while the service
/// stops.
async fn run(writes: &Writes, call: &Call, work: Work) -> Result<Stage, Error> {
    if call.draining.has_begun() {
        return Err(Error::Draining);
    }
    retried(call.deadline, || {
        let work = Arc::clone(&work);
        writes.transaction(call.deadline, move |transaction| {
            Box::pin(async move { Ok(TransactionEnd::Commit(work(transaction).await?)) })
        })
    })
    .await
}
