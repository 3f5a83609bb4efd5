//! The chunked write of metrics: a key of two columns, references, and the latest value.

use orrery_proto::catalog::v1::ProductMetric;
use orrery_proto::r#type::v1::{ErrorReason, ReferenceCheck, RowErrorPolicy, WriteStart};
use prost_types::Timestamp;
use tonic::Code;

use super::Fixture;
use super::stream::{METRICS, PRODUCTS, WriteStream, assert_status, metric, product, violated, write};

fn at(seconds: i64, row: ProductMetric) -> ProductMetric {
    ProductMetric { as_of_ts: Some(Timestamp { seconds, nanos: 0 }), ..row }
}

async fn value(fixture: &Fixture, product: &str, name: &str) -> String {
    let select = "select value::text || ' at ' || extract(epoch from as_of_ts)::bigint from catalog.product_metric \
                  where product_uid = $1 and name = $2";
    sqlx::query_scalar(select).bind(format!("prd_{product}")).bind(name).fetch_one(&fixture.pool).await.unwrap()
}

#[tokio::test]
async fn a_missing_product_is_refused_where_that_is_asked() {
    let fixture = Fixture::new().await;
    let channel = || fixture.server.channel();
    write(channel(), PRODUCTS, WriteStart::default(), &[product("here", ""), product("there", "")]).await.1.unwrap();
    let rows =
        [metric("here", "m", "1"), metric("gone", "m", "2"), metric("there", "m", "3"), metric("gone", "n", "4")];

    let start = WriteStart {
        reference_check: ReferenceCheck::Reject.into(),
        on_row_error: RowErrorPolicy::Skip.into(),
        ..WriteStart::default()
    };
    let (totals, end) = write(channel(), METRICS, start.clone(), &rows).await;
    end.unwrap();
    assert_eq!(totals.counts(), [2, 0, 0, 2, 0]);
    for (error, offset) in totals.errors.iter().zip([1, 3]) {
        assert_eq!((error.offset, Code::from_i32(error.code)), (offset, Code::FailedPrecondition));
        assert_eq!((error.field.as_str(), error.reason()), ("product_uid", ErrorReason::ReferenceMissing));
        assert!(error.message.contains("prd_gone"), "{error:?}");
    }
    assert_eq!(fixture.count("catalog.product_metric").await, 2);

    let stop = WriteStart { on_row_error: RowErrorPolicy::Stop.into(), ..start };
    let (totals, end) = write(channel(), METRICS, stop, &rows).await;
    let status = end.unwrap_err();
    let metadata = assert_status(&status, Code::InvalidArgument, "ROW_REJECTED");
    assert_eq!(
        (metadata["offset"].as_str(), violated(&status).as_str()),
        ("1", "chunk.product_metrics[1].product_uid")
    );
    assert_eq!((totals.committed_offset, totals.rejected), (0, 2));

    for check in [ReferenceCheck::Accept, ReferenceCheck::Unspecified] {
        let start = WriteStart { reference_check: check.into(), ..WriteStart::default() };
        let (totals, end) = write(channel(), METRICS, start, &rows).await;
        end.unwrap();
        assert_eq!(totals.rejected, 0);
    }
    assert_eq!(fixture.count("catalog.product_metric").await, 4);
}

#[tokio::test]
async fn a_missing_product_costs_its_chunk_and_not_those_that_share_the_commit() {
    let fixture = Fixture::new().await;
    let channel = || fixture.server.channel();
    write(channel(), PRODUCTS, WriteStart::default(), &[product("here", "")]).await.1.unwrap();
    for (policy, committed) in [(RowErrorPolicy::Stop, 7), (RowErrorPolicy::Skip, 12)] {
        let name = policy.as_str_name().to_lowercase();
        let held = fixture.hold("catalog.product_metric").await;
        let start = WriteStart {
            reference_check: ReferenceCheck::Reject.into(),
            on_row_error: policy.into(),
            ..WriteStart::default()
        };
        let stream = WriteStream::open(channel(), METRICS, start).await.unwrap();
        stream.send(0, &[metric("here", &name, "0")]).await;
        fixture.until_blocked().await;
        for offset in 1..12 {
            let product = if offset == 7 { "gone" } else { "here" };
            stream.send(offset, &[metric(product, &format!("{name}.{offset}"), "1")]).await;
        }
        held.rollback().await.unwrap();
        let (totals, end) = stream.finish().await;
        assert_eq!((totals.committed_offset, totals.rejected), (committed, 1));
        assert_eq!((totals.errors[0].offset, totals.errors[0].reason()), (7, ErrorReason::ReferenceMissing));
        assert_eq!(end.is_ok(), policy == RowErrorPolicy::Skip);
        let written = format!("catalog.product_metric where name like '{name}%'");
        assert_eq!(fixture.count(&written).await, committed - i64::from(end.is_ok()));
    }
}

#[tokio::test]
async fn the_latest_value_stays_whatever_the_order_in_which_values_come() {
    let fixture = Fixture::new().await;
    let channel = || fixture.server.channel();
    let rows = [at(300, metric("a", "m", "3")), at(200, metric("b", "m", "2")), at(100, metric("c", "m", "1"))];
    write(channel(), METRICS, WriteStart::default(), &rows).await.1.unwrap();
    let rows = [at(200, metric("a", "m", "2")), at(200, metric("b", "m", "2.0")), at(200, metric("c", "m", "2"))];
    let (totals, end) = write(channel(), METRICS, WriteStart::default(), &rows).await;
    end.unwrap();
    assert_eq!(totals.counts(), [0, 2, 1, 0, 0]);
    assert_eq!(value(&fixture, "a", "m").await, "3 at 300");
    assert_eq!(value(&fixture, "b", "m").await, "2.0 at 200", "the digits that were sent are kept");
    assert_eq!(value(&fixture, "c", "m").await, "2 at 200");

    // Within one chunk as well.
    let rows = [
        at(500, metric("d", "m", "5")),
        at(400, metric("d", "m", "4")),
        at(600, metric("e", "m", "6")),
        at(600, metric("e", "m", "6.5")),
        at(1, metric("f", "m", "0")),
        metric("f", "m", "7"),
        at(1, metric("f", "m", "1")),
    ];
    let (totals, end) = write(channel(), METRICS, WriteStart::default(), &rows).await;
    end.unwrap();
    assert_eq!(totals.counts(), [3, 0, 0, 0, 4]);
    assert_eq!(value(&fixture, "d", "m").await, "5 at 500", "the newer row wins, though it came first");
    assert_eq!(value(&fixture, "e", "m").await, "6.5 at 600", "of two as old the later one wins");
    assert!(value(&fixture, "f", "m").await.starts_with("7 at 1"), "a row without a time is of now");
}

#[tokio::test]
async fn both_parts_make_the_key() {
    let fixture = Fixture::new().await;
    let mut stream = WriteStream::open(fixture.server.channel(), METRICS, WriteStart::default()).await.unwrap();
    stream.send(0, &[metric("a", "m", "1"), metric("a", "n", "2"), metric("b", "m", "3"), metric("a", "m", "4")]).await;
    assert_eq!(stream.acknowledged(4).await.unwrap().counts(), [3, 0, 0, 0, 1]);
    stream.send(4, &[metric("a", "m", "5"), metric("c", "m", "6")]).await;
    assert_eq!(stream.acknowledged(6).await.unwrap().counts(), [1, 1, 0, 0, 0]);
    assert!(value(&fixture, "a", "m").await.starts_with("5 at"));
    assert!(value(&fixture, "a", "n").await.starts_with("2 at"));
}
