//! Procedures: background work that is done in short transactions, by any of a service's processes, and survives the
//! loss of each of them.
//!
//! - `procedure`: what a procedure is; slices implement [`Procedure`] and [`Run`]
//! - `parameters`: the parameters of runs
//! - `execution`: executions as rows: how one is taken, held, moved and ended
//! - `schedule`: when procedures run by themselves
//! - `worker`: what runs them in this process
//! - `service`, `records`: `orrery.procedures.v1.ProceduresService`
//! - `expire_writes`: a procedure that every slice has
//! - `purge`: a procedure of slices with resources that can be archived
//!
//! The path of an execution: RunProcedure or a schedule inserts a row. A worker takes it for the length of a lease, and
//! does one step after the other. Each step's transaction first locks the row, if the worker still has it; then it does
//! the step's work; then it stores the cursor. So the work and the cursor are one fact, whoever dies.

mod execution;
mod expire_writes;
mod parameters;
mod procedure;
mod purge;
mod records;
mod schedule;
mod service;
mod worker;

use std::sync::Arc;

use futures::future::BoxFuture;
use orrery_proto::procedures::v1::server::ProceduresServiceServer;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use self::parameters::{Parameter, ParameterKind, Parameters};
pub use self::procedure::{Job, Next, Position, Procedure, Run, Step};
pub use self::purge::{Freeing, PurgeArchived};
pub use self::records::ProcedureRecords;
pub use self::schedule::Schedule;
pub use self::service::ProceduresOfSlice;
pub use self::worker::is_transient;
use crate::config::ProceduresConfig;
use crate::context::Context;
use crate::error::Error;
use crate::integrity::References;
use crate::integrity::orphans::DetectOrphans;

/// The name of the service of procedures, in every slice.
pub const SERVICE_NAME: &str = "orrery.procedures.v1.ProceduresService";

/// The procedures that every slice has, for a slice with these documented references.
pub fn of_every_slice(context: &Context, references: &References) -> Vec<Box<dyn Procedure>> {
    vec![Box::new(DetectOrphans::new(context, references)), Box::new(expire_writes::ExpireWriteSessions::new(context))]
}

/// The procedures of a slice. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Procedures(Arc<Shared>);

/// What the service and the worker share.
#[derive(Debug)]
struct Shared {
    context: Context,
    settings: ProceduresConfig,
    /// Sorted by name.
    procedures: Vec<Box<dyn Procedure>>,
    /// Signals that there may be something to run.
    woken: Notify,
}

impl Procedures {
    /// These procedures, on the database of a slice.
    pub fn new(context: &Context, settings: ProceduresConfig, mut procedures: Vec<Box<dyn Procedure>>) -> Self {
        procedures.sort_by_key(|procedure| procedure.name());
        Self(Arc::new(Shared { context: context.clone(), settings, procedures, woken: Notify::new() }))
    }

    /// The gRPC service.
    pub fn service(&self) -> ProceduresServiceServer<ProceduresOfSlice> {
        ProceduresServiceServer::new(ProceduresOfSlice::new(Arc::clone(&self.0))).max_encoding_message_size(usize::MAX)
    }

    /// Runs procedures in this process while it serves. At `shutdown`, or when `serving` ends, it stops at once, and
    /// gives back what it holds within a second: other processes continue it.
    pub fn work_beside<'s, T: Send + 's>(
        self,
        serving: impl Future<Output = T> + Send + 's,
        shutdown: &CancellationToken,
    ) -> BoxFuture<'s, T> {
        let stop = shutdown.child_token();
        Box::pin(async move {
            let working = AbortOnDropHandle::new(tokio::spawn(worker::work(self.0, stop.clone())));
            let served = serving.await;
            stop.cancel();
            if let Err(error) = working.await {
                tracing::error!(%error, "the worker of procedures has failed");
            }
            served
        })
    }
}

impl Shared {
    fn names(&self) -> Vec<&'static str> {
        self.procedures.iter().map(|procedure| procedure.name()).collect()
    }

    /// The procedure of an execution.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    fn procedure(&self, name: &str) -> Result<&dyn Procedure, Error> {
        let found = self.procedures.iter().find(|procedure| procedure.name() == name);
        found
            .map(|procedure| &**procedure)
            .ok_or_else(|| Error::NotFound { resource: "orrery.procedures.v1.Procedure", name: name.to_owned() })
    }

    /// The procedure that a request names.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`].
    fn named(&self, name: &str) -> Result<&dyn Procedure, Error> {
        match name {
            "" => Err(Error::invalid("procedure", "is required")),
            name if name.len() > 63 || name.contains('\0') => {
                Err(Error::invalid("procedure", "must be at most 63 bytes, without NUL"))
            }
            name => self.procedure(name),
        }
    }
}
