//! The deployments of a database, `public.schema_deployments`: which migrations were deployed together.

use sqlx::{AssertSqlSafe, PgConnection};

/// With its schema, because the search path of the database starts with another.
const TABLE: &str = "public.schema_deployments";

/// How far a deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::migrate) enum Phase {
    /// Its migrations are being applied.
    Applying,
    /// All of them are applied.
    Deployed,
}

impl Phase {
    const fn name(self) -> &'static str {
        match self {
            Self::Applying => "applying",
            Self::Deployed => "deployed",
        }
    }
}

/// A deployment.
#[derive(Clone, Debug)]
pub(in crate::migrate) struct Deployment {
    pub(in crate::migrate) uid: String,
    /// The versions of its migrations, oldest first.
    pub(in crate::migrate) versions: Vec<String>,
}

/// Creates the table if it is missing. The caller holds the lock of migrations.
pub(super) async fn ensure(connection: &mut PgConnection) -> sqlx::Result<()> {
    let create = format!(
        "create table if not exists {TABLE} (
            uid       text collate \"C\" primary key,
            versions  text[] not null,
            phase     text not null,
            role_name text not null default current_user,
            create_ts timestamptz not null default now(),
            update_ts timestamptz not null default now()
        )"
    );
    sqlx::raw_sql(AssertSqlSafe(create)).execute(connection).await.map(drop)
}

/// The deployment whose migrations are being applied, if one was interrupted or runs.
pub(super) async fn unfinished(connection: &mut PgConnection) -> sqlx::Result<Option<Deployment>> {
    let exists: bool =
        sqlx::query_scalar("select to_regclass($1) is not null").bind(TABLE).fetch_one(&mut *connection).await?;
    if !exists {
        return Ok(None);
    }
    let select =
        format!("select uid, versions from {TABLE} where phase = $1 order by create_ts desc, uid desc limit 1");
    let found: Option<(String, Vec<String>)> =
        sqlx::query_as(AssertSqlSafe(select)).bind(Phase::Applying.name()).fetch_optional(connection).await?;
    Ok(found.map(|(uid, versions)| Deployment { uid, versions }))
}

/// Records a deployment, or what has changed of it.
pub(super) async fn record(connection: &mut PgConnection, deployment: &Deployment, phase: Phase) -> sqlx::Result<()> {
    let upsert = format!(
        "insert into {TABLE} as t (uid, versions, phase) values ($1, $2, $3)
             on conflict (uid) do update set versions = excluded.versions, phase = excluded.phase, update_ts = now()"
    );
    sqlx::query(AssertSqlSafe(upsert))
        .bind(&deployment.uid)
        .bind(&deployment.versions)
        .bind(phase.name())
        .execute(connection)
        .await
        .map(drop)
}
