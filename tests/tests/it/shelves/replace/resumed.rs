//! Writes that go on under their write_id. A chunk that was committed is not applied again, and what was sent in one
//! message belongs together, even if a part of it was committed before.

use orrery_proto::r#type::v1::WriteStart;
use tonic::Code;

use super::super::fixture::{STOCKTAKES, Shelves};
use super::{count, counts, none, replacing, stored, written};
use crate::writes::stream::{WriteStream, assert_status};

fn start() -> WriteStart {
    WriteStart { write_id: "write".to_owned(), ..super::skipping() }
}

async fn resume(slice: &Shelves) -> (WriteStream, i64) {
    WriteStream::resume(slice.channel(), STOCKTAKES, start()).await.unwrap()
}

#[tokio::test]
async fn a_chunk_whose_acknowledgement_was_lost_replaces_nothing_again() {
    let slice = Shelves::new().await;
    written(&slice, WriteStart::default(), &[count(1, "sun", 9), count(2, "sun", 9)]).await;
    let sent = [count(1, "mon", 1), none(2), count(3, "", 7), none(4), none(4)];
    let (mut stream, _) = resume(&slice).await;
    stream.send(0, &sent).await;
    assert_eq!(counts(&stream.acknowledged(5).await.unwrap()), [1, 0, 1, 1, 1, 2]);
    drop(stream);
    written(&slice, WriteStart::default(), &[count(1, "tue", 2), count(2, "tue", 2)]).await;
    let (mut stream, from) = resume(&slice).await;
    assert_eq!(from, 5);
    stream.send(0, &sent).await;
    stream.send(5, &[count(5, "mon", 5)]).await;
    assert_eq!(counts(&stream.acknowledged(6).await.unwrap()), [1, 0, 0, 0, 0, 0]);
    assert_eq!(stored(&slice).await, ["1 mon 1", "1 tue 2", "2 tue 2", "5 mon 5"]);
    // Another row where it was said that there are none.
    let (stream, _) = resume(&slice).await;
    stream.send(1, &[count(2, "mon", 1)]).await;
    assert_status(&stream.finish().await.1.unwrap_err(), Code::Aborted, "OFFSET_CONFLICT");
}

#[tokio::test]
async fn rows_of_one_message_belong_together_whenever_they_were_committed() {
    let slice = Shelves::new().await;
    let all = [
        count(1, "mon", 1),
        count(1, "tue", 2),
        count(2, "mon", 3),
        count(2, "tue", 4),
        count(3, "mon", 5),
        count(2, "wed", 6),
        none(4),
    ];
    let (mut stream, _) = resume(&slice).await;
    stream.send(0, &all[..3]).await;
    stream.acknowledged(3).await.unwrap();
    drop(stream);
    written(&slice, WriteStart::default(), &[count(1, "sun", 9), count(2, "sun", 9), count(4, "sun", 9)]).await;
    // The client cuts its rows in another way. Of shelf 1 everything was committed, so it is not replaced again.
    let (mut stream, from) = resume(&slice).await;
    assert_eq!(from, 3);
    stream.send(1, &all[1..]).await;
    assert_eq!(counts(&stream.acknowledged(7).await.unwrap()), [3, 0, 0, 0, 0, 2]);
    assert_eq!(stored(&slice).await, ["1 mon 1", "1 sun 9", "1 tue 2", "2 mon 3", "2 tue 4", "2 wed 6", "3 mon 5"]);
    // A chunk that begins behind them is a chunk of its own.
    stream.send(7, &[count(2, "sat", 7)]).await;
    assert_eq!(counts(&stream.acknowledged(8).await.unwrap()), [1, 0, 0, 0, 0, 3]);
    assert_eq!(stored(&slice).await, ["1 mon 1", "1 sun 9", "1 tue 2", "2 sat 7", "3 mon 5"]);
}

#[tokio::test]
async fn a_stream_that_takes_a_write_over_keeps_what_the_other_one_wrote_of_its_chunk() {
    let slice = Shelves::new().await;
    let (mut older, _) = resume(&slice).await;
    let (mut newer, _) = resume(&slice).await;
    older.send(0, &[count(1, "mon", 1), count(2, "mon", 2)]).await;
    older.acknowledged(2).await.unwrap();
    newer.send(0, &[count(1, "mon", 1), count(2, "mon", 2), count(2, "tue", 3)]).await;
    assert_eq!(counts(&newer.acknowledged(3).await.unwrap()), [1, 0, 0, 0, 0, 0]);
    assert_eq!(stored(&slice).await, ["1 mon 1", "2 mon 2", "2 tue 3"]);
}

/// The row says that there are none, although there are.
#[tokio::test]
async fn none_is_not_said_of_an_owner_whose_rows_were_committed_from_the_same_message() {
    let slice = Shelves::new().await;
    let (mut stream, _) = resume(&slice).await;
    stream.send(0, &[count(1, "mon", 1)]).await;
    stream.acknowledged(1).await.unwrap();
    drop(stream);
    let (mut stream, _) = resume(&slice).await;
    stream.send(0, &[count(1, "mon", 1), none(1)]).await;
    let totals = stream.acknowledged(2).await.unwrap();
    assert_eq!((counts(&totals), totals.errors[0].offset), ([0, 0, 0, 1, 0, 0], 1));
    // Sent alone it says what it says.
    stream.send(2, &[none(1)]).await;
    assert_eq!(counts(&stream.acknowledged(3).await.unwrap()), [0, 0, 0, 0, 0, 1]);
    assert_eq!(counts(&written(&slice, replacing(), &[none(1)]).await), [0, 0, 1, 0, 0, 0]);
}
