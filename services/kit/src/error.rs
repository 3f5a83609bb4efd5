//! The one error of a service; `status` is the one place where it becomes a `google.rpc.Status`.
//!
//! Callers branch on [`ErrorReason`], never on text. What the driver said is for the log: no SQL, host or password reaches a client.

pub(crate) mod refused;
mod status;

use orrery_proto::r#type::v1::ErrorReason;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use tonic::{Code, Status};

use self::refused::RowRefusal;
pub use self::status::RETRY_DELAY;
use self::status::named;
pub(crate) use self::status::{beginning, shortened};
use crate::answer::AnswerTooLarge;

/// A field of a request and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field from the request's root, for example `product.labels.season`.
    pub field: String,
    /// What is wrong and what would be right.
    pub description: String,
}

impl Violation {
    /// A violation of one field.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }

    /// The same violation seen from outside: `labels.season` within `product` is `product.labels.season`.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        self.field = if self.field.is_empty() { outer.to_owned() } else { format!("{outer}.{}", self.field) };
        self
    }
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields of the request break their rules.
    #[error("invalid argument: {}", .0.first().map_or("", |violation| violation.description.as_str()))]
    Invalid(Vec<Violation>),
    /// A token was altered or made elsewhere; holds the field's name.
    #[error("{0} is not a token of this service")]
    TokenInvalid(&'static str),
    /// A token belongs to another request; holds the field's name.
    #[error("{0} belongs to another request")]
    TokenMismatch(&'static str),
    /// The resource does not exist.
    #[error("{resource} {} does not exist", named(.name))]
    NotFound {
        /// The resource's message type.
        resource: &'static str,
        /// Its key.
        name: String,
    },
    /// What an earlier call of the same request_id created was deleted since.
    #[error("{resource} {} was created by this request_id and has been deleted since", named(.name))]
    CreatedAndDeleted {
        /// The resource's message type.
        resource: &'static str,
        /// Its key.
        name: String,
    },
    /// The resource exists.
    #[error("{resource} {} exists", named(.name))]
    AlreadyExists {
        /// The resource's message type.
        resource: &'static str,
        /// Its key.
        name: String,
    },
    /// Another row has a value that only one row may have.
    #[error("{field} is taken: {resource} {} has it", named(.holder))]
    ValueTaken {
        /// The resource's message type.
        resource: &'static str,
        /// The field.
        field: String,
        /// The key of the row that has the value.
        holder: String,
    },
    /// The etag sent is not the stored row's.
    #[error("the etag of {resource} {} is another one: it has changed", named(.name))]
    EtagMismatch {
        /// The resource's message type.
        resource: &'static str,
        /// Its key.
        name: String,
    },
    /// The revision sent is not the stored row's.
    #[error("{resource} {} has another revision: it has changed", named(.name))]
    RevisionMismatch {
        /// The resource's message type.
        resource: &'static str,
        /// Its key.
        name: String,
    },
    /// The resource's phase does not allow what was asked.
    #[error("{resource} {}: {}", named(.name), status::phases(.from, .to))]
    PhaseForbids {
        /// The resource's message type.
        resource: &'static str,
        /// Its key.
        name: String,
        /// The phase that it is in.
        from: String,
        /// The phase that it was to move to.
        to: String,
    },
    /// The resource's phase does not allow a field to be set.
    #[error("{resource} {} is {}: {field} is set only where it is {}", named(.name), named(.phase), allowed.join(", "))]
    PhaseForbidsField {
        /// The resource's message type.
        resource: &'static str,
        /// Its key.
        name: String,
        /// The phase that it is in.
        phase: String,
        /// The field that was to be set.
        field: &'static str,
        /// The phases that allow it.
        allowed: &'static [&'static str],
    },
    /// What a field points at does not exist.
    #[error("{}: {}", .0.field, .0.description)]
    ReferenceMissing(Violation),
    /// The database refuses a row that keeps every rule of the contract.
    #[error("{}", status::refused(.0))]
    RowRefused(#[source] Box<RowRefusal>),
    /// A row of a chunk was refused and the policy is STOP.
    #[error("row at offset {offset} was refused: {}: {}", .violation.field, .violation.description)]
    RowRejected {
        /// The row's offset.
        offset: i64,
        /// What is wrong; the field is a path from the chunk.
        violation: Violation,
    },
    /// A chunk begins beyond the committed offset.
    #[error("the chunk leaves a gap: the next offset is {expected}")]
    OffsetGap {
        /// Where to go on.
        expected: i64,
    },
    /// A committed chunk came again with other content.
    #[error("the row at offset {offset} was committed with other content")]
    OffsetConflict {
        /// The first row that differs.
        offset: i64,
    },
    /// Another stream took the write over.
    #[error("another stream has taken this write_id over")]
    WriteTakenOver,
    /// The write_id or request_id was begun with something else; holds the field's name and what differs.
    #[error("{0} was used before with other {1}")]
    WriteMismatch(&'static str, &'static str),
    /// One row does not fit the limits.
    #[error("{resource} {} is too large to be returned: ask for fewer columns with read_mask", named(.name))]
    RowTooLarge {
        /// The resource's message type.
        resource: &'static str,
        /// Its key.
        name: String,
    },
    /// What was asked for is more than the caller takes in one message.
    #[error(transparent)]
    AnswerTooLarge(AnswerTooLarge),
    /// What was asked for as a whole has more than so many rows.
    #[error("more than {0} rows: read them page by page")]
    TooManyRows(usize),
    /// The process is at its bound.
    #[error("the service is at its limit of concurrent work")]
    Overloaded,
    /// The database cannot be reached or has no connection to spare.
    #[error("the database is unavailable")]
    DatabaseUnavailable(#[source] sqlx::Error),
    /// Another service, which this one needs for the call, cannot be reached or does not answer in time.
    #[error("the {service} service is unavailable")]
    DependencyUnavailable {
        /// The service's name, for people.
        service: &'static str,
        /// What was wrong, for the log.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The process is shutting down.
    #[error("the service is shutting down")]
    Draining,
    /// A time limit passed.
    #[error("the deadline passed before the work was done")]
    DeadlineExceeded,
    /// The database undid the transaction for another's sake.
    #[error("the transaction gave way to another one")]
    TransactionConflict(#[source] sqlx::Error),
    /// A table was changed under a statement that the connection keeps prepared, before anything was done. Another connection takes it.
    #[error("the table was changed meanwhile")]
    PlanOutdated(#[source] sqlx::Error),
    /// The database refused a result for its size.
    #[error("the database refused the result for its size")]
    ResultRefused(#[source] sqlx::Error),
    /// A result was about to exceed the limit of so many bytes, and was cut off.
    #[error("the result exceeds {0} bytes")]
    ResultTooLarge(usize),
    /// A fault of the service itself.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What the transport already judged: an inbound stream that broke.
    #[error("{}", .0.message())]
    Transport(Status),
}

impl Error {
    /// One invalid field.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation::new(field, description)])
    }

    /// A fault of the service itself.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }

    /// The same, if it is an answer's size, said of the one row of that answer.
    #[must_use]
    pub fn of_row(self, resource: &'static str, name: impl Into<String>) -> Self {
        match self {
            Self::AnswerTooLarge(too_large) => {
                Self::AnswerTooLarge(AnswerTooLarge { row: Some((resource, name.into())), ..too_large })
            }
            error => error,
        }
    }

    /// Whether the connection was lost before the server could act: it was found dead, or the server is going away.
    pub(crate) fn is_connection_loss(&self) -> bool {
        match self {
            Self::DatabaseUnavailable(sqlx::Error::Io(_) | sqlx::Error::Protocol(_)) => true,
            Self::DatabaseUnavailable(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("08"))
            }
            _ => false,
        }
    }

    /// Whether less may be had where this ended a result: it was refused or cut off for its size, or the connection broke. A server that
    /// breaks the connection over a result that it finds too large looks like one that went away, as behind an error in a copy the driver
    /// tells of the closed connection alone. One that did go away has no connection for the next query.
    pub fn asks_for_less(&self) -> bool {
        matches!(self, Self::ResultRefused(_) | Self::ResultTooLarge(_)) || self.is_connection_loss()
    }

    /// Why, for programs.
    pub fn reason(&self) -> ErrorReason {
        match self {
            Self::Invalid(_) => ErrorReason::FieldInvalid,
            Self::TokenInvalid(_) => ErrorReason::TokenInvalid,
            Self::TokenMismatch(_) => ErrorReason::TokenMismatch,
            Self::NotFound { .. } => ErrorReason::ResourceNotFound,
            Self::CreatedAndDeleted { .. } => ErrorReason::CreatedResourceDeleted,
            Self::AlreadyExists { .. } | Self::ValueTaken { .. } => ErrorReason::ResourceExists,
            Self::EtagMismatch { .. } => ErrorReason::EtagMismatch,
            Self::RevisionMismatch { .. } => ErrorReason::RevisionMismatch,
            Self::PhaseForbids { .. } | Self::PhaseForbidsField { .. } => ErrorReason::PhaseForbids,
            Self::ReferenceMissing(_) => ErrorReason::ReferenceMissing,
            Self::RowRefused(refusal) => refusal.kind.reason(),
            Self::RowRejected { .. } => ErrorReason::RowRejected,
            Self::OffsetGap { .. } => ErrorReason::OffsetGap,
            Self::OffsetConflict { .. } => ErrorReason::OffsetConflict,
            Self::WriteTakenOver => ErrorReason::WriteSessionTakenOver,
            Self::WriteMismatch(..) => ErrorReason::WriteSessionMismatch,
            Self::RowTooLarge { .. } | Self::ResultTooLarge(_) | Self::ResultRefused(_) => ErrorReason::RowTooLarge,
            Self::AnswerTooLarge(_) | Self::TooManyRows(_) => ErrorReason::AnswerTooLarge,
            Self::Overloaded => ErrorReason::Overloaded,
            Self::DatabaseUnavailable(_) => ErrorReason::DatabaseUnavailable,
            Self::DependencyUnavailable { .. } => ErrorReason::DependencyUnavailable,
            Self::Draining => ErrorReason::Draining,
            Self::DeadlineExceeded => ErrorReason::DeadlineExceeded,
            Self::TransactionConflict(_) | Self::PlanOutdated(_) => ErrorReason::TransactionConflict,
            Self::Internal(_) => ErrorReason::Internal,
            Self::Transport(_) => ErrorReason::Unspecified,
        }
    }

    /// The canonical code.
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid(_)
            | Self::TokenInvalid(_)
            | Self::TokenMismatch(_)
            | Self::RowRejected { .. }
            | Self::WriteMismatch(..) => Code::InvalidArgument,
            Self::RowRefused(refusal) => refusal.kind.code(),
            Self::NotFound { .. } | Self::CreatedAndDeleted { .. } => Code::NotFound,
            Self::AlreadyExists { .. } | Self::ValueTaken { .. } => Code::AlreadyExists,
            Self::EtagMismatch { .. }
            | Self::RevisionMismatch { .. }
            | Self::OffsetConflict { .. }
            | Self::WriteTakenOver
            | Self::TransactionConflict(_)
            | Self::PlanOutdated(_) => Code::Aborted,
            Self::ReferenceMissing(_) | Self::PhaseForbids { .. } | Self::PhaseForbidsField { .. } => {
                Code::FailedPrecondition
            }
            Self::OffsetGap { .. } => Code::OutOfRange,
            Self::RowTooLarge { .. }
            | Self::AnswerTooLarge(_)
            | Self::TooManyRows(_)
            | Self::ResultTooLarge(_)
            | Self::ResultRefused(_)
            | Self::Overloaded => Code::ResourceExhausted,
            Self::DatabaseUnavailable(_) | Self::DependencyUnavailable { .. } | Self::Draining => Code::Unavailable,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::Internal(_) => Code::Internal,
            Self::Transport(status) => status.code(),
        }
    }
}

impl From<sqlx::Error> for Error {
    /// Judges by SQLSTATE (Postgres manual, appendix A) and by the kind of driver error, never by text.
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as Driver;
        let Driver::Database(database) = &error else {
            return match error {
                Driver::Io(_)
                | Driver::Tls(_)
                | Driver::Protocol(_)
                | Driver::PoolTimedOut
                | Driver::PoolClosed
                | Driver::WorkerCrashed
                | Driver::BeginFailed => Self::DatabaseUnavailable(error),
                other => Self::internal(other),
            };
        };
        let state = database.code().unwrap_or_default().into_owned();
        match state.as_str() {
            // serialization_failure, deadlock_detected, lock_not_available
            "40001" | "40P01" | "55P03" => Self::TransactionConflict(error),
            // query_canceled (statement_timeout), idle_in_transaction_session_timeout, transaction_timeout
            "57014" | "25P03" | "25P04" => Self::DeadlineExceeded,
            // The server stops, starts, is a standby, or has dropped the database; the role or database is being set up.
            "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25006" | "3D000" | "28P01" | "28000" => {
                Self::DatabaseUnavailable(error)
            }
            // program_limit_exceeded, out_of_memory, configuration_limit_exceeded
            "54000" | "53200" | "53400" => Self::ResultRefused(error),
            code if code.starts_with("08") || code.starts_with("53") => Self::DatabaseUnavailable(error),
            // character_not_in_repertoire, untranslatable_character
            "22021" | "22P05" => Self::invalid("", "the text holds characters that the database cannot store"),
            // feature_not_supported: a migration gave a column another type, and with that the results of a prepared statement.
            "0A000" if is_of_outdated_plan(database.as_ref()) => Self::PlanOutdated(error),
            // Whatever it is, the server has ended the session over it, or gives none: the right to connect is missing, for example.
            _ if ends_session(database.as_ref()) => Self::DatabaseUnavailable(error),
            _ => Self::internal(error),
        }
    }
}

/// Whether an error is the server's last word to a session.
fn ends_session(error: &dyn DatabaseError) -> bool {
    let error = error.try_downcast_ref::<PgDatabaseError>();
    error.is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

/// Whether the server cannot run a prepared statement any more because its result would have other types ("cached plan must not change result
/// type"), told by the place in the server that says so.
fn is_of_outdated_plan(error: &dyn DatabaseError) -> bool {
    let error = error.try_downcast_ref::<PgDatabaseError>();
    error.is_some_and(|error| error.routine() == Some("RevalidateCachedQuery"))
}
