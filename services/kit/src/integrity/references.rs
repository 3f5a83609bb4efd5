//! The references that a service works with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::OnceCell;

use super::documented::{Documented, ReadError, read};
use super::reference::InvalidComments;
use crate::db::Database;
use crate::deadline::Deadline;
use crate::error::Error;

/// How long one attempt to read them may take.
const ATTEMPT: Duration = Duration::from_secs(20);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// The documented references of a slice. They are read once, when they are first asked for and the database answers: a
/// service that runs while a migration changes them keeps those that it has read. Cheap to clone.
#[derive(Clone)]
pub struct References(Arc<Shared>);

struct Shared {
    database: Database,
    schema: String,
    read: OnceCell<Arc<[Documented]>>,
}

impl fmt::Debug for References {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("References").field("schema", &self.0.schema).field("read", &self.0.read).finish()
    }
}

impl References {
    /// The references of the slice `schema`. Nothing is read yet.
    pub fn new(database: Database, schema: impl Into<String>) -> Self {
        Self(Arc::new(Shared { database, schema: schema.into(), read: OnceCell::new() }))
    }

    /// The references, in the order of their tables and columns. There are none if the schema does not exist.
    ///
    /// # Errors
    /// Errors of the database; [`Error::Internal`] if a comment is not valid, which [ends the
    /// service](Self::until_refused).
    pub fn get(&self, deadline: Deadline) -> BoxFuture<'_, Result<Arc<[Documented]>, Error>> {
        Box::pin(async move {
            self.read(deadline).await.map_err(|error| match error {
                ReadError::Invalid(invalid) => Error::internal(invalid),
                ReadError::Database(error) => error,
            })
        })
    }

    async fn read(&self, deadline: Deadline) -> Result<Arc<[Documented]>, ReadError> {
        let Shared { database, schema, read: known } = &*self.0;
        let documented = known.get_or_try_init(|| async { Ok(read(database, schema, deadline).await?.into()) });
        documented.await.cloned()
    }

    /// Reads them, again and again if the database does not answer, and returns if the slice cannot be served with
    /// them. Never returns if it can.
    pub(crate) async fn until_refused(self) -> InvalidComments {
        loop {
            // A database that does not answer does not have to be asked.
            if self.0.database.ping().await {
                match self.read(Deadline::after(ATTEMPT)).await {
                    Ok(_) => return std::future::pending().await,
                    Err(ReadError::Invalid(invalid)) => return invalid,
                    Err(ReadError::Database(error)) => {
                        let cause = std::error::Error::source(&error);
                        tracing::warn!(%error, cause, "the references cannot be read yet");
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
