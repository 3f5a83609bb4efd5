//! Chunked deletes.

use orrery_proto::r#type::v1::{ErrorReason, WriteMode, WriteStart};
use tonic::Code;

use super::chunks::told;
use super::subject::{Complete, Subject, in_mode, rows, skipping};
use crate::writes::stream::{WriteStream, assert_status, mask, violated};

pub(super) async fn a_chunk_deletes_what_is_stored_and_all_that_belongs_to_it<S: Subject>() {
    let service = S::new().await;
    service.written(WriteStart::default(), &rows::<S>([-4])).await;
    service.add_dependent(-4).await;
    let of_one = service.belonging().await;
    service.written(WriteStart::default(), &rows::<S>([-3, 1, 2, 3])).await;
    for number in [-3, 1, 2, 3] {
        service.add_dependent(number).await;
    }
    assert_eq!(service.belonging().await, 5 * of_one);
    // Only the key counts; one key appears twice.
    let chunk = [S::with_text(S::row(1), "whatever"), S::row(-3), S::row(77), S::row(2), S::row(1)];
    let totals = service.written(in_mode(WriteMode::Delete), &chunk).await;
    assert_eq!((told(&totals), totals.deleted), (([0, 0, 1, 0, 1], vec![]), 3));
    let numbers: Vec<i32> = service.all().await.iter().map(|(number, _)| *number).collect();
    assert_eq!((numbers, service.belonging().await), (vec![-4, 3], 2 * of_one));
}

pub(super) async fn a_delete_whose_acknowledgement_was_lost_is_not_done_twice<S: Subject>() {
    let service = S::new().await;
    service.written(WriteStart::default(), &rows::<S>([-1, 1, 2])).await;
    let start = WriteStart { write_id: "delete".to_owned(), ..in_mode(WriteMode::Delete) };
    let (mut stream, _) = WriteStream::resume(service.channel(), S::WRITE, start.clone()).await.unwrap();
    stream.send(0, &rows::<S>([-1, 1])).await;
    let totals = stream.acknowledged(2).await.unwrap();
    assert_eq!((told(&totals), totals.deleted), (([0; 5], vec![]), 2));
    drop(stream);
    // The rows are created again. A caller that missed the acknowledgement then sends the delete again.
    service.written(WriteStart::default(), &rows::<S>([-1, 1])).await;
    let (mut stream, from) = WriteStream::resume(service.channel(), S::WRITE, start).await.unwrap();
    assert_eq!(from, 2);
    stream.send(0, &rows::<S>([-1, 1])).await;
    stream.send(2, &rows::<S>([2, 8])).await;
    let totals = stream.acknowledged(4).await.unwrap();
    assert_eq!((told(&totals), totals.deleted), (([0, 0, 1, 0, 0], vec![]), 1));
    let numbers: Vec<i32> = service.all().await.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [-1, 1]);
}

pub(super) async fn a_delete_takes_no_mask<S: Subject>() {
    let service = S::new().await;
    service.written(WriteStart::default(), &rows::<S>([1])).await;
    let start = WriteStart { update_mask: Some(mask(&[S::TEXT])), ..in_mode(WriteMode::Delete) };
    let (_, end) = service.write(start, &rows::<S>([1])).await;
    let refused = end.unwrap_err();
    assert_status(&refused, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(violated(&refused), "start.update_mask");
    assert_eq!(service.all().await.len(), 1);
}

pub(super) async fn a_chunked_delete_respects_etags<S: Complete>() {
    let service = S::new().await;
    service.written(WriteStart::default(), &rows::<S>([-1, 1, 2])).await;
    let etag = S::etag(&service.get(-1).await.unwrap()).to_owned();
    let chunk =
        [S::with_etag(S::row(-1), &etag), S::with_etag(S::row(1), "no-etag"), S::with_etag(S::row(9), "no-etag")];
    let totals = service.written(skipping(WriteMode::Delete), &chunk).await;
    let mismatch = ErrorReason::EtagMismatch;
    assert_eq!((told(&totals), totals.deleted), (([0, 0, 0, 2, 0], vec![(1, mismatch), (2, mismatch)]), 1));
    let (totals, end) = service.write(in_mode(WriteMode::Delete), &[chunk[1].clone(), S::row(2)]).await;
    assert_status(&end.unwrap_err(), Code::InvalidArgument, "ROW_REJECTED");
    assert_eq!(totals.deleted, 0);
    let numbers: Vec<i32> = service.all().await.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 2]);
}
