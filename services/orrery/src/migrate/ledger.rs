//! dbmate's ledger: one row per applied migration, in `public.schema_migrations`.

use std::collections::BTreeSet;

use anyhow::bail;
use sqlx::{AssertSqlSafe, PgConnection};

/// The ledger, named with its schema: the database's search path begins elsewhere.
const TABLE: &str = "public.schema_migrations";

/// Makes the ledger unless it is there. Call it with the lock held: two that make it at once would collide.
pub(super) async fn ensure(connection: &mut PgConnection) -> anyhow::Result<()> {
    refuse_a_misplaced_one(connection).await?;
    let statement = format!("create table if not exists {TABLE} (version varchar primary key)");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}

/// Whether there is a ledger.
pub(super) async fn exists(connection: &mut PgConnection) -> anyhow::Result<bool> {
    Ok(sqlx::query_scalar("select to_regclass($1) is not null").bind(TABLE).fetch_one(connection).await?)
}

/// The versions that are applied; none where there is no ledger yet.
pub(super) async fn applied(connection: &mut PgConnection) -> anyhow::Result<BTreeSet<String>> {
    if !exists(connection).await? {
        refuse_a_misplaced_one(connection).await?;
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

/// dbmate keeps its ledger in the first schema of the search path, which is `catalog` for a role that has not migrated this database
/// before. A second ledger would say that nothing is applied.
async fn refuse_a_misplaced_one(connection: &mut PgConnection) -> anyhow::Result<()> {
    let elsewhere: Option<String> = sqlx::query_scalar(
        "select schemaname::text from pg_tables \
         where tablename = 'schema_migrations' and schemaname in ('catalog', 'orders', 'records') limit 1",
    )
    .fetch_optional(connection)
    .await?;
    if let Some(schema) = elsewhere {
        bail!(
            "there is a ledger in {schema}.schema_migrations, where dbmate put it because {schema} comes first in the search path of \
             the role it ran as; move its rows to {TABLE}, drop it, and run dbmate with --migrations-table {TABLE}"
        );
    }
    Ok(())
}
