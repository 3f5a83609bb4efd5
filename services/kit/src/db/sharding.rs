//! Whether the database spreads its tables over shards. A few statements have another form there.

use std::sync::OnceLock;

use sqlx::{Executor as _, PgConnection, Row as _};

/// Citus is the sharded Postgres that is known.
const IS_SHARDED: &str = "select exists (select from pg_catalog.pg_extension where extname = 'citus')";

/// Asks the database on a new connection, if it is not known yet. An answer that does not come is asked for on the next
/// connection.
pub(super) async fn find_out(connection: &mut PgConnection, sharded: &OnceLock<bool>) {
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
