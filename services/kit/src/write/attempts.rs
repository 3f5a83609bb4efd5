//! Tries of a transaction that may have to give way to another one.

use crate::deadline::Deadline;
use crate::error::Error;

/// How often a write that gave way to another transaction is tried.
const ATTEMPTS: u32 = 4;

/// Runs `work` again when it gave way to another transaction.
///
/// # Errors
/// What `work` said last.
pub async fn retried<T, F>(deadline: Deadline, mut work: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    for _ in 1..ATTEMPTS {
        match work().await {
            Err(Error::TransactionConflict(_)) if !deadline.expired() => {}
            outcome => return outcome,
        }
    }
    work().await
}
