//! Each row is written once, whether chunks are sent again, sent differently, or have gaps.

use orrery_proto::catalog::v1::Product;
use orrery_proto::r#type::v1::WriteStart;
use tonic::Code;

use super::Fixture;
use super::stream::{PRODUCTS, WriteStream, assert_status, named, product, products};

async fn resume(fixture: &Fixture, write_id: &str) -> (WriteStream, i64) {
    WriteStream::resume(fixture.server.channel(), PRODUCTS, named(write_id)).await.unwrap()
}

#[tokio::test]
async fn a_resent_chunk_is_acknowledged_and_not_applied_again() {
    let fixture = Fixture::new().await;
    let (mut stream, offset) = resume(&fixture, "resend").await;
    assert_eq!(offset, 0);
    stream.send(0, &products(0..10)).await;
    assert_eq!(stream.acknowledged(10).await.unwrap().counts(), [10, 0, 0, 0, 0]);
    drop(stream);
    // The rows are changed in between, so that applying them again would be noticed.
    sqlx::raw_sql("update catalog.product set name = 'changed since'").execute(&fixture.pool).await.unwrap();

    let (mut stream, offset) = resume(&fixture, "resend").await;
    assert_eq!(offset, 10, "the start is answered with the offset to go on from");
    stream.send(0, &products(0..10)).await;
    let totals = stream.acknowledged(10).await.unwrap();
    assert_eq!((totals.committed_offset, totals.rows()), (10, 0), "the counts are zero for what was committed before");
    // Each is acknowledged separately.
    for begin in [0, 4, 8] {
        stream.send(begin, &products(begin..begin + 2)).await;
    }
    for _ in 0..3 {
        let answer = stream.answer().await.unwrap().unwrap();
        assert_eq!((answer.committed_offset, answer.created), (10, 0));
    }
    stream.send(10, &products(10..15)).await;
    assert_eq!(stream.acknowledged(15).await.unwrap().created, 5);
    // In the same stream, without waiting for the acknowledgement.
    stream.send(15, &products(15..20)).await;
    stream.send(15, &products(15..20)).await;
    stream.send(0, &products(0..10)).await;
    stream.send(20, &products(20..25)).await;
    let (totals, end) = stream.finish().await;
    end.unwrap();
    assert_eq!((totals.committed_offset, totals.counts()), (25, [10, 0, 0, 0, 0]));
    assert_eq!(fixture.count("catalog.product where name = 'changed since'").await, 10);
    assert_eq!(fixture.count("catalog.product").await, 25);
}

#[tokio::test]
async fn chunks_may_be_cut_otherwise_when_they_come_again() {
    let fixture = Fixture::new().await;
    let (mut stream, _) = resume(&fixture, "recut").await;
    let mut sent = 0;
    for size in [7, 1, 12, 30, 50] {
        stream.send(sent, &products(sent..sent + size)).await;
        sent += size;
        stream.acknowledged(sent).await.unwrap();
    }
    drop(stream);
    sqlx::raw_sql("update catalog.product set name = 'changed since'").execute(&fixture.pool).await.unwrap();
    for size in [1, 9, 33, 100] {
        let (mut stream, offset) = resume(&fixture, "recut").await;
        assert_eq!(offset, 100);
        let mut at = 0;
        while at < 100 {
            let end = (at + size).min(100);
            stream.send(at, &products(at..end)).await;
            at = end;
            let totals = stream.acknowledged(100).await.unwrap();
            assert_eq!((totals.committed_offset, totals.rows()), (100, 0));
        }
    }
    // For a chunk that goes beyond the committed offset, only the rest is applied and counted.
    let (mut stream, _) = resume(&fixture, "recut").await;
    stream.send(90, &products(90..117)).await;
    let mut totals = stream.acknowledged(117).await.unwrap();
    assert_eq!(totals.counts(), [17, 0, 0, 0, 0]);
    stream.send(117, &products(117..120)).await;
    stream.send(100, &products(100..130)).await;
    totals = stream.acknowledged(130).await.unwrap();
    assert_eq!(totals.counts(), [13, 0, 0, 0, 0]);
    assert_eq!(fixture.count("catalog.product where name = 'changed since'").await, 100);
    assert_eq!(fixture.count("catalog.product").await, 130);
}

#[tokio::test]
async fn other_content_at_an_old_offset_is_aborted_and_nothing_is_written() {
    let fixture = Fixture::new().await;
    let (mut stream, _) = resume(&fixture, "conflict").await;
    stream.send(0, &products(0..10)).await;
    stream.acknowledged(10).await.unwrap();
    stream.send(10, &products(10..20)).await;
    stream.acknowledged(20).await.unwrap();

    let mut other = products(0..25);
    other[13].name = "Another".to_owned();
    let mut etag = products(0..25);
    etag[13].etag = "demanded".to_owned();
    let mut gone = products(0..25);
    gone.remove(13);
    for (name, rows) in [("another name", other), ("an etag", etag), ("a row less", gone)] {
        for from in [0, 5, 10, 13] {
            let (mut stream, _) = resume(&fixture, "conflict").await;
            stream.send(from as i64, &rows[from..]).await;
            let status = stream.answer().await.unwrap_err();
            let metadata = assert_status(&status, Code::Aborted, "OFFSET_CONFLICT");
            assert_eq!(metadata["offset"], "13", "{name}, from {from}");
        }
    }
    assert_eq!(fixture.count("catalog.product").await, 20, "not even what was beyond");
    let (_, offset) = resume(&fixture, "conflict").await;
    assert_eq!(offset, 20);
    // Everything before a conflict in the same stream is committed and acknowledged.
    let (stream, _) = resume(&fixture, "conflict").await;
    stream.send(20, &products(20..30)).await;
    stream.send(0, &[product("other", "Other")]).await;
    let (totals, status) = stream.ended().await;
    assert_eq!(assert_status(&status, Code::Aborted, "OFFSET_CONFLICT")["offset"], "0");
    assert_eq!((totals.committed_offset, totals.created), (30, 10));
}

#[tokio::test]
async fn content_is_remembered_for_sixty_four_commits() {
    let fixture = Fixture::new().await;
    let (mut stream, _) = resume(&fixture, "memory").await;
    for offset in 0..70 {
        stream.send(offset, &products(offset..offset + 1)).await;
        stream.acknowledged(offset + 1).await.unwrap();
    }
    // Commits 6 to 69 are the last 64; 0 to 4 are no longer remembered.
    let wrong = |offset: i64| product(&format!("wrong{offset}"), "Wrong");
    for offset in [6, 30, 69] {
        let (mut stream, _) = resume(&fixture, "memory").await;
        stream.send(offset, &[wrong(offset)]).await;
        let status = stream.answer().await.unwrap_err();
        assert_eq!(assert_status(&status, Code::Aborted, "OFFSET_CONFLICT")["offset"], offset.to_string());
    }
    let (mut stream, _) = resume(&fixture, "memory").await;
    for offset in [0, 4] {
        stream.send(offset, &[wrong(offset)]).await;
        assert_eq!(stream.acknowledged(70).await.unwrap().rows(), 0, "beyond memory it is acknowledged");
    }
    stream.send(0, &products(0..75)).await;
    assert_eq!(stream.acknowledged(75).await.unwrap().counts(), [5, 0, 0, 0, 0]);
    assert_eq!(fixture.count("catalog.product").await, 75);
    assert!(fixture.count("catalog.write_commit").await <= 66, "no more is kept than that");
}

#[tokio::test]
async fn a_gap_is_refused_with_the_offset_to_go_on_from() {
    let fixture = Fixture::new().await;
    let (mut stream, _) = resume(&fixture, "gap").await;
    stream.send(1, &products(1..2)).await;
    let status = stream.answer().await.unwrap_err();
    assert_eq!(assert_status(&status, Code::OutOfRange, "OFFSET_GAP")["expected_offset"], "0");

    // Everything before a gap is committed, so that the offset in the error is reliable.
    let held = fixture.hold("catalog.product").await;
    let (stream, _) = resume(&fixture, "gap").await;
    stream.send(0, &products(0..1)).await;
    fixture.until_blocked().await;
    stream.send(1, &products(1..5)).await;
    stream.send(6, &products(6..9)).await;
    held.rollback().await.unwrap();
    let (totals, status) = stream.ended().await;
    assert_eq!(assert_status(&status, Code::OutOfRange, "OFFSET_GAP")["expected_offset"], "5");
    assert_eq!((totals.committed_offset, totals.created), (5, 5));
    let (_, offset) = resume(&fixture, "gap").await;
    assert_eq!((offset, fixture.count("catalog.product").await), (5, 5));

    // A one-shot stream remembers nothing: it starts at 0 and never goes back.
    let stream = WriteStream::open(fixture.server.channel(), PRODUCTS, WriteStart::default()).await.unwrap();
    stream.send(5, &products(5..6)).await;
    let (_, status) = stream.ended().await;
    assert_eq!(assert_status(&status, Code::OutOfRange, "OFFSET_GAP")["expected_offset"], "0");
    let stream = WriteStream::open(fixture.server.channel(), PRODUCTS, WriteStart::default()).await.unwrap();
    stream.send(0, &products(5..8)).await;
    stream.send(1, &products(6..9)).await;
    let (totals, status) = stream.ended().await;
    assert_eq!(assert_status(&status, Code::OutOfRange, "OFFSET_GAP")["expected_offset"], "3");
    assert_eq!(totals.committed_offset, 3);
}

/// The index in an error refers to the chunk as sent, even if its first part was committed before.
#[tokio::test]
async fn a_refused_row_of_a_recut_chunk_is_named_by_its_place_in_that_chunk() {
    let fixture = Fixture::new().await;
    let (mut stream, _) = resume(&fixture, "place").await;
    stream.send(0, &products(0..5)).await;
    stream.acknowledged(5).await.unwrap();
    let mut rows = products(2..10);
    rows[6] = Product::default();
    stream.send(2, &rows).await;
    let (totals, status) = stream.ended().await;
    assert_eq!(assert_status(&status, Code::InvalidArgument, "ROW_REJECTED")["offset"], "8");
    assert_eq!(super::stream::violated(&status), "chunk.products[6].uid");
    assert_eq!(totals.committed_offset, 5);
}
