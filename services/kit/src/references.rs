//! References into another slice: how a service asks the owner of those rows whether they exist.

use std::collections::HashSet;
use std::fmt;

use futures::future::BoxFuture;

use crate::deadline::Deadline;
use crate::error::Error;

/// Finds out which uids exist in another slice.
pub trait ForeignReferences: fmt::Debug + Send + Sync {
    /// Returns those of `uids` that do not exist there. The uids are well-formed and distinct. All of them are asked
    /// for in one call.
    ///
    /// # Errors
    /// [`Error::DependencyUnavailable`] if the other service cannot be reached or does not answer in time;
    /// [`Error::DeadlineExceeded`] if the caller's own `deadline` passes first.
    fn missing(&self, uids: Vec<String>, deadline: Deadline) -> BoxFuture<'_, Result<HashSet<String>, Error>>;
}
