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
    /// They are being rolled back.
    Undoing,
    /// None of them is applied.
    Undone,
}

impl Phase {
    const fn name(self) -> &'static str {
        match self {
            Self::Applying => "applying",
            Self::Deployed => "deployed",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
        }
    }
}

/// A deployment.
#[derive(Clone, Debug)]
pub(in crate::migrate) struct Deployment {
    pub(in crate::migrate) uid: String,
    /// The versions of its migrations, oldest first.
    pub(in crate::migrate) versions: Vec<String>,
    pub(in crate::migrate) phase: Phase,
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

/// The deployment that was interrupted or runs, if any.
pub(super) async fn unfinished(connection: &mut PgConnection) -> sqlx::Result<Option<Deployment>> {
    newest(connection, &[Phase::Applying, Phase::Undoing]).await
}

/// The last deployment that is not undone.
pub(in crate::migrate) async fn last(connection: &mut PgConnection) -> sqlx::Result<Option<Deployment>> {
    newest(connection, &[Phase::Applying, Phase::Deployed, Phase::Undoing]).await
}

/// The newest deployment in one of these phases.
async fn newest(connection: &mut PgConnection, phases: &[Phase]) -> sqlx::Result<Option<Deployment>> {
    let exists: bool =
        sqlx::query_scalar("select to_regclass($1) is not null").bind(TABLE).fetch_one(&mut *connection).await?;
    if !exists {
        return Ok(None);
    }
    let select = format!(
        "select uid, versions, phase from {TABLE} where phase = any ($1) order by create_ts desc, uid desc limit 1"
    );
    let names: Vec<&str> = phases.iter().map(|phase| phase.name()).collect();
    let found: Option<(String, Vec<String>, String)> =
        sqlx::query_as(AssertSqlSafe(select)).bind(names).fetch_optional(connection).await?;
    Ok(found.and_then(|(uid, versions, name)| {
        let phase = phases.iter().copied().find(|phase| phase.name() == name)?;
        Some(Deployment { uid, versions, phase })
    }))
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
