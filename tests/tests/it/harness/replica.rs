//! A streaming replica for tests. It can be paused, frozen, killed and restarted.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orrery::cluster::Role;
use sqlx::{Connection as _, PgConnection, query_scalar};

use super::{Postgres, TestDatabase, run};

/// Longer than a server needs to start or to replay what a test writes.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Runs the server until standard input is closed, which happens however this process ends.
const UNTIL_EOF: &str = r#""$@" & read -r _; kill -QUIT $!; wait $!"#;

/// A standby server. It stops when it is dropped; its files are removed with the primary's.
pub(crate) struct StandbyServer {
    primary: Postgres,
    folder: PathBuf,
    programs: PathBuf,
    port: u16,
    shell: Option<Child>,
}

impl StandbyServer {
    /// Copies `primary` and follows it.
    pub(crate) async fn of(primary: &Postgres) -> Self {
        let programs = fs::read_link(format!("/proc/{}/exe", primary.pid())).unwrap().parent().unwrap().to_owned();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let folder = primary.home().join(format!("standby-{port}"));
        let mut standby = Self { primary: primary.clone(), folder, programs, port, shell: None };
        standby.copy().await;
        standby.start().await;
        standby
    }

    /// Copies the primary by the functions that Postgres has for that (manual, 25.3.4): the package of Postgres that is
    /// fetched for tests has no pg_basebackup.
    async fn copy(&self) {
        let mut connection = self.primary.connect().await;
        run(&mut connection, "select pg_backup_start('standby', true)").await;
        let data: String = query_scalar("show data_directory").fetch_one(&mut connection).await.unwrap();
        let copied = self.command(Path::new("/bin/cp")).arg("-a").arg(&data).arg(&self.folder).output().unwrap();
        let complaints = String::from_utf8(copied.stderr).unwrap();
        let others = complaints.lines().filter(|line| !line.ends_with("No such file or directory"));
        assert_eq!(others.collect::<Vec<_>>(), [""; 0], "files come and go, but nothing else goes wrong");
        let label: String = query_scalar("select labelfile from pg_backup_stop(wait_for_archive => false)")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        let source = self.primary.url(Role::Operator, "postgres");
        let owner = fs::metadata(&self.folder).unwrap();
        for (name, text) in [("backup_label", label), ("standby.signal", String::new())] {
            let path = self.folder.join(name);
            fs::write(&path, text).unwrap();
            chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        let settings = self.folder.join("postgresql.auto.conf");
        let kept = fs::read_to_string(&settings).unwrap();
        fs::write(&settings, format!("{kept}primary_conninfo = '{source}'\n")).unwrap();
        fs::remove_file(self.folder.join("postmaster.pid")).unwrap();
    }

    /// The URL of a database on the standby.
    pub(crate) fn url(&self, role: Role, database: &TestDatabase) -> String {
        self.at(&self.primary.url(role, database.name()))
    }

    /// A connection of the superuser to the maintenance database.
    pub(crate) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect(&self.at(&self.primary.url(Role::Operator, "postgres"))).await
    }

    /// A connection of the superuser to a database.
    pub(crate) async fn connect_to(&self, database: &TestDatabase) -> PgConnection {
        PgConnection::connect(&self.url(Role::Operator, database)).await.unwrap()
    }

    /// The log so far, with SQLSTATEs.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.with_extension("log")).unwrap_or_default()
    }

    /// A URL of the primary, changed to the standby.
    fn at(&self, primary: &str) -> String {
        let there = format!(":{}/", self.primary.port());
        assert!(primary.contains(&there), "the primary is elsewhere");
        primary.replace(&there, &format!(":{}/", self.port))
    }

    /// Starts the standby, and waits until it can be read.
    pub(crate) async fn start(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.folder.with_extension("log")).unwrap();
        let started = Instant::now();
        loop {
            let mut command = self.command(Path::new("/bin/sh"));
            command.args(["-c", UNTIL_EOF, "sh"]).arg(self.programs.join("postgres")).arg("-D").arg(&self.folder);
            let port = self.port.to_string();
            for (name, value) in [
                ("port", port.as_str()),
                ("listen_addresses", "127.0.0.1"),
                ("unix_socket_directories", ""),
                // At least as many as on the primary.
                ("max_connections", "400"),
                ("shared_buffers", "32MB"),
                ("fsync", "off"),
                ("hot_standby", "on"),
                ("wal_retrieve_retry_interval", "100ms"),
                ("timezone", "UTC"),
                ("log_line_prefix", "%m [%p] %e %q%u@%d "),
            ] {
                command.arg("-c").arg(format!("{name}={value}"));
            }
            let output = log.try_clone().unwrap();
            command.stdin(Stdio::piped()).stdout(output.try_clone().unwrap()).stderr(output);
            self.shell = Some(command.spawn().unwrap());
            // The backends of a killed server need a moment to notice, and a new server fails until then.
            while started.elapsed() < TIMEOUT {
                if let Ok(connection) = self.connect().await {
                    connection.close().await.unwrap();
                    return;
                }
                if self.pid().is_none_or(|pid| kill(pid, None).is_err()) && started.elapsed() > Duration::from_secs(2) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            self.end();
            assert!(started.elapsed() < TIMEOUT, "the replica does not start; see {}", self.folder.display());
        }
    }

    /// Pauses replay: the standby can be read but shows no new data.
    pub(crate) async fn pause_replay(&self) {
        let mut connection = self.connect().await.unwrap();
        run(&mut connection, "select pg_wal_replay_pause()").await;
        let started = Instant::now();
        loop {
            let state: String =
                query_scalar("select pg_get_wal_replay_pause_state()").fetch_one(&mut connection).await.unwrap();
            if state == "paused" {
                return;
            }
            assert!(started.elapsed() < TIMEOUT, "replay does not pause: {state}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Resumes replay.
    pub(crate) async fn resume_replay(&self) {
        run(&mut self.connect().await.unwrap(), "select pg_wal_replay_resume()").await;
    }

    /// Waits until everything that the primary has committed is replayed.
    pub(crate) async fn catch_up(&self) {
        let mut primary = self.primary.connect().await;
        let reached: String = query_scalar("select pg_current_wal_lsn()::text").fetch_one(&mut primary).await.unwrap();
        let mut connection = self.connect().await.unwrap();
        let started = Instant::now();
        loop {
            let there: bool = query_scalar("select pg_last_wal_replay_lsn() >= $1::text::pg_lsn")
                .bind(&reached)
                .fetch_one(&mut connection)
                .await
                .unwrap();
            if there {
                return;
            }
            assert!(started.elapsed() < TIMEOUT, "the replica does not reach {reached}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills the standby with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.end();
    }

    /// Sends a signal to all processes. SIGSTOP freezes them, SIGCONT resumes them.
    pub(crate) fn signal(&self, signal: Signal) {
        let Some(postmaster) = self.pid() else { return };
        // The postmaster first, so that it starts no backend after the list was read.
        let _ = kill(postmaster, if signal == Signal::SIGKILL { Signal::SIGSTOP } else { signal });
        let children = Command::new("ps").args(["-o", "pid=", "--ppid", &postmaster.to_string()]).output().unwrap();
        for child in String::from_utf8_lossy(&children.stdout).split_whitespace() {
            let _ = kill(Pid::from_raw(child.parse().unwrap()), signal);
        }
        let _ = kill(postmaster, signal);
    }

    fn pid(&self) -> Option<Pid> {
        let file = fs::read_to_string(self.folder.join("postmaster.pid")).ok()?;
        file.lines().next()?.trim().parse().ok().map(Pid::from_raw)
    }

    fn end(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
    }

    /// A command that runs as the owner of the primary's files.
    fn command(&self, program: &Path) -> Command {
        let owner = fs::metadata(self.primary.home()).unwrap();
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").current_dir(self.primary.home());
        command.stdin(Stdio::null()).process_group(0);
        if nix::unistd::Uid::effective().is_root() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        command
    }
}

impl Drop for StandbyServer {
    fn drop(&mut self) {
        self.signal(Signal::SIGCONT);
        self.end();
    }
}
