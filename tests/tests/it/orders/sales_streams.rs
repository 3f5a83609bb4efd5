//! The stream of sales: pages, tokens, windows and limits.

use std::time::Duration;

use orrery_proto::orders::v1::{ProductSales, StreamProductSalesRequest};
use tonic::Code;

use super::fixture::Fixture;
use super::sales::{SOLD, expected, many, pages, put, request, rows};
use crate::harness::plan::{Log, explain, nodes};
use crate::harness::wire::WireLimits;
use crate::harness::{Role, TestDatabase, assert_invalid, refusal};

#[tokio::test(flavor = "multi_thread")]
async fn every_token_goes_on_without_a_gap_or_a_repeat() {
    let fixture = Fixture::new().await;
    let sales = many();
    put(&fixture, &sales).await;
    let all = expected(&sales, "Europe/London", "2011-03-01", "2011-10-30", &SOLD);
    let small = StreamProductSalesRequest { page_size: 3, ..request("2011-03-01", "2011-10-30", "Europe/London") };
    let mut client = fixture.server.client();
    let pages_seen = pages(&mut client, small.clone()).await.unwrap();
    let mut passed = 0;
    for (rows_of_page, token) in pages_seen {
        assert!(rows_of_page.len() <= 3);
        assert_eq!(rows_of_page, all[passed..passed + rows_of_page.len()]);
        passed += rows_of_page.len();
        // The page size may change between streams.
        let rest = StreamProductSalesRequest { resume_token: token, page_size: 50, ..small.clone() };
        assert_eq!(rows(&fixture, rest).await, all[passed..]);
    }
    assert_eq!(passed, all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_belongs_to_what_was_asked() {
    let fixture = Fixture::new().await;
    put(&fixture, &many()).await;
    let mut client = fixture.server.client();
    let asked = StreamProductSalesRequest { page_size: 1, ..request("2011-03-01", "2011-10-30", "Europe/London") };
    let token = pages(&mut client, asked.clone()).await.unwrap().remove(0).1;
    let same = StreamProductSalesRequest { resume_token: token, ..asked };
    for other in [
        StreamProductSalesRequest { day_from: "2011-03-02".to_owned(), ..same.clone() },
        StreamProductSalesRequest { day_to: "2011-10-29".to_owned(), ..same.clone() },
        StreamProductSalesRequest { time_zone: "UTC".to_owned(), ..same.clone() },
        StreamProductSalesRequest { phases: vec!["closed".to_owned()], ..same.clone() },
        StreamProductSalesRequest { recent_days: vec![7], ..same.clone() },
    ] {
        assert_invalid(client.stream_product_sales(other).await, "TOKEN_MISMATCH", "resume_token");
    }
    for token in ["x", "AAAA", &format!("{}A", same.resume_token)] {
        let broken = StreamProductSalesRequest { resume_token: token.to_owned(), ..same.clone() };
        assert_invalid(client.stream_product_sales(broken).await, "TOKEN_INVALID", "resume_token");
    }
    assert!(pages(&mut client, same).await.is_ok());
}

/// 60,000 lines of 300 products on 40 days, a third of them of one product; and the result according to Postgres.
async fn large(fixture: &Fixture) -> Vec<ProductSales> {
    fixture
        .run(
            "insert into orders.order_header (uid, currency_code, status, create_ts) \
             select 'ord_' || lpad(n::text, 7, '0'), case when n % 5 = 0 then 'EUR' else 'GBP' end, \
                    '{\"phase\": \"closed\"}', timestamptz '2011-03-01 00:00:00+00' + n * interval '5 minutes' \
               from generate_series(1, 12000) n; \
             insert into orders.order_line_item (order_uid, uid, line_number, product_uid, quantity, unit_price) \
             select 'ord_' || lpad(n::text, 7, '0'), 'oli_' || l, l, \
                    case when (n + l) % 3 = 0 then 'prd_0150' else 'prd_' || lpad(((n * 7 + l * 13) % 300)::text, 4, \
                    '0') end, \
                    n % 7 - 2, (n % 1000) * 0.01 \
               from generate_series(1, 12000) n, generate_series(1, 5) l; \
             analyze orders.order_header, orders.order_line_item",
        )
        .await;
    let sums = "select l.product_uid, ((h.create_ts at time zone 'Europe/London')::date)::text, h.currency_code, \
                       count(distinct h.uid), sum(l.quantity), sum(l.quantity * l.unit_price)::text \
                  from orders.order_header h join orders.order_line_item l on l.order_uid = h.uid \
                 group by 1, 2, 3 order by 1, 2, 3";
    let rows: Vec<(String, String, String, i64, i64, String)> =
        sqlx::query_as(sums).fetch_all(&fixture.pool).await.unwrap();
    assert!(rows.len() > 5_000);
    rows.into_iter()
        .map(|(product_uid, day, currency_code, orders, units, gross)| ProductSales {
            product_uid,
            day,
            currency_code,
            orders,
            units,
            gross,
            recent: Vec::new(),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_window_reads_lines_order_by_order() {
    let database = Log::server().await.create_database().await;
    let mut operator = database.connect(Role::Operator).await;
    let fixture = Fixture::on(database, |config| {
        config.service.stream.progress_interval = Duration::from_millis(2);
    })
    .await;
    let all = large(&fixture).await;
    let mut log = Log::new(&mut operator, Role::Orders).await;
    for recent_days in [vec![], vec![7, 30]] {
        let asked = StreamProductSalesRequest { recent_days, ..request("2011-01-01", "2011-12-31", "Europe/London") };
        let is_by_day = asked.recent_days.is_empty();
        let found = rows(&fixture, asked).await;
        assert!(if is_by_day { found == all } else { found.len() < all.len() });
        let selects = log.selects(&mut operator).await;
        let windows: Vec<_> = selects.iter().filter(|select| select.contains("l.product_uid <= ")).collect();
        assert!(windows.len() > 1, "{selects:?}");
        for select in windows {
            let plan = explain(&mut operator, select).await;
            let lines = nodes(&plan).into_iter().filter(|node| node["Relation Name"] == "order_line_item");
            let scans: Vec<u64> = lines.map(|node| node["Actual Loops"].as_u64().unwrap()).collect();
            assert!(!scans.is_empty() && scans.iter().all(|&loops| loops <= 8), "{select}: {plan:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_long_is_walked_in_windows_and_says_where_it_is() {
    let fixture = Fixture::with(|config| config.service.stream.progress_interval = Duration::from_millis(2)).await;
    let all = large(&fixture).await;
    let asked = request("2011-01-01", "2011-12-31", "Europe/London");
    let mut client = fixture.server.client();
    let seen = pages(&mut client, asked.clone()).await.unwrap();
    let found: Vec<ProductSales> = seen.iter().flat_map(|(rows, _)| rows.clone()).collect();
    assert!(found == all, "{} rows for {}", found.len(), all.len());
    assert!(seen.iter().any(|(rows, _)| rows.is_empty()), "a silence was broken by an empty page");
    assert!(seen.iter().filter(|(rows, _)| !rows.is_empty()).count() > 1, "there were windows");
    // The tokens of windows, including those of empty pages, continue at the right place.
    let mut passed = 0;
    for (at, (rows_of_page, token)) in seen.iter().enumerate() {
        passed += rows_of_page.len();
        if at % 16 == 0 || rows_of_page.is_empty() && at < 6 {
            let rest = StreamProductSalesRequest { resume_token: token.clone(), ..asked.clone() };
            let rest = rows(&fixture, rest).await;
            assert!(rest == all[passed..], "{} rows after {passed} of {}", rest.len(), all.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stays_within_the_limits_of_a_query() {
    for (rows_limit, bytes_limit) in [(100, 1 << 20), (100_000, 20_000)] {
        // The server has the same limit on rows as the service: a larger query fails the test.
        let limits = WireLimits { query_rows: rows_limit as u64, ..WireLimits::default() };
        let fixture = Fixture::on(TestDatabase::limited(limits).await, |config| {
            config.service.limits.max_query_rows = rows_limit;
            config.service.limits.max_result_bytes = bytes_limit;
            config.service.stream.page_bytes = 4_096;
        })
        .await;
        let all = large(&fixture).await;
        let asked =
            StreamProductSalesRequest { page_size: 1_000, ..request("2011-03-10", "2011-03-14", "Europe/London") };
        let all: Vec<_> =
            all.into_iter().filter(|row| ("2011-03-10"..="2011-03-14").contains(&row.day.as_str())).collect();
        let seen = pages(&mut fixture.server.client(), asked).await.unwrap();
        let found: Vec<ProductSales> = seen.into_iter().flat_map(|(rows, _)| rows).collect();
        assert!(found == all, "{} rows for {}", found.len(), all.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_of_the_size_that_is_aimed_at() {
    let fixture = Fixture::with(|config| config.service.stream.page_bytes = 4_096).await;
    let all = large(&fixture).await;
    let seen = pages(&mut fixture.server.client(), request("2011-01-01", "2011-12-31", "Europe/London")).await.unwrap();
    let sizes: Vec<usize> = seen.iter().map(|(rows, _)| rows.len()).collect();
    assert!(
        sizes.iter().all(|&rows| rows <= 120) && sizes.iter().filter(|&&rows| rows >= 40).count() > 10,
        "{sizes:?}"
    );
    assert_eq!(sizes.iter().sum::<usize>(), all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_with_the_callers_deadline() {
    let fixture = Fixture::new().await;
    large(&fixture).await;
    // Whoever locks the table blocks the query.
    let mut holder = fixture.pool.begin().await.unwrap();
    sqlx::query("lock table orders.order_line_item").execute(&mut *holder).await.unwrap();
    let mut hurried = tonic::Request::new(request("2011-01-01", "2011-12-31", "UTC"));
    hurried.metadata_mut().insert("grpc-timeout", "700m".parse().unwrap());
    let mut stream = fixture.server.client().stream_product_sales(hurried).await.unwrap().into_inner();
    let ended = loop {
        match stream.message().await {
            Ok(Some(page)) => assert_eq!(page.product_sales, []),
            Ok(None) => unreachable!("a stream that was cut off looks whole"),
            Err(status) => break status,
        }
    };
    assert_eq!(refusal(&ended).code, Code::DeadlineExceeded, "{ended:?}");
}
