#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::AtomicUsize;

use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::*;
use crate::budget::MemoryBudget;

const TIME: Duration = Duration::from_millis(300);

fn message(length: usize) -> Vec<u8> {
    let mut message = vec![0];
    message.extend_from_slice(&(length as u32).to_be_bytes());
    message.resize(5 + length, 7);
    message
}

fn body(pieces: UnboundedReceiver<Vec<u8>>) -> Body {
    let frames = UnboundedReceiverStream::new(pieces);
    let frames = tokio_stream::StreamExt::map(frames, |piece| Ok::<_, Status>(Frame::data(Bytes::from(piece))));
    Body::new(StreamBody::new(frames))
}

fn sender(share: &MemoryShare) -> (UnboundedSender<Vec<u8>>, InboundBody) {
    let (pieces, received) = unbounded_channel();
    let allowance = Allowance { share: share.clone(), most: 10_000, time: TIME };
    (pieces, InboundBody::new(body(received), allowance, 100))
}

fn reason(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().unwrap().reason)
}

fn malformed() -> (Code, String) {
    (Code::InvalidArgument, "MESSAGE_MALFORMED".to_owned())
}

async fn next(body: &mut InboundBody) -> Option<Result<usize, Status>> {
    Some(body.frame().await?.map(|frame| frame.data_ref().map_or(0, Bytes::len)))
}

#[tokio::test]
async fn one_message_is_gathered_and_counted_until_it_is_worked_off() {
    let budget = MemoryBudget::default();
    let (pieces, mut body) = sender(&budget.share(usize::MAX));
    assert_eq!(budget.used(), CALL_BYTES + 100);
    for piece in message(1_000).chunks(300) {
        pieces.send(piece.to_vec()).unwrap();
    }
    drop(pieces);
    let gathered = body.gather().await.unwrap();
    assert_eq!((&gathered[..], body.held().bytes()), (&message(1_000)[..], CALL_BYTES + 100 + 1_005));
    drop(body);
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn what_is_not_one_message_is_refused() {
    let share = MemoryShare::default();
    let cases: [(&str, Vec<Vec<u8>>); 7] = [
        ("none", vec![]),
        ("empty frames", vec![vec![], vec![]]),
        ("cut short", vec![message(10)[..12].to_vec()]),
        ("cut short in its prefix", vec![vec![0; 3]]),
        ("two in one frame", vec![[message(10), message(10)].concat()]),
        ("a second one that has only begun", vec![message(10), vec![0]]),
        ("too large, by its prefix", vec![message(10_001)[..5].to_vec()]),
    ];
    for (case, frames) in cases {
        let (pieces, mut body) = sender(&share);
        for frame in frames {
            pieces.send(frame).unwrap();
        }
        drop(pieces);
        assert_eq!(reason(&body.gather().await.unwrap_err()), malformed(), "{case}");
    }
}

#[tokio::test]
async fn a_message_has_a_time_even_if_it_trickles() {
    for send_nothing in [true, false] {
        let budget = MemoryBudget::default();
        let (pieces, mut body) = sender(&budget.share(usize::MAX));
        let trickle = tokio::spawn(async move {
            for byte in message(1_000) {
                if !send_nothing {
                    pieces.send(vec![byte]).unwrap();
                }
                sleep(TIME / 20).await;
                if pieces.is_closed() {
                    return;
                }
            }
        });
        let begun = Instant::now();
        let status = body.gather().await.unwrap_err();
        assert_eq!(reason(&status), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned()));
        assert!(status.get_details_retry_info().is_some() && begun.elapsed() >= TIME);
        assert_eq!(budget.used(), 0, "nothing is held for it");
        trickle.await.unwrap();
    }
}

#[tokio::test]
async fn a_message_that_never_ends_its_call_is_late_as_well() {
    let (pieces, mut body) = sender(&MemoryShare::default());
    pieces.send(message(10)).unwrap();
    assert_eq!(body.gather().await.unwrap_err().code(), Code::DeadlineExceeded);
    drop(pieces);
}

#[tokio::test]
async fn between_the_messages_of_a_stream_there_is_no_time() {
    let budget = MemoryBudget::default();
    let (pieces, body) = sender(&budget.share(usize::MAX));
    let (mut body, _) = body.gated(Box::new(|| Ok(())));
    pieces.send(message(10)).unwrap();
    assert_eq!(next(&mut body).await.unwrap().unwrap(), 15);
    let waited = tokio::time::timeout(TIME * 3, next(&mut body)).await;
    assert!(waited.is_err(), "{waited:?}");
    assert_eq!(budget.used(), CALL_BYTES + 100, "what was taken up is not held");
    // One that has begun has a time again.
    pieces.send([message(10), message(10)[..7].to_vec()].concat()).unwrap();
    assert_eq!(next(&mut body).await.unwrap().unwrap(), 22);
    assert_eq!(next(&mut body).await.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
    assert!(next(&mut body).await.is_none());
}

#[tokio::test]
async fn who_is_not_read_keeps_his_time() {
    let (pieces, body) = sender(&MemoryShare::default());
    let (mut body, pause) = body.gated(Box::new(|| Ok(())));
    pieces.send([message(10), message(10)[..7].to_vec()].concat()).unwrap();
    assert_eq!(next(&mut body).await.unwrap().unwrap(), 22);
    pause.begin();
    sleep(TIME * 2).await;
    let late = tokio::spawn(async move {
        sleep(TIME / 2).await;
        pieces.send(message(10)[7..].to_vec()).unwrap();
        pieces
    });
    assert_eq!(next(&mut body).await.unwrap().unwrap(), 8);
    late.await.unwrap();
}

#[tokio::test]
async fn the_gate_opens_once_at_the_first_whole_message() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = |answer: Result<(), Status>| -> Gate {
        let asked = Arc::clone(&asked);
        Box::new(move || {
            asked.fetch_add(1, Ordering::SeqCst);
            answer
        })
    };
    let (pieces, body) = sender(&MemoryShare::default());
    let (mut body, _) = body.gated(counting(Ok(())));
    pieces.send(message(10)[..14].to_vec()).unwrap();
    next(&mut body).await.unwrap().unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    pieces.send([&message(10)[14..], &message(3), &message(4)].concat()).unwrap();
    next(&mut body).await.unwrap().unwrap();
    pieces.send(message(10)).unwrap();
    next(&mut body).await.unwrap().unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);

    let (pieces, body) = sender(&MemoryShare::default());
    let (mut body, _) = body.gated(counting(Err(Status::resource_exhausted("no place"))));
    pieces.send(message(10)).unwrap();
    assert_eq!(next(&mut body).await.unwrap().unwrap_err().code(), Code::ResourceExhausted);
    assert!(next(&mut body).await.is_none());
}

#[tokio::test]
async fn who_finds_no_room_waits_and_is_then_refused() {
    let budget = MemoryBudget::default();
    budget.set_bound(100_000);
    let share = budget.share(50_000);
    let full = share.hold(50_000);
    let (pieces, mut body) = sender(&share);
    pieces.send(message(10)).unwrap();
    drop(pieces);
    let begun = Instant::now();
    let status = body.gather().await.unwrap_err();
    assert_eq!(reason(&status), (Code::ResourceExhausted, "OVERLOADED".to_owned()));
    assert!(status.get_details_retry_info().is_some() && begun.elapsed() >= ROOM_PATIENCE);
    assert_eq!(budget.refused(), 1);
    // Room that comes in time is enough.
    let (pieces, mut body) = sender(&share);
    pieces.send(message(10)).unwrap();
    drop(pieces);
    let gathering = tokio::spawn(async move { body.gather().await });
    sleep(ROOM_LOOK * 2).await;
    drop(full);
    gathering.await.unwrap().unwrap();
}

#[tokio::test]
async fn while_memory_is_short_nobody_is_waited_for_long() {
    let budget = MemoryBudget::default();
    budget.set_bound(100_000);
    let share = budget.share(100_000);
    let _held = share.hold(60_000);
    let (pieces, received) = unbounded_channel();
    let allowance = Allowance { share, most: 10_000, time: Duration::from_secs(3_600) };
    let mut body = InboundBody::new(body(received), allowance, 0);
    let status = body.gather().await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("within 2s"), "{status:?}");
    drop(pieces);
}
