//! The reference: Postgres with its own programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use orrery::cluster::{Cluster, ClusterOptions, Role};
use orrery::migrate::{Folder, LockTimeouts, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

const DATABASE: &str = "bench";

/// A private server with a migrated, empty database.
pub(crate) struct Postgres {
    cluster: Cluster,
    files: tempfile::TempDir,
}

/// The result of pgbench.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pgbench {
    /// Transactions per second, without the time for connecting.
    pub(crate) rate: f64,
    /// The number of transactions.
    pub(crate) transactions: f64,
}

impl Postgres {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let files = tempfile::tempdir()?;
        std::fs::set_permissions(files.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
        let settings = [("shared_buffers", "1GB"), ("max_wal_size", "8GB"), ("checkpoint_timeout", "30min")];
        let options = ClusterOptions {
            data_dir: files.path().join("cluster"),
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            ephemeral: true,
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(options).await?;
        cluster.ensure_database(DATABASE).await?;
        let postgres = Self { cluster, files };
        Migrator::new(&postgres.url(Role::Operator), Folder::compiled_in()?, LockTimeouts::default())
            .up(|_| ())
            .await?;
        Ok(postgres)
    }

    pub(crate) fn url(&self, role: Role) -> String {
        self.cluster.url(role, DATABASE)
    }

    /// A file for data to copy in or out.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    pub(crate) async fn execute(&self, sql: &str) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.url(Role::Operator)).await?;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// The only value of a select, a bigint.
    pub(crate) async fn number(&self, select: &str) -> anyhow::Result<i64> {
        let mut connection = PgConnection::connect(&self.url(Role::Operator)).await?;
        let row = sqlx::query(AssertSqlSafe(select.to_owned())).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(row.try_get(0)?)
    }

    /// Writes pending data to disk, so that the next measurement does not include it.
    pub(crate) async fn settle(&self) -> anyhow::Result<()> {
        self.execute("checkpoint").await
    }

    /// Runs commands one after the other and returns the duration. Their output is read and dropped.
    pub(crate) fn psql(&self, commands: &[String]) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let status = Command::new("psql")
            .args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"])
            .args(commands.iter().flat_map(|command| ["--command", command]))
            .arg(self.url(Role::Operator))
            .stdout(Stdio::null())
            .status()
            .context("psql is not installed")?;
        anyhow::ensure!(status.success(), "psql failed");
        Ok(started.elapsed())
    }

    /// Runs a script with this many clients and prepared statements; `end` is the argument that ends it.
    pub(crate) fn pgbench(&self, script: &str, clients: usize, end: [&str; 2]) -> anyhow::Result<Pgbench> {
        let path = self.file("pgbench.sql");
        std::fs::write(&path, script)?;
        let output = pgbench(&path, clients).args(end).arg(self.url(Role::Operator)).output();
        let text = String::from_utf8_lossy(&output.context("pgbench is not installed")?.stdout).into_owned();
        let number = |line: &str, word: usize| -> anyhow::Result<f64> {
            let line = text.lines().find(|found| found.starts_with(line)).context("pgbench printed nothing")?;
            let word = line.split_whitespace().nth(word).context("pgbench printed something else")?;
            Ok(word.split('/').next().unwrap_or_default().parse()?)
        };
        Ok(Pgbench { rate: number("tps", 2)?, transactions: number("number of transactions actually processed", 5)? })
    }
}

fn pgbench(script: &Path, clients: usize) -> Command {
    let mut command = Command::new("pgbench");
    command
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2", "--client", &clients.to_string(), "--file"])
        .arg(script)
        .stderr(Stdio::null());
    command
}
