//! Rejected rows: STOP writes nothing of their chunk and everything before it, SKIP writes the other rows. This applies
//! to invalid rows and to rows refused by the database, and to chunks with and without a shared commit.

use orrery_proto::catalog::v1::Product;
use orrery_proto::r#type::v1::{ErrorReason, RowErrorCode, RowErrorPolicy, WriteMode, WriteStart};
use tonic::Code;

use super::Fixture;
use super::stream::{PRODUCTS, Totals, WriteStream, assert_status, named, product, products, violated, write};

/// A reason why a row is rejected, and the expected error.
struct Refusal {
    name: &'static str,
    mode: WriteMode,
    row: Product,
    code: Code,
    field: &'static str,
    reason: ErrorReason,
}

/// `exists` is stored, `missing` is not.
fn refusals() -> Vec<Refusal> {
    let label = |key: &str| [(key.to_owned(), String::new())].into();
    let refusal = |name, mode, row, code, field, reason| Refusal { name, mode, row, code, field, reason };
    let invalid = ErrorReason::FieldInvalid;
    vec![
        refusal("uid", WriteMode::Upsert, Product::default(), Code::InvalidArgument, "uid", invalid),
        refusal(
            "label",
            WriteMode::Create,
            Product { labels: label("-bad-"), ..product("x", "") },
            Code::InvalidArgument,
            "labels",
            invalid,
        ),
        refusal("NUL", WriteMode::Upsert, product("x", "a\0b"), Code::InvalidArgument, "name", invalid),
        refusal(
            "existing",
            WriteMode::Create,
            product("exists", "again"),
            Code::AlreadyExists,
            "",
            ErrorReason::ResourceExists,
        ),
        refusal(
            "missing",
            WriteMode::Update,
            product("missing", "new"),
            Code::NotFound,
            "",
            ErrorReason::ResourceNotFound,
        ),
        refusal(
            "etag",
            WriteMode::Upsert,
            Product { etag: "stale".to_owned(), ..product("exists", "x") },
            Code::Aborted,
            "etag",
            ErrorReason::EtagMismatch,
        ),
        refusal(
            "etag of none",
            WriteMode::Update,
            Product { etag: "stale".to_owned(), ..product("missing", "x") },
            Code::Aborted,
            "etag",
            ErrorReason::EtagMismatch,
        ),
    ]
}

impl Refusal {
    /// Whether rows of other uids pass in this mode: they are prepared so that they do.
    async fn prepare(&self, fixture: &Fixture) {
        sqlx::raw_sql("delete from catalog.product").execute(&fixture.pool).await.unwrap();
        let exists = [product("exists", "before")];
        write(fixture.server.channel(), PRODUCTS, WriteStart::default(), &exists).await.1.unwrap();
        if self.mode == WriteMode::Update {
            let rows: Vec<Product> = (0..30).map(|number| product(&format!("{number:07}"), "before")).collect();
            write(fixture.server.channel(), PRODUCTS, WriteStart::default(), &rows).await.1.unwrap();
        }
    }

    fn start(&self, policy: RowErrorPolicy) -> WriteStart {
        WriteStart { mode: self.mode.into(), on_row_error: policy.into(), ..WriteStart::default() }
    }

    #[track_caller]
    fn assert_reported(&self, totals: &Totals, offsets: &[i64]) {
        let name = self.name;
        assert_eq!(totals.errors.iter().map(|error| error.offset).collect::<Vec<_>>(), offsets, "{name}");
        assert_eq!(totals.rejected, offsets.len() as i64, "{name}");
        for error in &totals.errors {
            assert_eq!((Code::from_i32(error.code), error.reason()), (self.code, self.reason), "{name}");
            assert_ne!(error.code(), RowErrorCode::Unspecified, "{name}: the contract names every code");
            assert_eq!(error.field, self.field, "{name}");
            assert!(!error.message.is_empty(), "{name}");
        }
    }
}

async fn written(fixture: &Fixture) -> i64 {
    fixture.count("catalog.product where name like 'Product %'").await
}

#[tokio::test]
async fn stop_commits_what_came_before_the_chunk_and_nothing_of_it() {
    let fixture = Fixture::new().await;
    for refusal in refusals() {
        refusal.prepare(&fixture).await;
        let mut stream =
            WriteStream::open(fixture.server.channel(), PRODUCTS, refusal.start(RowErrorPolicy::Stop)).await.unwrap();
        stream.send(0, &products(0..5)).await;
        assert_eq!(stream.acknowledged(5).await.unwrap().rows(), 5);
        let mut rows = products(5..10);
        rows[2] = refusal.row.clone();
        stream.send(5, &rows).await;
        stream.send(10, &products(10..15)).await;
        let (totals, status) = stream.ended().await;
        let metadata = assert_status(&status, Code::InvalidArgument, "ROW_REJECTED");
        assert_eq!(metadata["offset"], "7", "{}", refusal.name);
        let path = format!("chunk.products[2].{}", refusal.field);
        assert_eq!(violated(&status), path.trim_end_matches('.'), "{}", refusal.name);
        refusal.assert_reported(&totals, &[7]);
        assert_eq!((totals.committed_offset, totals.counts()), (5, [0, 0, 0, 1, 0]), "{}", refusal.name);
        assert_eq!(written(&fixture).await, 5, "{}", refusal.name);
    }
}

#[tokio::test]
async fn skip_writes_the_others_and_reports_each() {
    let fixture = Fixture::new().await;
    for refusal in refusals() {
        refusal.prepare(&fixture).await;
        let mut rows = products(0..10);
        rows[2] = refusal.row.clone();
        let stream =
            WriteStream::open(fixture.server.channel(), PRODUCTS, refusal.start(RowErrorPolicy::Skip)).await.unwrap();
        stream.send(0, &rows).await;
        stream.send(10, std::slice::from_ref(&refusal.row)).await;
        stream.send(11, &products(11..15)).await;
        let (totals, end) = stream.finish().await;
        end.unwrap();
        refusal.assert_reported(&totals, &[2, 10]);
        assert_eq!((totals.committed_offset, totals.rows()), (15, 15), "{}", refusal.name);
        assert_eq!(written(&fixture).await, 13, "{}", refusal.name);
    }
}

/// Many small chunks wait for one commit; one of them has a rejected row. `held` is the commit of the first chunk,
/// which waits for a lock, so that the others are written together.
#[tokio::test]
async fn chunks_that_share_a_commit_are_judged_one_by_one() {
    let fixture = Fixture::new().await;
    for refusal in refusals() {
        for policy in [RowErrorPolicy::Stop, RowErrorPolicy::Skip] {
            refusal.prepare(&fixture).await;
            let held = fixture.hold("catalog.product").await;
            let stream = WriteStream::open(fixture.server.channel(), PRODUCTS, refusal.start(policy)).await.unwrap();
            stream.send(0, &products(0..1)).await;
            fixture.until_blocked().await;
            for offset in 1..20 {
                let row = if offset == 11 { refusal.row.clone() } else { products(offset..offset + 1).pop().unwrap() };
                stream.send(offset, &[row]).await;
            }
            held.rollback().await.unwrap();
            let (totals, end) = stream.finish().await;
            refusal.assert_reported(&totals, &[11]);
            let name = refusal.name;
            if policy == RowErrorPolicy::Skip {
                end.unwrap();
                assert_eq!((totals.committed_offset, totals.rows()), (20, 20), "{name}");
                assert_eq!(written(&fixture).await, 19, "{name}");
                assert!(totals.messages < 10, "{name}: {} messages for 20 chunks", totals.messages);
            } else {
                let status = end.unwrap_err();
                let metadata = assert_status(&status, Code::InvalidArgument, "ROW_REJECTED");
                assert_eq!(metadata["offset"], "11", "{name}");
                assert!(violated(&status).starts_with("chunk.products[0]"), "{name}: {status:?}");
                assert_eq!((totals.committed_offset, totals.rows()), (11, 12), "{name}");
                assert_eq!(written(&fixture).await, 11, "{name}");
            }
        }
    }
}

/// An etag and a mode may both reject a row. It counts once, and the first of several rows is named.
#[tokio::test]
async fn a_row_is_refused_once_and_the_first_one_is_named() {
    let fixture = Fixture::new().await;
    let stored: Vec<Product> = (0..30).map(|number| product(&format!("{number:07}"), "before")).collect();
    write(fixture.server.channel(), PRODUCTS, WriteStart::default(), &stored).await.1.unwrap();
    // Keys decrease while offsets increase: the database checks rows in key order.
    let mut rows: Vec<Product> = (0..30).rev().map(|number| product(&format!("{number:07}"), "again")).collect();
    for at in [20, 22, 24] {
        rows[at].etag = "stale".to_owned();
    }
    for policy in [RowErrorPolicy::Stop, RowErrorPolicy::Skip] {
        let start = WriteStart { mode: WriteMode::Create.into(), on_row_error: policy.into(), ..WriteStart::default() };
        let (totals, end) = write(fixture.server.channel(), PRODUCTS, start, &rows).await;
        let offsets: Vec<i64> = totals.errors.iter().map(|error| error.offset).collect();
        assert!(offsets.is_sorted(), "{offsets:?}");
        if policy == RowErrorPolicy::Skip {
            end.unwrap();
            assert_eq!(totals.counts(), [0, 0, 0, 30, 0]);
            assert_eq!(offsets, (0..30).collect::<Vec<_>>());
        } else {
            let metadata = assert_status(&end.unwrap_err(), Code::InvalidArgument, "ROW_REJECTED");
            assert_eq!(metadata["offset"], offsets[0].to_string());
            assert_eq!(totals.rejected, offsets.len() as i64);
        }
    }
}

#[tokio::test]
async fn of_many_refused_rows_all_are_counted_and_the_first_thousand_reported() {
    let fixture = Fixture::new().await;
    let bad: Vec<Product> = (0..3_000).map(|number| product(&format!("no spaces {number:04}"), "")).collect();
    let existing = products(0..3_000);
    write(fixture.server.channel(), PRODUCTS, WriteStart::default(), &existing).await.1.unwrap();
    for (mode, rows) in [(WriteMode::Upsert, &bad), (WriteMode::Create, &existing)] {
        let reversed: Vec<Product> = rows.iter().rev().cloned().collect();
        for (policy, committed) in [(RowErrorPolicy::Skip, 3_000), (RowErrorPolicy::Stop, 0)] {
            let start = WriteStart { mode: mode.into(), on_row_error: policy.into(), ..WriteStart::default() };
            let (totals, end) = write(fixture.server.channel(), PRODUCTS, start, &reversed).await;
            assert_eq!(end.is_ok(), policy == RowErrorPolicy::Skip);
            assert_eq!((totals.committed_offset, totals.rejected), (committed, 3_000));
            let offsets: Vec<i64> = totals.errors.iter().map(|error| error.offset).collect();
            assert_eq!(offsets, (0..1_000).collect::<Vec<_>>());
        }
    }
}

/// Rejections are remembered too: after a lost acknowledgement the same rows may be sent again, with their maps in any
/// order.
/// Chunks share a commit only as long as one response can report all their errors.
#[tokio::test]
async fn of_chunks_that_wait_together_every_refused_row_is_reported() {
    const CHUNKS: i64 = 4;
    const BAD: i64 = 400;
    let fixture = Fixture::new().await;
    let held = fixture.hold("catalog.product").await;
    let start = WriteStart { on_row_error: RowErrorPolicy::Skip.into(), ..WriteStart::default() };
    let stream = WriteStream::open(fixture.server.channel(), PRODUCTS, start).await.unwrap();
    stream.send(0, &products(0..1)).await;
    fixture.until_blocked().await;
    for chunk in 0..CHUNKS {
        let bad = |offset: i64| Product { uid: format!("no uid {offset}"), ..Product::default() };
        stream.send(1 + chunk * BAD, &(0..BAD).map(bad).collect::<Vec<_>>()).await;
    }
    held.rollback().await.unwrap();
    let (totals, end) = stream.finish().await;
    end.unwrap();
    assert_eq!(totals.counts(), [1, 0, 0, CHUNKS * BAD, 0]);
    let offsets: Vec<i64> = totals.errors.iter().map(|error| error.offset).collect();
    assert_eq!(offsets, (1..=CHUNKS * BAD).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_chunk_with_refused_rows_may_come_again() {
    let fixture = Fixture::new().await;
    let bad = || Product {
        labels: (0..20).map(|at| (format!("-bad-{at}"), String::new())).collect(),
        ..product("0000001", "refused")
    };
    let start = WriteStart { on_row_error: RowErrorPolicy::Skip.into(), ..named("refusing") };
    let (mut stream, _) = WriteStream::resume(fixture.server.channel(), PRODUCTS, start.clone()).await.unwrap();
    stream.send(0, &[product("0000000", "fine"), bad()]).await;
    assert_eq!(stream.acknowledged(2).await.unwrap().counts(), [1, 0, 0, 1, 0]);
    for _ in 0..3 {
        let (mut stream, offset) =
            WriteStream::resume(fixture.server.channel(), PRODUCTS, start.clone()).await.unwrap();
        assert_eq!(offset, 2);
        stream.send(0, &[product("0000000", "fine"), bad()]).await;
        assert_eq!(stream.acknowledged(2).await.unwrap().rows(), 0);
    }
    // The corrected row is another row: it was not written, and is not reported as written.
    let (stream, _) = WriteStream::resume(fixture.server.channel(), PRODUCTS, start).await.unwrap();
    stream.send(0, &[product("0000000", "fine"), product("0000001", "mended")]).await;
    let (_, status) = stream.ended().await;
    assert_eq!(assert_status(&status, Code::Aborted, "OFFSET_CONFLICT")["offset"], "1");
}
