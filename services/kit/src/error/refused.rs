//! A row that the database refuses to store although it keeps every rule of the contract: whoever else uses the
//! database may have added a constraint or an index. It is that row's error, not its chunk's and not the service's.
//!
//! What is told is made from the SQLSTATE and from the names that the server sends beside its text, never from the
//! text.

use orrery_proto::r#type::v1::ErrorReason;
use sqlx::error::DatabaseError as _;
use sqlx::postgres::PgDatabaseError;
use tonic::Code;

use super::{Error, Violation, shortened};

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// A value that cannot be stored.
    Value,
    /// Another row has what only one may have.
    Taken,
    /// It points at what does not exist.
    ReferenceMissing,
    /// Something else points at it, or at what belongs to it.
    Referenced,
}

impl RefusalKind {
    /// Why, for programs.
    pub fn reason(self) -> ErrorReason {
        match self {
            Self::Value => ErrorReason::FieldInvalid,
            Self::Taken => ErrorReason::ResourceExists,
            Self::ReferenceMissing => ErrorReason::ReferenceMissing,
            Self::Referenced => ErrorReason::ResourceReferenced,
        }
    }

    /// The canonical code.
    pub fn code(self) -> Code {
        match self {
            Self::Value => Code::InvalidArgument,
            Self::Taken => Code::AlreadyExists,
            Self::ReferenceMissing | Self::Referenced => Code::FailedPrecondition,
        }
    }
}

/// A row that the database refuses.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct RowRefusal {
    /// What that means.
    pub kind: RefusalKind,
    /// The field, where it can be told, and what is wrong.
    pub violation: Violation,
    /// The resource and its key, once they are known.
    pub row: Option<(&'static str, String)>,
    /// What the server said, for the log.
    #[source]
    pub cause: sqlx::Error,
}

impl Error {
    /// What the driver says of a statement that writes rows.
    pub(crate) fn of_written_rows(error: sqlx::Error) -> Self {
        match refusal_kind(&error) {
            Some(kind) => {
                let violation = Violation::new("", description(&error));
                Self::RowRefused(Box::new(RowRefusal { kind, violation, row: None, cause: error }))
            }
            None => error.into(),
        }
    }
}

/// Whether a unique violation is one of a table's key. Primary keys have the name that Postgres gives them, on the
/// shards of a distributed table with a number behind it.
pub(crate) fn is_of_key(error: &sqlx::Error) -> bool {
    database_error(error).is_some_and(|error| {
        error.is_unique_violation() && error.constraint().is_some_and(|name| name.contains("_pkey"))
    })
}

pub(crate) fn database_error(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    let sqlx::Error::Database(error) = error else { return None };
    error.try_downcast_ref()
}

/// What it means, if it is about a row (Postgres manual, appendix A): class 22, data exception; class 23, integrity
/// constraint violation; 44000, with_check_option_violation; class 54, program_limit_exceeded, of an index's row for
/// example. What a trigger raises (P0001) is about anything, and stays a fault of the database.
fn refusal_kind(error: &sqlx::Error) -> Option<RefusalKind> {
    let state = database_error(error)?.code();
    match state {
        // unique_violation, exclusion_violation
        "23505" | "23P01" => Some(RefusalKind::Taken),
        // foreign_key_violation, restrict_violation
        "23503" | "23001" => Some(RefusalKind::ReferenceMissing),
        "44000" => Some(RefusalKind::Value),
        _ => matches!(state.get(..2), Some("22" | "23" | "54")).then_some(RefusalKind::Value),
    }
}

fn description(error: &sqlx::Error) -> String {
    let Some(error) = database_error(error) else { return String::new() };
    let what = match error.code() {
        "22021" | "22P05" => "holds characters that the database cannot store",
        "23502" => "must be set: the database requires it",
        "23503" | "23001" => "points at what does not exist",
        "23505" | "23P01" => "is taken: the database allows it once",
        "23514" => "breaks a check of the database",
        state if state.starts_with("54") => "is too large for the database",
        state if state.starts_with("22") => "holds a value that the database cannot take",
        _ => "is refused by the database",
    };
    told(what, error)
}

pub(crate) fn told(what: &str, error: &PgDatabaseError) -> String {
    match error.constraint() {
        Some(name) => format!("{what} (constraint {})", shortened(name)),
        None => what.to_owned(),
    }
}
