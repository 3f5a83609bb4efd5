//! The options that all commands of `orrery migrate` share.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Folder, LockTimeouts, Migrator};
use crate::cluster;

/// Which database, which files, and how long to wait for locks.
#[derive(Debug, Args)]
pub(super) struct TargetOptions {
    /// The database, as postgres://user:password@host:port/database. Default: the private cluster of `orrery up` in
    /// --data-dir.
    #[arg(long, global = true, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// The data folder of `orrery up`, whose private cluster must be running.
    #[arg(long, global = true, value_name = "DIR", default_value = cluster::DATA_DIR)]
    data_dir: PathBuf,
    /// The folder of migrations. Default: ./migrations if it holds Orrery's migrations, else the compiled-in files.
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) migrations: Option<PathBuf>,
    /// How long one attempt waits for locks, in milliseconds. Traffic may be blocked that long.
    #[arg(long, global = true, value_name = "MS", default_value_t = 500)]
    lock_timeout: u64,
    /// How long to keep trying to get locks, in seconds.
    #[arg(long, global = true, value_name = "S", default_value_t = 300)]
    patience: u64,
}

impl TargetOptions {
    /// The URL of the database.
    pub(super) fn url(&self) -> anyhow::Result<String> {
        cluster::url_or_remembered(self.database_url.clone(), &self.data_dir)
    }

    /// The files that are given, or those of the repository.
    pub(super) fn folder(&self) -> anyhow::Result<Folder> {
        Folder::choose(self.migrations.as_deref())
    }

    pub(super) fn timeouts(&self) -> LockTimeouts {
        LockTimeouts {
            lock_timeout: Duration::from_millis(self.lock_timeout),
            total: Duration::from_secs(self.patience),
        }
    }

    pub(super) fn migrator(&self) -> anyhow::Result<Migrator> {
        Ok(Migrator::new(&self.url()?, self.folder()?, self.timeouts()))
    }
}
