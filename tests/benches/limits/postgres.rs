//! The yardstick: Postgres with its own programs.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use orrery::cluster::{Cluster, ClusterOptions, Role};
use orrery::migrate::{Folder, Migrator, Patience};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

const DATABASE: &str = "bench";

/// A private server with products in it.
pub(crate) struct Bench {
    cluster: Cluster,
    files: tempfile::TempDir,
}

/// The columns of a product as the tests make it; `n` is its number.
const PRODUCT: &str = "'prd_' || lpad(n::text, 26, '0'), 'Product number ' || n, '{\"phase\": \"active\"}'::jsonb, \
     jsonb_build_object('env', 'prod', 'tier', chr(97 + (n % 5)::int), 'season', 'winter'), \
     jsonb_build_object('source/stock-code', 'SKU-' || n, 'source/supplier', 'supplier-' || n % 100)";

/// Written products have numbers from here.
pub(crate) const FIRST_WRITTEN: usize = 1_000_000_000;

impl Bench {
    /// A migrated server with `rows` products.
    pub(crate) async fn start(rows: usize) -> anyhow::Result<Self> {
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
        let bench = Self { cluster, files };
        let url = bench.url();
        Migrator::new(&url, Folder::compiled_in()?, Patience::default()).up(|_| ()).await?;
        bench
            .execute(&format!(
                "insert into catalog.product (uid, name, status, labels, annotations) \
                 select {PRODUCT} from generate_series(1, {rows}) as n"
            ))
            .await?;
        bench.execute("vacuum (analyze, freeze) catalog.product").await?;
        bench.execute("checkpoint").await?;
        Ok(bench)
    }

    fn url(&self) -> String {
        self.cluster.url(Role::Operator, DATABASE)
    }

    pub(crate) fn catalog_url(&self) -> String {
        self.cluster.url(Role::Catalog, DATABASE)
    }

    async fn execute(&self, sql: &str) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.url()).await?;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// How many bytes `COPY` sends for a product, on average.
    pub(crate) async fn row_bytes(&self) -> anyhow::Result<i64> {
        let mut connection = PgConnection::connect(&self.url()).await?;
        let row = sqlx::query(
            "select (avg(length(uid) + length(name) + length(status::text) + length(labels::text) \
             + length(annotations::text)) + 16 + 7 * 4 + 3 + 2)::bigint from catalog.product",
        )
        .fetch_one(&mut connection)
        .await?;
        Ok(row.try_get(0)?)
    }

    fn psql(&self, command: &str) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let status = Command::new("psql")
            .args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--command", command, &self.url()])
            .stdout(Stdio::null())
            .status()
            .context("psql is not installed")?;
        anyhow::ensure!(status.success(), "psql failed");
        Ok(started.elapsed())
    }

    /// Copies all products out.
    pub(crate) fn copy_out(&self) -> anyhow::Result<Duration> {
        self.psql("copy (select * from catalog.product order by uid) to stdout (format binary)")
    }

    /// Copies `count` new products in.
    pub(crate) fn copy_in(&self, count: usize) -> anyhow::Result<Duration> {
        let path = self.files.path().join("products.tsv");
        let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
        for n in FIRST_WRITTEN..FIRST_WRITTEN + count {
            writeln!(
                file,
                "prd_{n:026}\tProduct number {n}\t{{\"phase\": \"active\"}}\t{{\"env\": \"prod\", \"tier\": \"{}\", \"season\": \"winter\"}}\t\
                 {{\"source/stock-code\": \"SKU-{n}\", \"source/supplier\": \"supplier-{}\"}}",
                (b'a' + (n % 5) as u8) as char,
                n % 100
            )?;
        }
        file.flush()?;
        self.psql(&format!("\\copy catalog.product (uid, name, status, labels, annotations) from '{}'", path.display()))
    }

    /// Takes what was written away.
    pub(crate) async fn remove_written(&self) -> anyhow::Result<()> {
        self.execute(&format!("delete from catalog.product where uid >= 'prd_{FIRST_WRITTEN:026}'")).await?;
        self.execute("vacuum (analyze) catalog.product").await
    }

    /// Writes out what is pending, so that nobody pays for another's work.
    pub(crate) async fn settle(&self) -> anyhow::Result<()> {
        self.execute("checkpoint").await
    }

    /// Selects random products by uid, prepared, and returns the rate.
    pub(crate) fn pgbench(&self, clients: usize, seconds: usize) -> anyhow::Result<f64> {
        let script: PathBuf = self.files.path().join("select.sql");
        std::fs::write(
            &script,
            "\\set n random(1, 1000000)\nselect * from catalog.product where uid = 'prd_' || lpad(:n::text, 26, '0');\n",
        )?;
        let clients = clients.to_string();
        let seconds = seconds.to_string();
        let output = Command::new("pgbench")
            .args([
                "--no-vacuum",
                "--protocol=prepared",
                "--jobs=2",
                "--client",
                &clients,
                "--time",
                &seconds,
                "--file",
            ])
            .arg(&script)
            .arg(self.url())
            .stderr(Stdio::null())
            .output()
            .context("pgbench is not installed")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find(|line| line.starts_with("tps")).context("pgbench said nothing")?;
        let rate = line.split_whitespace().nth(2).context("pgbench said something else")?;
        Ok(rate.parse()?)
    }
}
