//! Clients that use up limits: with calls that never start, and with responses that are never read.

use orrery_proto::catalog::v1::{ListProductsRequest, StreamProductsRequest};
use prost::Message as _;

use super::{CHECK, GET, LIST, MIB, REFLECTION, STREAM, Target, WATCH, WRITE};
use crate::harness::admin::Scrape;
use crate::harness::frames::{FrameClient, GOAWAY, HEADERS, INITIAL_WINDOW, Seen, stream};

/// More than any limit.
const CALLS: usize = 300;

#[tokio::test]
async fn headers_without_a_message_keep_nobody_out() {
    let mut target = Target::start(&["--transfer-timeout=3s"]).await;
    for path in [GET, LIST, STREAM, WRITE, CHECK, WATCH, REFLECTION] {
        let during = format!("{CALLS} calls of {path} that do not begin");
        let attacker = FrameClient::connect(target.address(), &[]).await;
        for call in 0..CALLS {
            attacker.headers(stream(call), path, 0).await;
        }
        // Meanwhile others can stream, and probes work.
        let mut products =
            target.process.client().stream_products(StreamProductsRequest::default()).await.unwrap().into_inner();
        while products.message().await.unwrap().is_some() {}
        // Their calls end with a timeout, and the connection stays open.
        let seen = attacker.until(&during, |seen| seen.ended.len() == CALLS).await;
        assert_eq!((seen.closed, seen.goaway), (false, None), "{during}");
        let scrape = target.admin().scrape().await;
        assert_eq!(scrape.value("orrery_calls_shed_total", &[("kind", "unary")]), 0.0, "{during}");
        target.assert_unharmed(&during).await;
    }
    let held = |scrape: &Scrape| scrape.value("orrery_held_bytes", &[]) == 0.0;
    target.admin().scrape_until("nothing is held", held).await;
    target.end("calls that do not begin", 60 * MIB).await;
}

#[tokio::test]
async fn answers_that_are_not_taken_keep_nobody_out_and_are_dropped() {
    let target = Target::start(&["--transfer-timeout=3s"]).await;
    let during = "answers that are not taken";
    let list = ListProductsRequest { page_size: 1_000, ..ListProductsRequest::default() }.encode_to_vec();
    let mut attackers = Vec::new();
    // While their calls run, they have three quarters of the places.
    for _ in 0..3 {
        let attacker = FrameClient::connect(target.address(), &[(INITIAL_WINDOW, 0)]).await;
        for call in 0..40 {
            attacker.call(stream(call), LIST, &list).await;
        }
        attackers.push(attacker);
    }
    for attacker in &attackers {
        let headers = |seen: &Seen| seen.count(HEADERS) == 40;
        attacker.until("all are answered, as far as the headers", headers).await;
    }
    let admin = target.admin();
    let held = |bytes: std::ops::RangeInclusive<f64>| {
        move |scrape: &Scrape| bytes.contains(&scrape.value("orrery_held_bytes", &[]))
    };
    admin.scrape_until("the answers count", held(1e6..=1e9)).await;
    // A call that was answered does not count.
    let in_flight = admin.scrape().await.value("orrery_calls_in_flight", &[("kind", "unary")]);
    assert!(in_flight <= 1.0, "{in_flight} calls beside the second caller's");
    admin.scrape_until("they are dropped", held(0.0..=0.0)).await;

    // A client that continues like this is disconnected.
    let attacker = &attackers[0];
    for call in 40..140 {
        attacker.call(stream(call), LIST, &list).await;
    }
    attacker.until("the connection is closed", |seen| seen.closed).await;
    assert_eq!(admin.scrape().await.value("orrery_connections_closed_total", &[("why", "stuck")]), 1.0);
    assert!(attackers[1..].iter().all(|attacker| !attacker.seen().closed));
    target.end(during, 150 * MIB).await;
}

#[tokio::test]
async fn streams_that_are_not_read_stay_and_one_connection_has_its_share_of_them() {
    let target = Target::start(&["--transfer-timeout=1s", "--max-open-streams=40"]).await;
    let attacker = FrameClient::connect(target.address(), &[(INITIAL_WINDOW, 0)]).await;
    for call in 0..40 {
        attacker.call(stream(call), STREAM, &StreamProductsRequest::default().encode_to_vec()).await;
    }
    // A quarter of the limit continues; the others are refused with a trailers-only response.
    attacker.until("30 are refused", |seen| seen.ended.len() == 30).await;
    let admin = target.admin();
    let scrape = admin.scrape().await;
    assert_eq!(scrape.value("orrery_calls_in_flight", &[("kind", "stream")]), 10.0);
    assert_eq!(scrape.value("orrery_calls_shed_total", &[("kind", "stream")]), 30.0);
    // Another connection has its own share, and its own eleventh stream is refused.
    let other = FrameClient::connect(target.address(), &[(INITIAL_WINDOW, 0)]).await;
    for call in 0..11 {
        other.call(stream(call), STREAM, &StreamProductsRequest::default().encode_to_vec()).await;
    }
    other.until("one is refused", |seen| seen.ended.len() == 1).await;
    // A client without streams is served, and so are other kinds of calls.
    let mut products =
        target.process.client().stream_products(StreamProductsRequest::default()).await.unwrap().into_inner();
    while products.message().await.unwrap().is_some() {}
    // A client may pause for longer than a message may take.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(admin.scrape().await.value("orrery_calls_in_flight", &[("kind", "stream")]), 20.0);
    assert_eq!((attacker.seen().closed, attacker.seen().count(GOAWAY)), (false, 0));
    target.end("streams that are not read", 100 * MIB).await;
}

#[tokio::test]
async fn one_connection_waits_for_itself() {
    let target = Target::start(&["--max-concurrent-calls=8"]).await;
    // Two calls of a connection run and six wait; more are refused.
    let mut holder = target.database.connect(crate::harness::Role::Operator).await;
    crate::harness::run(&mut holder, "begin").await;
    crate::harness::run(&mut holder, "lock table catalog.product in access exclusive mode").await;
    let busy = FrameClient::connect(target.address(), &[]).await;
    for call in 0..20 {
        busy.call(stream(call), LIST, &ListProductsRequest::default().encode_to_vec()).await;
    }
    busy.until("12 are refused", |seen| seen.ended.len() == 12).await;
    let unary = [("kind", "unary")];
    // The second client has one running call, which waits for the lock as well.
    target.admin().scrape_until("three", |scrape| scrape.value("orrery_calls_in_flight", &unary) == 3.0).await;
    // Other clients have their own share.
    let mut client = target.process.client();
    let other = tokio::spawn(async move { client.list_products(ListProductsRequest::default()).await });
    target.admin().scrape_until("a fourth", |scrape| scrape.value("orrery_calls_in_flight", &unary) == 4.0).await;
    crate::harness::run(&mut holder, "rollback").await;
    other.await.unwrap().unwrap();
    // The waiting calls are served.
    let seen = busy.until("all are answered", |seen| seen.ended.len() == 20).await;
    assert!(seen.count(HEADERS) >= 12 + 2 * 8, "{seen:?}");
    assert_eq!(target.admin().scrape().await.value("orrery_calls_shed_total", &unary), 12.0);
    target.end("calls beyond a connection's share", 30 * MIB).await;
}
