//! A private Postgres: found or fetched, made once, started, ended with its owner. `orrery up` stands on it, and so do tests.
//!
//! Everything lies under one data directory: `cluster.json` (place, port and passwords, 0600), `lock` (held while a process owns the
//! cluster, and freed by the kernel however that process ends), and `postgres/` with the server's own files. The server listens on
//! loopback and on a Unix socket in that folder, asks for a password on both, and keeps what it acknowledged.

mod account;
mod binaries;
mod fetch;
mod place;
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
use self::state::State;
use crate::database;

/// Where the private cluster lies unless told otherwise.
pub(crate) const DATA_DIR: &str = ".orrery";
/// The database of the private cluster.
pub(crate) const DATABASE: &str = "orrery";

/// How long a server may take to accept connections; after a crash it first replays its log.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// A login role of a private cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The superuser: makes databases, migrates.
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

/// How a cluster is made and started.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// Where everything lies; made if it is missing.
    pub data_dir: PathBuf,
    /// The folder of Postgres's programs; searched for, and fetched as a last resort, if `None`.
    pub postgres_bin: Option<PathBuf>,
    /// Server settings, `name` and `value` as in postgresql.conf, on top of the usual ones.
    pub settings: Vec<(String, String)>,
    /// Hears a sentence about what takes a while: fetching Postgres, making a cluster.
    pub tell: Option<fn(&str)>,
    /// Removes the data directory when the cluster ends. For tests.
    pub ephemeral: bool,
}

/// How a server is told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Ends sessions, writes everything out.
    Fast,
    /// Ends without a checkpoint; the next start replays the log.
    Immediate,
}

impl Shutdown {
    const fn signal(self) -> Signal {
        match self {
            Self::Fast => Signal::SIGINT,
            Self::Immediate => Signal::SIGQUIT,
        }
    }

    const fn patience(self) -> Duration {
        match self {
            Self::Fast => Duration::from_secs(60),
            Self::Immediate => Duration::from_secs(10),
        }
    }
}

/// A private Postgres that this process owns. Dropping it stops the server; if this process is killed, a watchdog stops it.
#[derive(Debug)]
pub struct Cluster {
    options: ClusterOptions,
    account: Account,
    binaries: Binaries,
    state: Mutex<State>,
    postmaster: Arc<Mutex<Option<Postmaster>>>,
    recovered: bool,
    _lock: Flock<std::fs::File>,
}

impl Cluster {
    /// Finds or makes the cluster under `options.data_dir` and starts its server. A server that a killed owner left behind is ended
    /// first.
    ///
    /// # Errors
    ///
    /// A sentence that says what is in the way: no Postgres, a living owner, a folder that cannot be used, a server that does not
    /// start.
    pub async fn start(options: ClusterOptions) -> anyhow::Result<Self> {
        let cluster = blocking(move || Self::prepare(options)).await?;
        cluster.launch().await?;
        cluster.set_passwords().await?;
        Ok(cluster)
    }

    fn prepare(mut options: ClusterOptions) -> anyhow::Result<Self> {
        place::make_data_dir(&options.data_dir)?;
        options.data_dir =
            options.data_dir.canonicalize().with_context(|| format!("cannot find {}", options.data_dir.display()))?;
        let lock = place::lock(&options.data_dir)?;
        let place = place::find_or_make(&options)?;
        let recovered = postmaster::end_orphan(&place.state.home)?;
        Ok(Self {
            options,
            account: place.account,
            binaries: place.binaries,
            state: Mutex::new(place.state),
            postmaster: Arc::default(),
            recovered,
            _lock: lock,
        })
    }

    /// The server's version, as it says it: `15.14`.
    pub fn version(&self) -> &str {
        &self.binaries.version
    }

    /// The folder of the server's files. Below the data directory, unless the account that runs Postgres could not enter it there.
    pub fn home(&self) -> PathBuf {
        self.state().home
    }

    /// The file that remembers the cluster's port and passwords.
    pub fn state_file(&self) -> PathBuf {
        self.options.data_dir.join(state::FILE)
    }

    /// The port on loopback.
    pub fn port(&self) -> u16 {
        self.state().port
    }

    /// Whether [`start`](Self::start) found a server that a killed owner had left, and ended it.
    pub fn ended_orphan(&self) -> bool {
        self.recovered
    }

    /// The URL of `database` for `role`, over loopback. Holds the role's password.
    pub fn url(&self, role: Role, database: &str) -> String {
        self.state().url(role, database)
    }

    /// Makes the database `name` unless it exists.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub async fn ensure_database(&self, name: &str) -> anyhow::Result<()> {
        database::ensure(self.url(Role::Operator, "postgres").parse()?, name).await
    }

    /// Whether the server runs.
    pub fn is_running(&self) -> bool {
        self.with_postmaster(|postmaster| postmaster.ended().is_none()).unwrap_or(false)
    }

    /// The server's processes, the postmaster first; none if it does not run.
    pub fn processes(&self) -> Vec<u32> {
        self.with_postmaster(|postmaster| {
            let pid = postmaster.pid();
            std::iter::once(pid).chain(postmaster::children_of(pid)).map(|pid| pid.as_raw().cast_unsigned()).collect()
        })
        .unwrap_or_default()
    }

    /// Stops the server and waits for its end; does nothing if it does not run.
    pub async fn stop(&self, how: Shutdown) {
        if let Some(postmaster) = self.take_postmaster() {
            blocking(move || postmaster.stop(how)).await;
        }
    }

    /// Kills the server and its backends (SIGKILL), as a crash of the machine would, except that the operating system keeps what it was
    /// told to write.
    pub async fn kill(&self) {
        if let Some(postmaster) = self.take_postmaster() {
            blocking(move || postmaster.crash()).await;
        }
    }

    /// Starts the server again on the same port, stopping it first if it runs.
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.stop(Shutdown::Fast).await;
        self.launch().await
    }

    async fn launch(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_PATIENCE;
        let mut changes_of_port = 0;
        loop {
            self.spawn()?;
            let Err(reason) = self.wait_until_ready(deadline).await else { return Ok(()) };
            self.stop(Shutdown::Immediate).await;
            if reason.contains("shared memory block") && Instant::now() < deadline {
                // Backends of a killed server take a moment to notice.
                tokio::time::sleep(Duration::from_millis(200)).await;
            } else if reason.contains("TCP/IP") && changes_of_port < 3 {
                changes_of_port += 1;
                let mut state = self.state();
                state.port = place::free_port()?;
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
            data: &place::data(&state.home),
            log: &state.home.join("postgres.log"),
            settings: place::settings(&state, &self.options.settings),
            ephemeral: self.options.ephemeral.then_some(self.options.data_dir.as_path()),
        };
        let postmaster = Postmaster::start(&start)?;
        *self.postmaster.lock().unwrap_or_else(PoisonError::into_inner) = Some(postmaster);
        Ok(())
    }

    /// Waits until the server answers; the error is the reason why it never will.
    async fn wait_until_ready(&self, deadline: Instant) -> Result<(), String> {
        let url = self.url(Role::Operator, "postgres");
        loop {
            if let Some(words) =
                self.with_postmaster(|postmaster| postmaster.ended().map(|_| postmaster.last_words())).flatten()
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

    /// Makes the services' roles where they are missing, and gives them this cluster's passwords.
    async fn set_passwords(&self) -> anyhow::Result<()> {
        let state = self.state();
        let options: PgConnectOptions = state.url(Role::Operator, "postgres").parse()?;
        let mut connection = options.connect().await?;
        for role in Role::SERVICES {
            let (name, password) = (role.name(), state.password(role));
            let statement = format!(
                "do $$ begin if not exists (select from pg_roles where rolname = '{name}') then create role {name}; end if; end $$; \
                 alter role {name} login password '{password}'"
            );
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
        }
        connection.close().await?;
        Ok(())
    }

    fn state(&self) -> State {
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

/// The URL of `database` on the cluster under `data_dir`, for its superuser, if a cluster was ever made there.
///
/// # Errors
///
/// When what the cluster remembers cannot be read.
pub fn remembered_url(data_dir: &Path, database: &str) -> anyhow::Result<Option<String>> {
    Ok(State::load(data_dir)?.map(|state| state.url(Role::Operator, database)))
}

/// Runs what blocks (processes, files) where it holds nobody up.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
