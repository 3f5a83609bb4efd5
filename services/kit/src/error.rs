//! The error type of a service. The module `status` is the one place where it becomes a `google.rpc.Status`.
//!
//! Clients branch on [`ErrorReason`], never on text. The driver's messages are for the log only: no SQL, host or
//! password reaches a client.

pub(crate) mod refused;
mod status;
pub mod too_large;

use orrery_proto::r#type::v1::ErrorReason;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use tonic::{Code, Status};

use self::refused::RowRefusal;
pub use self::status::RETRY_DELAY;
use self::status::named;
pub(crate) use self::status::{beginning, shortened};
use self::too_large::AnswerTooLarge;

/// A field of a request, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field from the request's root, for example `product.labels.season`.
    pub field: String,
    /// What is wrong, and what would be valid.
    pub description: String,
}

impl Violation {
    /// A violation of one field.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }

    /// The same violation as a path from an outer message: `labels.season` within `product` is `product.labels.season`.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        self.field = if self.field.is_empty() { outer.to_owned() } else { format!("{outer}.{}", self.field) };
        self
    }
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields of the request are invalid.
    #[error("invalid argument: {}", .0.first().map_or("", |violation| violation.description.as_str()))]
    Invalid(Vec<Violation>),
    /// A token was altered or comes from another installation. Holds the field's name.
    #[error("{0} is not a valid token of this service")]
    TokenInvalid(&'static str),
    /// A token belongs to another request. Holds the field's name.
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
    /// The resource that an earlier call with the same request_id created has since been deleted.
    #[error("{resource} {} was created with this request_id and has since been deleted", named(.name))]
    CreatedAndDeleted {
        /// The resource's message type.
        resource: &'static str,
        /// Its key.
        name: String,
    },
    /// The resource exists already.
    #[error("{resource} {} already exists", named(.name))]
    AlreadyExists {
        /// The resource's message type.
        resource: &'static str,
        /// Its key.
        name: String,
    },
    /// Another row has the same value in a unique field.
    #[error("{field} must be unique: {resource} {} already has this value", named(.holder))]
    ValueTaken {
        /// The resource's message type.
        resource: &'static str,
        /// The field.
        field: String,
        /// The key of the row that has the value.
        holder: String,
    },
    /// The etag in the request is not the stored row's.
    #[error("{resource} {} has changed: its etag differs from the one in the request", named(.name))]
    EtagMismatch {
        /// The resource's message type.
        resource: &'static str,
        /// Its key.
        name: String,
    },
    /// The revision in the request is not the stored row's.
    #[error("{resource} {} has changed: its revision differs from the one in the request", named(.name))]
    RevisionMismatch {
        /// The resource's message type.
        resource: &'static str,
        /// Its key.
        name: String,
    },
    /// The phase of the resource does not allow the move.
    #[error("{resource} {}: {}", named(.name), status::phases(.from, .to))]
    PhaseForbids {
        /// The resource's message type.
        resource: &'static str,
        /// Its key.
        name: String,
        /// The phase that it is in.
        from: String,
        /// The phase that it should move to.
        to: String,
    },
    /// The phase of the resource does not allow a field to be set.
    #[error(
        "{resource} {} is {}: {field} can be set only in the phases {}",
        named(.name),
        named(.phase),
        allowed.join(", ")
    )]
    PhaseForbidsField {
        /// The resource's message type.
        resource: &'static str,
        /// Its key.
        name: String,
        /// The phase that it is in.
        phase: String,
        /// The field to set.
        field: &'static str,
        /// The phases that allow it.
        allowed: &'static [&'static str],
    },
    /// A field refers to a resource that does not exist.
    #[error("{}: {}", .0.field, .0.description)]
    ReferenceMissing(Violation),
    /// Rows of the slice still refer to a resource that was to be deleted.
    #[error("{resource} {} is still referred to: {why}", named(.name))]
    StillReferenced {
        /// The resource's message type.
        resource: &'static str,
        /// Its key.
        name: String,
        /// What refers to it, and what to do.
        why: &'static str,
    },
    /// The database refuses a row that is valid by the contract.
    #[error("{}", status::refused(.0))]
    RowRefused(#[source] Box<RowRefusal>),
    /// A row of a chunk was refused and the policy is STOP.
    #[error("the row at offset {offset} was refused: {}: {}", .violation.field, .violation.description)]
    RowRejected {
        /// The offset of the row.
        offset: i64,
        /// What is wrong. The field is a path from the chunk.
        violation: Violation,
    },
    /// A chunk begins beyond the committed offset.
    #[error("the chunk leaves a gap: the next expected offset is {expected}")]
    OffsetGap {
        /// The offset to continue at.
        expected: i64,
    },
    /// A committed chunk was sent again with different content.
    #[error("the row at offset {offset} was committed with different content")]
    OffsetConflict {
        /// The first row that differs.
        offset: i64,
    },
    /// Another stream has taken over the write.
    #[error("another stream has taken over this write")]
    WriteTakenOver,
    /// The write_id or request_id was used before with something else. Holds the field's name and what differs.
    #[error("{0} was used before with different {1}")]
    WriteMismatch(&'static str, &'static str),
    /// One row is larger than the limits allow.
    #[error("{resource} {} is too large to return: ask for fewer fields with read_mask", named(.name))]
    RowTooLarge {
        /// The resource's message type.
        resource: &'static str,
        /// Its key.
        name: String,
    },
    /// The answer is larger than the caller accepts in one message.
    #[error(transparent)]
    AnswerTooLarge(AnswerTooLarge),
    /// A read that returns all rows at once found more than this many.
    #[error("more than {0} rows: read them page by page")]
    TooManyRows(usize),
    /// The resource exists, but its content in the object storage does not, or is not what was stored.
    #[error("the content of {resource} {} is lost: its object is missing, or not as long as it was", named(.name))]
    ContentLost {
        /// The resource's message type.
        resource: &'static str,
        /// Its key.
        name: String,
    },
    /// The process is at one of its limits.
    #[error("the service is at its limit of concurrent work")]
    Overloaded,
    /// The database cannot be reached or has no free connection.
    #[error("the database is unavailable")]
    DatabaseUnavailable(#[source] sqlx::Error),
    /// Another service, which the call needs, cannot be reached or does not answer in time.
    #[error("the {service} service is unavailable")]
    DependencyUnavailable {
        /// The service's name, for the message.
        service: &'static str,
        /// The cause, for the log.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The process is shutting down.
    #[error("the service is shutting down")]
    Draining,
    /// A time limit passed.
    #[error("the deadline passed before the work was done")]
    DeadlineExceeded,
    /// The database rolled the transaction back because of another one.
    #[error("the transaction conflicted with another one")]
    TransactionConflict(#[source] sqlx::Error),
    /// A table changed after the connection had prepared the statement, so the server refused to run it. Nothing was
    /// done. It works on another connection.
    #[error("a table was changed at the same time")]
    PlanOutdated(#[source] sqlx::Error),
    /// The database refused a result because of its size.
    #[error("the database refused the result because of its size")]
    ResultRefused(#[source] sqlx::Error),
    /// A result exceeded the limit of this many bytes and was cut off.
    #[error("the result exceeds {0} bytes")]
    ResultTooLarge(usize),
    /// An internal error of the service.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A status that the transport made: a broken request stream.
    #[error("{}", .0.message())]
    Transport(Status),
}

impl Error {
    /// One invalid field.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation::new(field, description)])
    }

    /// An internal error of the service.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }

    /// Names the row, if this error says that an answer is too large and that answer is one row.
    #[must_use]
    pub fn for_row(self, resource: &'static str, name: impl Into<String>) -> Self {
        match self {
            Self::AnswerTooLarge(too_large) => {
                Self::AnswerTooLarge(AnswerTooLarge { row: Some((resource, name.into())), ..too_large })
            }
            error => error,
        }
    }

    /// Whether the connection was lost before the server could act: the connection was dead, or the server is shutting
    /// down.
    pub(crate) fn is_connection_loss(&self) -> bool {
        match self {
            Self::DatabaseUnavailable(sqlx::Error::Io(_) | sqlx::Error::Protocol(_)) => true,
            Self::DatabaseUnavailable(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("08"))
            }
            _ => false,
        }
    }

    /// Whether asking for a smaller result may help: this result was refused or cut off because of its size, or the
    /// connection broke. Some servers break the connection over a result that they find too large, and the driver then
    /// reports only the closed connection, like that of a server that is gone. If the server really is gone, the next
    /// query finds no connection.
    pub fn may_be_too_large(&self) -> bool {
        matches!(self, Self::ResultRefused(_) | Self::ResultTooLarge(_)) || self.is_connection_loss()
    }

    /// The reason, for clients to branch on.
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
            Self::StillReferenced { .. } => ErrorReason::ResourceReferenced,
            Self::RowRefused(refusal) => refusal.kind.reason(),
            Self::RowRejected { .. } => ErrorReason::RowRejected,
            Self::OffsetGap { .. } => ErrorReason::OffsetGap,
            Self::OffsetConflict { .. } => ErrorReason::OffsetConflict,
            Self::WriteTakenOver => ErrorReason::WriteSessionTakenOver,
            Self::WriteMismatch(..) => ErrorReason::WriteSessionMismatch,
            Self::RowTooLarge { .. } | Self::ResultTooLarge(_) | Self::ResultRefused(_) => ErrorReason::RowTooLarge,
            Self::AnswerTooLarge(_) | Self::TooManyRows(_) => ErrorReason::AnswerTooLarge,
            Self::ContentLost { .. } => ErrorReason::ContentLost,
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

    /// The gRPC status code.
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
            Self::ReferenceMissing(_)
            | Self::StillReferenced { .. }
            | Self::PhaseForbids { .. }
            | Self::PhaseForbidsField { .. } => Code::FailedPrecondition,
            Self::OffsetGap { .. } => Code::OutOfRange,
            Self::RowTooLarge { .. }
            | Self::AnswerTooLarge(_)
            | Self::TooManyRows(_)
            | Self::ResultTooLarge(_)
            | Self::ResultRefused(_)
            | Self::Overloaded => Code::ResourceExhausted,
            Self::ContentLost { .. } => Code::DataLoss,
            Self::DatabaseUnavailable(_) | Self::DependencyUnavailable { .. } | Self::Draining => Code::Unavailable,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::Internal(_) => Code::Internal,
            Self::Transport(status) => status.code(),
        }
    }
}

impl From<sqlx::Error> for Error {
    /// Classifies by SQLSTATE (Postgres manual, appendix A) and by the kind of driver error, never by text.
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
            // The server is stopping, starting, a standby, or its database was dropped; or the role or database is not
            // set up yet.
            "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25006" | "3D000" | "28P01" | "28000" => {
                Self::DatabaseUnavailable(error)
            }
            // program_limit_exceeded, out_of_memory, configuration_limit_exceeded
            "54000" | "53200" | "53400" => Self::ResultRefused(error),
            code if code.starts_with("08") || code.starts_with("53") => Self::DatabaseUnavailable(error),
            // character_not_in_repertoire, untranslatable_character
            "22021" | "22P05" => Self::invalid("", "the text contains characters that the database cannot store"),
            // feature_not_supported: a migration changed the type of a column, and so the result type of a prepared
            // statement.
            "0A000" if is_outdated_plan(database.as_ref()) => Self::PlanOutdated(error),
            // Whatever the cause, the server has ended the session or refused a new one, for example because the right
            // to connect is missing.
            _ if ends_session(database.as_ref()) => Self::DatabaseUnavailable(error),
            _ => Self::internal(error),
        }
    }
}

/// Whether the server ended the session with this error.
fn ends_session(error: &dyn DatabaseError) -> bool {
    let error = error.try_downcast_ref::<PgDatabaseError>();
    error.is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

/// Whether the server refused a prepared statement because its result type has changed ("cached plan must not change
/// result type"). Recognised by the server routine that raises the error.
fn is_outdated_plan(error: &dyn DatabaseError) -> bool {
    let error = error.try_downcast_ref::<PgDatabaseError>();
    error.is_some_and(|error| error.routine() == Some("RevalidateCachedQuery"))
}
