//! The service as the process that production runs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_orrery-orders");
const URL: &str = "postgres://someone:hunter2@127.0.0.1:1/nothing";

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_signal_ends_it_with_success() {
    for name in ["TERM", "INT"] {
        let address = format!("127.0.0.1:{}", free_port());
        let mut process = Command::new(BINARY)
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

#[test]
fn it_refuses_to_be_reached_by_other_machines_and_says_why() {
    let output = Command::new(BINARY).args(["--listen", "0.0.0.0:0"]).env("DATABASE_URL", URL).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("--insecure") && !said.contains("hunter2"), "{said}");
}

#[test]
fn its_help_says_where_it_listens() {
    let output = Command::new(BINARY).arg("--help").env("DATABASE_URL", URL).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(said.contains("127.0.0.1:50052") && said.contains("DATABASE_URL") && !said.contains("hunter2"), "{said}");
}
