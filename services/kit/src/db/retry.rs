//! Runs a transaction again that gave way to another one or met an outdated plan.

use crate::deadline::Deadline;
use crate::error::Error;

/// Most runs of a write that gives way to other transactions.
const ATTEMPTS: u32 = 4;

/// Most runs of work that meets connections with outdated plans. Each such connection is closed, so this is the number
/// of connections that a pool may have.
const OUTDATED: u32 = 1_000;

/// Runs `work` until it meets no connection whose plans are outdated.
///
/// # Errors
/// What `work` returned last.
pub async fn on_present_plans<T, F>(deadline: Deadline, mut work: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    for _ in 1..OUTDATED {
        match work().await {
            Err(Error::PlanOutdated(_)) if !deadline.expired() => {}
            outcome => return outcome,
        }
    }
    work().await
}

/// Runs `work` again if it gave way to another transaction.
///
/// # Errors
/// What `work` returned last.
pub async fn retried<T, F>(deadline: Deadline, mut work: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    for _ in 1..ATTEMPTS {
        match on_present_plans(deadline, &mut work).await {
            Err(Error::TransactionConflict(_)) if !deadline.expired() => {}
            outcome => return outcome,
        }
    }
    on_present_plans(deadline, work).await
}
