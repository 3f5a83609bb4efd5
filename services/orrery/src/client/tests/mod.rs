//! Both streams over connections that break.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod double;

use std::time::Duration;

use bytes::Bytes;
use orrery_proto::codec::reason_name;
use orrery_proto::r#type::v1::{ErrorReason, ReferenceCheck, RowErrorPolicy, WriteMode};
use tokio::sync::mpsc;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use self::double::{BAD, Double, breaking_wire};
use super::*;
use crate::resource::PRODUCTS;

fn rows(count: usize) -> Vec<Bytes> {
    (0..count)
        .map(|row| if row % 10 == 7 { Bytes::from_static(BAD) } else { Bytes::from(format!("row {row}")) })
        .collect()
}

/// Rows in chunks of three; row `n` comes from line `n + 2`.
fn chunks(rows: &[Bytes]) -> mpsc::Receiver<SentChunk> {
    let (sender, receiver) = mpsc::channel(2);
    let chunks: Vec<SentChunk> = rows
        .chunks(3)
        .enumerate()
        .map(|(place, rows)| SentChunk {
            offset: place as i64 * 3,
            rows: rows.to_vec(),
            lines: (0..rows.len() as u64).map(|row| place as u64 * 3 + row + 2).collect(),
            bytes: rows.iter().map(Bytes::len).sum(),
        })
        .collect();
    tokio::spawn(async move {
        for chunk in chunks {
            if sender.send(chunk).await.is_err() {
                return;
            }
        }
    });
    receiver
}

fn options(port: u16) -> WriteOptions {
    WriteOptions {
        address: format!("127.0.0.1:{port}").parse().unwrap(),
        method: "/double/Write",
        write_id: "w".into(),
        mode: WriteMode::Upsert,
        on_row_error: RowErrorPolicy::Skip,
        reference_check: ReferenceCheck::Unspecified,
        update_mask: Vec::new(),
        validate_only: false,
        give_up_after: Duration::from_secs(20),
    }
}

/// What a write came to, and the lines of the rows that were refused.
async fn written(options: &WriteOptions, rows: &[Bytes]) -> (WriteCounts, Result<(), WriteFault>, Vec<u64>) {
    let mut lines = Vec::new();
    let mut on_event = |event: WriteEvent<'_>| {
        if let WriteEvent::Rejected(line, _) = event {
            lines.push(line.unwrap());
        }
    };
    let (counts, result) = write(options, chunks(rows), &mut on_event).await;
    lines.sort_unstable();
    (counts, result, lines)
}

fn bad_lines(count: u64) -> Vec<u64> {
    (0..count).filter(|row| row % 10 == 7).map(|row| row + 2).collect()
}

#[tokio::test]
async fn every_row_is_written_once_and_refused_ones_are_told_by_line() {
    let (double, port) = Double::serve(Vec::new()).await;
    let rows = rows(200);
    let (counts, result, lines) = written(&options(port), &rows).await;
    result.unwrap();
    assert_eq!(double.state.lock().unwrap().rows, rows);
    assert_eq!(counts, WriteCounts { committed: 200, created: 180, rejected: 20, ..WriteCounts::default() });
    assert_eq!(lines, bad_lines(200));
}

/// Budgets of bytes after which a test's connections break, one set for each run. Between them they break connections
/// within the handshake, within the first answer, within and between later ones.
fn budgets() -> impl Iterator<Item = Vec<usize>> {
    (40..700).step_by(13).map(|first| vec![first, first / 2 + 150, first + 60, 700])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_goes_on_wherever_its_connection_broke() {
    let runs = budgets().map(|budgets| async move {
        let rows = rows(200);
        let (double, port) = Double::serve(Vec::new()).await;
        let wire = breaking_wire(port, budgets.clone()).await;
        let (counts, result, lines) = written(&options(wire), &rows).await;
        result.unwrap();
        assert_eq!(double.state.lock().unwrap().rows, rows, "{budgets:?}");
        assert!(double.state.lock().unwrap().streams > 1, "{budgets:?}: nothing broke");
        assert_eq!(
            (counts.committed, counts.created + counts.unspecified, counts.rejected),
            (200, 180, 20),
            "{budgets:?}"
        );
        assert_eq!(lines, bad_lines(200), "{budgets:?}");
        counts.unspecified
    });
    let lost: i64 = futures::future::join_all(runs).await.iter().sum();
    assert!(lost > 0, "no acknowledgement was ever lost, so that what follows one was not tested");
}

#[tokio::test]
async fn a_write_that_another_run_began_is_compared_and_goes_on() {
    let rows = rows(50);
    // The other run's chunks ended elsewhere.
    let (double, port) = Double::serve(rows[..20].to_vec()).await;
    let (counts, result, lines) = written(&options(port), &rows).await;
    result.unwrap();
    assert_eq!(double.state.lock().unwrap().rows, rows);
    assert_eq!(double.state.lock().unwrap().compared, 20);
    assert_eq!(counts, WriteCounts { committed: 50, created: 27, rejected: 3, resumed: 20, ..WriteCounts::default() });
    assert_eq!(lines, [29, 39, 49]);

    let (counts, result, _) = written(&options(port), &rows).await;
    result.unwrap();
    assert_eq!(counts, WriteCounts { committed: 50, resumed: 50, ..WriteCounts::default() });
    assert_eq!(double.state.lock().unwrap().compared, 70);

    let (_, result, _) = written(&options(port), &rows[..30]).await;
    assert!(matches!(result, Err(WriteFault::FileTooShort { committed: 50, rows: 30 })), "{result:?}");
}

#[tokio::test]
async fn a_row_that_is_not_what_was_committed_ends_the_write() {
    let (double, port) = Double::serve(rows(50)).await;
    let mut other = rows(60);
    other[31] = Bytes::from_static(b"another");
    let (counts, result, _) = written(&options(port), &other).await;
    assert!(matches!(result, Err(WriteFault::RowDiffers { offset: 31, line: Some(33) })), "{result:?}");
    assert_eq!(counts, WriteCounts { committed: 50, resumed: 50, ..WriteCounts::default() });
    assert_eq!(double.state.lock().unwrap().rows, rows(50), "nothing was written");

    // What the service remembers no more cannot be compared.
    double.state.lock().unwrap().forgotten = 32;
    let (counts, result, _) = written(&options(port), &other).await;
    result.unwrap();
    assert_eq!((counts.committed, counts.created, counts.resumed), (60, 9, 50));
}

/// Another process with the same file cuts its chunks elsewhere: what is in flight is cut where the write goes on.
#[tokio::test]
async fn a_write_goes_on_within_a_chunk() {
    let (double, port) = Double::serve(Vec::new()).await;
    double.state.lock().unwrap().elsewhere = Some(2);
    let rows = rows(50);
    let (counts, result, lines) = written(&options(port), &rows).await;
    result.unwrap();
    let state = double.state.lock().unwrap();
    assert_eq!((&state.rows, state.compared), (&rows, 2));
    assert_eq!(
        counts,
        WriteCounts { committed: 50, created: 43, rejected: 5, unspecified: 2, ..WriteCounts::default() }
    );
    assert_eq!(lines, bad_lines(50));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comparison_goes_on_wherever_its_connection_broke() {
    let runs = budgets().map(|budgets| async move {
        let rows = rows(200);
        let (double, port) = Double::serve(rows[..151].to_vec()).await;
        let wire = breaking_wire(port, budgets.clone()).await;
        let (counts, result, _) = written(&options(wire), &rows).await;
        result.unwrap();
        let state = double.state.lock().unwrap();
        assert_eq!(state.rows, rows, "{budgets:?}");
        assert!(state.streams > 1, "{budgets:?}: nothing broke");
        assert!(state.compared >= 151, "{budgets:?}: only {} rows were compared", state.compared);
        assert_eq!((counts.committed, counts.resumed, counts.rejected), (200, 151, 5), "{budgets:?}");
    });
    futures::future::join_all(runs).await;
}

#[tokio::test]
async fn what_cannot_be_mended_by_on_retry_ends_the_write() {
    let (double, port) = Double::serve(Vec::new()).await;
    let details = ErrorDetails::with_error_info(reason_name(ErrorReason::WriteSessionTakenOver), "orrery", []);
    double.state.lock().unwrap().refusal = Some(Status::with_error_details(Code::Aborted, "taken over", details));
    let (counts, result, _) = written(&options(port), &rows(50)).await;
    let Err(WriteFault::Call(status)) = result else { panic!("{result:?}") };
    assert_eq!(describe(&status), "taken over (WRITE_SESSION_TAKEN_OVER)");
    assert_eq!((counts, double.state.lock().unwrap().streams), (WriteCounts::default(), 1));
}

#[tokio::test]
async fn a_check_keeps_nothing() {
    let (double, port) = Double::serve(Vec::new()).await;
    let (counts, result, lines) = written(&WriteOptions { validate_only: true, ..options(port) }, &rows(50)).await;
    result.unwrap();
    assert_eq!(counts, WriteCounts { committed: 50, created: 45, rejected: 5, ..WriteCounts::default() });
    assert_eq!(lines, bad_lines(50));
    assert!(double.state.lock().unwrap().rows.is_empty());
}

#[tokio::test]
async fn a_service_that_is_not_there_is_given_up() {
    // Bound, so that nobody else gets the port, and not listening, so that it refuses.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let options = WriteOptions { give_up_after: Duration::from_millis(300), ..options(port) };
    let (_, result, _) = written(&options, &rows(5)).await;
    let Err(WriteFault::Call(status)) = result else { panic!("{result:?}") };
    assert!(
        describe(&status).starts_with(&format!("127.0.0.1:{port} cannot be reached: Connection refused")),
        "{status}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_goes_on_wherever_its_connection_broke() {
    let runs = budgets().map(|budgets| async move {
        let rows = rows(100);
        let (_double, port) = Double::serve(rows.clone()).await;
        let wire = breaking_wire(port, budgets.clone()).await;
        let query = PageQuery {
            address: format!("127.0.0.1:{wire}").parse().unwrap(),
            method: "/double/Read",
            request: PRODUCTS.stream_request().unwrap(),
            give_up_after: Duration::from_secs(20),
        };
        let mut pages = read_pages(query, String::new());
        let (mut read, mut breaks) = (Vec::new(), 0);
        while let Some(page) = pages.next(&mut |_, _| breaks += 1).await.unwrap() {
            read.extend(page.rows);
        }
        assert_eq!(read, rows, "{budgets:?}");
        assert!(breaks > 0, "{budgets:?}: nothing broke");
    });
    futures::future::join_all(runs).await;
}
