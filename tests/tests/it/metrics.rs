//! Metrics: the latest value of each is stored with the digits that were sent.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use orrery_proto::catalog::v1::write_product_metrics_request::{Chunk, Payload};
use orrery_proto::catalog::v1::{
    GetProductMetricsRequest, ProductMetric, ProductMetricFilter, StreamProductMetricsRequest,
    WriteProductMetricsRequest,
};
use orrery_proto::r#type::v1::{ErrorReason, ReferenceCheck, RowErrorPolicy, TimeRange, WriteResponse, WriteStart};
use tokio_stream::StreamExt as _;
use tonic::Status;

use crate::harness::{CatalogServer, Role, TestDatabase, assert_invalid, metric, refusal, run, timestamp};

/// Whether a metric matches a filter.
type Passes = fn(&ProductMetric) -> bool;

/// Products `prd_a` and `prd_b`.
async fn start() -> (TestDatabase, CatalogServer) {
    let database = TestDatabase::create().await;
    run(&mut database.connect(Role::Operator).await, "insert into catalog.product (uid) values ('prd_a'), ('prd_b')")
        .await;
    let server = CatalogServer::start(&database).await;
    (database, server)
}

async fn write(
    server: &CatalogServer,
    start: WriteStart,
    product_metrics: Vec<ProductMetric>,
) -> Result<WriteResponse, Status> {
    let requests = [Payload::Start(start), Payload::Chunk(Chunk { offset: 0, product_metrics })]
        .map(|message| WriteProductMetricsRequest { payload: Some(message) });
    let mut answers = server.client().write_product_metrics(tokio_stream::iter(requests)).await?.into_inner();
    let answer = answers.message().await?.unwrap();
    match answers.message().await? {
        None => Ok(answer),
        Some(more) => unreachable!("{more:?}"),
    }
}

async fn upsert(server: &CatalogServer, product_metrics: Vec<ProductMetric>) -> [i64; 3] {
    let answer = write(server, WriteStart::default(), product_metrics).await.unwrap();
    [answer.created, answer.updated, answer.unchanged]
}

async fn get(server: &CatalogServer, product_uid: &str) -> Vec<ProductMetric> {
    let request = GetProductMetricsRequest { product_uid: product_uid.to_owned(), read_mask: None };
    server.client().get_product_metrics(request).await.unwrap().into_inner().product_metrics
}

#[tokio::test]
async fn the_latest_value_stays() {
    let (_database, server) = start().await;
    let sales = |value: &str, as_of: i64| metric("prd_a", "sales_28d", value, as_of);
    assert_eq!(upsert(&server, vec![sales("10", 100)]).await, [1, 0, 0]);
    assert_eq!(upsert(&server, vec![sales("10", 100)]).await, [0, 0, 1], "the same again");
    assert_eq!(upsert(&server, vec![sales("9", 99)]).await, [0, 0, 1], "older");
    assert_eq!(get(&server, "prd_a").await, [sales("10", 100)]);
    assert_eq!(upsert(&server, vec![sales("11", 100)]).await, [0, 1, 0], "as old");
    assert_eq!(upsert(&server, vec![sales("11", 101)]).await, [0, 1, 0], "measured again");
    assert_eq!(upsert(&server, vec![sales("12", 102)]).await, [0, 1, 0], "newer");
    assert_eq!(get(&server, "prd_a").await, [sales("12", 102)]);
    // For one product, some are newer and some older.
    let mixed = vec![sales("1", 1), metric("prd_a", "views", "5", 1), metric("prd_b", "sales_28d", "7", 1)];
    assert_eq!(upsert(&server, mixed).await, [2, 0, 1]);
    assert_eq!(get(&server, "prd_a").await, [sales("12", 102), metric("prd_a", "views", "5", 1)]);
    assert_eq!(get(&server, "prd_b").await, [metric("prd_b", "sales_28d", "7", 1)]);
    assert_eq!(get(&server, "prd_none").await, []);
}

#[tokio::test]
async fn a_metric_without_a_time_is_measured_now() {
    let (_database, server) = start().await;
    let unmeasured = |value: &str| ProductMetric { as_of_ts: None, ..metric("prd_a", "stock", value, 0) };
    assert_eq!(upsert(&server, vec![unmeasured("1")]).await, [1, 0, 0]);
    let first = get(&server, "prd_a").await[0].as_of_ts.unwrap();
    assert!(first.seconds > 1_700_000_000);
    assert_eq!(upsert(&server, vec![unmeasured("1")]).await, [0, 0, 1], "a run again changes nothing");
    assert_eq!(get(&server, "prd_a").await[0].as_of_ts, Some(first));
    assert_eq!(upsert(&server, vec![unmeasured("2")]).await, [0, 1, 0]);
    assert!(get(&server, "prd_a").await[0].as_of_ts.unwrap().nanos != first.nanos);
}

#[tokio::test]
async fn digits_are_kept_as_they_were_sent() {
    let (_database, server) = start().await;
    let values = [
        "0",
        "0.0",
        "1.50",
        "1.5",
        "-1.50",
        "-0.000000000000000001",
        "12345678901234567890.123456789012345678",
        "9999999999999999999999999999999999.999999999999999999",
        "0.10",
    ];
    for value in values {
        upsert(&server, vec![metric("prd_a", "value", value, 5)]).await;
        assert_eq!(get(&server, "prd_a").await[0].value, value);
        assert_eq!(upsert(&server, vec![metric("prd_a", "value", value, 5)]).await, [0, 0, 1], "{value}");
    }
    // Another notation of the same digits.
    for (sent, kept) in [("007", "7"), ("-0", "0"), ("-0.00", "0.00"), ("00.50", "0.50")] {
        upsert(&server, vec![metric("prd_b", "value", sent, 5)]).await;
        assert_eq!(get(&server, "prd_b").await[0].value, kept);
        assert_eq!(upsert(&server, vec![metric("prd_b", "value", sent, 5)]).await, [0, 0, 1], "{sent}");
    }
    let longest = "1".repeat(35);
    let finest = format!("1.{}", "1".repeat(19));
    for value in
        ["", "x", "1.", ".5", "1e5", "NaN", "Infinity", "1,5", " 1", "1 ", "0x1", "--1", "\0", &longest, &finest]
    {
        let refused = write(&server, WriteStart::default(), vec![metric("prd_a", "value", value, 9)]).await;
        assert_invalid(refused_status(refused), "ROW_REJECTED", "chunk.product_metrics[0].value");
    }
    for name in ["", "Sales", "1st", "_x", "a b", "é", "a\0", &"n".repeat(64)] {
        let refused = write(&server, WriteStart::default(), vec![metric("prd_a", name, "1", 9)]).await;
        assert_invalid(refused_status(refused), "ROW_REJECTED", "chunk.product_metrics[0].name");
    }
    let unit = ProductMetric { unit: "u".repeat(33), ..metric("prd_a", "value", "1", 9) };
    let refused = write(&server, WriteStart::default(), vec![unit]).await;
    assert_invalid(refused_status(refused), "ROW_REJECTED", "chunk.product_metrics[0].unit");
}

/// The error of a stream that first reported the row.
fn refused_status(answer: Result<WriteResponse, Status>) -> Result<(), Status> {
    answer.map(drop)
}

#[tokio::test]
async fn values_of_other_programs_are_read_as_postgres_prints_them() {
    let (database, server) = start().await;
    run(
        &mut database.connect(Role::Operator).await,
        "insert into catalog.product_metric (product_uid, name, value, unit, as_of_ts) values \
         ('prd_a', 'a', 1e30, '', 'infinity'), ('prd_a', 'b', 'NaN', 'x', '-infinity'), ('prd_a', 'c', 1e-30, '', \
         'epoch'), \
         ('prd_a', 'd', 'Infinity', '', 'epoch'), ('prd_a', 'Odd Name!', -0.00, '', 'epoch')",
    )
    .await;
    let metrics = get(&server, "prd_a").await;
    let values: Vec<(&str, &str)> =
        metrics.iter().map(|metric| (metric.name.as_str(), metric.value.as_str())).collect();
    assert_eq!(
        values,
        [
            ("Odd Name!", "0.00"),
            ("a", "1000000000000000000000000000000"),
            ("b", "NaN"),
            ("c", "0.000000000000000000000000000001"),
            ("d", "Infinity"),
        ]
    );
}

#[tokio::test]
async fn a_metric_of_no_product_is_taken_unless_references_are_checked() {
    let (_database, server) = start().await;
    let rows = || vec![metric("prd_a", "m", "1", 1), metric("prd_none", "m", "1", 1), metric("prd_b", "m", "1", 1)];
    let reject = |on_row_error: RowErrorPolicy| WriteStart {
        reference_check: ReferenceCheck::Reject.into(),
        on_row_error: on_row_error.into(),
        ..Default::default()
    };
    let refused = write(&server, reject(RowErrorPolicy::Stop), rows()).await;
    assert_invalid(refused_status(refused), "ROW_REJECTED", "chunk.product_metrics[1].product_uid");
    assert_eq!(get(&server, "prd_a").await, [], "nothing of the chunk was written");

    let answer = write(&server, reject(RowErrorPolicy::Skip), rows()).await.unwrap();
    assert_eq!((answer.created, answer.rejected, answer.committed_offset), (2, 1, 3));
    let error = &answer.row_errors[0];
    assert_eq!((error.offset, error.code, error.field.as_str()), (1, 9, "product_uid"));
    assert_eq!(error.reason(), ErrorReason::ReferenceMissing);
    assert_eq!(get(&server, "prd_none").await, []);

    assert_eq!(upsert(&server, rows()).await, [1, 0, 2]);
    assert_eq!(get(&server, "prd_none").await.len(), 1);
}

#[tokio::test]
async fn metrics_are_filtered() {
    let (_database, server) = start().await;
    let mut all = Vec::new();
    for product in ["prd_a", "prd_b", "prd_c"] {
        for (at, name) in ["sales", "views"].into_iter().enumerate() {
            all.push(metric(product, name, "1", 100 + at as i64));
        }
    }
    upsert(&server, all.clone()).await;
    let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let range =
        |start: Option<i64>, end: Option<i64>| Some(TimeRange { start: start.map(timestamp), end: end.map(timestamp) });
    let cases: [(ProductMetricFilter, Passes); 6] = [
        (ProductMetricFilter::default(), |_| true),
        (
            ProductMetricFilter { product_uids: strings(&["prd_c", "prd_a", "prd_none"]), ..Default::default() },
            |metric| metric.product_uid != "prd_b",
        ),
        (ProductMetricFilter { names: strings(&["views"]), ..Default::default() }, |metric| metric.name == "views"),
        (ProductMetricFilter { names: strings(&["views", "sales", "none"]), ..Default::default() }, |_| true),
        (ProductMetricFilter { as_of: range(Some(101), None), ..Default::default() }, |metric| metric.name == "views"),
        (
            ProductMetricFilter {
                product_uids: strings(&["prd_b"]),
                names: strings(&["sales"]),
                as_of: range(Some(100), Some(101)),
            },
            |metric| metric.product_uid == "prd_b" && metric.name == "sales",
        ),
    ];
    for (filter, passes) in cases {
        let request = StreamProductMetricsRequest { filter: Some(filter.clone()), ..Default::default() };
        let pages = server.client().stream_product_metrics(request).await.unwrap().into_inner();
        let found: Vec<ProductMetric> =
            pages.map(|page| page.unwrap().product_metrics).collect::<Vec<_>>().await.concat();
        let expected: Vec<ProductMetric> = all.iter().filter(|metric| passes(metric)).cloned().collect();
        assert_eq!(found, expected, "{filter:?}");
    }
    let wrong = [
        (ProductMetricFilter { product_uids: strings(&["prd_a", ""]), ..Default::default() }, "filter.product_uids[1]"),
        (
            ProductMetricFilter { product_uids: vec!["prd_a".to_owned(); 1_001], ..Default::default() },
            "filter.product_uids",
        ),
        (ProductMetricFilter { names: vec!["a".to_owned(); 65], ..Default::default() }, "filter.names"),
        (ProductMetricFilter { names: strings(&[""]), ..Default::default() }, "filter.names"),
        (ProductMetricFilter { as_of: range(Some(2), Some(1)), ..Default::default() }, "filter.as_of.end"),
        (ProductMetricFilter { as_of: range(Some(i64::MAX), None), ..Default::default() }, "filter.as_of.start"),
    ];
    for (filter, field) in wrong {
        let request = StreamProductMetricsRequest { filter: Some(filter), ..Default::default() };
        let refused = server.client().stream_product_metrics(request).await.map(drop);
        assert_invalid(refused, "FIELD_INVALID", field);
    }
}

#[tokio::test]
async fn more_metrics_than_one_answer_holds_are_said_to_be_too_many() {
    let (database, server) = start().await;
    let mut operator = database.connect(Role::Operator).await;
    let insert = |product: &str, count: usize| {
        format!(
            "insert into catalog.product_metric (product_uid, name, value) select '{product}', 'm' || n, n from \
             generate_series(1, {count}) n"
        )
    };
    run(&mut operator, &insert("prd_a", 10_000)).await;
    run(&mut operator, &insert("prd_b", 10_001)).await;
    assert_eq!(get(&server, "prd_a").await.len(), 10_000);
    let request = GetProductMetricsRequest { product_uid: "prd_b".to_owned(), read_mask: None };
    let refused = refusal(&server.client().get_product_metrics(request).await.unwrap_err());
    assert_eq!(refused.code, tonic::Code::ResourceExhausted);
    for product_uid in ["", "prd_\0"] {
        let request = GetProductMetricsRequest { product_uid: product_uid.to_owned(), read_mask: None };
        assert_invalid(server.client().get_product_metrics(request).await, "FIELD_INVALID", "product_uid");
    }
}
