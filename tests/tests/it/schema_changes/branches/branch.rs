//! Branches of a live database: what they contain, and how they are created and dropped.

use std::time::Duration;

use orrery::migrate::{Branch, BranchContents, Folder, Windows};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{Branched, assert_equal, migrator, operator_url, run, schema};
use crate::harness::{Role, TestDatabase};

#[tokio::test]
async fn a_branch_is_an_isolated_copy_that_services_can_use() {
    let database = TestDatabase::create().await;
    let url = operator_url(&database);
    let mut source = database.connect(Role::Operator).await;
    run(&mut source, "insert into catalog.product (uid) values ('prd_1')").await;
    let name = database.name();
    run(
        &mut source,
        &format!(
            "revoke temporary on database {name} from public; grant create on database {name} to orders_service; \
             alter database {name} set work_mem = '5MB'; alter role catalog_service in database {name} set \
             search_path = catalog, \"$user\", \"Odd\"\"path\""
        ),
    )
    .await;
    let branch = Branched::new(Branch::create(&url, "feature").await.unwrap());
    assert_equal(&schema(&url).await, &schema(&branch.url()).await, "a branch");

    let mut copy = PgConnection::connect(&branch.url()).await.unwrap();
    let rows: i64 = sqlx::query_scalar("select count(*) from catalog.product").fetch_one(&mut copy).await.unwrap();
    assert_eq!(rows, 0);
    for query in [
        "select format('%s %s %s', coalesce(setrole::regrole::text, ''), n, item) from pg_db_role_setting s join \
         pg_database d on d.oid = s.setdatabase, unnest(setconfig) with ordinality item (item, n) \
         where datname = current_database() order by 1",
        "select format('%s %s %s %s', pg_encoding_to_char(encoding), datcollate, datctype, datlocprovider) \
         from pg_database where datname = current_database()",
        "select string_agg(a::text, ' ' order by a::text) from pg_database, unnest(datacl) a where datname = \
         current_database()",
        "select version from public.schema_migrations order by version",
    ] {
        let (of_source, of_copy): (Vec<String>, Vec<String>) = (
            sqlx::query_scalar(query).fetch_all(&mut source).await.unwrap(),
            sqlx::query_scalar(query).fetch_all(&mut copy).await.unwrap(),
        );
        assert!(!of_source.is_empty(), "{query}");
        assert_eq!(of_source, of_copy, "{query}");
    }
    // Nothing is pending, and a service has its rights.
    assert_eq!(migrator(&branch.url(), Folder::compiled_in().unwrap()).up(|_| ()).await.unwrap(), 0);
    let path = branch.url().rsplit_once('/').unwrap().1.to_owned();
    let mut service = PgConnection::connect(&database.postgres().url(Role::Catalog, &path)).await.unwrap();
    run(&mut service, "insert into product (uid) values ('prd_2')").await;
    let refused = sqlx::raw_sql("select * from orders.order_header").execute(&mut service).await.unwrap_err();
    assert!(refused.to_string().contains("permission denied"), "{refused}");
    let rows: i64 = sqlx::query_scalar("select count(*) from catalog.product").fetch_one(&mut source).await.unwrap();
    assert_eq!(rows, 1);
    for connection in [source, copy, service] {
        connection.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_role_that_may_create_databases_is_enough() {
    let database = TestDatabase::create_empty().await;
    let mut operator = database.connect(Role::Operator).await;
    let (role, shop) = (format!("admin_of_{}", database.name()), format!("shop_of_{}", database.name()));
    run(&mut operator, &format!("create role {role} login createdb password 'secret'")).await;
    run(&mut operator, &format!("create database {shop} owner {role} template template0")).await;
    let url = format!("postgres://{role}:secret@127.0.0.1:{}/{shop}", database.postgres().port());
    migrator(&url, Folder::compiled_in().unwrap()).up(|_| ()).await.unwrap();
    let rows = BranchContents { rows: Some(Windows::default()), empty: false };
    let branch = Branch::create_with(&url, "own", rows, |_| ()).await.unwrap();
    assert_equal(&schema(&url).await, &schema(&branch.url()).await, "a branch of a role with few rights");
    branch.drop().await.unwrap();
    run(&mut operator, &format!("drop database {shop} with (force)")).await;
    run(&mut operator, &format!("drop role {role}")).await;
    operator.close().await.unwrap();
}

#[tokio::test]
async fn a_name_is_taken_once_and_only_branches_are_dropped() {
    let database = TestDatabase::create_empty().await;
    let url = operator_url(&database);
    let name = database.name();
    let mut connection = database.connect(Role::Operator).await;

    let branch = Branch::create(&url, "one").await.unwrap();
    let error = Branch::create(&url, "one").await.unwrap_err().to_string();
    assert_eq!(error, format!("{name} has a branch one already"));
    let opened = Branch::open(&url, "one").await.unwrap();
    assert_eq!((opened.name(), opened.url()), ("one", branch.url()));

    // A session of somebody is not ended.
    let options = format!("{}?application_name=somebody", branch.url());
    let session = PgConnection::connect(&options).await.unwrap();
    let error = branch.clone().drop().await.unwrap_err().to_string();
    assert!(error.starts_with("the branch one cannot be dropped: it is in use by postgres (process "), "{error}");
    assert!(error.contains(", somebody)"), "{error}");
    session.close().await.unwrap();
    branch.drop().await.unwrap();
    for error in [Branch::remove(&url, "one").await.unwrap_err(), Branch::open(&url, "one").await.unwrap_err()] {
        assert_eq!(error.to_string(), format!("{name} has no branch one"));
    }

    // A database that only has the name of a branch, also one that is a branch of another database.
    for mark in [
        "null",
        "'my own'",
        "'{\"orrery_branch_of\": \"other\", \
         \"name\": \"one\", \"created\": \"2026-01-01T00:00:00Z\", \"state\": \"ready\"}'",
    ] {
        run(&mut connection, &format!("create database {name}_branch_one template template0")).await;
        run(&mut connection, &format!("comment on database {name}_branch_one is {mark}")).await;
        let expected = format!("the database {name}_branch_one exists, but is not a branch of {name}");
        assert_eq!(Branch::create(&url, "one").await.unwrap_err().to_string(), expected);
        assert_eq!(Branch::remove(&url, "one").await.unwrap_err().to_string(), expected);
        assert_eq!(Branch::open(&url, "one").await.unwrap_err().to_string(), expected);
        assert!(Branch::list(&url).await.unwrap().is_empty());
        run(&mut connection, &format!("drop database {name}_branch_one")).await;
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_creation_that_was_killed_is_recognised_and_can_be_dropped() {
    let database = TestDatabase::create_empty().await;
    let url = operator_url(&database);
    let copy = format!("{}_branch_half", database.name());
    let mut connection = database.connect(Role::Operator).await;
    let marked = format!(
        "comment on database {copy} is '{{\"orrery_branch_of\": \"{}\", \"name\": \"half\", \"created\": \
         \"2026-01-01T00:00:00Z\", \"state\": \"being created\"}}'",
        database.name()
    );
    for then in [None, Some(marked)] {
        run(&mut connection, &format!("create database {copy} template template0 allow_connections false")).await;
        if let Some(mark) = &then {
            run(&mut connection, mark).await;
        }
        for error in [Branch::create(&url, "half").await.unwrap_err(), Branch::open(&url, "half").await.unwrap_err()] {
            let error = error.to_string();
            assert!(error.starts_with("the creation of the branch half has not ended; "), "{error}");
            assert!(error.ends_with("`orrery migrate branch drop half`"), "{error}");
        }
        let listed = Branch::list(&url).await.unwrap();
        assert_eq!((listed.len(), listed[0].ready, listed[0].created.is_some()), (1, false, then.is_some()));
        Branch::remove(&url, "half").await.unwrap();
        assert!(Branch::list(&url).await.unwrap().is_empty());
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_creation_that_fails_leaves_nothing() {
    let database = TestDatabase::create_empty().await;
    let url = operator_url(&database);
    let mut connection = database.connect(Role::Operator).await;
    // The check calls a function that is created with it, and that does not exist where the copy is checked.
    run(
        &mut connection,
        "create function helper() returns boolean language sql immutable as 'select true'; create function f(a \
         integer) returns boolean language plpgsql immutable as 'begin return public.helper(); end'; create table t (a \
         integer); create materialized view m as select f(1) as a; drop function helper()",
    )
    .await;
    let error = format!("{:#}", Branch::create(&url, "broken").await.unwrap_err());
    assert!(error.contains("this cannot be copied: create materialized view public.m as"), "{error}");
    assert!(error.contains("function public.helper() does not exist"), "{error}");
    assert!(Branch::list(&url).await.unwrap().is_empty());
    let left: i64 = sqlx::query_scalar("select count(*) from pg_database where starts_with(datname::text, $1)")
        .bind(format!("{}_branch", database.name()))
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(left, 0);
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_locked_table_delays_a_branch_but_does_not_hang_it() {
    let database = TestDatabase::create().await;
    let url = operator_url(&database);
    let mut writer = database.connect(Role::Operator).await;
    run(&mut writer, "begin; lock table catalog.product in access exclusive mode").await;
    let error = Branch::create(&url, "locked").await.unwrap_err().to_string();
    assert_eq!(error, "the schema cannot be read: canceling statement due to lock timeout");
    assert!(Branch::list(&url).await.unwrap().is_empty());

    let creating = tokio::spawn({
        let url = url.clone();
        async move { Branch::create(&url, "locked").await }
    });
    // The lock goes after an attempt was given up.
    let mut watcher = database.connect(Role::Operator).await;
    let query = "select exists (select from pg_locks where not granted and database = (select oid from pg_database \
                 where datname = current_database()))";
    for waits in [true, false] {
        while sqlx::query_scalar::<_, bool>(query).fetch_one(&mut watcher).await.unwrap() != waits {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    run(&mut writer, "commit").await;
    let branch = Branched::new(creating.await.unwrap().unwrap());
    assert_equal(&schema(&url).await, &schema(&branch.url()).await, "a branch of a table that was locked");
    writer.close().await.unwrap();
    watcher.close().await.unwrap();
}

#[tokio::test]
async fn names_are_checked() {
    let database = TestDatabase::create_empty().await;
    let mut connection = database.connect(Role::Operator).await;
    let long = format!("{}_{}", database.name(), "x".repeat(40));
    run(&mut connection, &format!("create database {long}")).await;
    let url = database.postgres().url(Role::Operator, &long);
    let most = 63 - long.len() - "_branch_".len();
    let error = Branch::create(&url, &"n".repeat(most + 1)).await.unwrap_err().to_string();
    assert!(error.ends_with(&format!("a branch of {long} has at most {most} letters")), "{error}");
    let branch = Branch::create(&url, &"n".repeat(most)).await.unwrap();
    branch.drop().await.unwrap();
    let statement = format!("drop database {long} with (force)");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
