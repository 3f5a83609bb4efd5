//! What handlers need: of the process ([`Context`]), of the call ([`Call`]), and of the process for a call that reads
//! ([`Reads`]) or writes ([`Writes`]).

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
use crate::metrics::Metrics;
use crate::references::ForeignReferences;
use crate::resource::Resource;
use crate::rpc_layer::connection::Connection;
use crate::rpc_layer::{Pause, RpcRows, normalise};
use crate::token_keys::TokenKeys;
use crate::write::writers::Writers;

/// What a slice's calls share: its database, token keys, stream settings and metrics. Cheap to clone.
///
/// A call uses the database by what it is given for its kind: [`Reads`] by [`Context::reads`], [`Writes`] by
/// [`Context::writes`]. What reads takes the one and what writes takes the other, so that they cannot be mixed up.
#[derive(Clone, Debug)]
pub struct Context(Arc<SharedContext>);

/// What all calls of a slice share.
#[derive(Clone, Debug)]
pub struct SharedContext {
    /// The slice's database. Calls reach it by [`Reads`] and [`Writes`] alone.
    database: Database,
    /// A replica of it, for reads that need not be the freshest.
    replica: Option<Replica>,
    /// The slice's schema.
    pub schema: &'static str,
    /// What seals page tokens.
    pub tokens: TokenKeys,
    /// Sizes and intervals of streams.
    pub stream: StreamConfig,
    /// What is counted.
    pub metrics: Metrics,
    /// How many creates came with a request_id, so that the ledger is cleared now and then.
    pub(crate) named_calls: Arc<AtomicU32>,
    /// What writes single rows, kept for the next call.
    pub(crate) writers: Writers,
    /// What knows whether rows of another slice exist; `None` if no row of this one points there.
    pub foreign: Option<Arc<dyn ForeignReferences>>,
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
        }))
    }

    /// The same, with a replica for reads that need not be the freshest.
    #[must_use]
    pub fn with_replica(mut self, replica: Option<Replica>) -> Self {
        Arc::make_mut(&mut self.0).replica = replica;
        self
    }

    /// The same, with what knows whether rows of another slice exist.
    #[must_use]
    pub fn with_foreign(mut self, foreign: Arc<dyn ForeignReferences>) -> Self {
        Arc::make_mut(&mut self.0).foreign = Some(foreign);
        self
    }

    /// The slice's database, for what belongs to no call: point reads that many callers share.
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

/// What a request's connection may make the process hold. Not an extension of its own: an eighth would have the table
/// of them grow for each call.
fn share_of<T>(request: &Request<T>) -> MemoryShare {
    request.extensions().get::<Connection>().map(|connection| connection.share().bytes().clone()).unwrap_or_default()
}

/// What comes with a call beside its message.
#[derive(Clone, Debug)]
pub struct Call {
    /// Until when the caller waits.
    pub deadline: Deadline,
    /// Whether the process drains; streams end at their next message.
    pub draining: Draining,
    /// Counts the call's rows, for the log.
    pub rows: RpcRows,
    /// How fresh what it reads has to be.
    pub consistency: Consistency,
    /// What it learns about the databases that it uses, for its answer's metadata.
    pub provenance: Provenance,
    /// How large an answer its caller takes.
    pub answers: AnswerLimit,
    /// What it may make the process hold.
    pub share: MemoryShare,
    /// What a handler that stops reading a stream of messages says.
    pub pause: Pause,
}

impl Call {
    /// That of a request.
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

    /// The answer of a unary call, its rows counted.
    ///
    /// # Errors
    /// [`Error::AnswerTooLarge`] if it is more than the caller takes.
    pub fn answer(&self, message: Encoded) -> Result<Response<Encoded>, Error> {
        self.answers.check(message.len())?;
        self.rows.add(message.rows);
        Ok(Response::new(message))
    }

    /// The answer that is one row, which an error names.
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

    /// The answer of a write, and what it leaves out of the resource.
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

    /// The next message of an inbound stream, unless the deadline passes or the process drains first. What has arrived
    /// and was not taken by then is left.
    ///
    /// # Errors
    /// [`Error::DeadlineExceeded`], [`Error::Draining`], or what the transport says.
    pub async fn next<T>(&self, inbound: &mut Streaming<T>) -> Result<Option<T>, Status> {
        let next = self.arrived(inbound).await;
        // Until the next one is asked for.
        self.pause.begin();
        next
    }

    async fn arrived<T>(&self, inbound: &mut Streaming<T>) -> Result<Option<T>, Status> {
        tokio::select! {
            biased;
            message = inbound.message() => match message.map_err(normalise)? {
                // A caller who never stops sending must not keep the process from ending.
                Some(_) if self.draining.has_begun() => Err(Error::Draining.into()),
                Some(_) if self.deadline.expired() => Err(Error::DeadlineExceeded.into()),
                message => Ok(message),
            },
            () = self.deadline.passed() => Err(Error::DeadlineExceeded.into()),
            () = self.draining.begun() => Err(Error::Draining.into()),
        }
    }
}
