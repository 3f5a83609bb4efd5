//! Connections pass from one statement to the next without a round trip of their own.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use orrery_proto::catalog::v1::GetProductRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{CatalogServer, Role, Route, TestDatabase, seed, uid};

const CALLS: usize = 40;

/// The messages that a service sends to Postgres.
#[derive(Default)]
struct Sent {
    binds: AtomicUsize,
    syncs: AtomicUsize,
}

/// Relays every connection to the server at `upstream`, and counts.
async fn relay(listener: TcpListener, upstream: u16, sent: Arc<Sent>) {
    while let Ok((client, _)) = listener.accept().await {
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)).await.unwrap();
        let ((from_client, mut to_client), (mut from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        let sent = Arc::clone(&sent);
        tokio::spawn(async move { requests(from_client, to_server, &sent).await });
    }
}

/// Passes the messages of a client on, one by one (manual, "Message Formats").
async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, sent: &Sent) -> std::io::Result<()> {
    // The startup message has no type; before it, a request for TLS may be refused.
    let mut has_started = false;
    loop {
        let kind = if has_started { Some(from.read_u8().await?) } else { None };
        let length = from.read_u32().await?;
        let mut rest = vec![0; length as usize - 4];
        from.read_exact(&mut rest).await?;
        match kind {
            Some(b'B') => sent.binds.fetch_add(1, Ordering::Relaxed),
            Some(b'S') => sent.syncs.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        // A request for TLS is as long as this, and no startup message is.
        has_started = has_started || length != 8;
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend(length.to_be_bytes());
        message.extend(rest);
        to.write_all(&message).await?;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_costs_one_round_trip() {
    let database = TestDatabase::create().await.by(Route::Direct).await;
    seed(&mut database.connect(Role::Operator).await, 1).await;
    let url = database.url(Role::Catalog);
    let (_, host) = url.rsplit_once("@127.0.0.1:").unwrap();
    let upstream: u16 = host.split_once('/').unwrap().0.parse().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let sent = Arc::new(Sent::default());
    tokio::spawn(relay(listener, upstream, Arc::clone(&sent)));
    let server = CatalogServer::start_with(&database, |config| {
        let relayed = url.replace(&format!("@127.0.0.1:{upstream}/"), &format!("@127.0.0.1:{port}/"));
        config.database.database_url = relayed.parse().unwrap();
    })
    .await;
    let get = || async {
        let request = GetProductRequest { uid: uid(1), read_mask: None };
        server.client().get_product(request).await.unwrap();
    };
    // The first one prepares the statement.
    get().await;
    let counts = || [&sent.binds, &sent.syncs].map(|count| count.load(Ordering::Relaxed));
    let (before, begun) = (counts(), Instant::now());
    for _ in 0..CALLS {
        get().await;
    }
    let after = counts();
    assert_eq!(after[0] - before[0], CALLS, "each call is one statement");
    // The probe asks each second, and a connection goes back to the pool each second.
    let others = 4 * (begun.elapsed().as_secs() as usize + 1);
    let syncs = after[1] - before[1];
    assert!(syncs <= CALLS + others, "{syncs} messages that wait for the server, for {CALLS} statements");
}

/// A connection that is kept is given to a caller who waits for one.
#[tokio::test(flavor = "multi_thread")]
async fn callers_share_the_only_connection() {
    let database = TestDatabase::create().await.by(Route::Direct).await;
    seed(&mut database.connect(Role::Operator).await, 8).await;
    let server = CatalogServer::start_with(&database, |config| {
        (config.database.database_pool_min, config.database.database_pool_max) = (1, 1);
    })
    .await;
    // With a mask, no call shares the query of another.
    let callers = (1..=8).map(|number| {
        let mut client = server.client();
        tokio::spawn(async move {
            let read_mask = Some(prost_types::FieldMask { paths: vec!["name".to_owned()] });
            for _ in 0..50 {
                let request = GetProductRequest { uid: uid(number), read_mask: read_mask.clone() };
                client.get_product(request).await.unwrap();
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
}
