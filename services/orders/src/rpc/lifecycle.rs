//! TransitionOrder and SetProvisionTimer.

use std::sync::Arc;

use orrery_kit::collection::view::asked_for;
use orrery_kit::context::{Call, Context, Writes};
use orrery_kit::error::Error;
use orrery_kit::read::view::View;
use orrery_kit::resource::batch::StoredRow;
use orrery_kit::resource::decode::Precondition;
use orrery_kit::resource::row::{Column, Phase};
use orrery_kit::timestamp;
use orrery_kit::write::change::{ChangeRequest, ChangeStep, change};
use orrery_kit::write::request_id::{LedgerEntry, digest};
use orrery_kit::write::start::check_id;
use orrery_proto::orders::v1::{SetProvisionTimerRequest, TransitionOrderRequest};
use orrery_proto::wire::Encoded;
use prost::Message;
use prost_types::FieldMask;
use tonic::{Request, Response};

use crate::lifecycle::{LIFECYCLE, TIMED_PHASES};
use crate::store::order::ORDER;
use crate::store::{timer, transition};

/// Maximum length of a reason in bytes.
const MAX_REASON_BYTES: usize = 1_024;

/// The phase of a stored order; empty if it has none.
fn phase(order: &StoredRow) -> Result<String, Error> {
    let status: Column<Phase> = ORDER.column("status").map_err(Error::internal)?;
    Ok(order.row().get(status).unwrap_or_default())
}

/// How a call names itself, and what else it says beside its parameters.
struct Named {
    verb: &'static str,
    request_id: String,
    view: i32,
    read_mask: Option<FieldMask>,
}

/// The change of an order that `asked` asks for: a request without what may differ in a retry, which is `named`.
fn request(
    (call, writes): (&Call, &Writes),
    named: &Named,
    asked: &impl Message,
    uid: &str,
    revision: i32,
) -> Result<ChangeRequest, Error> {
    let Named { verb, request_id, view, read_mask } = named;
    check_id(request_id).map_err(|why| Error::invalid("request_id", why))?;
    Ok(ChangeRequest {
        key: ORDER.key([uid])?,
        precondition: Precondition { revision, ..Precondition::default() },
        mask: asked_for(&ORDER, read_mask.as_ref(), *view, View::Basic)?,
        deadline: call.deadline,
        answers: call.answers,
        entry: LedgerEntry::of(writes, verb, &ORDER, request_id, digest(&asked.encode_to_vec())),
    })
}

pub(super) async fn transition(
    context: &Context,
    request: Request<TransitionOrderRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let writes = context.writes(&call);
    let TransitionOrderRequest { view, read_mask, request_id, .. } = request.get_ref().clone();
    let named = Named { verb: "transition", request_id, view, read_mask };
    let asked = TransitionOrderRequest { view: 0, read_mask: None, request_id: String::new(), ..request.into_inner() };
    let request = self::request((&call, &writes), &named, &asked, &asked.uid, asked.revision)?;
    let TransitionOrderRequest { uid, to_phase: to, reason, .. } = asked;
    if !LIFECYCLE.knows(&to) {
        return Err(Error::invalid("to_phase", format!("must be one of {}", LIFECYCLE.phases.join(", "))));
    }
    if reason.len() > MAX_REASON_BYTES || reason.contains('\0') {
        return Err(Error::invalid("reason", format!("must be at most {MAX_REASON_BYTES} bytes, without NUL")));
    }
    let to_move = Arc::new((uid, to, reason));
    let step: ChangeStep = Arc::new(move |transaction, order| {
        let to_move = Arc::clone(&to_move);
        Box::pin(async move {
            let (uid, to, reason) = &*to_move;
            let from = phase(&order)?;
            if !LIFECYCLE.allows(&from, to) {
                let (resource, name, to) = (ORDER.description.message, uid.clone(), to.clone());
                return Err(Error::PhaseForbids { resource, name, from, to });
            }
            transaction.write(transition::transition(uid, &from, to, reason)?).await?;
            Ok(())
        })
    });
    call.answer_written(change(&writes, &ORDER, request, step).await?)
}

pub(super) async fn set_timer(
    context: &Context,
    request: Request<SetProvisionTimerRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let writes = context.writes(&call);
    let SetProvisionTimerRequest { view, read_mask, request_id, .. } = request.get_ref().clone();
    let named = Named { verb: "set_provision_timer", request_id, view, read_mask };
    let asked =
        SetProvisionTimerRequest { view: 0, read_mask: None, request_id: String::new(), ..request.into_inner() };
    let request = self::request((&call, &writes), &named, &asked, &asked.uid, asked.revision)?;
    let SetProvisionTimerRequest { uid, provision_timer_ts, .. } = asked;
    let time = provision_timer_ts
        .map(|time| timestamp::to_postgres(time.seconds, time.nanos))
        .transpose()
        .map_err(|why| Error::invalid("provision_timer_ts", why))?;
    let uid: Arc<str> = uid.into();
    let step: ChangeStep = Arc::new(move |transaction, order| {
        let uid = Arc::clone(&uid);
        Box::pin(async move {
            let phase = phase(&order)?;
            if time.is_some() && !TIMED_PHASES.contains(&phase.as_str()) {
                let (resource, field) = (ORDER.description.message, "provision_timer_ts");
                let name = uid.to_string();
                return Err(Error::PhaseForbidsField { resource, name, phase, field, allowed: TIMED_PHASES });
            }
            transaction.write(timer::set(&uid, time)?).await?;
            Ok(())
        })
    });
    call.answer_written(change(&writes, &ORDER, request, step).await?)
}
