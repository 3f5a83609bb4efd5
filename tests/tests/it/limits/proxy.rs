//! The proxy itself: exactly the limit passes, one more does not, whatever protocol is used.

use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use sqlx::postgres::PgPoolCopyExt as _;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use crate::harness::wire::{Limit, Violation, WireLimits};
use crate::harness::{Role, TestDatabase, run};

/// How a statement is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadMethod {
    Simple,
    Prepared,
    CopyText,
    CopyBinary,
}

const READ_METHODS: [ReadMethod; 4] =
    [ReadMethod::Simple, ReadMethod::Prepared, ReadMethod::CopyText, ReadMethod::CopyBinary];

/// The number of messages that a select returns.
async fn read(connection: &mut PgConnection, method: ReadMethod, select: &str) -> sqlx::Result<usize> {
    let sql = AssertSqlSafe(select.to_owned());
    let copy = match method {
        ReadMethod::Simple => return Ok(sqlx::raw_sql(sql).fetch_all(connection).await?.len()),
        ReadMethod::Prepared => return Ok(sqlx::query(sql).fetch_all(connection).await?.len()),
        ReadMethod::CopyText => format!("copy ({select}) to stdout"),
        ReadMethod::CopyBinary => format!("copy ({select}) to stdout (format binary)"),
    };
    let messages: Vec<_> = connection.copy_out_raw(&copy).await?.try_collect().await?;
    // The binary format ends with a message that is not a row.
    Ok(messages.len() - usize::from(method == ReadMethod::CopyBinary))
}

/// Checks that a session was ended with an error, and returns the recorded violation.
#[track_caller]
fn assert_broken<T: std::fmt::Debug>(database: &TestDatabase, outcome: sqlx::Result<T>, sqlstate: &str) -> Violation {
    let Err(sqlx::Error::Database(error)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.code().as_deref(), Some(sqlstate), "{error:?}");
    assert!(error.message().contains("limit exceeded"), "{error:?}");
    only_violation(database)
}

/// As [`assert_broken`], for a result. After an error in a copy, the driver waits for ReadyForQuery, and then reports
/// the closed connection instead of the error.
#[track_caller]
fn assert_result_broken(database: &TestDatabase, method: ReadMethod, outcome: sqlx::Result<usize>) -> Violation {
    match method {
        ReadMethod::Simple | ReadMethod::Prepared => assert_broken(database, outcome, "54000"),
        ReadMethod::CopyText | ReadMethod::CopyBinary => {
            assert!(matches!(outcome, Err(sqlx::Error::Io(_))), "{method:?}: {outcome:?}");
            only_violation(database)
        }
    }
}

#[track_caller]
fn only_violation(database: &TestDatabase) -> Violation {
    let violations = database.take_violations();
    let [violation] = violations.as_slice() else { panic!("{violations:?}") };
    violation.clone()
}

#[tokio::test]
async fn a_result_of_as_many_rows_as_are_allowed_passes_and_one_more_does_not() {
    let database = TestDatabase::limited(WireLimits::default()).await;
    for method in READ_METHODS {
        let mut connection = database.connect(Role::Catalog).await;
        let rows = |count: usize| format!("select n from generate_series(1, {count}) n");
        assert_eq!(read(&mut connection, method, &rows(100_000)).await.unwrap(), 100_000, "{method:?}");
        // The count starts at 0 for each result.
        assert_eq!(read(&mut connection, method, &rows(100_000)).await.unwrap(), 100_000, "{method:?}");
        let outcome = read(&mut connection, method, &rows(100_001)).await;
        let violation = assert_result_broken(&database, method, outcome);
        assert_eq!((violation.limit, violation.allowed, violation.seen), (Limit::QueryRows, 100_000, 100_001));
        assert!(violation.statement.contains("generate_series(1, 100001)"), "{method:?}: {violation:?}");
        assert!(connection.execute("select 1").await.is_err(), "{method:?}: the connection is still there");
    }
}

#[tokio::test]
async fn a_result_of_as_many_bytes_as_are_allowed_passes_and_one_more_does_not() {
    let database = TestDatabase::limited(WireLimits { result_bytes: 1 << 20, ..WireLimits::default() }).await;
    for method in READ_METHODS {
        let mut connection = database.connect(Role::Catalog).await;
        // The overhead of a row with one value: a column count and a length, or a line end; and a header and a trailer.
        let beside = match method {
            ReadMethod::Simple | ReadMethod::Prepared => 2 + 4,
            ReadMethod::CopyText => 1,
            ReadMethod::CopyBinary => 2 + 4 + 19 + 2,
        };
        let text = |bytes: usize| format!("select repeat('x', {bytes})");
        let most = (1 << 20) - beside;
        assert_eq!(read(&mut connection, method, &text(most)).await.unwrap(), 1, "{method:?}");
        let outcome = read(&mut connection, method, &text(most + 1)).await;
        let violation = assert_result_broken(&database, method, outcome);
        assert_eq!((violation.limit, violation.allowed, violation.seen), (Limit::ResultBytes, 1 << 20, (1 << 20) + 1));
    }
}

#[tokio::test]
async fn a_statement_that_writes_as_many_rows_as_are_allowed_passes_and_one_more_does_not() {
    let database = TestDatabase::limited(WireLimits { statement_rows: 1_000, ..WireLimits::default() }).await;
    let insert = |rows: usize| {
        format!("insert into catalog.product (uid) select 'prd_' || gen_random_uuid() from generate_series(1, {rows})")
    };
    let update = "update catalog.product set name = 'x'".to_owned();
    let merge = "merge into catalog.product t using (select uid from catalog.product) s on t.uid = s.uid \
                 when matched then update set name = 'y'"
        .to_owned();
    let delete = "delete from catalog.product".to_owned();
    let table = |rows: usize| format!("create temporary table t{rows} as select n from generate_series(1, {rows}) n");
    let pairs = [(insert(1_000), insert(1_001)), (table(1_000), table(1_001))];
    for (kept, broken) in pairs {
        let mut connection = database.connect(Role::Catalog).await;
        sqlx::query(AssertSqlSafe(kept.clone())).execute(&mut connection).await.unwrap();
        let outcome = sqlx::query(AssertSqlSafe(broken.clone())).execute(&mut connection).await;
        let violation = assert_broken(&database, outcome, "54000");
        assert_eq!((violation.limit, violation.allowed, violation.seen), (Limit::StatementRows, 1_000, 1_001));
        assert_eq!(violation.statement, broken);
    }
    let mut operator = database.connect(Role::Operator).await;
    for statement in [&update, &merge, &delete] {
        run(&mut operator, &format!("truncate catalog.product; {}", insert(1_000))).await;
        let mut connection = database.connect(Role::Catalog).await;
        run(&mut connection, statement).await;
        run(&mut operator, &format!("truncate catalog.product; {}", insert(1_001))).await;
        let outcome = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut connection).await;
        assert_eq!(assert_broken(&database, outcome, "54000").seen, 1_001, "{statement}");
    }
}

#[tokio::test]
async fn rows_that_are_written_within_a_statement_are_those_that_it_tells_of() {
    let database = TestDatabase::limited(WireLimits { statement_rows: 1_000, ..WireLimits::default() }).await;
    let insert = |rows: usize| {
        format!(
            "with written as (insert into catalog.product (uid) select 'prd_' || gen_random_uuid() from \
             generate_series(1, {rows}) returning 1)"
        )
    };
    for method in [ReadMethod::Simple, ReadMethod::Prepared] {
        let mut connection = database.connect(Role::Catalog).await;
        let told = |rows: usize| format!("{} select count(*) as written from written", insert(rows));
        assert_eq!(read(&mut connection, method, &told(1_000)).await.unwrap(), 1, "{method:?}");
        let outcome = read(&mut connection, method, &told(1_001)).await;
        let violation = assert_broken(&database, outcome, "54000");
        assert_eq!((violation.limit, violation.allowed, violation.seen), (Limit::StatementRows, 1_000, 1_001));
        // A statement that does not return the number is not run.
        let untold = format!("{} select 1", insert(1));
        let mut connection = database.connect(Role::Catalog).await;
        let violation = assert_broken(&database, read(&mut connection, method, &untold).await, "54000");
        assert_eq!((violation.limit, violation.statement), (Limit::UnreportedRows, untold), "{method:?}");
    }
}

#[tokio::test]
async fn rows_that_are_copied_in_are_counted_as_they_are_sent() {
    let database = TestDatabase::limited(WireLimits { statement_rows: 1_000, ..WireLimits::default() }).await;
    let pool = database.pool(Role::Catalog).await;
    let text =
        |rows: usize| -> Vec<u8> { (0..rows).flat_map(|row| format!("prd_{rows}_{row}\n").into_bytes()).collect() };
    let binary = |rows: usize| -> Vec<u8> {
        let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        for row in 0..rows {
            let uid = format!("prd_binary_{rows}_{row}");
            bytes.extend([0, 1]);
            bytes.extend((uid.len() as i32).to_be_bytes());
            bytes.extend(uid.as_bytes());
        }
        bytes.extend([0xff, 0xff]);
        bytes
    };
    for format in ["text", "binary"] {
        let rows = |count| if format == "text" { text(count) } else { binary(count) };
        let copy = format!("copy catalog.product (uid) from stdin (format {format})");
        // In pieces that end within rows.
        let mut kept = pool.copy_in_raw(&copy).await.unwrap();
        for piece in rows(1_000).chunks(777) {
            kept.send(piece).await.unwrap();
        }
        assert_eq!(kept.finish().await.unwrap(), 1_000);
        let outcome = async {
            let mut broken = pool.copy_in_raw(&copy).await?;
            // The end is never sent: the rows alone exceed the limit.
            broken.send(rows(1_001)).await?;
            broken.finish().await
        };
        let outcome = outcome.await;
        let violations = database.take_violations();
        let [Violation { limit: Limit::StatementRows, seen: 1_001, .. }] = violations.as_slice() else {
            panic!("{violations:?}, {outcome:?}")
        };
        assert!(outcome.is_err());
    }
    let mut operator = database.connect(Role::Operator).await;
    let stored: i64 =
        sqlx::query_scalar("select count(*) from catalog.product").fetch_one(&mut operator).await.unwrap();
    assert_eq!(stored, 2_000);
}

#[tokio::test]
async fn a_transaction_that_is_too_old_is_broken_whatever_it_does() {
    let limits = WireLimits { transaction: Duration::from_millis(700), ..WireLimits::default() };
    let database = TestDatabase::limited(limits).await;
    // One runs a statement, one waits for its client, and one has statements that implicitly share a transaction: the
    // server sends the response to the first only when it has enough to send.
    let shared = "select 1; select repeat('x', 20000); select pg_sleep(60)";
    let works = ["begin; select pg_sleep(60)", "begin", shared];
    for work in works {
        let mut connection = database.connect(Role::Catalog).await;
        let started = Instant::now();
        let outcome = sqlx::raw_sql(work).execute(&mut connection).await;
        let outcome = if work == "begin" {
            outcome.unwrap();
            let waited = async {
                while started.elapsed() < Duration::from_secs(20) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    connection.execute("select 1").await?;
                }
                Ok(())
            };
            waited.await
        } else {
            outcome.map(drop)
        };
        let took = started.elapsed();
        let violation = assert_broken(&database, outcome, "25P04");
        assert_eq!((violation.limit, violation.allowed), (Limit::TransactionAge, 700), "{work}");
        assert!(violation.seen >= 700 && took < Duration::from_secs(20), "{work}: {violation:?} after {took:?}");
    }
    // Many short transactions are not one long one.
    let mut connection = database.connect(Role::Catalog).await;
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(1_500) {
        run(&mut connection, "begin; select pg_sleep(0.05)").await;
        run(&mut connection, "commit").await;
    }
}

#[tokio::test]
async fn a_session_that_nothing_moves_in_is_broken_too() {
    let limits = WireLimits { transaction: Duration::from_millis(300), ..WireLimits::default() };
    let database = TestDatabase::limited(limits).await;
    let mut connection = database.connect(Role::Catalog).await;
    run(&mut connection, "begin").await;
    let started = Instant::now();
    let violations = loop {
        let violations = database.take_violations();
        if !violations.is_empty() {
            break violations;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "nothing was noticed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(violations[0].limit, Limit::TransactionAge);
    assert!(connection.execute("select 1").await.is_err());
}

#[tokio::test]
async fn a_statement_outside_a_transaction_has_a_limit_of_its_own() {
    let limits = WireLimits {
        transaction: Duration::from_millis(200),
        statement: Duration::from_millis(1_500),
        ..WireLimits::default()
    };
    let database = TestDatabase::limited(limits).await;
    for method in [ReadMethod::Simple, ReadMethod::Prepared] {
        let mut connection = database.connect(Role::Catalog).await;
        assert_eq!(read(&mut connection, method, "select pg_sleep(0.6)").await.unwrap(), 1);
        let outcome = read(&mut connection, method, "select pg_sleep(60)").await;
        let violation = assert_broken(&database, outcome, "57014");
        assert_eq!((violation.limit, violation.allowed), (Limit::StatementAge, 1_500), "{method:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_says_nothing_closes_the_connection() {
    let database = TestDatabase::limited(WireLimits { query_rows: 10, silent: true, ..WireLimits::default() }).await;
    let mut connection = database.connect(Role::Catalog).await;
    let outcome = read(&mut connection, ReadMethod::Simple, "select n from generate_series(1, 11) n").await;
    assert!(matches!(outcome, Err(sqlx::Error::Io(_))), "{outcome:?}");
    assert_eq!(database.take_violations().len(), 1);
}

#[tokio::test]
async fn a_limit_that_nobody_expected_to_be_passed_fails_the_test() {
    let database = TestDatabase::limited(WireLimits { query_rows: 10, ..WireLimits::default() }).await;
    let mut connection = database.connect(Role::Catalog).await;
    read(&mut connection, ReadMethod::Simple, "select n from generate_series(1, 11) n").await.unwrap_err();
    let panic = tokio::task::spawn_blocking(move || drop(database)).await.unwrap_err().into_panic();
    let words = panic.downcast_ref::<String>().unwrap();
    assert!(words.contains("11 rows in a result where 10 are allowed"), "{words}");
}

#[tokio::test]
async fn a_session_whose_client_left_ends_at_the_server() {
    let database = TestDatabase::limited(WireLimits::default()).await;
    let mut operator = database.connect(Role::Operator).await;
    let connection = database.connect(Role::Catalog).await;
    let count =
        "select count(*) from pg_stat_activity where datname = current_database() and usename = 'catalog_service'";
    let sessions: i64 = sqlx::query_scalar(count).fetch_one(&mut operator).await.unwrap();
    assert_eq!(sessions, 1);
    drop(connection);
    let started = Instant::now();
    while sqlx::query_scalar::<_, i64>(count).fetch_one(&mut operator).await.unwrap() > 0 {
        assert!(started.elapsed() < Duration::from_secs(20), "the session is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
