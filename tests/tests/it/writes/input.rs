//! Invalid input is refused with the field, and nothing of it is written.

use bytes::Bytes;
use orrery_proto::r#type::v1::WriteStart;
use orrery_proto::wire::{WriteChunk, WritePayload};
use prost::Message as _;
use tonic::Code;

use super::Fixture;
use super::stream::{PRODUCTS, WriteStream, assert_status, mask, named, product, products, violated};

#[tokio::test]
async fn a_start_that_breaks_a_rule_is_refused() {
    let fixture = Fixture::new().await;
    let long = "x".repeat(129);
    let cases = [
        ("start.mode", WriteStart { mode: 99, ..WriteStart::default() }),
        ("start.mode", WriteStart { mode: -1, ..WriteStart::default() }),
        ("start.on_row_error", WriteStart { on_row_error: 3, ..WriteStart::default() }),
        ("start.reference_check", WriteStart { reference_check: 3, ..WriteStart::default() }),
        ("start.write_id", named(&long)),
        ("start.write_id", named("with space")),
        ("start.write_id", named("schön")),
        ("start.write_id", named("a\0b")),
        ("start.write_id", named("line\n")),
        ("start.update_mask", WriteStart { update_mask: Some(mask(&["nope"])), ..WriteStart::default() }),
        ("start.update_mask", WriteStart { update_mask: Some(mask(&["uid"])), ..WriteStart::default() }),
        ("start.update_mask", WriteStart { update_mask: Some(mask(&["etag"])), ..WriteStart::default() }),
        ("start.update_mask", WriteStart { update_mask: Some(mask(&["name", "*"])), ..WriteStart::default() }),
    ];
    for (field, start) in cases {
        let mut stream = WriteStream::open(fixture.server.channel(), PRODUCTS, start.clone()).await.unwrap();
        let status = stream.answer().await.expect_err(field);
        assert_status(&status, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(violated(&status), field, "{start:?}");
    }
    let longest = "~".repeat(128);
    WriteStream::resume(fixture.server.channel(), PRODUCTS, named(&longest)).await.unwrap();
    assert_eq!(fixture.count("catalog.write_session").await, 0, "a start keeps nothing, refused or not");
}

#[tokio::test]
async fn the_first_message_is_the_start_and_no_other_is() {
    let fixture = Fixture::new().await;
    let channel = || fixture.server.channel();
    let chunk = WritePayload::Chunk(WriteChunk { offset: 0, rows: vec![product("a", "A").encode_to_vec().into()] });
    let mut stream = WriteStream::open_with(channel(), PRODUCTS, Some(chunk), None).await.unwrap();
    let status = stream.answer().await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(violated(&status), "start");

    let stream = WriteStream::open_with(channel(), PRODUCTS, None, None).await.unwrap();
    let (_, end) = stream.finish().await;
    assert_eq!(violated(&end.unwrap_err()), "start", "nothing was sent at all");

    let stream = WriteStream::open_with(channel(), PRODUCTS, None, None).await.unwrap();
    stream.send_message(None).await;
    let (_, status) = stream.ended().await;
    assert_eq!(violated(&status), "start");
    assert_eq!(fixture.count("catalog.product").await, 0);

    // Later messages that are not chunks: everything before them is written and acknowledged.
    let later = [
        ("start", Some(WritePayload::Start(WriteStart::default()))),
        ("chunk", None),
        ("chunk.products", Some(WritePayload::Chunk(WriteChunk { offset: 2, rows: Vec::new() }))),
        ("chunk.offset", Some(WritePayload::Chunk(WriteChunk { offset: -1, rows: vec![Bytes::new()] }))),
        ("chunk.offset", Some(WritePayload::Chunk(WriteChunk { offset: i64::MAX, rows: vec![Bytes::new()] }))),
    ];
    for (field, message) in later {
        let stream = WriteStream::open(channel(), PRODUCTS, WriteStart::default()).await.unwrap();
        stream.send(0, &products(0..2)).await;
        stream.send_message(message).await;
        let (totals, status) = stream.ended().await;
        assert_status(&status, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(violated(&status), field);
        assert_eq!((totals.committed_offset, totals.rows()), (2, 2), "{field}: what came before is committed");
    }
}

#[tokio::test]
async fn a_chunk_of_more_rows_than_a_statement_may_touch_is_refused_whole() {
    let fixture = Fixture::new().await;
    let stream = WriteStream::open(fixture.server.channel(), PRODUCTS, WriteStart::default()).await.unwrap();
    stream.send(0, &products(0..100_001)).await;
    let (totals, status) = stream.ended().await;
    assert_status(&status, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(violated(&status), "chunk.products");
    assert!(status.message().contains("100001") && status.message().contains("100000"), "{status:?}");
    assert_eq!((totals.committed_offset, fixture.count("catalog.product").await), (0, 0));
}

#[tokio::test]
async fn a_message_larger_than_any_that_is_taken_is_the_callers_mistake() {
    let fixture = Fixture::with(|config| config.stream.max_message_bytes = 64 * 1024).await;
    let stream = WriteStream::open(fixture.server.channel(), PRODUCTS, named("large")).await.unwrap();
    stream.send(0, &products(0..100)).await;
    stream.send_bytes(100, vec![vec![b'x'; 65 * 1024].into()]).await;
    let (totals, status) = stream.ended().await;
    assert_status(&status, Code::InvalidArgument, "MESSAGE_MALFORMED");
    assert_eq!(totals.committed_offset, 100, "what came before it is committed");
    assert_eq!(fixture.count("catalog.product").await, 100);
}
