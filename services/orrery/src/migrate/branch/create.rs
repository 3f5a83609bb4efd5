//! Creates a branch: its database, then its schema, then rows if they are asked for.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use chrono::Utc;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::mark::{self, Found, State};
use super::rows::Rows;
use super::{Branch, BranchContents, settings};
use crate::database;
use crate::migrate::history;
use crate::schema::{Change, Schema, difference, identifier};

/// How often the schema is read if migrations are applied in the meantime.
const ATTEMPTS: u32 = 5;

/// Settings of a session that reads or writes schemas and rows. A role or a database may have others. Waiting for a
/// lock on the source blocks nobody, but has to end.
const SESSION: &str = "set lock_timeout = '30s'; set search_path = ''; \
                       set check_function_bodies = off; set client_min_messages = warning; \
                       set default_transaction_read_only = off; set row_security = off; set statement_timeout = 0; \
                       set idle_in_transaction_session_timeout = 0; set standard_conforming_strings = on; \
                       set datestyle = iso; set intervalstyle = postgres; set extra_float_digits = 3";

pub(super) async fn create(
    url: &str,
    name: &str,
    contents: BranchContents,
    mut tell: impl FnMut(&str),
) -> anyhow::Result<Branch> {
    let mut source = database::connect(url).await?;
    let branch = Branch::named(&mut source, url, name).await?;
    match mark::find(&mut source, &branch).await? {
        Found::Nothing => {}
        Found::Branch(State::Ready) => bail!("{} has a branch {name} already", branch.source),
        Found::Branch(State::BeingCreated) => bail!(branch.unfinished()),
        Found::Other => bail!(branch.not_a_branch()),
    }
    execute(&mut source, SESSION).await?;
    let (schema, applied) = if contents.empty { (None, BTreeSet::new()) } else { read(&mut source).await? };
    for what in schema.iter().flat_map(Schema::left_out) {
        tell(&format!("Not copied: {what}"));
    }
    let rows = match contents.rows {
        Some(windows) => Some(Rows::plan(&mut source, windows).await?),
        None => None,
    };
    create_database(&mut source, &branch).await?;
    let creation = Creation { branch: &branch, source: &mut source, schema, applied, rows };
    if let Err(error) = creation.complete(&mut tell).await {
        // The cause is the better message if both fail; what is left can be dropped by hand.
        let _ = branch.drop().await;
        return Err(error);
    }
    source.close().await?;
    Ok(branch)
}

/// Reads the schema and the applied migrations. A migration may be applied between the two.
async fn read(source: &mut PgConnection) -> anyhow::Result<(Option<Schema>, BTreeSet<String>)> {
    for _ in 0..ATTEMPTS {
        let before = history::applied(source).await?;
        let schema = Schema::read(source).await?;
        if history::applied(source).await? == before {
            return Ok((Some(schema), before));
        }
    }
    bail!("the database is being migrated; try again later")
}

/// Creates the database with the encoding and collation of the source. Nobody can connect to it before it is marked.
async fn create_database(source: &mut PgConnection, branch: &Branch) -> anyhow::Result<()> {
    // The columns for the locale differ between versions of Postgres.
    let query = "select format('encoding %L lc_collate %L lc_ctype %L', pg_encoding_to_char(d.encoding), \
                    d.datcollate, d.datctype) || \
                 case d.datlocprovider when 'i' then format(' locale_provider icu icu_locale %L', \
                        coalesce(j ->> 'datlocale', j ->> 'daticulocale')) || \
                    coalesce(format(' icu_rules %L', j ->> 'daticurules'), '') \
                 when 'b' then format(' locale_provider builtin builtin_locale %L', j ->> 'datlocale') \
                 else ' locale_provider libc' end || \
                 case when pg_has_role(d.datdba, 'USAGE') then format(' owner %I', pg_get_userbyid(d.datdba)) \
                 else '' end \
                 from pg_database d, to_jsonb(d) j where d.datname = current_database()";
    let options: String = sqlx::query_scalar(query).fetch_one(&mut *source).await?;
    let database = identifier(&branch.database);
    let statement = format!("create database {database} template template0 {options} allow_connections false");
    match sqlx::raw_sql(AssertSqlSafe(statement)).execute(source).await {
        Ok(_) => Ok(()),
        // A server goes on with the statement of a client that was killed.
        Err(error) if database::is_taken(&error) => {
            bail!("another session is creating the branch {} just now; try again", branch.name)
        }
        Err(error) => Err(anyhow::anyhow!(database::reason(&error)))
            .with_context(|| format!("cannot create the database {}", branch.database)),
    }
}

/// The creation of a branch whose database exists.
struct Creation<'c> {
    branch: &'c Branch,
    source: &'c mut PgConnection,
    schema: Option<Schema>,
    applied: BTreeSet<String>,
    rows: Option<Rows>,
}

impl Creation<'_> {
    async fn complete(self, tell: &mut impl FnMut(&str)) -> anyhow::Result<()> {
        let Self { branch, source, schema, applied, rows } = self;
        let created = Utc::now();
        mark::write(source, &branch.database, &branch.mark(State::BeingCreated, created)).await?;
        let database = identifier(&branch.database);
        execute(source, &format!("alter database {database} allow_connections true")).await?;
        let mut target = database::connect(&branch.url()).await?;
        execute(&mut target, SESSION).await?;
        if let Some(schema) = schema {
            let script = difference(&Schema::read(&mut target).await?, &schema);
            let rows_at = script.iter().position(|change| change.after_rows).unwrap_or(script.len());
            let (before, after) = script.split_at(rows_at);
            run(&mut target, before).await?;
            if let Some(rows) = rows {
                rows.copy(source, &mut target, tell).await?;
            }
            run(&mut target, after).await?;
            check(&Schema::read(&mut target).await?, &schema)?;
            if history::exists(source).await? {
                history::ensure(&mut target).await?;
            }
            for version in &applied {
                history::insert(&mut target, version).await?;
            }
            settings::copy(source, branch, tell).await?;
        }
        target.close().await?;
        mark::write(source, &branch.database, &branch.mark(State::Ready, created)).await
    }
}

async fn run(target: &mut PgConnection, script: &[Change]) -> anyhow::Result<()> {
    for change in script {
        execute(target, &change.sql).await.with_context(|| format!("this cannot be copied: {}", change.sql))?;
    }
    Ok(())
}

/// Compares the branch with what it is a copy of, so that nothing is lost in silence.
fn check(branch: &Schema, source: &Schema) -> anyhow::Result<()> {
    let missing: Vec<String> = difference(branch, source).into_iter().map(|change| change.sql).collect();
    if !missing.is_empty() {
        bail!("the copy differs from its source; these statements are missing: {}", missing.join("; "));
    }
    Ok(())
}

pub(super) async fn execute(connection: &mut PgConnection, sql: &str) -> anyhow::Result<()> {
    match sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await {
        Ok(_) => Ok(()),
        Err(error) => bail!(database::reason(&error)),
    }
}
