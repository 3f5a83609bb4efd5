//! Copies what belongs to a database but not to its schema: settings and rights.

use anyhow::{Context as _, bail};
use sqlx::{AssertSqlSafe, PgConnection};

use super::Branch;
use super::create::execute;
use crate::database;
use crate::schema::{GRANTS_OF_DATABASE, Grants, grant_changes, identifier, literal};

/// Settings that are lists of names. The server stores these with each name quoted if necessary.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// Not enough rights.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// Copies the settings of the database (`alter database ... set`), those of roles in it, and the rights on it. Calls
/// `tell` with the settings that only a superuser or a role with rights on another role could set.
pub(super) async fn copy(
    source: &mut PgConnection,
    branch: &Branch,
    tell: &mut impl FnMut(&str),
) -> anyhow::Result<()> {
    let of_branch = identifier(&branch.database);
    let query = "select case s.setrole when 0 then null else quote_ident(pg_get_userbyid(s.setrole)) end, item \
                 from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase, unnest(s.setconfig) item \
                 where d.datname = current_database()";
    let settings: Vec<(Option<String>, String)> = sqlx::query_as(query).fetch_all(&mut *source).await?;
    for (role, setting) in settings {
        let (name, value) = setting.split_once('=').context("a setting of the database has no value")?;
        let start = match role {
            Some(role) => format!("alter role {role} in database {of_branch}"),
            None => format!("alter database {of_branch}"),
        };
        // Without the value, which may be a secret.
        let described = format!("{start} set {}", quoted_name(name));
        let statement = format!("{described} to {}", quoted_value(name, value));
        match sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut *source).await {
            Ok(_) => {}
            Err(error) if database::sql_state(&error).is_some_and(|state| state == INSUFFICIENT_PRIVILEGE) => {
                tell(&format!("Not copied: {described}: {}", database::reason(&error)));
            }
            Err(error) => bail!("this cannot be copied: {described}: {}", database::reason(&error)),
        }
    }
    let (before, after) = (grants(source, &branch.database).await?, grants(source, &branch.source).await?);
    for statement in grant_changes("", &format!("database {of_branch}"), &before, &after) {
        execute(source, &statement).await.with_context(|| format!("this cannot be copied: {statement}"))?;
    }
    Ok(())
}

async fn grants(source: &mut PgConnection, database: &str) -> anyhow::Result<Grants> {
    let found: Option<String> = sqlx::query_scalar(GRANTS_OF_DATABASE).bind(database).fetch_one(source).await?;
    Ok(serde_json::from_str(found.as_deref().unwrap_or("[]"))?)
}

/// A setting of an extension has a name in two parts.
fn quoted_name(name: &str) -> String {
    name.split('.').map(identifier).collect::<Vec<_>>().join(".")
}

fn quoted_value(name: &str, value: &str) -> String {
    if !LISTS.contains(&name) {
        return literal(value);
    }
    let names: Vec<String> = split_names(value).iter().map(|name| literal(name)).collect();
    if names.is_empty() { "''".to_owned() } else { names.join(", ") }
}

/// The names of a list in which each may be quoted, without their quotes.
fn split_names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = list.trim();
    while !rest.is_empty() {
        let end = end_of_name(rest);
        let name = rest[..end].trim();
        let unquoted = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
        names.push(unquoted.map_or_else(|| name.to_owned(), |name| name.replace("\"\"", "\"")));
        rest = rest[end..].trim_start_matches(',').trim_start();
    }
    names
}

/// The offset of the first comma outside of quotes, or the length.
fn end_of_name(list: &str) -> usize {
    let mut quoted = false;
    let is_end = |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    };
    list.find(is_end).unwrap_or(list.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_names_are_taken_apart() {
        assert_eq!(
            quoted_value("search_path", r#"catalog, "$user", "a""b, c",public"#),
            r#"'catalog', '$user', 'a"b, c', 'public'"#
        );
        assert_eq!(quoted_value("search_path", r#""""#), "''");
        assert_eq!(quoted_value("search_path", ""), "''");
        assert_eq!(quoted_value("work_mem", "64MB, it's"), "'64MB, it''s'");
        assert_eq!(quoted_name("plpgsql.extra_warnings"), r#""plpgsql"."extra_warnings""#);
    }
}
