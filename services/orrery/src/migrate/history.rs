//! dbmate's table of applied migrations, `public.schema_migrations`: one row per migration.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, PgConnection};

/// With its schema, because the search path of the database starts with another.
pub(super) const TABLE: &str = "public.schema_migrations";

/// Creates the table if it is missing. The caller holds the lock, because concurrent creation fails.
pub(super) async fn ensure(connection: &mut PgConnection) -> sqlx::Result<()> {
    let statement = format!("create table if not exists {TABLE} (version varchar primary key)");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}

/// Whether the table exists.
pub(super) async fn exists(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("select to_regclass($1) is not null").bind(TABLE).fetch_one(connection).await
}

/// The applied versions. Empty if there is no table.
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
