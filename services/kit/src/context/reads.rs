//! Database access for calls that only read.

use std::ops::{ControlFlow, Deref};
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgRow;

use super::{Call, Context, SharedContext};
use crate::config::Limits;
use crate::consistency::{Consistency, ServedBy};
use crate::db::{CopyEnd, CopyRequest, ReplicaRoute, Route, Snapshot, Statement};
use crate::deadline::Deadline;
use crate::error::Error;

/// The database for a call that only reads, from the primary or a replica, as its consistency demands. The response
/// metadata says which one served it. It has no transaction, so it cannot write. Cheap to clone; clones belong to the
/// same call.
#[derive(Clone, Debug)]
pub struct Reads {
    shared: Arc<SharedContext>,
    /// The route to a replica; `None` if only the primary serves the call.
    replica: Option<Arc<ReplicaRoute>>,
}

impl Context {
    /// Returns the database access of a call that reads.
    #[must_use]
    pub fn reads(&self, call: &Call) -> Reads {
        let replica = match (call.consistency, &self.replica) {
            (Consistency::Strong, _) => None,
            (Consistency::Eventual { .. }, None) => {
                call.provenance.served_by(ServedBy::Primary);
                None
            }
            (Consistency::Eventual { min_lsn }, Some(replica)) => {
                Some(Arc::new(ReplicaRoute::new(replica.clone(), min_lsn, call.provenance.clone())))
            }
        };
        Reads { shared: Arc::clone(&self.0), replica }
    }

    /// Returns the database access of background work that reads: the primary.
    #[must_use]
    pub fn background_reads(&self) -> Reads {
        Reads { shared: Arc::clone(&self.0), replica: None }
    }
}

/// Settings, token keys and metrics.
impl Deref for Reads {
    type Target = SharedContext;

    fn deref(&self) -> &SharedContext {
        &self.shared
    }
}

impl Reads {
    /// The route of its statements.
    pub(crate) fn route(&self) -> Route<'_> {
        Route::new(&self.shared.database, self.replica.as_deref())
    }

    /// The limits of its statements.
    pub fn limits(&self) -> &Limits {
        self.route().limits()
    }

    /// Runs one reading statement and returns its rows.
    ///
    /// # Errors
    /// As [`Database::fetch`](crate::db::Database::fetch).
    pub async fn fetch(&self, statement: &Statement, deadline: Deadline) -> Result<Vec<PgRow>, Error> {
        self.route().fetch(statement, deadline).await
    }

    /// Runs one select and passes each row to `on_row`.
    ///
    /// # Errors
    /// As [`Database::copy_out`](crate::db::Database::copy_out).
    pub async fn copy_out(
        &self,
        request: CopyRequest<'_>,
        on_row: impl FnMut(&[u8]) -> Result<ControlFlow<()>, Error> + Send,
    ) -> Result<CopyEnd, Error> {
        self.route().copy_out(request, on_row).await
    }

    /// Opens a snapshot for several statements.
    ///
    /// # Errors
    /// As [`Database::snapshot`](crate::db::Database::snapshot).
    pub async fn snapshot(&self, timeout: Duration, deadline: Deadline) -> Result<Snapshot, Error> {
        self.route().snapshot(timeout, deadline).await
    }

    /// Runs a read of which nothing was sent to the caller yet. `None` if the replica failed: run it again, and the
    /// primary serves it.
    pub async fn attempt_read<T>(&self, read: impl Future<Output = Result<T, Error>>) -> Option<Result<T, Error>> {
        self.route().attempt_read(read).await
    }

    /// Runs a read of which nothing was sent to the caller yet. If the replica fails, runs it again on the primary.
    ///
    /// # Errors
    /// The errors of `read`.
    pub async fn read<T, F>(&self, read: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.route().read(read).await
    }
}
