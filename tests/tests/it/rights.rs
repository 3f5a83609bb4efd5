//! The rights of each slice's role: exactly four on its own tables, now and for future tables.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use sqlx::{PgConnection, query_scalar};

use crate::harness::{Role, TestDatabase, run};

/// All rights on a table; the first four belong to the role of its slice.
const ON_TABLES: [&str; 7] = ["select", "insert", "update", "delete", "truncate", "references", "trigger"];

/// All missing and additional rights of the slices' roles, as text.
pub(crate) async fn wrong_rights(connection: &mut PgConnection) -> Vec<String> {
    let version: i32 = query_scalar("select current_setting('server_version_num')::integer")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    let mut on_tables: Vec<&str> = ON_TABLES.to_vec();
    if version >= 170_000 {
        on_tables.push("maintain");
    }
    let roles: Vec<&str> = Role::SERVICES.iter().map(|role| role.name()).collect();
    query_scalar(
        "with role as (select name, left(name, -length('_service')) as slice from unnest($1::text[]) as name), \
              place as (select oid, nspname as name from pg_namespace where nspname in (select slice from role) or \
              nspname = 'public'), \
              relation as (select c.oid, p.name as schema, format('%s.%s', p.name, c.relname) as name, c.relkind as \
              kind, c.relowner \
                             from pg_class as c join place as p on p.oid = c.relnamespace where c.relkind in ('r', \
                             'p', 'v', 'm', 'f', 'S')) \
         select format('%s on %s by %s', privilege, relation.name, role.name) \
           from relation, role, unnest($2::text[]) with ordinality as r (privilege, place) \
          where kind <> 'S' \
            and has_table_privilege(role.name, relation.oid, privilege) <> (role.slice = schema and place <= 4) \
         union all \
         select format('%s with grant option on %s by %s', privilege, relation.name, role.name) \
           from relation, role, unnest($2::text[]) as privilege \
          where kind <> 'S' and has_table_privilege(role.name, relation.oid, privilege || ' with grant option') \
         union all \
         select format('%s on the sequence %s by %s', privilege, relation.name, role.name) \
           from relation, role, unnest(array['select', 'update', 'usage']) as privilege \
          where kind = 'S' and has_sequence_privilege(role.name, relation.oid, privilege) \
         union all \
         select format('rights of its own on the column %s.%s', relation.name, attname) \
           from relation join pg_attribute on attrelid = relation.oid where attacl is not null \
         union all \
         select format('%s on the schema %s by %s', privilege, place.name, role.name) \
           from place, role, unnest(array['usage', 'create']) as privilege \
          where has_schema_privilege(role.name, place.oid, privilege) \
                <> (privilege = 'usage' and place.name in (role.slice, 'public')) \
         union all \
         select format('the function %s.%s', place.name, proname) from pg_proc join place on place.oid = pronamespace \
         union all \
         select format('create on the database by %s', role.name) \
           from role where has_database_privilege(role.name, current_database(), 'create') \
         union all \
         select format('%s is the owner of %s', role.name, relation.name) \
           from relation join pg_roles on pg_roles.oid = relowner join role on role.name = rolname \
         union all \
         select format('%s is more than a role that logs in', role.name) from pg_roles join role on role.name = \
         rolname \
          where rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls or not rolcanlogin \
         union all \
         select format('%s is a member of %s', role.name, other.rolname) from role cross join pg_roles as other \
          where other.rolname <> role.name and pg_has_role(role.name, other.oid, 'member') \
         order by 1",
    )
    .bind(roles)
    .bind(on_tables)
    .fetch_all(connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn each_role_has_the_four_rights_on_its_own_tables_and_no_other_right() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    assert_eq!(wrong_rights(&mut operator).await, Vec::<String>::new());
    // Later tables are created by the same role and get exactly these rights by default.
    for role in Role::SERVICES {
        let slice = role.name().trim_end_matches("_service");
        run(
            &mut operator,
            &format!(
                "create table {slice}.later (uid text primary key); \
                 create view {slice}.seen as select uid from {slice}.later; \
                 create sequence {slice}.counted"
            ),
        )
        .await;
    }
    assert_eq!(wrong_rights(&mut operator).await, Vec::<String>::new());
}

/// The check detects each right that a careless migration would add or forget.
#[tokio::test]
async fn no_right_too_much_or_too_little_goes_unnoticed() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    for (change, seen) in [
        ("grant all on catalog.product to catalog_service", "truncate on catalog.product by catalog_service"),
        ("grant references on catalog.product to catalog_service", "references on catalog.product by catalog_service"),
        ("grant trigger on orders.token_key to orders_service", "trigger on orders.token_key by orders_service"),
        ("grant select on orders.order_header to records_service", "select on orders.order_header by records_service"),
        ("grant select on catalog.product to public", "select on catalog.product by orders_service"),
        (
            "revoke delete on catalog.product_metric from catalog_service",
            "delete on catalog.product_metric by catalog_service",
        ),
        (
            "grant select on catalog.product to catalog_service with grant option",
            "select with grant option on catalog.product by catalog_service",
        ),
        (
            "grant select (uid) on catalog.product to orders_service",
            "rights of its own on the column catalog.product.uid",
        ),
        ("grant select on public.schema_migrations to public", "select on public.schema_migrations by catalog_service"),
        (
            "create sequence records.s; grant usage on sequence records.s to public",
            "usage on the sequence records.s by records_service",
        ),
        ("grant create on schema catalog to catalog_service", "create on the schema catalog by catalog_service"),
        ("grant usage on schema orders to catalog_service", "usage on the schema orders by catalog_service"),
        ("revoke usage on schema records from records_service", "usage on the schema records by records_service"),
        ("create function catalog.f() returns integer language sql as 'select 1'", "the function catalog.f"),
        (
            "create table catalog.t (); alter table catalog.t owner to orders_service",
            "orders_service is the owner of catalog.t",
        ),
        (
            "alter default privileges in schema orders grant all on tables to orders_service; create table orders.t ()",
            "truncate on orders.t by orders_service",
        ),
        (
            "alter default privileges in schema orders revoke select on tables from orders_service; create table \
             orders.t ()",
            "select on orders.t by orders_service",
        ),
    ] {
        run(&mut operator, &format!("begin; {change}")).await;
        let wrong = wrong_rights(&mut operator).await;
        assert!(wrong.iter().any(|wrong| wrong == seen), "{change}: {wrong:?}");
        run(&mut operator, "rollback").await;
    }
    let name = database.name();
    run(&mut operator, &format!("begin; grant create on database {name} to catalog_service")).await;
    assert_eq!(wrong_rights(&mut operator).await, ["create on the database by catalog_service"]);
    run(&mut operator, "rollback; begin; grant catalog_service to orders_service; alter role records_service createdb")
        .await;
    let wrong = wrong_rights(&mut operator).await;
    for seen in ["orders_service is a member of catalog_service", "records_service is more than a role that logs in"] {
        assert!(wrong.iter().any(|wrong| wrong == seen), "{wrong:?}");
    }
    run(&mut operator, "rollback").await;
    assert_eq!(wrong_rights(&mut operator).await, Vec::<String>::new());
}

/// Existing rights work, and missing ones have an effect: a service can only empty a table row by row.
#[tokio::test]
async fn a_service_can_neither_truncate_its_tables_nor_change_them() {
    const DENIED: &str = "42501";
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    for role in Role::SERVICES {
        let slice = role.name().trim_end_matches("_service");
        run(&mut operator, &format!("create table {slice}.later (uid text primary key)")).await;
        let tables: Vec<String> =
            query_scalar("select format('%I.%I', schemaname, tablename) from pg_tables where schemaname = $1")
                .bind(slice)
                .fetch_all(&mut operator)
                .await
                .unwrap();
        assert!(!tables.is_empty());
        let mut service = database.connect(role).await;
        for table in tables {
            run(&mut service, &format!("select count(*) from {table}; delete from {table} where false")).await;
            for statement in [
                format!("truncate {table}"),
                format!("alter table {table} add column extra text"),
                format!("drop table {table}"),
                format!("create index on {table} ((1))"),
                format!(
                    "create trigger t before insert on {table} execute function suppress_redundant_updates_trigger()"
                ),
                format!("create table {slice}.child (uid text references {table})"),
                format!("grant select on {table} to public"),
            ] {
                let denied = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.clone())).execute(&mut service).await;
                let code = match denied {
                    // A role that cannot grant gets a warning.
                    Ok(_) if statement.starts_with("grant") => continue,
                    Ok(_) => unreachable!("{statement} was done"),
                    Err(error) => error.as_database_error().unwrap().code().unwrap().into_owned(),
                };
                assert_eq!(code, DENIED, "{statement}");
            }
        }
    }
    assert_eq!(wrong_rights(&mut operator).await, Vec::<String>::new());
}
