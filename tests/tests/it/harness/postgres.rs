//! Postgres servers for tests.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orrery::cluster::{Cluster, ClusterOptions, Role, Shutdown};
use orrery::migrate::{Folder, LockTimeouts, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::OnceCell;

use super::{Pooler, TestDatabase};

const TEMPLATE: &str = "migrated";

static SHARED: OnceCell<Postgres> = OnceCell::const_new();

/// The programs of the major version in `ORRERY_TEST_POSTGRES`, if it is set. They are fetched where none is installed.
fn chosen_programs() -> Option<PathBuf> {
    static CHOSEN: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        let major = std::env::var("ORRERY_TEST_POSTGRES").ok().filter(|major| !major.is_empty())?;
        let major: u32 = major.parse().expect("ORRERY_TEST_POSTGRES is a major version of Postgres, such as 18");
        let software = std::env::temp_dir().join(format!("orrery-test-postgres-{major}"));
        Some(orrery::cluster::postgres_programs(major, &software).expect("the Postgres of ORRERY_TEST_POSTGRES"))
    });
    CHOSEN.clone()
}

/// A running server with a template for migrated databases.
#[derive(Clone)]
pub(crate) struct Postgres {
    cluster: Arc<Cluster>,
    databases: Arc<AtomicU32>,
    port: Arc<AtomicU16>,
    pooler: Arc<OnceCell<Arc<Pooler>>>,
}

impl Postgres {
    /// The server shared by all tests of this process. No test stops or pauses it.
    pub(crate) async fn shared() -> &'static Self {
        SHARED.get_or_init(Self::own).await
    }

    /// A server for one test. It stops when its last handle is dropped.
    pub(crate) async fn own() -> Self {
        Self::own_with(&[]).await
    }

    /// As [`own`](Self::own), with settings as in postgresql.conf.
    pub(crate) async fn own_with(settings: &[(&str, &str)]) -> Self {
        let usual = [
            // The tests kill processes but not the machine, so data in the operating system's cache is safe.
            ("fsync", "off"),
            ("full_page_writes", "off"),
            ("shared_buffers", "64MB"),
            ("max_connections", "400"),
            // Adds the SQLSTATE and the database, for `logged`.
            ("log_line_prefix", "%m [%p] %e %q%u@%d "),
        ];
        let settings = usual.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let folder = tempfile::Builder::new().prefix("orrery-test-").tempdir().unwrap();
        // Accessible to the account of Postgres if the tests run as root.
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let options = ClusterOptions {
            data_dir: folder.keep(),
            postgres_bin: chosen_programs(),
            settings: settings.collect(),
            ephemeral: true,
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(options).await.unwrap();
        cluster.ensure_database(TEMPLATE).await.unwrap();
        let url = cluster.url(Role::Operator, TEMPLATE);
        Migrator::new(&url, Folder::compiled_in().unwrap(), LockTimeouts::default()).up(|_| ()).await.unwrap();
        let port = Arc::new(AtomicU16::new(cluster.port()));
        Self { cluster: Arc::new(cluster), databases: Arc::default(), port, pooler: Arc::default() }
    }

    /// Creates a database as a copy of the migrated template.
    pub(crate) async fn create_database(&self) -> TestDatabase {
        self.create_copy(Some(TEMPLATE)).await
    }

    /// Creates an empty database.
    pub(crate) async fn create_empty_database(&self) -> TestDatabase {
        self.create_copy(None).await
    }

    async fn create_copy(&self, template: Option<&str>) -> TestDatabase {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = self.connect().await;
        let template = template.unwrap_or("template0");
        let statement = format!("create database {name} template {template}");
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        // A copy does not inherit settings from `alter database ... set` and `alter role ... in database ... set`.
        sqlx::query(
            "insert into pg_db_role_setting \
             select copy.oid, setting.setrole, setting.setconfig \
             from pg_db_role_setting setting \
             join pg_database original on original.oid = setting.setdatabase and original.datname = $1 \
             join pg_database copy on copy.datname = $2",
        )
        .bind(template)
        .bind(&name)
        .execute(&mut connection)
        .await
        .unwrap();
        connection.close().await.unwrap();
        TestDatabase::new(self.clone(), name).await
    }

    /// A connection of the superuser to the server's maintenance database.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.cluster.url(Role::Operator, "postgres")).await.unwrap()
    }

    /// The URL of a database for a role, with the password.
    pub(crate) fn url(&self, role: Role, database: &str) -> String {
        self.cluster.url(role, database)
    }

    /// The port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.cluster.port()
    }

    /// The current port on 127.0.0.1: a restarted server may find its port taken.
    pub(super) fn port_now(&self) -> &Arc<AtomicU16> {
        &self.port
    }

    /// The folder of the server's files.
    pub(crate) fn home(&self) -> std::path::PathBuf {
        self.cluster.home()
    }

    /// The pid of the postmaster.
    pub(crate) fn pid(&self) -> u32 {
        self.cluster.processes()[0]
    }

    /// PgBouncer in front of the server, started on first use.
    pub(super) async fn pooler(&self) -> Arc<Pooler> {
        let pooler = self.pooler.get_or_init(async || Arc::new(Pooler::start(self).await));
        Arc::clone(pooler.await)
    }

    /// The errors with one of `states` (SQLSTATEs) that the server logged about `database`.
    pub(crate) fn logged(&self, database: &str, states: &[&str]) -> Vec<String> {
        let log = std::fs::read(self.cluster.home().join("postgres.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let wanted = |line: &&str| {
            line.contains(&format!("@{database} "))
                && states.iter().any(|state| line.contains(&format!("] {state} ")))
                && ["ERROR: ", "FATAL: "].iter().any(|severity| line.contains(severity))
        };
        log.lines().filter(wanted).map(str::to_owned).collect()
    }

    /// Stops the server in an orderly way, which ends its sessions.
    pub(crate) async fn stop(&self) {
        self.cluster.stop(Shutdown::Fast).await;
    }

    /// Kills the server and its backends with SIGKILL.
    pub(crate) async fn kill(&self) {
        self.cluster.kill().await;
    }

    /// Restarts the server on the same port, whether it was stopped, killed or still runs.
    pub(crate) async fn restart(&self) {
        self.cluster.restart().await.unwrap();
        self.port.store(self.cluster.port(), Ordering::Relaxed);
    }

    /// Freezes the server and its backends: connections stay open, but nothing answers.
    pub(crate) fn pause(&self) {
        // The postmaster first, so that it starts no backend after the list was read. A process stops when it next
        // enters or leaves the kernel, and may answer until then.
        let postmaster = self.cluster.processes();
        signal(&postmaster[..1], Signal::SIGSTOP);
        until_stopped(&postmaster[..1]);
        let processes = self.cluster.processes();
        signal(&processes, Signal::SIGSTOP);
        until_stopped(&processes);
    }

    /// Resumes a frozen server.
    pub(crate) fn resume(&self) {
        signal(&self.cluster.processes(), Signal::SIGCONT);
    }
}

/// Waits until all processes are stopped or gone.
fn until_stopped(processes: &[u32]) {
    let started = Instant::now();
    let runs = |process: &u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // The state follows the name in parentheses, which may contain anything.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['T', 'Z', 'X']))
    };
    while processes.iter().any(runs) {
        assert!(started.elapsed() < Duration::from_secs(10), "the server does not stand still");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn signal(processes: &[u32], signal: Signal) {
    for process in processes {
        // A backend may have ended meanwhile.
        let _ = kill(Pid::from_raw(process.cast_signed()), signal);
    }
}
