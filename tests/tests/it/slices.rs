//! A slice is a schema, a login role and a service. Each role can only access its own schema, and services meet only
//! through the clients of `orrery-peers`.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use orrery::migrate::{Folder, LockTimeouts, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::harness::{Role, TestDatabase};
use crate::rights::wrong_rights;

const SLICES: [(&str, Role); 3] = [("catalog", Role::Catalog), ("orders", Role::Orders), ("records", Role::Records)];

/// SQLSTATE of "permission denied".
const DENIED: &str = "42501";

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

async fn refused(connection: &mut PgConnection, sql: &str) {
    let error = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap_err();
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code).map(std::borrow::Cow::into_owned);
    assert_eq!(code.as_deref(), Some(DENIED), "{sql} gave {error}");
}

#[tokio::test]
async fn a_service_is_denied_what_is_not_its_own() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    for (schema, _) in SLICES {
        run(&mut operator, &format!("create table {schema}.thing (uid text primary key, note text)")).await;
    }
    for (own, role) in SLICES {
        let mut service = database.connect(role).await;
        for (schema, _) in SLICES {
            let statements = [
                format!("insert into {schema}.thing values ('a', 'b')"),
                format!("update {schema}.thing set note = 'c' where uid = 'a'"),
                format!("select * from {schema}.thing"),
                format!("delete from {schema}.thing where uid = 'a'"),
            ];
            for statement in statements {
                if schema == own {
                    run(&mut service, &statement).await;
                } else {
                    refused(&mut service, &statement).await;
                }
            }
            refused(&mut service, &format!("create table {schema}.mine ()")).await;
            refused(&mut service, &format!("truncate {schema}.thing")).await;
        }
        refused(&mut service, "select * from public.schema_migrations").await;
        refused(&mut service, "create table public.mine ()").await;
        refused(&mut service, "create role another").await;
    }
}

#[tokio::test]
async fn every_table_grants_its_slice_s_role_what_it_needs_whoever_migrates() {
    let database = TestDatabase::create_empty().await;
    let mut operator = database.connect(Role::Operator).await;
    // Two roles with few rights: the first owns the database, the second is a member of the first.
    let name = database.name();
    let (first, second) = (format!("{name}_first"), format!("{name}_second"));
    for role in [&first, &second] {
        run(&mut operator, &format!("create role {role} login password 'only-for-this-test' createrole")).await;
    }
    run(&mut operator, &format!("grant {first} to {second}; alter database {name} owner to {first}")).await;
    let url = |role: &str| {
        let operator = database.url(Role::Operator);
        let (_, place) = operator.split_once('@').unwrap();
        format!("postgres://{role}:only-for-this-test@{place}")
    };

    let all = Folder::compiled_in().unwrap();
    let mut only_first = all.clone();
    only_first.migrations.truncate(1);
    Migrator::new(&url(&first), only_first, LockTimeouts::default()).up(|_| ()).await.unwrap();
    let applied = Migrator::new(&url(&second), all, LockTimeouts::default()).up(|_| ()).await.unwrap();
    assert!(applied > 0);
    assert_eq!(wrong_rights(&mut operator).await, Vec::<String>::new());

    // The creator of the slices need not grant: its default privileges apply.
    let mut connection = PgConnection::connect(&url(&first)).await.unwrap();
    run(&mut connection, "create table orders.later (uid text primary key)").await;
    assert_eq!(wrong_rights(&mut operator).await, Vec::<String>::new());

    // They remain after the database, which is dropped later.
    run(
        &mut operator,
        &format!("alter database {name} owner to postgres; alter role {first} nologin; alter role {second} nologin"),
    )
    .await;
}

#[tokio::test]
async fn tables_are_found_without_a_schema() {
    let database = TestDatabase::create().await;
    let mut catalog = database.connect(Role::Catalog).await;
    run(&mut catalog, "insert into product (uid, name) values ('prd_a', 'A')").await;
    // For the role that migrates, public comes first, where dbmate's table is. It finds the tables as well.
    let mut operator = database.connect(Role::Operator).await;
    let found: (String, i64) = sqlx::query_as("select current_schema()::text, (select count(*) from product)")
        .fetch_one(&mut operator)
        .await
        .unwrap();
    assert_eq!(found, ("public".to_owned(), 1));
}

fn services() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../services")
}

/// The crates of the workspace that the crate `name` depends on, for tests too, by their short names.
fn dependencies(name: &str) -> Vec<String> {
    let manifest = fs::read_to_string(services().join(name).join("Cargo.toml")).unwrap();
    let (_, sections) = manifest.split_once("\n[").unwrap();
    let names = sections.lines().filter_map(|line| line.strip_prefix("orrery-"));
    names.map(|rest| rest.split(['.', ' ', '=']).next().unwrap().to_owned()).collect()
}

#[test]
fn no_service_depends_on_another_one() {
    // What services share knows none of them, and each of them knows nothing else.
    let allowed: [(&str, &[&str]); 5] = [
        ("kit", &["proto", "heap"]),
        ("peers", &["proto", "kit"]),
        ("catalog", &["proto", "kit", "peers"]),
        ("orders", &["proto", "kit", "peers"]),
        ("records", &["proto", "kit", "peers"]),
    ];
    for (name, allowed) in allowed {
        let found = dependencies(name);
        assert!(found.contains(&"kit".to_owned()) || name == "kit" && !found.is_empty(), "{name}: {found:?}");
        let wrong: Vec<&String> = found.iter().filter(|found| !allowed.contains(&found.as_str())).collect();
        assert!(wrong.is_empty(), "{name} depends on {wrong:?}");
    }
}

#[test]
fn services_call_each_other_through_peers_alone() {
    fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else {
                found.push(path);
            }
        }
    }
    for (name, _) in SLICES {
        let mut files = Vec::new();
        sources(&services().join(name).join("src"), &mut files);
        assert!(!files.is_empty());
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            assert!(!text.contains("_service_client"), "{} has a client of its own", file.display());
            for (other, _) in SLICES.into_iter().filter(|(other, _)| *other != name) {
                let server = format!("{other}::v1::server");
                assert!(!text.contains(&server), "{} serves {other}", file.display());
            }
        }
    }
}
