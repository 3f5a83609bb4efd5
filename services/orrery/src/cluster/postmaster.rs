//! The server process: start, wait, stop. A watchdog stops it if this process is killed.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Shutdown;
use super::account::Account;
use super::binaries::Binaries;
use crate::whole_file::read_end;

const TICK: Duration = Duration::from_millis(10);

/// Stops the server with signal $1 when standard input is closed, which happens however this process ends. $2 is the
/// server's pid; $3 is its pid file, which tells whether the pid is still the server's; $4, if given, is a folder to
/// remove afterwards.
const WATCHDOG: &str = r#"
read -r _
ours() { [ "$(head -n 1 "$3" 2>/dev/null)" = "$2" ]; }
if ours "$@"; then kill -"$1" "$2" 2>/dev/null; fi
if [ -n "$4" ]; then
    tries=0
    while ours "$@" && kill -0 "$2" 2>/dev/null && [ "$tries" -lt 300 ]; do sleep 0.1; tries=$((tries + 1)); done
    rm -rf "$4"
fi
"#;

/// How the server is started.
pub(super) struct Start<'a> {
    pub(super) binaries: &'a Binaries,
    pub(super) account: Account,
    /// The cluster's files, `PGDATA`.
    pub(super) data: &'a Path,
    /// The server's log. The log of the previous run is kept beside it.
    pub(super) log: &'a Path,
    pub(super) settings: Vec<(String, String)>,
    /// A folder to remove if this process ends without stopping the server.
    pub(super) ephemeral: Option<&'a Path>,
}

/// A running server that this process started.
#[derive(Debug)]
pub(super) struct Postmaster {
    child: Child,
    watchdog: Child,
    log: PathBuf,
}

impl Postmaster {
    pub(super) fn start(start: &Start<'_>) -> anyhow::Result<Self> {
        let kept = start.log.with_extension("log.1");
        let _ = fs::rename(start.log, kept);
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(start.log)
            .with_context(|| format!("cannot write {}", start.log.display()))?;
        let mut command = start.account.command(&start.binaries.program("postgres"));
        command.arg("-D").arg(start.data).current_dir(start.data);
        for (name, value) in &start.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let errors = log.try_clone().context("cannot open the server's log twice")?;
        let child = command.stdout(log).stderr(errors).spawn().context("cannot run postgres")?;
        let watchdog = watch(child.id(), start)?;
        Ok(Self { child, watchdog, log: start.log.to_owned() })
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// The exit status of the server; `None` while it runs.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        // An error means that the child was already waited for, so it has ended.
        self.child.try_wait().unwrap_or(Some(ExitStatus::from_raw(0)))
    }

    /// The last FATAL or ERROR line of the server's log.
    pub(super) fn last_log_error(&self) -> String {
        let text = read_end(&self.log, 64 * 1024).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let worst = ["PANIC:", "FATAL:", "ERROR:"];
        let line = text
            .lines()
            .rev()
            .find_map(|line| worst.iter().find_map(|word| line.split_once(word).map(|(_, rest)| rest.trim())))
            .or_else(|| text.lines().last());
        format!("{} (see {})", line.unwrap_or("it left no message"), self.log.display())
    }

    /// Stops the server and waits until it has ended.
    pub(super) fn stop(mut self, how: Shutdown) {
        let pid = self.pid();
        if self.ended().is_none() {
            let _ = kill(pid, how.signal());
            for (timeout, harder) in [(how.timeout(), Signal::SIGQUIT), (Duration::from_secs(5), Signal::SIGKILL)] {
                if self.wait(timeout) {
                    break;
                }
                let _ = kill(pid, harder);
            }
            self.wait(Duration::from_secs(5));
        }
        self.dismiss_watchdog();
    }

    /// Kills the server and its backends, like a crash.
    pub(super) fn crash(mut self) {
        let pid = self.pid();
        // SIGSTOP first, so that the server cannot start another backend while the list is read.
        let _ = kill(pid, Signal::SIGSTOP);
        let children = children_of(pid);
        for process in children.iter().copied().chain([pid]) {
            let _ = kill(process, Signal::SIGKILL);
        }
        self.wait(Duration::from_secs(5));
        let deadline = Instant::now() + Duration::from_secs(5);
        while children.iter().any(|child| exists(*child)) && Instant::now() < deadline {
            std::thread::sleep(TICK);
        }
        self.dismiss_watchdog();
    }

    fn wait(&mut self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        loop {
            if self.ended().is_some() {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(TICK);
        }
    }

    fn dismiss_watchdog(&mut self) {
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
    }
}

fn watch(pid: u32, start: &Start<'_>) -> anyhow::Result<Child> {
    let signal = if start.ephemeral.is_some() { "QUIT" } else { "INT" };
    Command::new("/bin/sh")
        .args(["-c", WATCHDOG, "watchdog", signal, &pid.to_string()])
        .arg(start.data.join("postmaster.pid"))
        .arg(start.ephemeral.unwrap_or(Path::new("")))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("cannot run /bin/sh")
}

/// Stops a server that an earlier run left on the cluster in `home`, and removes what a killed one left there. There is
/// never a second server. Returns whether one was stopped.
pub(super) fn end_orphan(home: &Path) -> anyhow::Result<bool> {
    let data = super::files::data(home);
    let pid_file = data.join("postmaster.pid");
    let pid = fs::read_to_string(&pid_file).ok().and_then(|text| text.lines().next()?.trim().parse().ok());
    let running = pid.map(Pid::from_raw).filter(|pid| exists(*pid) && serves(*pid, &data));
    if let Some(pid) = running {
        end(pid, &data)?;
    }
    // Postgres considers a pid file valid if any process has that pid.
    let left = fs::read_dir(home).into_iter().flatten().flatten().map(|entry| entry.path());
    let sockets = left.filter(|path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(".s.PGSQL."))
    });
    for path in sockets.chain([pid_file]) {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(running.is_some())
}

fn end(pid: Pid, data: &Path) -> anyhow::Result<()> {
    for (signal, timeout) in [(Signal::SIGINT, 30), (Signal::SIGQUIT, 5), (Signal::SIGKILL, 5)] {
        match kill(pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => {
                bail!("an earlier Postgres (pid {pid}) still runs on {} and cannot be stopped: {error}", data.display())
            }
        }
        let deadline = Instant::now() + Duration::from_secs(timeout);
        while Instant::now() < deadline {
            if !exists(pid) {
                return Ok(());
            }
            std::thread::sleep(TICK);
        }
    }
    bail!("an earlier Postgres (pid {pid}) still runs on {} and does not stop", data.display())
}

fn exists(pid: Pid) -> bool {
    // A zombie still has a pid, but nothing else.
    kill(pid, None) != Err(Errno::ESRCH)
        && !fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

/// Whether `pid` is a Postgres server on `data`: its working directory is its data directory.
fn serves(pid: Pid, data: &Path) -> bool {
    if Path::new("/proc/self/cwd").exists() {
        return fs::read_link(format!("/proc/{pid}/cwd")).ok() == fs::canonicalize(data).ok();
    }
    let output = Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(&*data.to_string_lossy()))
}

/// The child processes of `parent`.
pub(super) fn children_of(parent: Pid) -> Vec<Pid> {
    all_processes().into_iter().filter(|(_, its_parent)| *its_parent == parent).map(|(pid, _)| pid).collect()
}

/// All processes with their parents.
fn all_processes() -> Vec<(Pid, Pid)> {
    let number = |word: Option<&str>| word.and_then(|word| word.parse().ok()).map(Pid::from_raw);
    if Path::new("/proc/self/stat").exists() {
        let folders = fs::read_dir("/proc").into_iter().flatten().flatten();
        return folders
            .filter_map(|folder| {
                let pid = number(folder.file_name().to_str())?;
                let stat = fs::read_to_string(folder.path().join("stat")).ok()?;
                // The name in parentheses may contain anything. The state and the parent follow it.
                let (_, rest) = stat.rsplit_once(") ")?;
                Some((pid, number(rest.split(' ').nth(1))?))
            })
            .collect();
    }
    let output = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((number(words.next())?, number(words.next())?))
        })
        .collect()
}
