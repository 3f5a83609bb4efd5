//! Chunked writes.

use orrery_proto::r#type::v1::{ErrorReason, WriteMode, WriteStart};
use tonic::Code;

use super::subject::{Complete, Subject, in_mode, rows, skipping};
use crate::writes::stream::{Totals, WriteStream, assert_status, named};

/// created, updated, unchanged, rejected, superseded, and the offset and reason of each refused row
type Told = ([i64; 5], Vec<(i64, ErrorReason)>);

pub(super) fn told(totals: &Totals) -> Told {
    (totals.counts(), totals.errors.iter().map(|error| (error.offset, error.reason())).collect())
}

pub(super) async fn modes_create_update_and_tell_what_they_did<S: Subject>() {
    let service = S::new().await;
    let totals = service.written(in_mode(WriteMode::Create), &rows::<S>([2, -1, 3])).await;
    assert_eq!(told(&totals), ([3, 0, 0, 0, 0], vec![]));
    let totals = service.written(skipping(WriteMode::Create), &rows::<S>([4, -1, 3])).await;
    let exists = ErrorReason::ResourceExists;
    assert_eq!(told(&totals), ([1, 0, 0, 2, 0], vec![(1, exists), (2, exists)]));
    let changed = [S::with_text(S::row(-1), "changed"), S::row(2), S::row(5)];
    let totals = service.written(skipping(WriteMode::Update), &changed).await;
    assert_eq!(told(&totals), ([0, 1, 1, 1, 0], vec![(2, ErrorReason::ResourceNotFound)]));
    let totals = service.written(in_mode(WriteMode::Upsert), &changed).await;
    assert_eq!(told(&totals), ([1, 0, 2, 0, 0], vec![]));
    // A refused row ends the stream, and nothing of its chunk is written.
    let (totals, end) = service.write(in_mode(WriteMode::Create), &rows::<S>([8, 2, 9])).await;
    assert_status(&end.unwrap_err(), Code::InvalidArgument, "ROW_REJECTED");
    assert_eq!(told(&totals), ([0, 0, 0, 1, 0], vec![(1, exists)]));
    let numbers: Vec<i32> = service.all().await.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [-1, 2, 3, 4, 5]);
    assert_eq!(service.all().await[0].1, "changed");
}

pub(super) async fn a_named_write_goes_on_and_repeats_nothing<S: Subject>() {
    let service = S::new().await;
    let (mut stream, from) = WriteStream::resume(service.channel(), S::WRITE, named("write")).await.unwrap();
    assert_eq!(from, 0);
    stream.send(0, &rows::<S>(-5..5)).await;
    assert_eq!(stream.acknowledged(10).await.unwrap().created, 10);
    drop(stream);
    // A committed row is changed in the meantime; a repeated chunk must not undo the change.
    service.written(WriteStart::default(), &[S::with_text(S::row(-5), "newer")]).await;
    let (mut stream, from) = WriteStream::resume(service.channel(), S::WRITE, named("write")).await.unwrap();
    assert_eq!(from, 10);
    stream.send(0, &rows::<S>(-5..5)).await;
    stream.send(10, &rows::<S>(5..8)).await;
    let totals = stream.acknowledged(13).await.unwrap();
    assert_eq!(told(&totals), ([3, 0, 0, 0, 0], vec![]));
    let all = service.all().await;
    assert_eq!((all.len(), all[0].1.as_str()), (13, "newer"));
    stream.send(14, &rows::<S>([20])).await;
    let (_, end) = stream.finish().await;
    let gap = assert_status(&end.unwrap_err(), Code::OutOfRange, "OFFSET_GAP");
    assert_eq!(gap["expected_offset"], "13");
    let (stream, _) = WriteStream::resume(service.channel(), S::WRITE, named("write")).await.unwrap();
    stream.send(10, &rows::<S>([5, 6, 30])).await;
    let (_, end) = stream.finish().await;
    assert_status(&end.unwrap_err(), Code::Aborted, "OFFSET_CONFLICT");
    assert_eq!(service.all().await.len(), 13);
}

pub(super) async fn of_rows_of_one_key_the_last_one_stays<S: Subject>() {
    let service = S::new().await;
    let row = |number, text| S::with_text(S::row(number), text);
    let totals = service
        .written(WriteStart::default(), &[row(-1, "a"), row(3, "b"), row(-1, "c"), row(-2, "d"), row(-1, "e")])
        .await;
    assert_eq!(told(&totals), ([3, 0, 0, 0, 2], vec![]));
    let all: Vec<(i32, String)> = [(-2, "d"), (-1, "e"), (3, "b")].map(|(n, text)| (n, text.to_owned())).into();
    assert_eq!(service.all().await, all);
}

pub(super) async fn what_is_only_validated_is_not_written<S: Subject>() {
    let service = S::new().await;
    service.written(WriteStart::default(), &rows::<S>([1])).await;
    for (mode, counts) in [(WriteMode::Upsert, [1, 1, 0, 0, 0]), (WriteMode::Delete, [0, 0, 1, 0, 0])] {
        let start = WriteStart { validate_only: true, ..in_mode(mode) };
        let totals = service.written(start, &[S::row(-1), S::with_text(S::row(1), "changed")]).await;
        assert_eq!(told(&totals), (counts, vec![]));
        assert_eq!(totals.deleted, i64::from(mode == WriteMode::Delete));
    }
    assert_eq!(service.all().await, [(1, S::text(&S::row(1)).to_owned())]);
}

pub(super) async fn preconditions_hold_for_each_row<S: Complete>() {
    let service = S::new().await;
    service.written(WriteStart::default(), &rows::<S>([-1, 1, 2])).await;
    let etag = S::etag(&service.get(-1).await.unwrap()).to_owned();
    let row = |number, etag: &str| S::with_etag(S::with_text(S::row(number), "changed"), etag);
    let chunk = [row(-1, &etag), row(1, "no-etag"), row(2, ""), row(9, &etag)];
    let mismatch = ErrorReason::EtagMismatch;
    let totals = service.written(skipping(WriteMode::Upsert), &chunk).await;
    assert_eq!(told(&totals), ([0, 2, 0, 2, 0], vec![(1, mismatch), (3, mismatch)]));
    assert_eq!(totals.errors[0].field, "etag");
    let texts: Vec<String> = service.all().await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["changed".to_owned(), S::text(&S::row(1)).to_owned(), "changed".to_owned()]);
    // It has another etag now.
    let totals = service.written(skipping(WriteMode::Update), &[row(-1, &etag)]).await;
    assert_eq!(told(&totals), ([0, 0, 0, 1, 0], vec![(0, mismatch)]));
}
