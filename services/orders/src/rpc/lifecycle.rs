//! The methods that move orders along their lifecycle.

use orrery_kit::context::{Call, Context};
use orrery_kit::db::{Ending, Statement, Transaction};
use orrery_kit::error::Error;
use orrery_kit::read::point;
use orrery_kit::read::view::{View, mask};
use orrery_kit::resource::select::Selection;
use orrery_kit::timestamp;
use orrery_kit::write::attempts::retried;
use orrery_kit::write::locked::read_back;
use orrery_kit::write::transition::{self, BoundColumn, Transition, check_revision, check_uid, lock};
use orrery_proto::orders::v1::{ClaimDueOrdersRequest, SetProvisionTimerRequest, TransitionOrderRequest};
use orrery_proto::wire::Encoded;
use prost_types::Duration;
use sqlx::Row as _;
use tonic::{Request, Response};

use super::view;
use crate::lifecycle::TIMED_PHASES;
use crate::store::order::ORDER;
use crate::store::{claim, timer};

/// What a move out of the phases that have a timer clears.
const BOUND: &[BoundColumn] = &[BoundColumn { column: "provision_timer_ts", phases: TIMED_PHASES }];

/// Orders of one claim if the caller does not say how many.
const DEFAULT_CLAIM: usize = 100;
/// Most orders of one claim.
const MAX_CLAIM: usize = 1_000;
/// The longest lease, in seconds.
const MAX_LEASE: i64 = 24 * 60 * 60;

pub(super) async fn transition(
    context: &Context,
    request: Request<TransitionOrderRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let TransitionOrderRequest { uid, to_phase, reason, revision } = request.into_inner();
    let transition = Transition { uid, to_phase, reason, revision, deadline: call.deadline };
    Ok(call.answer(transition::transition(&context.for_writes(&call), &ORDER, BOUND, transition).await?))
}

pub(super) async fn set_timer(
    context: &Context,
    request: Request<SetProvisionTimerRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let SetProvisionTimerRequest { uid, provision_timer_ts, revision } = request.into_inner();
    check_uid(&ORDER, &uid)?;
    check_revision(revision)?;
    let time = provision_timer_ts
        .map(|time| timestamp::to_postgres(time.seconds, time.nanos))
        .transpose()
        .map_err(|why| Error::invalid("provision_timer_ts", why))?;
    let context = context.for_writes(&call);
    let order = retried(call.deadline, || {
        let uid = uid.clone();
        context.database.transaction(call.deadline, move |transaction| {
            Box::pin(async move {
                let phase = lock(transaction, &ORDER, &uid, revision).await?;
                if time.is_some() && !TIMED_PHASES.contains(&phase.as_str()) {
                    let (resource, field) = (ORDER.description.message, "provision_timer_ts");
                    return Err(Error::PhaseForbidsField { resource, name: uid, phase, field, allowed: TIMED_PHASES });
                }
                transaction.fetch(timer::set(&uid, time)?).await?;
                Ok(Ending::Commit(read_back(transaction, &ORDER, &uid).await?))
            })
        })
    });
    Ok(call.answer(order.await?))
}

pub(super) async fn claim(
    context: &Context,
    request: Request<ClaimDueOrdersRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let request = request.into_inner();
    let limit = match usize::try_from(request.limit) {
        Err(_) => return Err(Error::invalid("limit", "must not be negative")),
        Ok(0) => DEFAULT_CLAIM,
        Ok(limit) => limit.min(MAX_CLAIM).min(context.database.limits().max_statement_rows),
    };
    let lease = lease_micros(request.lease)?;
    let mask = mask(&ORDER, request.read_mask.as_ref(), view(request.view, View::Basic)?)?;
    let selection = Selection::new(&ORDER, &mask);
    let max_bytes = context.stream.max_message_bytes;
    let context = context.for_writes(&call);
    let orders = retried(call.deadline, || {
        let selection = selection.clone();
        context.database.transaction(call.deadline, move |transaction| {
            Box::pin(async move {
                let uids = claimed(transaction, claim::claim(limit, lease)?).await?;
                if uids.is_empty() {
                    return Ok(Ending::RollBack(Encoded::default()));
                }
                // Within the transaction: what is handed out is what was claimed, revision and all.
                Ok(Ending::Commit(point::within(transaction, &ORDER, &selection, &uids, max_bytes).await?))
            })
        })
    });
    Ok(call.answer(orders.await?))
}

async fn claimed(transaction: &mut Transaction<'_>, claim: Statement) -> Result<Vec<String>, Error> {
    let rows = transaction.fetch(claim).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// A lease in microseconds.
fn lease_micros(lease: Option<Duration>) -> Result<i64, Error> {
    let refuse = || Error::invalid("lease", "is required: 1 second to 24 hours");
    let Duration { seconds, nanos } = lease.ok_or_else(refuse)?;
    let whole = (1..=MAX_LEASE).contains(&seconds) && (0..1_000_000_000).contains(&nanos);
    if !whole || (seconds == MAX_LEASE && nanos > 0) {
        return Err(refuse());
    }
    Ok(seconds * 1_000_000 + i64::from(nanos) / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_one_second_to_a_day() {
        let lease = |seconds, nanos| lease_micros(Some(Duration { seconds, nanos })).ok();
        assert_eq!(lease(1, 0), Some(1_000_000));
        assert_eq!(lease(1, 500_000_999), Some(1_500_000));
        assert_eq!(lease(86_400, 0), Some(86_400_000_000));
        for (seconds, nanos) in [(0, 999_999_999), (86_400, 1), (2, -1), (2, 1_000_000_000), (-1, 0), (i64::MAX, 0)] {
            assert_eq!(lease(seconds, nanos), None, "{seconds} {nanos}");
        }
        assert!(lease_micros(None).is_err());
    }
}
