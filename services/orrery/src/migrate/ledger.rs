//! dbmate's ledger: one row per applied migration, in `public.schema_migrations`.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, PgConnection};

/// The ledger, named with its schema: the database's search path begins with another.
const TABLE: &str = "public.schema_migrations";

/// Makes the ledger unless it is there. Call it with the lock held: two that make it at once would collide.
pub(super) async fn ensure(connection: &mut PgConnection) -> sqlx::Result<()> {
    let statement = format!("create table if not exists {TABLE} (version varchar primary key)");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}

/// Whether there is a ledger.
pub(super) async fn exists(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("select to_regclass($1) is not null").bind(TABLE).fetch_one(connection).await
}

/// The versions that are applied; none where there is no ledger yet.
pub(super) async fn applied(connection: &mut PgConnection) -> sqlx::Result<BTreeSet<String>> {
    if !exists(connection).await? {
        return Ok(BTreeSet::new());
    }
    let versions: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(format!("select version from {TABLE}"))).fetch_all(connection).await?;
    Ok(versions.into_iter().collect())
}

pub(super) async fn insert(connection: &mut PgConnection, version: &str) -> sqlx::Result<()> {
    let statement = format!("insert into {TABLE} (version) values ($1)");
    sqlx::query(AssertSqlSafe(statement)).bind(version).execute(connection).await?;
    Ok(())
}

pub(super) async fn delete(connection: &mut PgConnection, version: &str) -> sqlx::Result<()> {
    let statement = format!("delete from {TABLE} where version = $1");
    sqlx::query(AssertSqlSafe(statement)).bind(version).execute(connection).await?;
    Ok(())
}
