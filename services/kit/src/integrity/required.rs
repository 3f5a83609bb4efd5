//! The columns that a service needs. A service that is newer than the schema must not start: its statements would fail
//! one by one. One that is older than the schema works, as long as what it needs is there: migrations first add, and
//! drop only what no running service needs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Row as _;
use tokio::sync::OnceCell;

use crate::db::array::ArrayParameter;
use crate::db::{Database, Statement};
use crate::deadline::Deadline;
use crate::error::Error;

/// How long one attempt to look for them may take.
const ATTEMPT: Duration = Duration::from_secs(20);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_secs(1);
/// How many missing columns an error names.
const NAMED: usize = 5;

// Tables, also partitioned and foreign ones, and views: a migration may put a view in the place of a table.
const SELECT: &str = "select r.name
  from unnest($1::text[]) as r (name)
  left join (
    select c.relname || '.' || a.attname as name
      from pg_catalog.pg_attribute as a
      join pg_catalog.pg_class as c on c.oid = a.attrelid
      join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
     where n.nspname = $2
       and c.relkind in ('r', 'p', 'v', 'f')
       and a.attnum > 0
       and not a.attisdropped) as f on f.name = r.name
 where f.name is null
 order by r.name
 limit $3";

/// The columns of a slice that a service needs. They are looked for once, when the database first answers. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct RequiredColumns(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    schema: &'static str,
    /// Each as `table.column`.
    columns: Vec<&'static str>,
    found: OnceCell<()>,
}

/// The schema lacks columns that the service needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutdatedSchema {
    /// Each as `schema.table.column`: the first ones.
    missing: Vec<String>,
    /// Whether there are more.
    more: bool,
}

impl std::error::Error for OutdatedSchema {}

impl fmt::Display for OutdatedSchema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.more { " and others" } else { "" };
        write!(
            formatter,
            "the schema of the database is older than this service: it has no {}{more}; run `orrery migrate up \
             --database-url URL` and start the service again",
            self.missing.join(", ")
        )
    }
}

/// Why the columns could not be found.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error(transparent)]
    Outdated(#[from] OutdatedSchema),
    #[error(transparent)]
    Database(#[from] Error),
}

impl RequiredColumns {
    /// The columns of the slice `schema` that `list` names: one `table.column` per line, and comments after `#`.
    pub fn new(schema: &'static str, list: &'static str) -> Self {
        let names = list.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        let columns = names.filter(|name| !name.is_empty()).collect();
        Self(Arc::new(Shared { schema, columns, found: OnceCell::new() }))
    }

    /// Whether the schema is known to have them all. Asks the database until it has.
    pub(crate) async fn are_there(&self, database: &Database) -> bool {
        self.check(database, Deadline::none()).await.is_ok()
    }

    /// Returns the error if the schema lacks columns, and `None` once it is known to have them all. Asks again and
    /// again if the database does not answer.
    pub(crate) async fn until_checked(&self, database: &Database) -> Option<OutdatedSchema> {
        loop {
            // A database that does not answer does not have to be asked.
            if database.ping().await {
                match self.check(database, Deadline::after(ATTEMPT)).await {
                    Ok(()) => return None,
                    Err(CheckError::Outdated(outdated)) => return Some(outdated),
                    Err(CheckError::Database(error)) => {
                        let cause = std::error::Error::source(&error);
                        tracing::warn!(%error, cause, "the columns of the schema cannot be read yet");
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn check(&self, database: &Database, deadline: Deadline) -> Result<(), CheckError> {
        self.0.found.get_or_try_init(|| self.look(database, deadline)).await.copied()
    }

    async fn look(&self, database: &Database, deadline: Deadline) -> Result<(), CheckError> {
        let Shared { schema, columns, .. } = &*self.0;
        let most = (NAMED + 1).min(database.limits().max_query_rows);
        let mut select = Statement::new(SELECT, most)
            .bind(ArrayParameter::texts(columns))?
            .bind(*schema)?
            .bind(i64::try_from(most).map_err(Error::internal)?)?;
        select.keep_prepared = false;
        let rows = database.fetch(&select, deadline).await?;
        let missing = rows.iter().map(|row| row.try_get::<&str, _>(0).map(|name| format!("{schema}.{name}")));
        let mut missing: Vec<String> = missing.collect::<Result<_, _>>().map_err(Error::from)?;
        if missing.is_empty() {
            return Ok(());
        }
        let more = missing.len() > NAMED;
        missing.truncate(NAMED);
        Err(OutdatedSchema { missing, more }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_names_and_comments() {
        let required = RequiredColumns::new("catalog", "# Why\nproduct.uid\n\n  product.name # spare\n#x.y\n");
        assert_eq!(required.0.columns, ["product.uid", "product.name"]);
    }
}
