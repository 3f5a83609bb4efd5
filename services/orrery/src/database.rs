//! Connects to a Postgres server with readable errors, and creates databases. Errors never contain the URL, which may
//! hold a password.

use std::time::Duration;

use anyhow::{Context as _, bail};
use orrery_kit::config::DatabaseUrl;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// SQLSTATE of "database does not exist".
const NO_SUCH_DATABASE: &str = "3D000";
/// SQLSTATEs of "database already exists", the second one if another session creates it at the same time.
const DATABASE_EXISTS: [&str; 2] = ["42P04", "23505"];
/// A database that exists on every server.
const MAINTENANCE_DATABASE: &str = "postgres";

/// Connects to the database at `url`.
///
/// # Errors
///
/// Says whether the URL, the server or the database is at fault.
pub(crate) async fn connect(url: &str) -> anyhow::Result<PgConnection> {
    let options = options(url)?;
    match open(&options).await {
        Ok(connection) => Ok(connection),
        Err(failure) => bail!("cannot connect to {}: {}", describe(&options), failure.reason),
    }
}

/// Connects and disconnects.
///
/// # Errors
///
/// The reason only.
pub(crate) async fn try_connect(url: &str) -> anyhow::Result<()> {
    match open(&options(url)?).await {
        Ok(connection) => Ok(connection.close().await?),
        Err(failure) => bail!(failure.reason),
    }
}

/// Checks that the database at `url` answers, creating it if it is missing, and returns a description of it.
///
/// # Errors
///
/// Says whether the URL, the server or the database is at fault.
pub(crate) async fn ensure_reachable(url: &str) -> anyhow::Result<String> {
    let options = options(url)?;
    match open(&options).await {
        Ok(connection) => connection.close().await?,
        Err(failure) if failure.sql_state.as_deref() == Some(NO_SUCH_DATABASE) => {
            let database = options.get_database().unwrap_or_else(|| options.get_username());
            ensure(options.clone().database(MAINTENANCE_DATABASE), database).await?;
        }
        Err(failure) => bail!("cannot connect to {}: {}", describe(&options), failure.reason),
    }
    Ok(describe(&options))
}

/// Creates `database` on the server of `options`, unless it exists.
///
/// # Errors
///
/// When the server cannot be reached or refuses.
pub(crate) async fn ensure(options: PgConnectOptions, database: &str) -> anyhow::Result<()> {
    let failed = || format!("cannot create the database {database}");
    let mut connection = match open(&options).await {
        Ok(connection) => connection,
        Err(failure) => bail!("{}: {}", failed(), failure.reason),
    };
    let exists: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(database)
        .fetch_one(&mut connection)
        .await
        .with_context(failed)?;
    if !exists {
        let quoted = database.replace('"', "\"\"");
        let made = sqlx::raw_sql(AssertSqlSafe(format!("create database \"{quoted}\""))).execute(&mut connection).await;
        match made {
            Err(error) if !is_taken(&error) => {
                bail!("{}: {}", failed(), reason(&error));
            }
            _ => {}
        }
    }
    connection.close().await?;
    Ok(())
}

/// Whether a database could not be created because it exists, or another session creates it.
pub(crate) fn is_taken(error: &sqlx::Error) -> bool {
    sql_state(error).is_some_and(|state| DATABASE_EXISTS.contains(&state.as_str()))
}

/// `url` with an option that switches to `role` on connecting.
pub(crate) fn changing_role(url: &str, role: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}options=-c%20role%3D{role}")
}

/// Parses a database URL.
pub(crate) fn options(url: &str) -> anyhow::Result<PgConnectOptions> {
    let parsed = url.parse::<DatabaseUrl>().map_err(anyhow::Error::from).and_then(|url| Ok(url.options()?));
    parsed.context("the database URL cannot be read")
}

/// Describes the database at `url` without the password.
pub(crate) fn described(url: &str) -> anyhow::Result<String> {
    Ok(describe(&options(url)?))
}

/// Describes the database of `options` without the password.
fn describe(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    match options.get_socket() {
        Some(socket) => format!("the database {database} at {}", socket.display()),
        None => format!("the database {database} at {}:{}", options.get_host(), options.get_port()),
    }
}

/// Why a connection failed.
struct ConnectFailure {
    sql_state: Option<String>,
    reason: String,
}

async fn open(options: &PgConnectOptions) -> Result<PgConnection, ConnectFailure> {
    match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(ConnectFailure { sql_state: sql_state(&error), reason: reason(&error) }),
        Err(_) => {
            let reason = format!("no answer within {} s", CONNECT_TIMEOUT.as_secs());
            Err(ConnectFailure { sql_state: None, reason })
        }
    }
}

/// The SQLSTATE that the server answered with.
pub(crate) fn sql_state(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).map(std::borrow::Cow::into_owned)
}

/// The cause of an error: the server's message, or the innermost error.
pub(crate) fn reason(error: &sqlx::Error) -> String {
    if let Some(database) = error.as_database_error() {
        return database.message().to_owned();
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
