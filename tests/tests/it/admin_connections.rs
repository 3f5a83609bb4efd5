//! Silent connections to the admin port are closed, and do not block probes.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::admin::Admin;
use crate::harness::{CatalogServer, TestDatabase};

/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(10);
/// Much longer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// More than the limit.
const MANY: usize = 300;
/// The limit of open connections.
const BOUND: usize = 64;

async fn start() -> (TestDatabase, CatalogServer, Admin) {
    let database = TestDatabase::create().await;
    let (admin, listen) = Admin::take();
    let server = CatalogServer::start_with(&database, |config| config.admin.admin_listen = listen).await;
    (database, server, admin)
}

/// Reads until the server closes the connection, and returns what was read.
async fn until_closed(mut connection: TcpStream) -> String {
    let mut answered = Vec::new();
    // If the connection is closed in the middle of a request, it may be reset.
    let _end = tokio::time::timeout(TIMEOUT, connection.read_to_end(&mut answered)).await.expect("it is closed");
    String::from_utf8(answered).unwrap()
}

/// Whether the server has closed the connection.
fn is_closed(connection: &TcpStream) -> bool {
    match connection.try_read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let (_database, _server, Admin(address)) = start().await;
    let silent = TcpStream::connect(address).await.unwrap();
    // Half a request, then a byte from time to time.
    let mut slow = TcpStream::connect(address).await.unwrap();
    let slow = async {
        slow.write_all(b"GET /livez HTTP/1.1\r\nhost: ").await.unwrap();
        let begun = Instant::now();
        while begun.elapsed() < TIMEOUT && slow.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(begun.elapsed() < TIMEOUT, "it is still open");
    };
    // A connection that keeps sending requests stays open for longer.
    let mut kept = TcpStream::connect(address).await.unwrap();
    let asking = async {
        for _ in 0..15 {
            kept.write_all(format!("GET /livez HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = String::new();
            while !answer.ends_with("alive\n") {
                let mut piece = [0; 1024];
                let read = kept.read(&mut piece).await.unwrap();
                assert_ne!(read, 0, "closed after {answer:?}");
                answer.push_str(std::str::from_utf8(&piece[..read]).unwrap());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let (answered, (), ()) = tokio::join!(until_closed(silent), slow, asking);
    assert_eq!(answered, "");
}

#[tokio::test]
async fn many_connections_give_way_to_a_probe() {
    let (_database, server, admin) = start().await;
    let mut silent = Vec::new();
    let begun = Instant::now();
    for _ in 0..MANY {
        silent.push(TcpStream::connect(admin.0).await.unwrap());
    }
    assert_eq!(admin.probe("/livez").await, (200, "alive".to_owned()));
    assert_eq!(admin.probe("/readyz").await, (200, "ready".to_owned()));
    while silent.iter().filter(|connection| !is_closed(connection)).count() > BOUND {
        assert!(begun.elapsed() < SILENCE, "more than {BOUND} stay open until their time is up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.stop().await.unwrap();
}
