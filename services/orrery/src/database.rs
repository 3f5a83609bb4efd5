//! Small matters of talking to a Postgres server: making a database, and saying why a connection failed.

use anyhow::{Context as _, bail};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

/// SQLSTATE of "database does not exist".
const NO_SUCH_DATABASE: &str = "3D000";
/// SQLSTATE of "database already exists".
const DATABASE_EXISTS: &str = "42P04";

/// Makes `database` on the server at `url` unless it exists.
///
/// # Errors
///
/// When the server cannot be reached or refuses.
pub(crate) async fn ensure(url: &str, database: &str) -> anyhow::Result<()> {
    let options: PgConnectOptions = url.parse()?;
    let mut connection = options.connect().await?;
    let exists: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(database)
        .fetch_one(&mut connection)
        .await?;
    if !exists {
        let quoted = database.replace('"', "\"\"");
        let made = sqlx::raw_sql(AssertSqlSafe(format!("create database \"{quoted}\""))).execute(&mut connection).await;
        match made {
            Err(error) if sql_state(&error).as_deref() != Some(DATABASE_EXISTS) => {
                return Err(error).with_context(|| format!("cannot create the database {database}"));
            }
            _ => {}
        }
    }
    connection.close().await?;
    Ok(())
}

/// Whether the server answered that it has no such database.
pub(crate) fn is_missing(error: &sqlx::Error) -> bool {
    sql_state(error).as_deref() == Some(NO_SUCH_DATABASE)
}

/// The SQLSTATE that the server answered with.
pub(crate) fn sql_state(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).map(std::borrow::Cow::into_owned)
}

/// Why a connection failed, in the words of whoever said no.
pub(crate) fn reason(error: &sqlx::Error) -> String {
    if let Some(database) = error.as_database_error() {
        return database.message().to_owned();
    }
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// Connects to the database at `url`, which no error repeats: it may hold a password.
///
/// # Errors
///
/// A sentence that says whether the URL, the server or the database is at fault.
pub(crate) async fn connect(url: &str) -> anyhow::Result<PgConnection> {
    let options = options(url)?;
    match options.connect().await {
        Ok(connection) => Ok(connection),
        Err(error) => bail!("cannot connect to {}: {}", place(&options), reason(&error)),
    }
}

/// Reads a database URL.
pub(crate) fn options(url: &str) -> anyhow::Result<PgConnectOptions> {
    let known = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    match url.parse() {
        Ok(options) if known => Ok(options),
        _ => bail!("the database URL cannot be read; it looks like postgres://user:password@host:5432/database"),
    }
}

/// Which database `options` mean, without the password.
pub(crate) fn place(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    match options.get_socket() {
        Some(socket) => format!("the database {database} at {}", socket.display()),
        None => format!("the database {database} at {}:{}", options.get_host(), options.get_port()),
    }
}
