//! Whether the database spreads its tables over shards. A few statements have another form there.

use std::sync::OnceLock;

use sqlx::{Executor as _, PgConnection, Row as _};

use super::session::SessionScope;

/// Citus is the sharded Postgres that is known.
const IS_SHARDED: &str = "select exists (select from pg_catalog.pg_extension where extname = 'citus')";

/// A sharded database plans statements for the shards that their parameters name, and refuses generic plans.
const PLAN_FOR_PARAMETERS: &str = "set plan_cache_mode = auto";

/// Prepares a new connection. Asks the database whether it is sharded, if that is not known yet; an answer that does
/// not come is asked for on the next connection.
///
/// # Errors
/// Errors of the database.
pub(super) async fn prepare(
    connection: &mut PgConnection,
    sharded: &OnceLock<bool>,
    session: SessionScope,
) -> Result<(), sqlx::Error> {
    find_out(connection, sharded).await;
    if sharded.get() == Some(&true) && session == SessionScope::Connection {
        connection.execute(sqlx::raw_sql(PLAN_FOR_PARAMETERS)).await?;
    }
    Ok(())
}

async fn find_out(connection: &mut PgConnection, sharded: &OnceLock<bool>) {
    if sharded.get().is_some() {
        return;
    }
    let answer = connection.fetch_one(sqlx::raw_sql(IS_SHARDED)).await;
    match answer.and_then(|row| row.try_get::<bool, _>(0)) {
        Ok(is_sharded) => {
            let _ = sharded.set(is_sharded);
        }
        Err(error) => tracing::debug!(%error, "it is not known whether the database is sharded"),
    }
}
