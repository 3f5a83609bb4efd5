//! References into another slice: what a service asks of the service that owns the rows which its own rows point at.

use std::collections::HashSet;
use std::fmt;

use futures::future::BoxFuture;

use crate::deadline::Deadline;
use crate::error::Error;

/// Knows which uids exist in another slice.
pub trait ForeignReferences: fmt::Debug + Send + Sync {
    /// Those of `uids` that do not exist there. The uids are well-formed and none comes twice. One call, however many they are.
    ///
    /// # Errors
    /// [`Error::DependencyUnavailable`] if the other service cannot be reached or does not answer in time;
    /// [`Error::DeadlineExceeded`] if the caller's own `deadline` passes first.
    fn missing(&self, uids: Vec<String>, deadline: Deadline) -> BoxFuture<'_, Result<HashSet<String>, Error>>;
}
