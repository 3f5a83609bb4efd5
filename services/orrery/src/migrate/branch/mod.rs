//! Branches: isolated copies of a database's schema, each a database of its own on the same server.
//!
//! A branch is read from the catalogs of a live database and built from statements. The database is never a template,
//! which would need it to be without sessions, and is locked no longer than reading a catalog takes.
//!
//! A branch is marked by a comment in JSON on its database. Its state is `being created` until it is complete, so that
//! the branch of a creation that was killed is recognised.

pub(super) mod command;
mod create;
mod mark;
mod rows;
mod settings;
mod url;

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use self::mark::{Found, Mark, State};
pub use self::rows::Windows;
pub(super) use self::url::without_password;
use crate::database;
use crate::schema::identifier;

/// The longest name of a branch.
const MAX_NAME: usize = 30;
/// The longest name of a database, in bytes.
const MAX_DATABASE: usize = 63;
/// Words that have a meaning in place of a name.
const RESERVED: [&str; 5] = ["list", "drop", "help", "main", "migrations"];
/// SQLSTATE of "database is being accessed by other users".
const IN_USE: &str = "55006";

/// A branch of a database.
#[derive(Clone, Debug)]
pub struct Branch {
    /// The URL of the database of which it is a branch.
    source_url: String,
    /// The name of that database.
    source: String,
    name: String,
    database: String,
}

/// A line of a list of branches.
#[derive(Clone, Debug)]
pub struct BranchInfo {
    /// The branch.
    pub branch: Branch,
    /// When it was created.
    pub created: Option<DateTime<Utc>>,
    /// Whether its creation has ended.
    pub ready: bool,
    /// Its size in bytes. `None` if the role may not know it.
    pub size: Option<i64>,
}

/// What a new branch contains.
#[derive(Clone, Copy, Debug, Default)]
pub struct BranchContents {
    /// Copies the rows of all tables, in windows of this size.
    pub rows: Option<Windows>,
    /// Leaves the branch without a schema, for migrations.
    pub empty: bool,
}

impl Branch {
    /// Creates a branch called `name` with the schema of the database at `url` and its applied migrations.
    ///
    /// # Errors
    ///
    /// The name is not allowed or taken, the schema has what is not supported, or the server refuses. Nothing is left
    /// behind then, unless the server cannot be reached any more.
    pub async fn create(url: &str, name: &str) -> anyhow::Result<Self> {
        Self::create_with(url, name, BranchContents::default(), |_| ()).await
    }

    /// As [`create`](Self::create), with other contents. Calls `tell` with messages about the progress.
    ///
    /// Rows are read in windows. Each is a transaction of its own, so rows that change in the meantime may be copied as
    /// they were at different times.
    ///
    /// # Errors
    ///
    /// As `create`; or a table without a primary key is too large to be copied.
    pub async fn create_with(
        url: &str,
        name: &str,
        contents: BranchContents,
        tell: impl FnMut(&str),
    ) -> anyhow::Result<Self> {
        create::create(url, name, contents, tell).await
    }

    /// Finds the branch called `name` of the database at `url`.
    ///
    /// # Errors
    ///
    /// There is none, or its creation has not ended.
    pub async fn open(url: &str, name: &str) -> anyhow::Result<Self> {
        let mut connection = database::connect(url).await?;
        let branch = Self::named(&mut connection, url, name).await?;
        match mark::find(&mut connection, &branch).await? {
            Found::Branch(State::Ready) => {}
            Found::Branch(State::BeingCreated) => bail!(branch.unfinished()),
            Found::Nothing => bail!("{} has no branch {name}", branch.source),
            Found::Other => bail!(branch.not_a_branch()),
        }
        connection.close().await?;
        Ok(branch)
    }

    /// The branches of the database at `url`, by name.
    ///
    /// # Errors
    ///
    /// The database cannot be reached.
    pub async fn list(url: &str) -> anyhow::Result<Vec<BranchInfo>> {
        let mut connection = database::connect(url).await?;
        let found = mark::list(&mut connection, url).await?;
        connection.close().await?;
        Ok(found)
    }

    /// Drops the branch called `name` of the database at `url`, even if its creation has not ended.
    ///
    /// # Errors
    ///
    /// There is none, or it is in use; the error says by whom.
    pub async fn remove(url: &str, name: &str) -> anyhow::Result<()> {
        let mut connection = database::connect(url).await?;
        let branch = Self::named(&mut connection, url, name).await?;
        match mark::find(&mut connection, &branch).await? {
            Found::Branch(_) => {}
            Found::Nothing => bail!("{} has no branch {name}", branch.source),
            Found::Other => bail!(branch.not_a_branch()),
        }
        let statement = format!("drop database {}", identifier(&branch.database));
        let dropped = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await;
        if let Err(error) = dropped {
            let mut reason = database::reason(&error);
            if database::sql_state(&error).as_deref() == Some(IN_USE) {
                let sessions = sessions(&mut connection, &branch.database).await?;
                reason = format!("it is in use by {}; end these sessions first", sessions.join(", "));
            }
            bail!("the branch {name} cannot be dropped: {reason}");
        }
        connection.close().await?;
        Ok(())
    }

    /// Drops the branch.
    ///
    /// # Errors
    ///
    /// As [`remove`](Self::remove).
    pub async fn drop(self) -> anyhow::Result<()> {
        Self::remove(&self.source_url, &self.name).await
    }

    /// The URL of the branch, with the password.
    pub fn url(&self) -> String {
        url::with_database(&self.source_url, &self.database)
    }

    /// The name, without that of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A branch that may not exist.
    async fn named(connection: &mut PgConnection, url: &str, name: &str) -> anyhow::Result<Self> {
        check_name(name)?;
        let source: String = sqlx::query_scalar("select current_database()::text").fetch_one(connection).await?;
        let database = format!("{source}_branch_{name}");
        if database.len() > MAX_DATABASE {
            let most = MAX_DATABASE.saturating_sub(source.len() + "_branch_".len());
            bail!("the name {name} is too long: a branch of {source} has at most {most} letters");
        }
        Ok(Self { source_url: url.to_owned(), source, name: name.to_owned(), database })
    }

    fn mark(&self, state: State, created: DateTime<Utc>) -> Mark {
        Mark { branch_of: self.source.clone(), name: self.name.clone(), created, state }
    }

    fn unfinished(&self) -> String {
        format!(
            "the creation of the branch {} has not ended; if no process is creating it, remove it with `orrery \
             migrate branch drop {}`",
            self.name, self.name
        )
    }

    fn not_a_branch(&self) -> String {
        format!("the database {} exists, but is not a branch of {}", self.database, self.source)
    }
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(allowed) {
        bail!("the name of a branch has 1 to {MAX_NAME} lower-case letters, digits and _");
    }
    if RESERVED.contains(&name) {
        bail!("a branch cannot be called {name}, because that word has a meaning of its own");
    }
    Ok(())
}

/// Who is connected to a database.
async fn sessions(connection: &mut PgConnection, database: &str) -> anyhow::Result<Vec<String>> {
    let query = "select format('%s (process %s%s%s)', coalesce(usename, backend_type), pid, \
                 coalesce(' at ' || host(client_addr), ''), \
                 coalesce(', ' || nullif(application_name, ''), '')) \
                 from pg_stat_activity where datname = $1 order by pid";
    sqlx::query_scalar(query).bind(database).fetch_all(connection).await.context("the sessions cannot be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_plain_and_has_no_other_meaning() {
        for name in ["a", "feature_1", "123456789012345678901234567890"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "A", "a-b", "ä", "a b", "a\"", "1234567890123456789012345678901", "list", "drop", "main"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
