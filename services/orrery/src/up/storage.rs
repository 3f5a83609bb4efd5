//! The database of `orrery up`: a private cluster or an existing server.

use std::time::Duration;

use anyhow::anyhow;
use sqlx::{AssertSqlSafe, Connection as _};

use super::UpOptions;
use crate::cluster::{Cluster, ClusterOptions, DATABASE, Role, Shutdown};
use crate::database;
use crate::migrate::{Folder, LockTimeouts, Migrator};
use crate::terminal::print_line;

const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How often a private server is restarted before `up` gives up.
const MAX_RESTARTS: u32 = 5;

/// A migrated database, with a URL for each service.
pub(super) struct Storage {
    cluster: Option<Cluster>,
    urls: [String; 3],
}

impl Storage {
    /// Starts the private server or connects to the given one, creates the database and migrates it.
    ///
    /// # Errors
    ///
    /// Says what failed.
    pub(super) async fn open(options: &UpOptions) -> anyhow::Result<Self> {
        let folder = Folder::choose(options.migrations.as_deref())?;
        if let Some(url) = &options.database_url {
            let place = database::ensure_reachable(url).await?;
            print_line(&format!("Using {place}"));
            migrate(url, folder).await?;
            return Ok(Self { cluster: None, urls: urls_of_slices(url).await? });
        }
        let cluster = Cluster::start(ClusterOptions {
            data_dir: options.data_dir.clone(),
            postgres_bin: options.postgres_bin.clone(),
            progress: Some(print_line),
            ..ClusterOptions::default()
        })
        .await?;
        print_line(&format!(
            "Postgres {} runs on 127.0.0.1:{}; its files are in {}, its passwords in {}",
            cluster.version(),
            cluster.port(),
            cluster.home().display(),
            cluster.state_file().display(),
        ));
        cluster.ensure_database(DATABASE).await?;
        migrate(&cluster.url(Role::Operator, DATABASE), folder).await?;
        let urls = Role::SERVICES.map(|role| cluster.url(role, DATABASE));
        Ok(Self { cluster: Some(cluster), urls })
    }

    /// The database URLs of catalog, orders and records.
    pub(super) fn urls(&self) -> &[String; 3] {
        &self.urls
    }

    /// Restarts a private server whenever it ends; returns when that no longer helps. Never returns for an external
    /// server.
    pub(super) async fn keep_running(&self) -> anyhow::Error {
        let Some(cluster) = &self.cluster else { return std::future::pending().await };
        let mut restarts = 0;
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            if cluster.is_running() {
                continue;
            }
            restarts += 1;
            if restarts > MAX_RESTARTS {
                return anyhow!(
                    "Postgres ended {restarts} times; see {}",
                    cluster.home().join("postgres.log").display()
                );
            }
            print_line("Postgres has ended; starting it again");
            if let Err(error) = cluster.restart().await {
                return error;
            }
            print_line(&format!("Postgres runs again on 127.0.0.1:{}", cluster.port()));
        }
    }

    /// Stops a private server.
    pub(super) async fn close(&self) {
        if let Some(cluster) = &self.cluster {
            cluster.stop(Shutdown::Fast).await;
        }
    }
}

async fn migrate(url: &str, folder: Folder) -> anyhow::Result<()> {
    let count = folder.migrations.len();
    if Migrator::new(url, folder, LockTimeouts::default()).up(print_line).await? == 0 {
        print_line(&format!("The database is up to date ({count} migrations)"));
    }
    Ok(())
}

/// The URLs of the slices' roles: the given URL with an option that switches to the role on connecting. If the role
/// cannot be used, the given URL.
async fn urls_of_slices(url: &str) -> anyhow::Result<[String; 3]> {
    let mut urls = Role::SERVICES.map(|_| url.to_owned());
    for (role, chosen) in Role::SERVICES.into_iter().zip(&mut urls) {
        let changing = database::changing_role(url, role.name());
        let mut refusal = database::try_connect(&changing).await.err();
        if refusal.is_some() && grant_to_myself(url, role).await.is_ok() {
            refusal = database::try_connect(&changing).await.err();
        }
        match refusal {
            None => *chosen = changing,
            Some(reason) => print_line(&format!(
                "The role {} cannot be used ({reason}); its service works as the role of the URL",
                role.name()
            )),
        }
    }
    Ok(urls)
}

/// Makes the URL's role a member of `role`. This is allowed if it created that role.
async fn grant_to_myself(url: &str, role: Role) -> anyhow::Result<()> {
    let mut connection = database::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(format!("grant {} to current_user", role.name()))).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}
