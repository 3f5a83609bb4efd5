//! The methods that move orders along their lifecycle.

use orrery_kit::context::{Call, Context};
use orrery_kit::db::Ending;
use orrery_kit::error::Error;
use orrery_kit::timestamp;
use orrery_kit::write::returned::{read_back, returning};
use orrery_kit::write::transition::{self, BoundColumn, Transition, check_revision, check_uid, lock};
use orrery_proto::orders::v1::{SetProvisionTimerRequest, TransitionOrderRequest};
use orrery_proto::wire::Encoded;
use tonic::{Request, Response};

use crate::lifecycle::TIMED_PHASES;
use crate::store::order::ORDER;
use crate::store::timer;

/// What a move out of the phases that have a timer clears.
const BOUND: &[BoundColumn] = &[BoundColumn { column: "provision_timer_ts", phases: TIMED_PHASES }];

pub(super) async fn transition(
    context: &Context,
    request: Request<TransitionOrderRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let TransitionOrderRequest { uid, to_phase, reason, revision } = request.into_inner();
    let (deadline, answers) = (call.deadline, call.answers);
    let transition = Transition { uid, to_phase, reason, revision, deadline, answers };
    call.answer_written(transition::transition(&context.writes(&call), &ORDER, BOUND, transition).await?)
}

pub(super) async fn set_timer(
    context: &Context,
    request: Request<SetProvisionTimerRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let SetProvisionTimerRequest { uid, provision_timer_ts, revision } = request.into_inner();
    check_uid(&uid)?;
    check_revision(revision)?;
    let time = provision_timer_ts
        .map(|time| timestamp::to_postgres(time.seconds, time.nanos))
        .transpose()
        .map_err(|why| Error::invalid("provision_timer_ts", why))?;
    let context = context.writes(&call);
    let (deadline, answers) = (call.deadline, call.answers);
    let order = returning(deadline, |extent| {
        let uid = uid.clone();
        context.transaction(deadline, move |transaction| {
            Box::pin(async move {
                let phase = lock(transaction, &ORDER, &uid, revision).await?;
                if time.is_some() && !TIMED_PHASES.contains(&phase.as_str()) {
                    let (resource, field) = (ORDER.description.message, "provision_timer_ts");
                    return Err(Error::PhaseForbidsField { resource, name: uid, phase, field, allowed: TIMED_PHASES });
                }
                transaction.write(timer::set(&uid, time)?).await?;
                Ok(Ending::Commit(read_back(transaction, &ORDER, &uid, answers, extent).await?))
            })
        })
    });
    call.answer_written(order.await.map_err(|error| error.of_refused_row(&ORDER, &uid, ""))?)
}
