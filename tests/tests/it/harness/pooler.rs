//! PgBouncer in front of a Postgres server, with few sessions for many clients.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::unistd::{Uid, User};
use orrery::cluster::Role;
use orrery_tests_needs::{self as needs, Need, Program};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Column as _, ConnectOptions as _, PgConnection, Row as _, ValueRef as _};
use tempfile::TempDir;

use super::route::with_port;
use super::{Postgres, TestDatabase};

/// The number of sessions that PgBouncer opens for each database and role.
pub(crate) const SESSIONS: usize = 2;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Stops the program $1, which runs with the settings $2, when standard input is closed, which happens however the test
/// process ends. Then removes the folder $3.
const UNTIL_THE_END: &str = r#"
"$1" -q "$2" </dev/null & pooler=$!
read -r _
kill -KILL "$pooler"
rm -rf "$3"
"#;

/// PgBouncer in transaction mode. It stops when this is dropped or the test process ends.
pub(crate) struct Pooler {
    shell: Mutex<Child>,
    port: u16,
    /// The URL of the console.
    console: String,
    folder: TempDir,
}

impl Pooler {
    /// Starts a separate PgBouncer in front of `postgres`.
    pub(crate) async fn start(postgres: &Postgres) -> Self {
        let folder = tempfile::Builder::new().prefix("orrery-pooler-").tempdir().unwrap();
        // A port that was free may be taken meanwhile.
        for _ in 0..5 {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            let mut shell = run(&folder, &settings(postgres.port(), port, folder.path()), &users(postgres));
            let console = with_port(&postgres.url(Role::Operator, "pgbouncer"), port);
            let started = Instant::now();
            while started.elapsed() < TIMEOUT && shell.try_wait().unwrap().is_none() {
                if options(&console).connect().await.is_ok() {
                    return Self { shell: Mutex::new(shell), port, console, folder };
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                if log(folder.path()).contains("FATAL") {
                    break;
                }
            }
            end(&mut shell);
        }
        unreachable!("PgBouncer does not start:\n{}", log(folder.path()));
    }

    /// Kills it. Its clients lose their connections, and its port is closed.
    pub(crate) fn kill(&self) {
        end(&mut self.shell.lock().unwrap());
    }

    /// Restarts it on the same port after [`kill`](Self::kill), with empty state, and waits until it answers.
    pub(crate) async fn restart(&self, postgres: &Postgres) {
        fs::create_dir_all(self.folder.path()).unwrap();
        fs::set_permissions(self.folder.path(), Permissions::from_mode(0o700)).unwrap();
        let settings = settings(postgres.port(), self.port, self.folder.path());
        *self.shell.lock().unwrap() = run(&self.folder, &settings, &users(postgres));
        let started = Instant::now();
        while options(&self.console).connect().await.is_err() {
            assert!(started.elapsed() < TIMEOUT, "PgBouncer does not start again:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The port on 127.0.0.1.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// A connection to `database` through it.
    pub(crate) async fn connect(&self, role: Role, database: &TestDatabase) -> PgConnection {
        options(&database.url(role)).connect().await.unwrap()
    }

    /// The rows of `show {what}` in the console.
    pub(crate) async fn show(&self, what: &str) -> Vec<BTreeMap<String, String>> {
        let mut console = options(&self.console).connect().await.unwrap();
        let rows = sqlx::raw_sql(AssertSqlSafe(format!("show {what}"))).fetch_all(&mut console).await.unwrap();
        let row = |row: &sqlx::postgres::PgRow| {
            let values = row.columns().iter().map(|column| {
                let value = row.try_get_raw(column.ordinal()).unwrap();
                let text = if value.is_null() { "" } else { value.as_str().unwrap() };
                (column.name().to_owned(), text.to_owned())
            });
            values.collect()
        };
        rows.iter().map(row).collect()
    }

    /// Its log.
    pub(crate) fn log(&self) -> String {
        log(self.folder.path())
    }

    /// What the pooler and the server logged about `database` that a correct client of a transaction pooler never
    /// causes while the server is well: [`sessions_missed`](Self::sessions_missed) and all errors of the pooler itself,
    /// which have the code 08P01.
    pub(crate) fn refusals(&self, database: &TestDatabase) -> Vec<String> {
        let about = |line: &&str| line.contains(&format!(" {}/", database.name())) && line.contains("pooler error:");
        let mut found: Vec<String> = self.log().lines().filter(about).map(str::to_owned).collect();
        found.extend(self.sessions_missed(database));
        found
    }

    /// Errors of a client of `database` that depends on session state: unknown (26000) or duplicate (42P05) named
    /// statements, messages out of order (08P01), and refused startup parameters (08P01), which are logged before the
    /// database is known.
    pub(crate) fn sessions_missed(&self, database: &TestDatabase) -> Vec<String> {
        let refused = |line: &&str| line.contains("pooler error: unsupported startup parameter");
        let mut found: Vec<String> = self.log().lines().filter(refused).map(str::to_owned).collect();
        found.extend(database.postgres().logged(database.name(), &["26000", "42P05", "08P01"]));
        found
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        end(&mut self.shell.lock().unwrap_or_else(PoisonError::into_inner));
        if std::thread::panicking() {
            eprintln!("PgBouncer logged:\n{}", self.log());
        }
    }
}

/// Options that PgBouncer accepts. It refuses unknown parameters.
fn options(url: &str) -> PgConnectOptions {
    url.parse::<PgConnectOptions>().unwrap().extra_float_digits(None)
}

fn settings(postgres: u16, port: u16, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "[databases]\n\
         * = host=127.0.0.1 port={postgres}\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = scram-sha-256\n\
         auth_file = {folder}/users\n\
         admin_users = postgres\n\
         logfile = {folder}/log\n\
         pidfile = {folder}/pid\n\
         pool_mode = transaction\n\
         default_pool_size = {SESSIONS}\n\
         max_client_conn = 1000\n\
         server_login_retry = 0.2\n\
         log_connections = 0\n\
         log_disconnections = 0\n"
    )
}

/// Names and passwords for clients and for the server.
fn users(postgres: &Postgres) -> String {
    let line = |role: &Role| format!("\"{}\" \"{}\"\n", role.name(), password(postgres, *role));
    Role::ALL.iter().map(line).collect()
}

fn password(postgres: &Postgres, role: Role) -> String {
    let url = postgres.url(role, "postgres");
    let (_, rest) = url.split_once(&format!("//{}:", role.name())).unwrap();
    rest.split_once('@').unwrap().0.to_owned()
}

/// Runs it with an account other than root, which PgBouncer requires.
fn run(folder: &TempDir, settings: &str, users: &str) -> Child {
    let account = Uid::effective().is_root().then(|| {
        let named = ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok().flatten());
        named.expect("an account to run PgBouncer as: it refuses to be root")
    });
    for (name, text) in [("settings", settings), ("users", users)] {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }
    let program: Program = needs::program(Need::PgBouncer).in_reach(folder.path()).unwrap();
    let mut command = program.through("/bin/sh");
    command
        .args(["-c", UNTIL_THE_END, "sh"])
        .arg(program.path())
        .arg(folder.path().join("settings"))
        .arg(folder.path());
    if let Some(account) = account {
        let (uid, gid) = (account.uid.as_raw(), account.gid.as_raw());
        for path in ["", "settings", "users"] {
            chown(folder.path().join(path), Some(uid), Some(gid)).unwrap();
        }
        command.uid(uid).gid(gid);
    }
    // In its own process group, so that Ctrl-C in the terminal does not reach it and the shell decides about the order.
    command.current_dir("/").process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn end(shell: &mut Child) {
    drop(shell.stdin.take());
    let _ = shell.wait();
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}
