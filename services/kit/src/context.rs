//! What handlers need: the process-wide state ([`Context`]), the metadata of the call ([`Call`]), and access to the
//! database for calls that read ([`Reads`]) or write ([`Writes`]).

mod reads;
mod writes;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use orrery_proto::wire::Encoded;
use tonic::{Request, Response, Status, Streaming};

pub use self::reads::Reads;
pub use self::writes::Writes;
use crate::answer::{AnswerLimit, OMITTED_FIELDS, WrittenResource};
use crate::budget::MemoryShare;
use crate::config::StreamConfig;
use crate::consistency::{Consistency, Provenance};
use crate::db::{Database, Replica};
use crate::deadline::Deadline;
use crate::drain::Draining;
use crate::error::Error;
use crate::integrity::orphans::ForeignUids;
use crate::metrics::Metrics;
use crate::references::ForeignReferences;
use crate::resource::Resource;
use crate::rpc_layer::connection::Connection;
use crate::rpc_layer::{Pause, RpcRows, normalise};
use crate::token_keys::TokenKeys;
use crate::write::writers::Writers;

/// The state that all calls of a slice share: database, token keys, stream settings and metrics. Cheap to clone.
///
/// A call that reads uses the database through [`Reads`], from [`Context::reads`]; a call that writes through
/// [`Writes`], from [`Context::writes`]. Functions take one or the other, so the compiler finds a mix-up.
#[derive(Clone, Debug)]
pub struct Context(Arc<SharedContext>);

/// The shared state behind [`Context`], [`Reads`] and [`Writes`].
#[derive(Clone, Debug)]
pub struct SharedContext {
    /// The slice's database. Calls use it only through [`Reads`] and [`Writes`].
    database: Database,
    /// Its replica, for reads with eventual consistency.
    replica: Option<Replica>,
    /// The slice's schema.
    pub schema: &'static str,
    /// The keys that authenticate page tokens.
    pub tokens: TokenKeys,
    /// Sizes and intervals of streams.
    pub stream: StreamConfig,
    /// The metrics.
    pub metrics: Metrics,
    /// The number of calls with a request_id. Some of them also clear old entries of the ledger.
    pub(crate) named_calls: Arc<AtomicU32>,
    /// Prepared writers of rows, reused by later calls.
    pub(crate) writers: Writers,
    /// Checks that rows of another slice exist; `None` if no row of this slice refers to one.
    pub foreign: Option<Arc<dyn ForeignReferences>>,
    /// Knows the uids of other slices that rows of this slice refer to.
    pub foreign_uids: Vec<Arc<dyn ForeignUids>>,
}

impl Deref for Context {
    type Target = SharedContext;

    fn deref(&self) -> &SharedContext {
        &self.0
    }
}

impl Context {
    /// A context of the slice `schema`.
    pub fn new(database: Database, schema: &'static str, stream: StreamConfig, metrics: Metrics) -> Self {
        let tokens = TokenKeys::new(database.clone(), schema);
        let named_calls = Arc::default();
        let writers = Writers::default();
        Self(Arc::new(SharedContext {
            tokens,
            database,
            replica: None,
            schema,
            stream,
            metrics,
            named_calls,
            writers,
            foreign: None,
            foreign_uids: Vec::new(),
        }))
    }

    /// Adds a replica for reads with eventual consistency.
    #[must_use]
    pub fn with_replica(mut self, replica: Option<Replica>) -> Self {
        Arc::make_mut(&mut self.0).replica = replica;
        self
    }

    /// Adds the check that rows of another slice exist.
    #[must_use]
    pub fn with_foreign(mut self, foreign: Arc<dyn ForeignReferences>) -> Self {
        Arc::make_mut(&mut self.0).foreign = Some(foreign);
        self
    }

    /// Adds a service that knows uids of another slice.
    #[must_use]
    pub fn with_foreign_uids(mut self, foreign: Arc<dyn ForeignUids>) -> Self {
        Arc::make_mut(&mut self.0).foreign_uids.push(foreign);
        self
    }

    /// The slice's database, for point reads that several calls share.
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// The replica's database, as [`Context::database`].
    pub(crate) fn replica_database(&self) -> Option<&Database> {
        self.replica.as_ref().map(Replica::database)
    }

    /// Closes the connections of the database and of the replica.
    pub async fn close(&self) {
        self.database.close().await;
        if let Some(replica) = &self.replica {
            replica.close().await;
        }
    }
}

/// The memory budget of a request's connection. It is not a request extension of its own: an eighth extension would
/// make the table of extensions grow in each call.
fn share_of<T>(request: &Request<T>) -> MemoryShare {
    request.extensions().get::<Connection>().map(|connection| connection.share().bytes().clone()).unwrap_or_default()
}

/// The metadata and limits of a call.
#[derive(Clone, Debug)]
pub struct Call {
    /// How long the caller waits.
    pub deadline: Deadline,
    /// Whether the process is draining. Streams then end with their next message.
    pub draining: Draining,
    /// Counts the rows of the call, for the log.
    pub rows: RpcRows,
    /// The consistency that its reads need.
    pub consistency: Consistency,
    /// Which databases served it, for the response metadata.
    pub provenance: Provenance,
    /// The size limit of its answers.
    pub answers: AnswerLimit,
    /// Its memory budget.
    pub share: MemoryShare,
    /// Marks the times when the handler does not read its inbound stream.
    pub pause: Pause,
}

impl Call {
    /// Reads the metadata of a request.
    ///
    /// # Errors
    /// [`Error::Invalid`] for metadata that breaks a rule.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Error> {
        Ok(Self {
            deadline: Deadline::of(request),
            draining: Draining::of(request),
            rows: RpcRows::of(request),
            consistency: Consistency::of(request)?,
            provenance: Provenance::of(request),
            answers: AnswerLimit::of(request)?,
            share: share_of(request),
            pause: Pause::of(request),
        })
    }

    /// Returns the answer of a unary call and counts its rows.
    ///
    /// # Errors
    /// [`Error::AnswerTooLarge`] if it exceeds the caller's limit.
    pub fn answer(&self, message: Encoded) -> Result<Response<Encoded>, Error> {
        self.answers.check(message.len())?;
        self.rows.add(message.rows);
        Ok(Response::new(message))
    }

    /// Returns an answer of one row. The error names the row.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub fn answer_row(
        &self,
        resource: &'static Resource,
        name: &str,
        message: Encoded,
    ) -> Result<Response<Encoded>, Error> {
        self.answer(message).map_err(|error| error.for_row(resource.description.message, name))
    }

    /// Returns the answer of a write, and in its metadata the fields that were left out.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub fn answer_written(&self, written: WrittenResource) -> Result<Response<Encoded>, Error> {
        let WrittenResource { message, omitted, .. } = written;
        let mut response = self.answer(message)?;
        if !omitted.is_empty() {
            let fields = omitted.join(",").parse().map_err(Error::internal)?;
            response.metadata_mut().insert(OMITTED_FIELDS, fields);
        }
        Ok(response)
    }

    /// Returns the next message of an inbound stream, unless the deadline passes or the process drains first. Messages
    /// that arrived but were not read are dropped.
    ///
    /// # Errors
    /// [`Error::DeadlineExceeded`], [`Error::Draining`]; errors of the transport.
    pub async fn next<T>(&self, inbound: &mut Streaming<T>) -> Result<Option<T>, Status> {
        let next = self.arrived(inbound).await;
        // The pause ends when the next message is read.
        self.pause.begin();
        next
    }

    async fn arrived<T>(&self, inbound: &mut Streaming<T>) -> Result<Option<T>, Status> {
        tokio::select! {
            biased;
            message = inbound.message() => match message.map_err(normalise)? {
                // A caller that never stops sending must not keep the process from exiting.
                Some(_) if self.draining.has_begun() => Err(Error::Draining.into()),
                Some(_) if self.deadline.expired() => Err(Error::DeadlineExceeded.into()),
                message => Ok(message),
            },
            () = self.deadline.passed() => Err(Error::DeadlineExceeded.into()),
            () = self.draining.begun() => Err(Error::Draining.into()),
        }
    }
}
