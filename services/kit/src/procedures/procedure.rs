//! What a procedure is: a name, parameters, and a function from one cursor to the next.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::parameters::{Parameter, Parameters};
use super::schedule::Schedule;
use crate::db::Transaction;
use crate::error::Error;

/// Background work that a slice can do. One value serves all executions.
pub trait Procedure: Debug + Send + Sync {
    /// Its name: 1 to 63 of `a-z`, `0-9` and `_`.
    fn name(&self) -> &'static str;

    /// What it does and what its results mean, for people.
    fn description(&self) -> &'static str;

    /// The parameters of a run.
    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    /// When it runs by itself, until somebody sets another schedule.
    fn default_schedule(&self) -> Schedule {
        Schedule::never()
    }

    /// Begins or continues an execution in this process. It must be cheap: it is also called to check parameters.
    ///
    /// # Errors
    /// [`Error::Invalid`] for parameters that do not fit together.
    fn begin(&self, job: &Job) -> Result<Box<dyn Run>, Error>;
}

/// What an execution is to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// The execution's uid; empty while parameters are checked.
    pub execution_uid: String,
    /// The values of the parameters.
    pub parameters: Parameters,
}

/// An execution in this process. It may remember what saves work, such as an open stream. But everything that it needs
/// is in the [`Position`]: after any step, another process may continue.
pub trait Run: Send {
    /// Does the next step: first whatever needs no transaction, such as calls of other services. Then the step that is
    /// returned runs in a short transaction, which also stores the new position. A step should take seconds at most.
    ///
    /// # Errors
    /// Any error; the execution is tried again after a pause, from the same position. See
    /// [`is_transient`](super::is_transient).
    fn step<'r>(&'r mut self, at: &'r Position) -> BoxFuture<'r, Result<Step, Error>>;
}

/// How far an execution is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The present step, in words of the procedure, at most 256 bytes; empty at the beginning.
    pub step: String,
    /// Where the step continues, in words of the procedure; empty at its beginning.
    pub cursor: String,
    /// How much is done.
    pub processed: i64,
    /// How much there is to do, as far as is known; otherwise 0.
    pub total: i64,
    /// What was found and done so far.
    pub result: BTreeMap<String, i64>,
}

impl Position {
    /// The same, at the beginning of another step.
    #[must_use]
    pub fn to_step(mut self, step: &str) -> Self {
        step.clone_into(&mut self.step);
        self.cursor.clear();
        self
    }

    /// The same, further on in the present step.
    #[must_use]
    pub fn to_cursor(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = cursor.into();
        self
    }

    /// The same, with more of the work done.
    #[must_use]
    pub fn processed(mut self, more: usize) -> Self {
        self.processed = self.processed.saturating_add(i64::try_from(more).unwrap_or(i64::MAX));
        self
    }

    /// Adds to a number of the result. A number that was never added to is not shown; adding 0 shows it.
    pub fn add(&mut self, name: &str, number: i64) {
        let sum = self.result.entry(name.to_owned()).or_default();
        *sum = sum.saturating_add(number);
    }
}

/// What follows a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next step, at once.
    Step(Position),
    /// The next step after a pause, in this or another process.
    After(Duration, Position),
    /// Nothing: the execution has succeeded.
    Done(Position),
}

/// The work of a step's transaction. It may run more than once: again if it gave way to another transaction.
pub(super) type StepWork =
    Arc<dyn for<'t> Fn(&'t mut Transaction<'_>) -> BoxFuture<'t, Result<Next, Error>> + Send + Sync>;

/// A step, as its transaction will do it.
#[derive(Clone)]
pub struct Step(pub(super) StepWork);

impl Step {
    /// A step that works in its transaction, and then says what follows.
    pub fn that<W>(work: W) -> Self
    where
        W: for<'t> Fn(&'t mut Transaction<'_>) -> BoxFuture<'t, Result<Next, Error>> + Send + Sync + 'static,
    {
        Self(Arc::new(work))
    }

    /// A step that only moves on.
    pub fn to(next: Next) -> Self {
        Self::that(move |_| {
            let next = next.clone();
            Box::pin(async move { Ok(next) })
        })
    }
}

impl Debug for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Step")
    }
}
