//! Workers: each step once, whoever dies or sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orrery_kit::config::{Configuration as _, ServiceConfig};
use orrery_kit::context::Context;
use orrery_kit::db::{Database, Statement};
use orrery_kit::error::Error;
use orrery_kit::metrics::Metrics;
use orrery_kit::procedures::{Job, Next, Parameter, ParameterKind, Position, Procedure, Procedures, Run, Step};
use orrery_proto::procedures::v1::ExecutionPhase;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Client, numbers};
use crate::harness::{CatalogProcess, Role, TestDatabase, until_waiting};

const PARAMETERS: &[Parameter] = &[
    Parameter { name: "to", kind: ParameterKind::Integer { default: 10, min: 0, max: 1_000_000 }, description: "" },
    Parameter { name: "fault", kind: ParameterKind::Text, description: "" },
    Parameter {
        name: "pause",
        kind: ParameterKind::Duration { default: Duration::ZERO, min: Duration::ZERO, max: Duration::from_mins(1) },
        description: "",
    },
];

/// Counts to a number, one per step, and writes each down.
#[derive(Clone, Debug, Default)]
struct Count {
    /// How many steps are under way, and the most that were at once.
    running: Arc<AtomicI64>,
    most: Arc<AtomicI64>,
    /// How many steps have begun.
    begun: Arc<AtomicI64>,
}

impl Procedure for Count {
    fn name(&self) -> &'static str {
        "count"
    }

    fn description(&self) -> &'static str {
        "Counts."
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn begin(&self, job: &Job) -> Result<Box<dyn Run>, Error> {
        Ok(Box::new(Counting {
            count: self.clone(),
            uid: job.execution_uid.clone(),
            to: job.parameters.integer("to")?,
            pause: job.parameters.duration("pause")?,
            fault: job.parameters.text("fault")?.to_owned(),
        }))
    }
}

struct Counting {
    count: Count,
    uid: String,
    to: i64,
    pause: Duration,
    fault: String,
}

impl Run for Counting {
    fn step<'r>(&'r mut self, at: &'r Position) -> BoxFuture<'r, Result<Step, Error>> {
        Box::pin(async move {
            let begun = self.count.begun.fetch_add(1, Ordering::SeqCst);
            let running = self.count.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.count.most.fetch_max(running, Ordering::SeqCst);
            tokio::time::sleep(self.pause).await;
            self.count.running.fetch_sub(1, Ordering::SeqCst);
            match &*self.fault {
                "unavailable twice" if (3..5).contains(&begun) => return Err(Error::Overloaded),
                "internal" => return Err(Error::internal("a secret cause")),
                "invalid" => return Err(Error::invalid("parameters.to", "is no good")),
                "panic" => unreachable!("a step that panics"),
                _ => {}
            }
            let (uid, to, at, fault) = (self.uid.clone(), self.to, at.clone().to_step("count"), self.fault.clone());
            Ok(Step::that(move |transaction| {
                let (uid, at, fault) = (uid.clone(), at.clone(), fault.clone());
                Box::pin(async move {
                    let number = at.processed;
                    if number == to {
                        return Ok(Next::Done(at));
                    }
                    let insert = Statement::new("insert into catalog.counted (uid, number) values ($1, $2)", 1);
                    transaction.write(insert.bind(uid)?.bind(number)?).await?;
                    let mut next = at.processed(1);
                    next.cursor = number.to_string();
                    next.add("counted", 1);
                    if fault == "waits" {
                        return Ok(Next::After(Duration::from_millis(300), next));
                    }
                    Ok(Next::Step(next))
                })
            }))
        })
    }
}

/// A process of a service, in this process: with its own connections.
struct Worker {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Worker {
    fn start(database: &TestDatabase, count: &Count, lease: Duration) -> Self {
        let mut config = ServiceConfig::for_database(&database.url(Role::Catalog)).unwrap();
        config.database.database_pooler = database.pooler_mode();
        config.database.database_pool_min = 0;
        config.procedures.procedure_poll_interval = Duration::from_millis(50);
        config.procedures.procedure_lease = lease;
        let pool = Database::new(&config.database, &config.limits, &Metrics::default()).unwrap();
        let context = Context::new(pool, "catalog", config.stream, Metrics::default());
        let procedures = Procedures::new(&context, config.procedures, vec![Box::new(count.clone())]);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            procedures.work_beside(stopped.cancelled(), &stopped).await;
            context.close().await;
        });
        Self { task, stop }
    }

    /// As a process that gets a signal.
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// As a process that is killed: nothing is given back.
    fn kill(self) {
        self.task.abort();
    }
}

struct Fixture {
    database: TestDatabase,
    pool: PgPool,
    count: Count,
}

/// An execution as it is stored.
#[derive(Debug)]
struct Stored {
    phase: String,
    processed: i64,
    attempts: i32,
    fence: i64,
    error: String,
    leased: bool,
}

impl Fixture {
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        let pool = database.pool(Role::Operator).await;
        sqlx::raw_sql(
            "create table catalog.counted (uid text not null, number bigint not null);
             grant select, insert on catalog.counted to catalog_service",
        )
        .execute(&pool)
        .await
        .unwrap();
        Self { database, pool, count: Count::default() }
    }

    fn worker(&self, lease: Duration) -> Worker {
        Worker::start(&self.database, &self.count, lease)
    }

    async fn ask(&self, uid: &str, parameters: &str) {
        let sql = "insert into catalog.procedure_execution (uid, procedure, parameters)
                   values ($1, 'count', $2::text::jsonb)";
        sqlx::query(sql).bind(uid).bind(parameters).execute(&self.pool).await.unwrap();
    }

    async fn stored(&self, uid: &str) -> Stored {
        let sql = "select phase, processed, attempts, fence, error, lease_ts is not null as leased
                     from catalog.procedure_execution where uid = $1";
        let row: (String, i64, i32, i64, String, bool) =
            sqlx::query_as(sql).bind(uid).fetch_one(&self.pool).await.unwrap();
        let (phase, processed, attempts, fence, error, leased) = row;
        Stored { phase, processed, attempts, fence, error, leased }
    }

    async fn until(&self, uid: &str, reached: impl Fn(&Stored) -> bool) -> Stored {
        let begun = Instant::now();
        loop {
            let stored = self.stored(uid).await;
            if reached(&stored) {
                return stored;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{uid} stays at {stored:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The numbers that an execution has written, in order.
    async fn counted(&self, uid: &str) -> Vec<i64> {
        let sql = "select number from catalog.counted where uid = $1 order by number";
        sqlx::query_scalar(sql).bind(uid).fetch_all(&self.pool).await.unwrap()
    }

    async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.pool).await.unwrap();
    }
}

const LONG: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn one_execution_of_a_procedure_runs_at_a_time_and_each_step_once() {
    let fixture = Fixture::new().await;
    for nth in 0..12 {
        fixture.ask(&format!("exe_{nth}"), r#"{"to": 7, "pause": "2ms"}"#).await;
    }
    let workers: Vec<Worker> = (0..4).map(|_| fixture.worker(LONG)).collect();
    for nth in 0..12 {
        let uid = format!("exe_{nth}");
        let stored = fixture.until(&uid, |stored| stored.phase == "succeeded").await;
        assert_eq!((stored.processed, stored.fence, stored.leased), (7, 1, false), "{stored:?}");
        assert_eq!(fixture.counted(&uid).await, (0..7).collect::<Vec<i64>>());
    }
    assert_eq!(fixture.count.most.load(Ordering::SeqCst), 1);
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_worker_continues_after_the_lease_of_a_dead_one() {
    let fixture = Fixture::new().await;
    fixture.ask("exe_1", r#"{"to": 60, "pause": "30ms"}"#).await;
    let first = fixture.worker(Duration::from_secs(2));
    fixture.until("exe_1", |stored| stored.processed >= 10).await;
    first.kill();
    let killed = fixture.stored("exe_1").await;
    assert!(killed.leased && killed.phase == "running", "{killed:?}");
    let second = fixture.worker(Duration::from_secs(2));
    let ended = fixture.until("exe_1", |stored| stored.phase == "succeeded").await;
    assert_eq!((ended.processed, ended.fence), (60, 2), "{ended:?}");
    assert_eq!(fixture.counted("exe_1").await, (0..60).collect::<Vec<i64>>());
    second.stop().await;
}

/// A step that ends its process each time is not tried for ever, and one that is done makes the count begin anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_interrupts_too_many_workers_fails() {
    let fixture = Fixture::new().await;
    let interrupted = "interruptions, phase, error from catalog.procedure_execution where uid = 'exe_1'";
    let stored = async || -> (i32, String, String) {
        sqlx::query_as(AssertSqlSafe(format!("select {interrupted}"))).fetch_one(&fixture.pool).await.unwrap()
    };
    fixture.ask("exe_1", r#"{"to": 2, "pause": "30s"}"#).await;
    for times in 0..3 {
        let worker = fixture.worker(Duration::from_secs(2));
        fixture.until("exe_1", |stored| stored.fence == i64::from(times) + 1).await;
        worker.kill();
        assert_eq!(stored().await, (times, "running".to_owned(), String::new()));
    }
    fixture.execute("update catalog.procedure_execution set parameters = '{\"to\": 4, \"pause\": \"1s\"}'").await;
    let worker = fixture.worker(Duration::from_secs(2));
    fixture.until("exe_1", |stored| stored.processed == 1).await;
    assert_eq!(stored().await.0, 0);
    fixture.until("exe_1", |stored| stored.phase == "succeeded").await;
    worker.stop().await;

    fixture
        .execute("update catalog.procedure_execution set phase = 'running', next_ts = now(), finish_ts = null")
        .await;
    fixture
        .execute("update catalog.procedure_execution set lease_ts = now(), interruptions = 9, parameters = '{}'")
        .await;
    let worker = fixture.worker(LONG);
    fixture.until("exe_1", |stored| stored.phase == "failed").await;
    let error = "10 workers in a row ended in the middle of this step";
    assert_eq!(stored().await, (10, "failed".to_owned(), error.to_owned()));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_gives_back_what_it_holds() {
    let fixture = Fixture::new().await;
    fixture.ask("exe_1", r#"{"to": 40, "pause": "30ms"}"#).await;
    let first = fixture.worker(LONG);
    fixture.until("exe_1", |stored| stored.processed >= 5).await;
    let begun = Instant::now();
    first.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let stored = fixture.stored("exe_1").await;
    assert!(!stored.leased && stored.phase == "running", "{stored:?}");
    let second = fixture.worker(LONG);
    // Long before the lease would have passed.
    fixture.until("exe_1", |stored| stored.phase == "succeeded").await;
    assert_eq!(fixture.counted("exe_1").await, (0..40).collect::<Vec<i64>>());
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_extended_while_a_step_takes_longer() {
    let fixture = Fixture::new().await;
    fixture.ask("exe_1", r#"{"to": 1, "pause": "3s"}"#).await;
    let workers = [fixture.worker(Duration::from_secs(1)), fixture.worker(Duration::from_secs(1))];
    let ended = fixture.until("exe_1", |stored| stored.phase == "succeeded").await;
    assert_eq!(ended.fence, 1, "{ended:?}");
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_step_is_tried_again_and_some_faults_are_final() {
    let fixture = Fixture::new().await;
    let worker = fixture.worker(LONG);
    fixture.ask("exe_1", r#"{"to": 5, "fault": "unavailable twice"}"#).await;
    let waiting = fixture.until("exe_1", |stored| stored.attempts == 2).await;
    assert_eq!(waiting.phase, "running");
    assert!(!waiting.leased && waiting.error.contains("limit"), "{waiting:?}");
    let ended = fixture.until("exe_1", |stored| stored.phase == "succeeded").await;
    assert_eq!((ended.attempts, ended.error.as_str()), (0, ""), "{ended:?}");
    assert_eq!(fixture.counted("exe_1").await, (0..5).collect::<Vec<i64>>());

    fixture.ask("exe_2", r#"{"fault": "invalid"}"#).await;
    let ended = fixture.until("exe_2", |stored| stored.phase == "failed").await;
    assert_eq!(ended.attempts, 1);
    assert!(ended.error.contains("is no good"), "{ended:?}");

    for (uid, fault) in [("exe_3", "internal"), ("exe_4", "panic")] {
        fixture.ask(uid, &format!(r#"{{"fault": "{fault}"}}"#)).await;
        let ended = fixture.until(uid, |stored| stored.phase == "failed").await;
        assert_eq!((ended.attempts, ended.error.as_str()), (5, "internal error"), "{ended:?}");
    }

    // What an older program stored.
    fixture.ask("exe_5", r#"{"unknown": 1}"#).await;
    let ended = fixture.until("exe_5", |stored| stored.phase == "failed").await;
    assert!(ended.error.starts_with("parameters.unknown: "), "{ended:?}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_can_ask_for_a_pause() {
    let fixture = Fixture::new().await;
    let worker = fixture.worker(LONG);
    fixture.ask("exe_1", r#"{"to": 3, "fault": "waits"}"#).await;
    let begun = Instant::now();
    let ended = fixture.until("exe_1", |stored| stored.phase == "succeeded").await;
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    assert_eq!(ended.processed, 3);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_schedule_starts_one_execution_however_many_workers_look() {
    let fixture = Fixture::new().await;
    let workers: Vec<Worker> = (0..4).map(|_| fixture.worker(LONG)).collect();
    let executions = async || {
        let sql = "select count(*) from catalog.procedure_execution where procedure = 'count'";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&fixture.pool).await.unwrap()
    };
    // The default is no schedule.
    let wait = Instant::now();
    loop {
        let stored: Vec<Option<i64>> =
            sqlx::query_scalar("select interval_micros from catalog.procedure_schedule where procedure = 'count'")
                .fetch_all(&fixture.pool)
                .await
                .unwrap();
        if stored == [None] {
            break;
        }
        assert!(stored.is_empty() && wait.elapsed() < Duration::from_secs(20), "{stored:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for round in 1..=5 {
        fixture
            .execute(
                r#"update catalog.procedure_schedule
                      set interval_micros = 3600000000, jitter_micros = 60000000, next_ts = now() - interval '3 days',
                          parameters = '{"to": 2}'
                    where procedure = 'count'"#,
            )
            .await;
        let begun = Instant::now();
        while executions().await < round {
            assert!(begun.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(executions().await, round);
        let next: bool = sqlx::query_scalar(
            "select next_ts between now() + interval '59 minutes' and now() + interval '61 minutes'
               from catalog.procedure_schedule where procedure = 'count'",
        )
        .fetch_one(&fixture.pool)
        .await
        .unwrap();
        assert!(next);
    }
    // A run is left out while the last one has not ended.
    fixture.ask("exe_long", r#"{"to": 1, "pause": "2s"}"#).await;
    fixture.until("exe_long", |stored| stored.phase == "running").await;
    fixture.execute("update catalog.procedure_schedule set next_ts = now() where procedure = 'count'").await;
    fixture.until("exe_long", |stored| stored.phase == "succeeded").await;
    assert_eq!(executions().await, 6);
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn executions_that_ended_long_ago_are_deleted() {
    let fixture = Fixture::new().await;
    fixture
        .execute(
            "insert into catalog.procedure_execution (uid, procedure, phase, finish_ts, next_ts)
             select 'exe_' || n, 'count', 'succeeded', now() - n * interval '1 day', null
               from generate_series(1, 40) as n;
             insert into catalog.procedure_schedule (procedure, interval_micros, next_ts, parameters)
             values ('count', 3600000000, now(), '{\"to\": 0}')",
        )
        .await;
    let worker = fixture.worker(LONG);
    let begun = Instant::now();
    loop {
        let left: Vec<i64> = sqlx::query_scalar(
            "select extract(day from now() - finish_ts)::bigint from catalog.procedure_execution
              where finish_ts < now() - interval '12 hours' order by 1",
        )
        .fetch_all(&fixture.pool)
        .await
        .unwrap();
        if left.len() < 40 {
            assert_eq!(left, (1..30).collect::<Vec<i64>>());
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    worker.stop().await;
}

// A process that is frozen for longer than its lease loses its execution. What it wanted to commit is refused when it
// wakes up.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_process_commits_nothing_after_another_one_has_finished() {
    const WRITES: i64 = 40_000;
    let database = TestDatabase::create().await;
    let pool = database.pool(Role::Operator).await;
    sqlx::raw_sql(AssertSqlSafe(format!(
        "insert into catalog.write_session (resource, write_id, parameters, update_ts)
         select 'orrery.catalog.v1.Product', 'w' || n, '{{}}', now() - interval '90 days'
           from generate_series(1, {WRITES}) as n"
    )))
    .execute(&pool)
    .await
    .unwrap();
    let flags = ["--procedure-lease=1s", "--procedure-poll-interval=100ms", "--transaction-timeout=3s"];
    let frozen = CatalogProcess::spawn_with(&database, &flags).await;
    // In the middle of a step: it waits for this lock, and gets it when it cannot go on.
    let mut held = pool.begin().await.unwrap();
    sqlx::raw_sql("lock table catalog.write_commit in exclusive mode").execute(&mut *held).await.unwrap();
    let client = Client::of(crate::writes::stream::connect(frozen.address()));
    let uid = client.run("expire_write_sessions", &[]).await;
    until_waiting(&mut pool.acquire().await.unwrap(), Role::Catalog, 1).await;
    let pid = Pid::from_raw(frozen.pid().cast_signed());
    kill(pid, Signal::SIGSTOP).unwrap();
    held.rollback().await.unwrap();

    let awake = CatalogProcess::spawn_with(&database, &flags).await;
    let ended = Client::of(crate::writes::stream::connect(awake.address())).ended(&uid).await;
    assert_eq!(ended.phase(), ExecutionPhase::Succeeded, "{ended:?}");
    assert_eq!(numbers(&ended)["deleted"], WRITES, "each once");
    kill(pid, Signal::SIGCONT).unwrap();
    let begun = Instant::now();
    while !frozen.log().contains("another process continues the procedure")
        && !frozen.log().contains("a step will be tried again")
    {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", frozen.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (fence, after): (i64, String) =
        sqlx::query_as("select fence, phase from catalog.procedure_execution where uid = $1")
            .bind(&uid)
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!((fence >= 2, after.as_str()), (true, "succeeded"));
    assert_eq!(client.ended(&uid).await, ended, "nothing changed it");
}
