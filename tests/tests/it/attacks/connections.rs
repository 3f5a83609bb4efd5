//! Connections that are idle, slow, or violate the protocol.

use std::time::{Duration, Instant};

use super::{GET, MIB, Target};
use crate::harness::admin::Scrape;
use crate::harness::frames::{
    CONTINUATION, DATA, END_STREAM, FrameClient, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, header_block,
    stream,
};

#[tokio::test]
async fn silent_connections_take_no_file_that_the_database_needs() {
    let target = Target::start_with_files(&[], Some(200)).await;
    let admin = target.admin();
    let most = admin.scrape().await.value("orrery_connections_max", &[]);
    assert!((16.0..200.0).contains(&most), "{most}");
    let mut silent = Vec::new();
    for number in 0..314 {
        silent.push(FrameClient::silent(target.address()).await);
        if number % 50 == 0 {
            // A new client, the database and probes still work.
            let get = orrery_proto::catalog::v1::GetProductRequest { uid: crate::harness::uid(1), read_mask: None };
            target.process.client().get_product(get).await.unwrap();
            assert_eq!(admin.probe("/readyz").await, (200, "ready".to_owned()));
        }
    }
    let scrape = admin.scrape().await;
    assert!(scrape.value("orrery_connections_open", &[]) <= most);
    assert!(scrape.value("orrery_connections_closed_total", &[("why", "silent")]) > 100.0);
    let lines = target.process.log().lines().filter(|line| line.contains("a connection was closed")).count();
    assert!((1..100).contains(&lines), "{lines} lines of it");
    target.end("314 silent connections with 200 files", 30 * MIB).await;
}

#[tokio::test]
async fn connections_with_calls_are_not_closed_for_new_ones() {
    // One connection belongs to the other client, and one to the health check of the test, which may be closed.
    let arguments = ["--max-connections=9", "--max-connections-per-address=9", "--transfer-timeout=60s"];
    let target = Target::start(&arguments).await;
    let admin = target.admin();
    // Each has a call that waits for its message.
    let mut busy = Vec::new();
    for _ in 0..7 {
        let connection = FrameClient::connect(target.address(), &[]).await;
        connection.headers(stream(0), GET, 0).await;
        busy.push(connection);
    }
    let under_way = |scrape: &Scrape| scrape.value("orrery_held_bytes", &[]) > 7.0 * 4096.0;
    admin.scrape_until("all have begun", under_way).await;
    // The eighth is idle and is replaced by a ninth; then that one is replaced.
    let idle = FrameClient::connect(target.address(), &[]).await;
    idle.until("it is served", |seen| seen.count(SETTINGS) == 2).await;
    let mut next = Vec::new();
    for _ in 0..3 {
        // A connection with a call within the last second is in use.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let connection = FrameClient::connect(target.address(), &[]).await;
        connection.until("it is served", |seen| seen.count(SETTINGS) == 2).await;
        next.push(connection);
    }
    idle.until("it is closed", |seen| seen.closed).await;
    next[2].headers(stream(0), GET, 0).await;
    admin.scrape_until("it has a call", |scrape| scrape.value("orrery_held_bytes", &[]) > 8.0 * 4096.0).await;
    let refused = FrameClient::connect(target.address(), &[]).await;
    refused.until("it is closed at once", |seen| seen.closed).await;
    assert_eq!(admin.scrape().await.value("orrery_connections_refused_total", &[]), 1.0);
    assert!(busy.iter().all(|connection| !connection.seen().closed) && !next[2].seen().closed);
    target.end("more connections than may be", 30 * MIB).await;
}

#[tokio::test]
async fn a_connection_has_a_time_to_begin_and_to_end_what_it_begins() {
    let target = Target::start(&["--handshake-timeout=1s", "--transfer-timeout=2s"]).await;
    let hello = FrameClient::hello(&[]);
    let headers = frame(HEADERS, END_STREAM, 1, &header_block(GET, &[]));
    let cases: [(&str, Vec<u8>, u64); 6] = [
        ("nothing", vec![], 1),
        ("half a preface", hello[..10].to_vec(), 1),
        ("a preface without SETTINGS", hello[..30].to_vec(), 1),
        ("half a frame's head", [&hello[..], &[0, 0]].concat(), 2),
        ("half a frame", [&hello[..], &frame(DATA, 0, 1, &[7; 100])[..50]].concat(), 2),
        ("headers without an end", [&hello[..], &headers].concat(), 2),
    ];
    for (case, bytes, seconds) in cases {
        let begun = Instant::now();
        let connection = FrameClient::silent(target.address()).await;
        connection.send(&bytes).await;
        connection.until(case, |seen| seen.closed).await;
        assert!(begun.elapsed() >= Duration::from_secs(seconds), "{case}: {:?}", begun.elapsed());
    }
    // The same with a byte from time to time, and with headers that continue.
    let trickle = FrameClient::silent(target.address()).await;
    let going_on = FrameClient::silent(target.address()).await;
    going_on.send(&[&hello[..], &headers].concat()).await;
    for byte in hello.iter().cycle() {
        trickle.send(&[*byte]).await;
        going_on.send(&frame(CONTINUATION, 0, 1, &[])).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        if trickle.seen().closed && going_on.seen().closed {
            break;
        }
    }
    // A connection that has started and is then silent stays open.
    let quiet = FrameClient::connect(target.address(), &[]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!quiet.seen().closed);
    let scrape = target.admin().scrape().await;
    for (why, count) in [("silent", 4.0), ("slow", 3.0)] {
        assert!(scrape.value("orrery_connections_closed_total", &[("why", why)]) >= count, "{why}: {scrape:#?}");
    }
    target.end("connections that end nothing", 30 * MIB).await;
}

/// The frames of a call.
type Frame = fn(u32) -> Vec<u8>;

#[tokio::test]
async fn resets_that_a_client_brings_about_are_bounded() {
    let target = Target::start(&[]).await;
    // Each makes the server reset a stream: a window increment of zero, a window overflow, a body after the end of the
    // stream.
    let wrongs: [(&str, Frame); 3] = [
        ("a window of zero more", |call| frame(WINDOW_UPDATE, 0, call, &0_u32.to_be_bytes())),
        ("a window too large", |call| frame(WINDOW_UPDATE, 0, call, &0x7fff_ffff_u32.to_be_bytes())),
        ("a body after its end", |call| {
            [frame(DATA, END_STREAM, call, &[0; 5]), frame(DATA, END_STREAM, call, &[0; 5])].concat()
        }),
    ];
    for (case, wrong) in wrongs {
        let attacker = FrameClient::connect(target.address(), &[]).await;
        let mut calls = 0;
        while !attacker.seen().closed && calls < 10_000 {
            for _ in 0..50 {
                attacker.headers(stream(calls), GET, 0).await;
                attacker.send(&wrong(stream(calls))).await;
                calls += 1;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let seen = attacker.until(case, |seen| seen.closed).await;
        println!("{case}: closed after {calls} calls and {} resets", seen.count(RST_STREAM));
        assert!(seen.count(RST_STREAM) <= 1_024, "{case}: {seen:?}");
    }
    target.end("resets", 40 * MIB).await;
}
