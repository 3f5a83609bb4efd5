//! A row that is valid by the contract and that the database still refuses: another user of the database may have added
//! a constraint or an index. The error belongs to that row, not to its chunk and not to the service.
//!
//! The message is made from the SQLSTATE and from the names that the server sends in fields of their own, never from
//! its text.

use orrery_proto::r#type::v1::ErrorReason;
use sqlx::postgres::PgDatabaseError;
use tonic::Code;

use super::{Error, Violation, shortened};

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// A value that cannot be stored.
    Value,
    /// Another row has the same value in a unique column.
    Duplicate,
    /// The row refers to something that does not exist.
    ReferenceMissing,
    /// Something else refers to the row or to its children.
    Referenced,
}

impl RefusalKind {
    /// The reason, for clients to branch on.
    pub fn reason(self) -> ErrorReason {
        match self {
            Self::Value => ErrorReason::FieldInvalid,
            Self::Duplicate => ErrorReason::ResourceExists,
            Self::ReferenceMissing => ErrorReason::ReferenceMissing,
            Self::Referenced => ErrorReason::ResourceReferenced,
        }
    }

    /// The gRPC status code.
    pub fn code(self) -> Code {
        match self {
            Self::Value => Code::InvalidArgument,
            Self::Duplicate => Code::AlreadyExists,
            Self::ReferenceMissing | Self::Referenced => Code::FailedPrecondition,
        }
    }
}

/// A row that the database refuses.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct RowRefusal {
    /// The kind of refusal.
    pub kind: RefusalKind,
    /// The field, if known, and what is wrong.
    pub violation: Violation,
    /// The resource and its key, once known.
    pub row: Option<(&'static str, String)>,
    /// The server's error, for the log.
    #[source]
    pub cause: sqlx::Error,
}

impl Error {
    /// Converts the driver's error of a statement that writes rows.
    pub(crate) fn from_written_rows(error: sqlx::Error) -> Self {
        match refusal_kind(&error) {
            Some(kind) => {
                let violation = Violation::new("", description(&error));
                Self::RowRefused(Box::new(RowRefusal { kind, violation, row: None, cause: error }))
            }
            None => error.into(),
        }
    }
}

/// Whether a unique violation concerns the primary key of a table. Primary keys have the name that Postgres gives them;
/// the shards of a distributed table add a number.
pub(crate) fn is_primary_key_violation(error: &sqlx::Error) -> bool {
    database_error(error).is_some_and(|error| {
        sqlstate(error) == UNIQUE_VIOLATION && constraint(error).is_some_and(|name| name.contains("_pkey"))
    })
}

const UNIQUE_VIOLATION: &str = "23505";

/// How a sharded database passes errors of rows on that another server has refused: `insert ... select` and `copy` give
/// them all the SQLSTATE XX000, and only the message tells them apart.
const PASSED_ON: [(&str, &str); 4] = [
    ("duplicate key value violates unique constraint ", UNIQUE_VIOLATION),
    ("conflicting key value violates exclusion constraint ", "23P01"),
    ("null value in column ", "23502"),
    ("new row for relation ", "23514"),
];

/// The SQLSTATE of an error; of one that a sharded database passes on, that of the server where it happened.
fn sqlstate(error: &PgDatabaseError) -> &str {
    let passed_on =
        PASSED_ON.iter().find(|(message, _)| error.code() == "XX000" && error.message().starts_with(message));
    passed_on.map_or(error.code(), |(_, state)| state)
}

/// The constraint or unique index that an error is about. A sharded database names that of the shard, and that of
/// another server in the message alone.
pub(crate) fn constraint(error: &PgDatabaseError) -> Option<&str> {
    let in_message = || {
        let is_named = PASSED_ON.iter().take(2).any(|(message, _)| error.message().starts_with(message));
        error.message().split('"').nth(1).filter(|_| is_named)
    };
    error.constraint().or_else(in_message)
}

pub(crate) fn database_error(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    let sqlx::Error::Database(error) = error else { return None };
    error.try_downcast_ref()
}

/// The kind of refusal, if the error is about a row (Postgres manual, appendix A): class 22, data exception; class 23,
/// integrity constraint violation; 44000, with_check_option_violation; class 54, program_limit_exceeded, for example an
/// index entry that is too large. An error that a trigger raises (P0001) can mean anything and counts as a fault of the
/// database.
fn refusal_kind(error: &sqlx::Error) -> Option<RefusalKind> {
    let state = sqlstate(database_error(error)?);
    match state {
        // exclusion_violation
        UNIQUE_VIOLATION | "23P01" => Some(RefusalKind::Duplicate),
        // foreign_key_violation, restrict_violation
        "23503" | "23001" => Some(RefusalKind::ReferenceMissing),
        "44000" => Some(RefusalKind::Value),
        _ => matches!(state.get(..2), Some("22" | "23" | "54")).then_some(RefusalKind::Value),
    }
}

fn description(error: &sqlx::Error) -> String {
    let Some(error) = database_error(error) else { return String::new() };
    let what = match sqlstate(error) {
        "22021" | "22P05" => "contains characters that the database cannot store",
        "23502" => "must be set: the database requires it",
        "23503" | "23001" => "refers to something that does not exist",
        UNIQUE_VIOLATION | "23P01" => "duplicates a value that the database requires to be unique",
        "23514" => "does not meet a check constraint of the database",
        state if state.starts_with("54") => "is too large for the database",
        state if state.starts_with("22") => "contains a value that the database cannot store",
        _ => "is refused by the database",
    };
    with_constraint(what, error)
}

pub(crate) fn with_constraint(what: &str, error: &PgDatabaseError) -> String {
    match constraint(error) {
        Some(name) => format!("{what} (constraint {})", shortened(name)),
        None => what.to_owned(),
    }
}
