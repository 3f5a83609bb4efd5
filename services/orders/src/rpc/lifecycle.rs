//! The methods that move orders along their lifecycle.

use orrery_kit::context::{Call, Context};
use orrery_kit::db::Ending;
use orrery_kit::error::Error;
use orrery_kit::read::view::{View, mask};
use orrery_kit::timestamp;
use orrery_kit::write::request_id::{Entry, digest};
use orrery_kit::write::returned::{read_masked, returning};
use orrery_kit::write::start::check_id;
use orrery_kit::write::transition::{self, BoundColumn, Transition, check_revision, check_uid, lock};
use orrery_proto::orders::v1::{SetProvisionTimerRequest, TransitionOrderRequest};
use orrery_proto::wire::Encoded;
use prost::Message as _;
use tonic::{Request, Response};

use super::view;
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
    let request = request.into_inner();
    check_id(&request.request_id).map_err(|why| Error::invalid("request_id", why))?;
    let returned = mask(&ORDER, request.read_mask.as_ref(), view(request.view, View::Basic)?)?;
    // What may differ in a retry, and the id itself, are left out.
    let asked = TransitionOrderRequest { request_id: String::new(), view: 0, read_mask: None, ..request.clone() };
    let content = digest(&asked.encode_to_vec());
    let TransitionOrderRequest { uid, to_phase, reason, revision, .. } = asked;
    let context = context.for_writes(&call);
    let entry = Entry::of(&context, "transition", &ORDER, &request.request_id, content);
    let (deadline, answers) = (call.deadline, call.answers);
    let transition = Transition { uid, to_phase, reason, revision, deadline, answers, returned, entry };
    call.answer_written(transition::transition(&context, &ORDER, BOUND, transition).await?)
}

pub(super) async fn set_timer(
    context: &Context,
    request: Request<SetProvisionTimerRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let request = request.into_inner();
    check_id(&request.request_id).map_err(|why| Error::invalid("request_id", why))?;
    let returned = mask(&ORDER, request.read_mask.as_ref(), view(request.view, View::Basic)?)?;
    // What may differ in a retry, and the id itself, are left out.
    let asked = SetProvisionTimerRequest { request_id: String::new(), view: 0, read_mask: None, ..request.clone() };
    let content = digest(&asked.encode_to_vec());
    let SetProvisionTimerRequest { uid, provision_timer_ts, revision, .. } = asked;
    check_uid(&uid)?;
    check_revision(revision)?;
    let time = provision_timer_ts
        .map(|time| timestamp::to_postgres(time.seconds, time.nanos))
        .transpose()
        .map_err(|why| Error::invalid("provision_timer_ts", why))?;
    let context = context.for_writes(&call);
    let entry = Entry::of(&context, "set_provision_timer", &ORDER, &request.request_id, content);
    let (deadline, answers) = (call.deadline, call.answers);
    let order = returning(deadline, |extent| {
        let (uid, returned, entry) = (uid.clone(), returned.clone(), entry.clone());
        context.database.transaction(deadline, move |transaction| {
            Box::pin(async move {
                if let Some(entry) = entry
                    && let Some(uid) = entry.enter(transaction, &uid).await?
                {
                    let now = read_masked(transaction, &ORDER, &returned, &uid, answers, extent).await?;
                    return Ok(Ending::RollBack(now));
                }
                let phase = lock(transaction, &ORDER, &uid, revision).await?;
                if time.is_some() && !TIMED_PHASES.contains(&phase.as_str()) {
                    let (resource, field) = (ORDER.description.message, "provision_timer_ts");
                    return Err(Error::PhaseForbidsField { resource, name: uid, phase, field, allowed: TIMED_PHASES });
                }
                transaction.write(timer::set(&uid, time)?).await?;
                Ok(Ending::Commit(read_masked(transaction, &ORDER, &returned, &uid, answers, extent).await?))
            })
        })
    });
    call.answer_written(order.await.map_err(|error| error.of_refused_row(&ORDER, &uid, ""))?)
}
