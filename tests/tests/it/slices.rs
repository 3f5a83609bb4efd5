//! A slice is a schema, a login role and a service. Each role can only access its own schema.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

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
