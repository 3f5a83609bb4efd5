//! Database access for calls that write.

use std::ops::Deref;
use std::sync::Arc;

use futures::future::BoxFuture;
use sqlx::postgres::PgRow;

use super::{Call, Context, SharedContext};
use crate::config::Limits;
use crate::consistency::Provenance;
use crate::db::{Begins, Statement, Transaction, TransactionEnd};
use crate::deadline::Deadline;
use crate::error::Error;

/// The database for a call that writes: always the primary. The response metadata says the position in the write-ahead
/// log after its transactions, so that the caller can read its own writes from a replica. Cheap to clone; clones belong
/// to the same call.
#[derive(Clone, Debug)]
pub struct Writes {
    shared: Arc<SharedContext>,
    provenance: Provenance,
}

impl Context {
    /// Returns the database access of a call that writes.
    #[must_use]
    pub fn writes(&self, call: &Call) -> Writes {
        Writes { shared: Arc::clone(&self.0), provenance: call.provenance.clone() }
    }
}

/// Settings and metrics.
impl Deref for Writes {
    type Target = SharedContext;

    fn deref(&self) -> &SharedContext {
        &self.shared
    }
}

impl Writes {
    /// The limits of its statements.
    pub fn limits(&self) -> &Limits {
        self.shared.database.limits()
    }

    /// Runs one reading statement before or after a transaction.
    ///
    /// # Errors
    /// As [`Database::fetch`](crate::db::Database::fetch).
    pub async fn fetch(&self, statement: &Statement, deadline: Deadline) -> Result<Vec<PgRow>, Error> {
        self.shared.database.fetch(statement, deadline).await
    }

    /// Runs `work` in a transaction, and records the position in the write-ahead log after it.
    ///
    /// # Errors
    /// As [`Database::transaction`](crate::db::Database::transaction).
    pub async fn transaction<T, W>(&self, deadline: Deadline, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'t> FnOnce(&'t mut Transaction<'_>) -> BoxFuture<'t, Result<TransactionEnd<T>, Error>> + Send + 'static,
    {
        self.transaction_that(Begins::AtOnce, deadline, work).await
    }

    /// As [`Writes::transaction`], for work that is likely to need a single statement, which then runs alone.
    ///
    /// # Errors
    /// As [`Database::lazy_transaction`](crate::db::Database::lazy_transaction).
    pub async fn lazy_transaction<T, W>(&self, deadline: Deadline, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'t> FnOnce(&'t mut Transaction<'_>) -> BoxFuture<'t, Result<TransactionEnd<T>, Error>> + Send + 'static,
    {
        self.transaction_that(Begins::WhenNeeded, deadline, work).await
    }

    /// Runs `work` in a transaction that begins as `begins` says.
    pub(crate) async fn transaction_that<T, W>(&self, begins: Begins, deadline: Deadline, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'t> FnOnce(&'t mut Transaction<'_>) -> BoxFuture<'t, Result<TransactionEnd<T>, Error>> + Send + 'static,
    {
        self.shared.database.transaction_noted(deadline, begins, Some(self.provenance.clone()), work).await
    }
}
