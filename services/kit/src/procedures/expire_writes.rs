//! `expire_write_sessions`: deletes writes from the ledger that were not used for a long time.

use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::Row as _;

use super::parameters::{Parameter, ParameterKind};
use super::procedure::{Job, Next, Position, Procedure, Run, Step};
use super::schedule::Schedule;
use crate::context::Context;
use crate::error::Error;
use crate::write::session::expire;

/// The least retention: what the contract promises for a request_id and a write_id.
const MIN_RETENTION: Duration = Duration::from_hours(7 * 24);
/// The default retention: that of streams and calls, which delete a few old writes as they go.
const RETENTION: Duration = Duration::from_hours(30 * 24);
/// How many writes one step deletes.
const WRITES_AT_ONCE: usize = 200;

const PARAMETERS: &[Parameter] = &[Parameter {
    name: "retention",
    kind: ParameterKind::Duration { default: RETENTION, min: MIN_RETENTION, max: Duration::from_hours(100 * 366 * 24) },
    description: "How long after its last commit a write is remembered; at least 168h.",
}];

/// The procedure.
#[derive(Debug)]
pub(super) struct ExpireWriteSessions {
    schema: &'static str,
}

impl ExpireWriteSessions {
    pub(super) fn new(context: &Context) -> Self {
        Self { schema: context.schema }
    }
}

impl Procedure for ExpireWriteSessions {
    fn name(&self) -> &'static str {
        "expire_write_sessions"
    }

    fn description(&self) -> &'static str {
        "Deletes writes from the ledger, and requests with a request_id, that were not used for the retention time. \
         Results: deleted, the number of writes."
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn default_schedule(&self) -> Schedule {
        Schedule::every(Duration::from_hours(24))
    }

    fn begin(&self, job: &Job) -> Result<Box<dyn Run>, Error> {
        Ok(Box::new(Expiry { schema: self.schema, retention: job.parameters.duration("retention")? }))
    }
}

/// A run of it.
struct Expiry {
    schema: &'static str,
    retention: Duration,
}

impl Run for Expiry {
    fn step<'r>(&'r mut self, at: &'r Position) -> BoxFuture<'r, Result<Step, Error>> {
        let (schema, retention, at) = (self.schema, self.retention, at.clone().to_step("delete"));
        let step = Step::that(move |transaction| {
            let at = at.clone();
            Box::pin(async move {
                let delete = expire(schema, retention, WRITES_AT_ONCE, transaction)?;
                let deleted = transaction.write(delete).await?;
                let sessions: i64 = deleted.first().map_or(Ok(0), |row| row.try_get(1))?;
                let mut at = at.processed(usize::try_from(sessions).unwrap_or_default());
                at.add("deleted", sessions);
                Ok(if sessions == 0 { Next::Done(at) } else { Next::Step(at) })
            })
        });
        Box::pin(async { Ok(step) })
    }
}
