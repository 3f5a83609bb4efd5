//! Services as processes that can be killed and restarted.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orrery_kit::config::DatabasePooler;
use tokio::net::TcpListener;

use super::admin::Admin;
use super::serving::{channel, until_healthy};
use super::{Role, TestDatabase, program};

/// A service's program on a port of its own. Dropping it kills it, and prints its log if the test failed.
pub(crate) struct ServiceProcess {
    program: &'static str,
    name: &'static str,
    child: Child,
    address: SocketAddr,
    environment: Vec<(&'static str, String)>,
    arguments: Vec<String>,
    files: Option<u32>,
    log: PathBuf,
}

impl ServiceProcess {
    /// Runs `program` on `database` as a role, and waits until the service `name` is healthy.
    pub(crate) async fn spawn(
        program: &'static str,
        name: &'static str,
        (database, role): (&TestDatabase, Role),
        arguments: &[&str],
    ) -> Self {
        Self::spawn_with_files(program, name, (database, role), arguments, None).await
    }

    /// As [`spawn`](Self::spawn), with a limit on open files.
    pub(crate) async fn spawn_with_files(
        program: &'static str,
        name: &'static str,
        of: (&TestDatabase, Role),
        arguments: &[&str],
        files: Option<u32>,
    ) -> Self {
        Self::start_with(program, name, of, arguments, &[], files).await
    }

    /// As [`spawn`](Self::spawn), with more variables of the environment.
    pub(crate) async fn spawn_in(
        program: &'static str,
        name: &'static str,
        of: (&TestDatabase, Role),
        arguments: &[&str],
        environment: &[(&'static str, &str)],
    ) -> Self {
        Self::start_with(program, name, of, arguments, environment, None).await
    }

    async fn start_with(
        program: &'static str,
        name: &'static str,
        (database, role): (&TestDatabase, Role),
        arguments: &[&str],
        more: &[(&'static str, &str)],
        files: Option<u32>,
    ) -> Self {
        let mut environment = vec![("DATABASE_URL", database.url(role))];
        environment.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        if database.pooler_mode() == DatabasePooler::Transaction {
            environment.push(("DATABASE_POOLER", "transaction".to_owned()));
        }
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
        let log = tempfile::Builder::new().prefix(program).suffix(".log").tempfile().unwrap();
        let log = log.into_temp_path().keep().unwrap();
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let child = run(program, address, &environment, &arguments, files, &log);
        let process = Self { program, name, child, address, environment, arguments, files, log };
        until_healthy(&channel(address), name).await;
        process
    }

    /// The address of the service.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The pid of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process with SIGKILL and waits for its end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        kill(Pid::from_raw(self.pid().cast_signed()), Signal::SIGTERM).unwrap();
    }

    /// Waits until the process has ended, at most for `bound`, and returns its exit code; none if it was ended by a
    /// signal.
    pub(crate) async fn ended(&mut self, bound: Duration) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < bound, "{} still runs {bound:?} later", self.program);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Restarts the process at the same address, killing it first if it still runs, and waits until it is healthy.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        self.start().await;
    }

    /// Starts the process again at the same address after it has ended, and waits until it is healthy.
    pub(crate) async fn start(&mut self) {
        self.child = run(self.program, self.address, &self.environment, &self.arguments, self.files, &self.log);
        until_healthy(&channel(self.address), self.name).await;
    }

    /// The current admin port, as found in the log.
    pub(crate) fn admin(&self) -> Admin {
        let log = self.log();
        let line = log.lines().rfind(|line| line.contains("metrics at /metrics")).unwrap();
        let (_, address) = line.split_once("address=").unwrap();
        Admin(address.split(' ').next().unwrap().parse().unwrap())
    }

    /// The current resident memory in bytes. Linux only.
    pub(crate) fn memory(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The peak resident memory in bytes. Linux only.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for ServiceProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{} logged:\n{}", self.program, self.log());
        }
        let _ = std::fs::remove_file(&self.log);
    }
}

fn run(
    name: &str,
    address: SocketAddr,
    environment: &[(&str, String)],
    arguments: &[String],
    files: Option<u32>,
    log: &PathBuf,
) -> Child {
    let log = File::options().append(true).open(log).unwrap();
    let mut command = match files {
        None => Command::new(program(name)),
        Some(files) => {
            let mut command = Command::new("sh");
            command.arg("-c").arg(format!("ulimit -n {files}; exec \"$0\" \"$@\"")).arg(program(name));
            command
        }
    };
    command
        .arg(format!("--listen={address}"))
        .arg("--admin-listen=127.0.0.1:0")
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}
