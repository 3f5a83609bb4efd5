//! The service as a process, as in production.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::program;

const BINARY: &str = "orrery-orders";
const URL: &str = "postgres://someone:hunter2@127.0.0.1:1/nothing";

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_signal_ends_it_with_success() {
    for name in ["TERM", "INT"] {
        let address = format!("127.0.0.1:{}", free_port());
        let mut process = Command::new(program(BINARY))
            .args(["--listen", &address])
            .env("DATABASE_URL", URL)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while TcpStream::connect(&address).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        let sent = Command::new("kill").args(["-s", name, &process.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let status = process.wait().unwrap();
        let mut logs = String::new();
        process.stderr.take().unwrap().read_to_string(&mut logs).unwrap();
        assert_eq!(status.code(), Some(0), "{logs}");
        assert!(logs.contains(&format!("SIG{name} received")) && logs.contains("drained"), "{logs}");
        assert!(!logs.contains("hunter2"), "{logs}");
    }
}

/// Every arena of glibc's allocator but the first begins at a multiple of this (`HEAP_MAX_SIZE` in malloc/arena.c).
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
const ARENA: u64 = 64 << 20;

#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
#[test]
fn its_threads_share_arenas() {
    let address = format!("127.0.0.1:{}", free_port());
    let mut process = Command::new(program(BINARY))
        .args(["--listen", &address])
        .env("DATABASE_URL", URL)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while TcpStream::connect(&address).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", process.id())).unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    let arenas = maps.lines().filter(|line| {
        let start = u64::from_str_radix(line.split('-').next().unwrap(), 16).unwrap();
        // A mapping without a file.
        line.split_whitespace().count() == 5 && line.contains(" rw-p ") && start % ARENA == 0
    });
    let most = std::thread::available_parallelism().unwrap().get().div_ceil(2) - 1;
    assert!(arenas.count() <= most, "{maps}");
}

#[test]
fn it_refuses_to_be_reached_by_other_machines_and_says_why() {
    let output =
        Command::new(program(BINARY)).args(["--listen", "0.0.0.0:0"]).env("DATABASE_URL", URL).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(text.contains("--insecure") && !text.contains("hunter2"), "{text}");
}

#[test]
fn the_command_runs_the_same_service_as_the_link() {
    let help = |command: &mut Command| {
        let output = command.arg("--help").output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    for slice in ["catalog", "orders", "records"] {
        let by_link = help(&mut Command::new(program(&format!("orrery-{slice}"))));
        let by_command = help(Command::new(program("orrery")).args(["serve", slice]));
        assert!(by_link.contains(&format!("Usage: orrery-{slice} ")), "{by_link}");
        assert_eq!(by_link, by_command);
    }
}

#[test]
fn links_are_made_once_and_take_nobodys_place() {
    let folder = tempfile::tempdir().unwrap();
    let link = || Command::new(program("orrery")).arg("link").arg(folder.path()).output().unwrap();
    let made = link();
    assert!(made.status.success() && String::from_utf8_lossy(&made.stdout).lines().count() == 3, "{made:?}");
    let again = link();
    assert!(again.status.success() && again.stdout.is_empty(), "{again:?}");
    let taken = folder.path().join("orrery-orders");
    std::fs::remove_file(&taken).unwrap();
    std::fs::write(&taken, "something else").unwrap();
    let refused = link();
    assert!(!refused.status.success(), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("orrery-orders cannot be created"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&taken).unwrap(), "something else");
}

#[test]
fn the_version_names_the_compiler() {
    let rustc = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into())).arg("--version").output().unwrap();
    let rustc = String::from_utf8(rustc.stdout).unwrap();
    for name in ["orrery", "orrery-catalog"] {
        let output = Command::new(program(name)).arg("--version").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&format!("compiler: {}", rustc.trim())), "{text}");
    }
}

#[test]
fn its_help_says_where_it_listens() {
    let output = Command::new(program(BINARY)).arg("--help").env("DATABASE_URL", URL).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(text.contains("127.0.0.1:50052") && text.contains("DATABASE_URL") && !text.contains("hunter2"), "{text}");
}
