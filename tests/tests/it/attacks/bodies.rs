//! Clients that make a process hold large amounts of data.

use std::time::Duration;

use super::{CHECK, CREATE, MIB, REFLECTION, Target, WRITE};
use crate::harness::admin::Scrape;
use crate::harness::frames::{FrameClient, stream};

/// Starts a message of this size and sends all but its last byte.
async fn unfinished(attacker: &FrameClient, call: usize, path: &str, bytes: usize) {
    attacker.headers(stream(call), path, 0).await;
    let mut body = crate::harness::http2::framed(false, &vec![7; bytes]).to_vec();
    body.pop();
    // Sends as much as the window allows. The windows, 1 MiB for a stream and 4 MiB for a connection, are extended as
    // data is read.
    attacker.data(stream(call), &body, 0).await;
}

#[tokio::test]
async fn health_and_reflection_take_in_what_they_need() {
    let mut target = Target::start(&["--transfer-timeout=5s"]).await;
    for path in [CHECK, REFLECTION] {
        let during = format!("300 calls of {path} with 1 MiB each");
        for _ in 0..3 {
            let attacker = FrameClient::connect(target.address(), &[]).await;
            for call in 0..100 {
                // The announced limit is 4 MiB, and a larger message is refused at once.
                attacker.headers(stream(call), path, 0).await;
                let body = crate::harness::http2::framed(false, &vec![7; 4 << 20]);
                attacker.data(stream(call), &body[..1 << 16], 0).await;
            }
            attacker.until(&during, |seen| seen.ended.len() == 100).await;
        }
        target.assert_unharmed(&during).await;
    }
    target.end("bodies of health and reflection", 60 * MIB).await;
}

#[tokio::test]
async fn bodies_count_against_one_bound_and_their_memory_comes_back() {
    let bound = 32 * MIB;
    let mut target = Target::start(&["--transfer-timeout=4s", "--max-held-bytes=32MiB"]).await;
    let admin = target.admin();
    for path in [CREATE, WRITE] {
        let during = format!("bodies of {path} that do not end");
        let mut attackers = Vec::new();
        for _ in 0..8 {
            let attacker = FrameClient::connect(target.address(), &[]).await;
            for call in 0..8 {
                unfinished(&attacker, call, path, 1 << 20).await;
            }
            attackers.push(attacker);
        }
        let refused = |scrape: &Scrape| scrape.value("orrery_calls_without_room_total", &[]) > 0.0;
        let scrape = admin.scrape_until("there is no room", refused).await;
        // One frame of each call may be in transit.
        let held = scrape.value("orrery_held_bytes", &[]);
        assert!(held < (bound + 64 * 16 * 1024) as f64, "{during}: {held} bytes are held");
        for attacker in &attackers {
            attacker.until(&during, |seen| seen.ended.len() == 8).await;
        }
        admin.scrape_until("nothing is held", |scrape| scrape.value("orrery_held_bytes", &[]) == 0.0).await;
        target.assert_unharmed(&during).await;
    }
    let begun = std::time::Instant::now();
    while target.process.memory() > target.before + bound / 2 {
        assert!(begun.elapsed() < Duration::from_secs(30), "{} MiB stay", target.process.memory() / MIB);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("{} MiB are left of {} MiB at most", target.process.memory() / MIB, target.process.peak_memory() / MIB);
    // Twice the limit, twice: a message and its copy while it is put together, and data in the transport.
    target.end("bodies that do not end", 4 * bound).await;
}

#[tokio::test]
async fn a_byte_now_and_then_is_not_enough() {
    let mut target = Target::start(&["--transfer-timeout=2s"]).await;
    for path in [CREATE, WRITE] {
        let attacker = FrameClient::connect(target.address(), &[]).await;
        attacker.headers(stream(0), path, 0).await;
        let body = crate::harness::http2::framed(false, &[7; 1_000]);
        let mut bytes = body.iter();
        while !attacker.seen().ended.contains(&stream(0)) {
            let byte = bytes.next().expect("it is ended before its message is whole");
            attacker.data(stream(0), &[*byte], 0).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(bytes.len() > 500, "its time was not over before {} bytes were left", bytes.len());
        assert!(!attacker.seen().closed);
        target.assert_unharmed(&format!("a body of {path} that trickles")).await;
    }
    target.end("bodies that trickle", 30 * MIB).await;
}
