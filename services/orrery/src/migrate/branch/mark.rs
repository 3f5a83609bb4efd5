//! The comment on a database that marks it as a branch.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, PgConnection};

use super::{Branch, BranchInfo};
use crate::schema::{identifier, literal};

/// The mark.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Mark {
    /// The database of which it is a branch.
    #[serde(rename = "orrery_branch_of")]
    pub(super) branch_of: String,
    pub(super) name: String,
    pub(super) created: DateTime<Utc>,
    pub(super) state: State,
}

/// Whether a branch is complete.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) enum State {
    #[serde(rename = "being created")]
    BeingCreated,
    #[serde(rename = "ready")]
    Ready,
}

/// What has the name of a branch's database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Branch(State),
    /// A database that is not a branch.
    Other,
}

/// Looks for the database of a branch.
///
/// It is created without a mark, but does not allow connections then. No other program creates such a database.
pub(super) async fn find(connection: &mut PgConnection, branch: &Branch) -> anyhow::Result<Found> {
    let query = "select shobj_description(oid, 'pg_database'), datallowconn from pg_database where datname = $1";
    let found: Option<(Option<String>, bool)> =
        sqlx::query_as(query).bind(&branch.database).fetch_optional(connection).await?;
    Ok(match found {
        None => Found::Nothing,
        Some((None, false)) => Found::Branch(State::BeingCreated),
        Some((Some(comment), _)) => match serde_json::from_str::<Mark>(&comment) {
            Ok(mark) if mark.branch_of == branch.source && mark.name == branch.name => Found::Branch(mark.state),
            _ => Found::Other,
        },
        Some((None, true)) => Found::Other,
    })
}

/// Writes the mark of a branch.
pub(super) async fn write(connection: &mut PgConnection, database: &str, mark: &Mark) -> anyhow::Result<()> {
    let text = serde_json::to_string(mark)?;
    let statement = format!("comment on database {} is {}", identifier(database), literal(&text));
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}

/// A database with its comment, whether it allows connections, and its size.
type Row = (String, Option<String>, bool, Option<i64>);

/// All branches of the connected database.
pub(super) async fn list(connection: &mut PgConnection, url: &str) -> anyhow::Result<Vec<BranchInfo>> {
    let source: String = sqlx::query_scalar("select current_database()::text").fetch_one(&mut *connection).await?;
    let prefix = format!("{source}_branch_");
    let query = "select datname::text, shobj_description(oid, 'pg_database'), datallowconn, \
                 case when has_database_privilege(oid, 'connect') then pg_database_size(oid) end \
                 from pg_database where starts_with(datname::text, $1) order by datname";
    let rows: Vec<Row> = sqlx::query_as(query).bind(&prefix).fetch_all(connection).await?;
    let mut branches = Vec::new();
    for (database, comment, allows_connections, size) in rows {
        let name = database[prefix.len()..].to_owned();
        let mark = comment.as_deref().and_then(|comment| serde_json::from_str::<Mark>(comment).ok());
        let is_branch = match &mark {
            Some(mark) => mark.branch_of == source && mark.name == name,
            None => comment.is_none() && !allows_connections,
        };
        if is_branch {
            branches.push(BranchInfo {
                branch: Branch { source_url: url.to_owned(), source: source.clone(), name, database },
                created: mark.as_ref().map(|mark| mark.created),
                ready: mark.is_some_and(|mark| mark.state == State::Ready),
                size,
            });
        }
    }
    Ok(branches)
}
