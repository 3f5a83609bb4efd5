//! What an interrupted `create index concurrently` leaves behind: an invalid index, which costs writes and serves no
//! reads, and which `if not exists` takes for the index. It is dropped before the build begins again.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection};

use super::failure::{Failure, failure};
use super::file::Section;
use super::statement::{statements, tokens};

/// Pause between two looks at a build that goes on.
const LOOK: Duration = Duration::from_millis(500);

/// The index that a section builds outside of a transaction.
#[derive(Debug, PartialEq, Eq)]
struct Build {
    /// As in the statement, with its quotes.
    index: String,
    /// Likewise, with its schema.
    table: String,
}

/// What is known of an index.
struct Found {
    /// With its schema, quoted.
    name: String,
    is_valid: bool,
    /// Whether a session builds it now.
    is_built: bool,
}

/// Looks for what an earlier run of the section has left, says it, and clears it away. Waits up to `patience` for a
/// build that goes on: the server finishes a statement whose client was killed.
pub(super) async fn clear(
    connection: &mut PgConnection,
    section: &Section,
    name: &str,
    patience: Duration,
    tell: &mut impl FnMut(&str),
) -> Result<(), Failure> {
    let Some(build) = build_of(&section.sql) else { return Ok(()) };
    let place = |error| failure(&error, name);
    let begun = Instant::now();
    let mut has_told = false;
    loop {
        let Some(found) = find(connection, &build).await.map_err(place)? else { return Ok(()) };
        if found.is_valid {
            tell(&format!("{name}: the index {} is there already, perhaps from an interrupted run", found.name));
            return Ok(());
        }
        if !found.is_built {
            tell(&format!("{name}: the index {} is invalid: its build was interrupted; building it again", found.name));
            let drop = format!("drop index concurrently if exists {}", found.name);
            return sqlx::raw_sql(AssertSqlSafe(drop)).execute(connection).await.map(|_| ()).map_err(place);
        }
        if begun.elapsed() >= patience {
            let reason = format!("{name}: another session is still building the index {}", found.name);
            return Err(Failure::Final(anyhow::anyhow!(reason)));
        }
        if !has_told {
            tell(&format!("{name}: another session is building the index {}; waiting for it", found.name));
            has_told = true;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn find(connection: &mut PgConnection, build: &Build) -> sqlx::Result<Option<Found>> {
    // `parse_ident` unquotes the name and folds its case as the statement would.
    let found: Option<(String, bool, bool)> = sqlx::query_as(
        "select format('%I.%I', n.nspname, c.relname), i.indisvalid, exists (
             select from pg_stat_progress_create_index as p
              where p.datname = current_database() and p.index_relid = c.oid)
           from pg_index as i
           join pg_class as c on c.oid = i.indexrelid
           join pg_namespace as n on n.oid = c.relnamespace
          where i.indrelid = to_regclass($1) and c.relname = (parse_ident($2))[1]",
    )
    .bind(&build.table)
    .bind(&build.index)
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|(name, is_valid, is_built)| Found { name, is_valid, is_built }))
}

/// The index that this section builds concurrently, if it names one.
fn build_of(sql: &str) -> Option<Build> {
    let start = statements(sql).first()?.start;
    let mut words = tokens(&sql[start..]).filter(|word| *word != ";").peekable();
    let mut next_is = |word: &str| words.next_if(|next| next.eq_ignore_ascii_case(word)).is_some();
    if !next_is("create") {
        return None;
    }
    next_is("unique");
    if !next_is("index") || !next_is("concurrently") {
        return None;
    }
    if next_is("if") && !(next_is("not") && next_is("exists")) {
        return None;
    }
    // Without a name the server chooses another one each time.
    if next_is("on") {
        return None;
    }
    let index = words.next()?.to_owned();
    if !words.next()?.eq_ignore_ascii_case("on") {
        return None;
    }
    words.next_if(|next| next.eq_ignore_ascii_case("only"));
    let mut table = words.next()?.to_owned();
    while words.next_if_eq(&".").is_some() {
        table = format!("{table}.{}", words.next()?);
    }
    Some(Build { index, table })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(sql: &str) -> Option<(String, String)> {
        build_of(&format!("-- migrate:up transaction:false\n{sql}")).map(|build| (build.index, build.table))
    }

    #[test]
    fn the_index_and_its_table_are_read_from_the_statement() {
        for (sql, index, table) in [
            ("create index concurrently if not exists a_idx on orders.a (b);", "a_idx", "orders.a"),
            ("CREATE UNIQUE INDEX\nCONCURRENTLY a_idx ON ONLY a USING gin (b)", "a_idx", "a"),
            ("-- why\ncreate index concurrently \"A on b\" /* x */ on \"S\" . \"T\"(c)", "\"A on b\"", "\"S\".\"T\""),
        ] {
            assert_eq!(built(sql), Some((index.to_owned(), table.to_owned())), "{sql}");
        }
        for sql in [
            "create index a_idx on a (b)",
            "create index concurrently on a (b)",
            "create index concurrently if not exists",
            "drop index concurrently a_idx",
            "reindex index concurrently a_idx",
            "",
        ] {
            assert_eq!(built(sql), None, "{sql}");
        }
    }
}
