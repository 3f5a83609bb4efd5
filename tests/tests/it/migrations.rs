//! `orrery migrate`: up, down and up again keeps data; concurrent runs do not collide; traffic is never blocked by a
//! waiting migration; errors name the location.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;
use std::time::{Duration, Instant};

use orrery::migrate::{Folder, LockTimeouts, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::harness::{Role, TestDatabase};

/// The migrations of the repository and one more.
fn with_later(sql: &str) -> Folder {
    let later = folder_of(&[("29990101000000_later.sql", sql)]);
    let mut folder = Folder::compiled_in().unwrap();
    folder.migrations.extend(later.migrations);
    folder
}

pub(crate) fn folder_of(files: &[(&str, &str)]) -> Folder {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let mut read = Folder::read(folder.path()).unwrap();
    Path::new("files").clone_into(&mut read.path);
    read
}

fn migrator(database: &TestDatabase, folder: Folder) -> Migrator {
    Migrator::new(&database.url(Role::Operator), folder, LockTimeouts::default())
}

pub(crate) async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

pub(crate) async fn applied(connection: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar("select version from public.schema_migrations order by version")
        .fetch_all(connection)
        .await
        .unwrap()
}

/// The tables of the slices and of public except schema_migrations: schema and name.
async fn tables(connection: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar(
        "select format('%I.%I', schemaname, tablename) from pg_tables \
         where schemaname in ('catalog', 'orders', 'records', 'public') and tablename <> 'schema_migrations' order by \
         1",
    )
    .fetch_all(connection)
    .await
    .unwrap()
}

/// Inserts a row into `table`. Required columns without a default get a value by their type.
async fn fill(connection: &mut PgConnection, table: &str) {
    let columns: Vec<(String, String)> = sqlx::query_as(
        "select quote_ident(attname), format_type(atttypid, atttypmod) from pg_attribute \
         where attrelid = $1::regclass and attnum > 0 and not attisdropped and attnotnull and not atthasdef",
    )
    .bind(table)
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    let value = |kind: &str| match kind {
        "jsonb" => "'{\"deep\": {\"er\": [1.50]}}'",
        "bytea" => "'\\x00ff'",
        "timestamp with time zone" => "now()",
        "boolean" => "true",
        "numeric" | "integer" | "bigint" => "7",
        _ => "'kept'",
    };
    let names: Vec<_> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let values: Vec<_> = columns.iter().map(|(_, kind)| value(kind)).collect();
    run(connection, &format!("insert into {table} ({}) values ({})", names.join(", "), values.join(", "))).await;
}

/// All rows of these tables, as text.
async fn contents(connection: &mut PgConnection, tables: &[String]) -> Vec<Option<String>> {
    let mut found = Vec::new();
    for table in tables {
        let sql = format!("select string_agg(t::text, e'\\n' order by t::text) from {table} t");
        found.push(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *connection).await.unwrap());
    }
    found
}

#[tokio::test]
async fn up_down_and_up_again_keeps_every_row_that_up_did_not_make() {
    let database = TestDatabase::create_empty().await;
    let mut connection = database.connect(Role::Operator).await;
    run(
        &mut connection,
        "create table public.stranger (note text not null); insert into public.stranger values ('kept')",
    )
    .await;
    let all = Folder::compiled_in().unwrap();
    for count in 1..=all.migrations.len() {
        let mut folder = all.clone();
        folder.migrations.truncate(count);
        let migrator = migrator(&database, folder);
        let before = tables(&mut connection).await;
        let rows = contents(&mut connection, &before).await;
        assert_eq!(migrator.up(|_| ()).await.unwrap(), 1);
        let (after, rows_above) = (tables(&mut connection).await, contents(&mut connection, &before).await);
        migrator.down(|_| ()).await.unwrap();
        assert_eq!(tables(&mut connection).await, before, "{} leaves tables", all.migrations[count - 1].file_name);
        assert_eq!(
            contents(&mut connection, &before).await,
            rows,
            "{} down changes rows",
            all.migrations[count - 1].file_name
        );
        assert_eq!(migrator.up(|_| ()).await.unwrap(), 1);
        assert_eq!(tables(&mut connection).await, after);
        assert_eq!(contents(&mut connection, &before).await, rows_above);
        for table in after.iter().filter(|table| !before.contains(table)) {
            fill(&mut connection, table).await;
        }
    }
}

#[tokio::test]
async fn the_first_down_refuses_to_take_a_stranger_s_table_along() {
    let database = TestDatabase::create_empty().await;
    let mut folder = Folder::compiled_in().unwrap();
    folder.migrations.truncate(1);
    let migrator = migrator(&database, folder);
    migrator.up(|_| ()).await.unwrap();
    let mut connection = database.connect(Role::Operator).await;
    run(&mut connection, "create table orders.stranger (note text); insert into orders.stranger values ('kept')").await;
    let error = migrator.down(|_| ()).await.unwrap_err().to_string();
    assert!(error.contains("create_slices.sql:") && error.contains("cannot drop schema orders"), "{error}");
    assert_eq!(contents(&mut connection, &["orders.stranger".into()]).await, [Some("(kept)".to_owned())]);
    assert_eq!(applied(&mut connection).await.len(), 1, "the ledger says what is");
}

#[tokio::test]
async fn runs_at_the_same_time_apply_each_migration_once() {
    let database = TestDatabase::create_empty().await;
    let count = Folder::compiled_in().unwrap().migrations.len();
    let runs = (0..5).map(|_| {
        let migrator = migrator(&database, Folder::compiled_in().unwrap());
        tokio::spawn(async move { migrator.up(|_| ()).await })
    });
    let mut sum = 0;
    for run in runs.collect::<Vec<_>>() {
        sum += run.await.unwrap().unwrap();
    }
    assert_eq!(sum, count);
    assert_eq!(applied(&mut database.connect(Role::Operator).await).await.len(), count);
}

#[tokio::test]
async fn a_migration_that_must_wait_for_a_lock_lets_traffic_pass() {
    let database = TestDatabase::create().await;
    let mut holder = database.connect(Role::Catalog).await;
    run(&mut holder, "begin; select count(*) from catalog.product").await;
    let later = with_later("-- migrate:up\nalter table catalog.product add column shade text;\n-- migrate:down\n");
    let timeouts = LockTimeouts { lock_timeout: Duration::from_millis(200), total: Duration::from_secs(60) };
    let migrator = Migrator::new(&database.url(Role::Operator), later, timeouts);
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let migration = tokio::spawn(async move { migrator.up(|sentence| told.send(sentence.to_owned()).unwrap()).await });
    // The migration has waited for the lock at least once.
    let sentence = tokio::time::timeout(Duration::from_secs(30), heard.recv()).await.unwrap().unwrap();
    assert!(sentence.contains("later.sql:2: canceling statement due to lock timeout"), "{sentence}");
    let mut reader = database.connect(Role::Catalog).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..40 {
        let start = Instant::now();
        run(&mut reader, "select count(*) from catalog.product").await;
        slowest = slowest.max(start.elapsed());
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert!(slowest < Duration::from_secs(1), "a reader waited {slowest:?}");
    assert!(!migration.is_finished());
    run(&mut holder, "commit").await;
    assert_eq!(migration.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn patience_ends() {
    let database = TestDatabase::create().await;
    let mut holder = database.connect(Role::Catalog).await;
    run(&mut holder, "begin; select count(*) from catalog.product").await;
    let later = with_later("-- migrate:up\nalter table catalog.product add column shade text;\n-- migrate:down\n");
    let timeouts = LockTimeouts { lock_timeout: Duration::from_millis(50), total: Duration::from_secs(1) };
    let error = Migrator::new(&database.url(Role::Operator), later, timeouts).up(|_| ()).await.unwrap_err().to_string();
    assert!(error.ends_with("canceling statement due to lock timeout; gave up after 1 s"), "{error}");
}

#[tokio::test]
async fn errors_name_file_and_line() {
    let cases = [
        // The server reports the position.
        (
            "-- migrate:up\n\nselect 'ä', 1;\nselect * frm t;\n-- migrate:down\n",
            "files/20260101000000_x.sql:4: syntax error",
        ),
        (
            "-- why\n-- migrate:up\nselect 1;\nselect\n  missing;\n-- migrate:down\n",
            "files/20260101000000_x.sql:5: column \"missing\"",
        ),
        // The server does not report it; the number of completed statements is used.
        (
            "-- migrate:up\ncreate table t (a int);\n-- ;\n\ncreate table t (a int);\n-- migrate:down\n",
            "files/20260101000000_x.sql:5: relation \"t\"",
        ),
        (
            "-- migrate:up\nselect 1;\ndo $$ begin\n  raise exception 'no; really';\nend $$;\n-- migrate:down\n",
            "files/20260101000000_x.sql:3: no; really",
        ),
        (
            "-- migrate:up\ncreate table t (a int);\ncommit;\n-- migrate:down\n",
            "files/20260101000000_x.sql:3: `commit` is not allowed in a migration",
        ),
    ];
    for (text, expected) in cases {
        let database = TestDatabase::create_empty().await;
        let migrator = migrator(&database, folder_of(&[("20260101000000_x.sql", text)]));
        let error = migrator.up(|_| ()).await.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text} gave {error}");
        let mut connection = database.connect(Role::Operator).await;
        assert!(tables(&mut connection).await.is_empty());
        assert!(!traces(&mut connection).await.0 || applied(&mut connection).await.is_empty());
    }
}

#[tokio::test]
async fn a_failed_migration_leaves_nothing_and_those_before_it_stay() {
    let database = TestDatabase::create_empty().await;
    let files = [
        ("20260101000000_good.sql", "-- migrate:up\ncreate table good ();\n-- migrate:down\n"),
        ("20260101000001_bad.sql", "-- migrate:up\ncreate table half ();\nselect 1 / 0;\n-- migrate:down\n"),
    ];
    let error = migrator(&database, folder_of(&files)).up(|_| ()).await.unwrap_err().to_string();
    assert_eq!(error, "files/20260101000001_bad.sql:3: division by zero");
    let mut connection = database.connect(Role::Operator).await;
    assert_eq!(tables(&mut connection).await, ["public.good"]);
    assert_eq!(applied(&mut connection).await, ["20260101000000"]);
}

#[tokio::test]
async fn what_cannot_run_in_a_transaction_runs_outside_of_one() {
    let database = TestDatabase::create_empty().await;
    // As the first of all files, so that schema_migrations does not exist either.
    let text = "-- migrate:up transaction:false\ncreate index concurrently if not exists i on public.t (a);\n\
                -- migrate:down transaction:false\ndrop index concurrently if exists public.i;\n";
    let mut connection = database.connect(Role::Operator).await;
    run(&mut connection, "create table public.t (a int); insert into public.t values (1)").await;
    let migrator = migrator(&database, folder_of(&[("20260101000000_add_index.sql", text)]));
    assert_eq!(migrator.up(|_| ()).await.unwrap(), 1);
    let valid: bool = sqlx::query_scalar("select indisvalid from pg_index where indexrelid = 'public.i'::regclass")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(valid);
    assert_eq!(migrator.down(|_| ()).await.unwrap(), "files/20260101000000_add_index.sql");
    assert!(applied(&mut connection).await.is_empty());
    assert!(migrator.down(|_| ()).await.unwrap_err().to_string().contains("no migration is applied"));
    connection.close().await.unwrap();
}

#[tokio::test]
async fn an_older_file_that_arrives_late_is_applied_and_a_version_without_a_file_is_told() {
    let database = TestDatabase::create_empty().await;
    let file = |name: &'static str| (name, "-- migrate:up\nselect 1;\n-- migrate:down\nselect 1;\n");
    migrator(&database, folder_of(&[file("20260101000001_b.sql")])).up(|_| ()).await.unwrap();
    let late = migrator(&database, folder_of(&[file("20260101000000_a.sql"), file("20260101000001_b.sql")]));
    assert_eq!(late.up(|_| ()).await.unwrap(), 1);
    let only_a = migrator(&database, folder_of(&[file("20260101000000_a.sql")]));
    let (known, unknown) = only_a.status().await.unwrap();
    assert_eq!((known.len(), known[0].1, unknown), (1, true, vec!["20260101000001".to_owned()]));
    let error = only_a.down(|_| ()).await.unwrap_err().to_string();
    assert_eq!(error, "version 20260101000001 is applied, but its file is missing in files");
}

/// Whether schema_migrations exists, and the tables of [`tables`].
async fn traces(connection: &mut PgConnection) -> (bool, Vec<String>) {
    let ledger = sqlx::query_scalar("select to_regclass('public.schema_migrations') is not null");
    (ledger.fetch_one(&mut *connection).await.unwrap(), tables(connection).await)
}

#[tokio::test]
async fn what_would_part_the_ledger_from_the_schema_is_refused_before_anything_runs() {
    let database = TestDatabase::create_empty().await;
    let mut connection = database.connect(Role::Operator).await;
    let good = ("20260101000000_good.sql", "-- migrate:up\ncreate table good ();\n-- migrate:down\ndrop table good;\n");
    let begin_and_commit = "begin;\ncreate table half ();\ncommit;";
    for (up, down, line, words) in [
        (begin_and_commit, "", 2, "begin"),
        ("create table half ();\nSTART /* ; */ TRANSACTION;", "", 3, "start transaction"),
        ("create table half (); end;\ncreate table more ();", "", 2, "end"),
        ("create table half ();\nrollback;", "", 3, "rollback"),
        ("create table half ();", "drop table half;\ncommit and chain;", 5, "commit"),
        ("create table half ();\nabort;\nselect 1;", "", 3, "abort"),
    ] {
        for option in ["", " transaction:false"] {
            let text = format!("-- migrate:up{option}\n{up}\n-- migrate:down{option}\n{down}\n");
            let files = [good, ("20260101000001_bad.sql", text.as_str())];
            let error = migrator(&database, folder_of(&files)).up(|_| ()).await.unwrap_err().to_string();
            let expected = format!("files/20260101000001_bad.sql:{line}: `{words}` is not allowed in a migration");
            assert!(error.starts_with(&expected), "{text} gave {error}");
            assert_eq!(traces(&mut connection).await, (false, vec![]), "{text}");
        }
    }
    let index = "-- migrate:up\ncreate table half (a int);\ncreate index concurrently on half (a);\n-- migrate:down\n";
    let error =
        migrator(&database, folder_of(&[good, ("20260101000001_bad.sql", index)])).up(|_| ()).await.unwrap_err();
    let expected = "files/20260101000001_bad.sql:3: `create index concurrently` cannot run in a transaction";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert_eq!(traces(&mut connection).await, (false, vec![]));
    // Without it, the file before it is applied.
    migrator(&database, folder_of(&[good])).up(|_| ()).await.unwrap();
    assert_eq!(traces(&mut connection).await, (true, vec!["public.good".to_owned()]));
}

#[tokio::test]
async fn what_another_program_applied_is_not_held_against_its_successors() {
    let database = TestDatabase::create_empty().await;
    let mut connection = database.connect(Role::Operator).await;
    let old = "-- migrate:up\nbegin;\ncreate table old ();\ncommit;\n-- migrate:down\ndrop table old;\ncommit;\n";
    let files = [
        ("20260101000000_old.sql", old),
        ("20260101000001_new.sql", "-- migrate:up\ncreate table new ();\n-- migrate:down\ndrop table new;\n"),
    ];
    run(
        &mut connection,
        "create table old (); create table schema_migrations (version varchar primary key); \
         insert into schema_migrations values ('20260101000000')",
    )
    .await;
    let migrator = migrator(&database, folder_of(&files));
    assert_eq!(migrator.up(|_| ()).await.unwrap(), 1);
    assert_eq!(migrator.down(|_| ()).await.unwrap(), "files/20260101000001_new.sql");
    // Rolling the old one back would break the connection between the two.
    let error = migrator.down(|_| ()).await.unwrap_err().to_string();
    assert!(error.starts_with("files/20260101000000_old.sql:7: `commit` is not allowed"), "{error}");
    assert_eq!(traces(&mut connection).await, (true, vec!["public.old".to_owned()]));
    assert_eq!(applied(&mut connection).await, ["20260101000000"]);
}

#[tokio::test]
async fn a_commit_that_only_the_server_sees_does_not_part_them_either() {
    let database = TestDatabase::create_empty().await;
    let mut connection = database.connect(Role::Operator).await;
    let block = |option: &str| {
        format!(
            "-- migrate:up{option}\ndo $$ begin create table batch (); commit; end $$;\n\
             -- migrate:down{option}\ndrop table if exists batch;\n"
        )
    };
    let inside = migrator(&database, folder_of(&[("20260101000000_x.sql", &block(""))]));
    let error = inside.up(|_| ()).await.unwrap_err().to_string();
    assert!(error.starts_with("files/20260101000000_x.sql:2: invalid transaction termination"), "{error}");
    assert!(tables(&mut connection).await.is_empty() && applied(&mut connection).await.is_empty());
    // Outside of a transaction it may commit, and is recorded.
    let outside = migrator(&database, folder_of(&[("20260101000000_x.sql", &block(" transaction:false"))]));
    assert_eq!(outside.up(|_| ()).await.unwrap(), 1);
    assert_eq!(tables(&mut connection).await, ["public.batch"]);
    outside.down(|_| ()).await.unwrap();
    assert!(tables(&mut connection).await.is_empty() && applied(&mut connection).await.is_empty());
}

#[tokio::test]
async fn what_a_section_sets_in_its_session_does_not_reach_the_ledger() {
    let database = TestDatabase::create_empty().await;
    let text = "-- migrate:up transaction:false\nset default_transaction_read_only = on;\n\
                -- migrate:down transaction:false\nset default_transaction_read_only = on;\n";
    let migrator = migrator(&database, folder_of(&[("20260101000000_x.sql", text)]));
    assert_eq!(migrator.up(|_| ()).await.unwrap(), 1);
    let mut connection = database.connect(Role::Operator).await;
    assert_eq!(applied(&mut connection).await, ["20260101000000"]);
    migrator.down(|_| ()).await.unwrap();
    assert!(applied(&mut connection).await.is_empty());
}
