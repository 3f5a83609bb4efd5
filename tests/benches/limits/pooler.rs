//! PgBouncer in transaction mode between a service and the server, with two sessions for all connections.

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use nix::unistd::{Uid, User};
use tokio::net::TcpStream;

use crate::postgres::Postgres;

/// A running PgBouncer. Dropping this stops it.
pub(crate) struct Pooler {
    child: Child,
    /// The URL of the database through the pooler.
    pub(crate) url: String,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Pooler {
    /// Starts PgBouncer in front of the database at `url`.
    pub(crate) async fn start(postgres: &Postgres, url: &str) -> anyhow::Result<Self> {
        let direct = url.strip_prefix("postgres://").and_then(|rest| rest.split_once('@'));
        let (account, place) = direct.context("a URL with user and password")?;
        let (user, password) = account.split_once(':').context("a password")?;
        let (host, database) = place.split_once('/').context("a database")?;
        let (_, server) = host.split_once(':').context("a port")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (file, log) = (postgres.file("pgbouncer.ini"), postgres.file("pgbouncer.log"));
        // All clients on loopback are the service; the password is only for the server.
        let settings = format!(
            "[databases]\n{database} = host=127.0.0.1 port={server} user={user} password={password}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 2\nmax_client_conn = 200\nlogfile = {}\n",
            log.display()
        );
        std::fs::write(&file, settings)?;
        std::fs::write(&log, "")?;
        let mut command = Command::new(program()?);
        command.arg("-q").arg(&file).current_dir("/").stdin(Stdio::null()).stderr(Stdio::null());
        if Uid::effective().is_root() {
            // PgBouncer refuses to run as root.
            let account = ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok().flatten());
            let account = account.context("an account to run PgBouncer as")?;
            let (uid, gid) = (account.uid.as_raw(), account.gid.as_raw());
            chown(&file, Some(uid), Some(gid))?;
            chown(&log, Some(uid), Some(gid))?;
            command.uid(uid).gid(gid);
        }
        let pooler = Self { child: command.spawn()?, url: format!("postgres://{account}@127.0.0.1:{port}/{database}") };
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Ok(pooler);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("PgBouncer does not start: {}", std::fs::read_to_string(log)?)
    }
}

fn program() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders
        .find_map(|folder| Some(folder.join("pgbouncer")).filter(|file| file.is_file()))
        .context("pgbouncer is not installed")
}
