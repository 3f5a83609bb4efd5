//! Tries of a transaction that may have to give way to another one.

use crate::deadline::Deadline;
use crate::error::Error;

/// How often a write that gave way to another transaction is tried.
const ATTEMPTS: u32 = 4;

/// How often work is begun on connections whose plans are outdated. Each of these is closed, so that this is as many as a pool may have.
const OUTDATED: u32 = 1_000;

/// Runs `work` again as long as it meets connections whose plans are outdated.
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

/// Runs `work` again when it gave way to another transaction.
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
