//! Sales by product, day and currency.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use orrery_kit::decimal::Decimal;
use orrery_proto::orders::v1::orders_service_client::OrdersServiceClient;
use orrery_proto::orders::v1::{ProductSales, RecentSales, StreamProductSalesRequest};
use tonic::Status;
use tonic::transport::Channel;

use super::fixture::Fixture;
use crate::harness::assert_invalid;

pub(super) const SOLD: [&str; 5] = ["confirmed", "provisioning", "fulfilled", "closed", "returned"];

/// A sale: order, time, currency, phase; product, quantity, amount.
#[derive(Clone, Debug)]
pub(super) struct Sale {
    order: usize,
    at: DateTime<Utc>,
    currency: &'static str,
    phase: &'static str,
    product: usize,
    quantity: i32,
    price: String,
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn sale(order: usize, at: &str, product: usize, quantity: i32, price: &str) -> Sale {
    let (at, price) = (instant(at), price.to_owned());
    Sale { order, at, currency: "GBP", phase: "fulfilled", product, quantity, price }
}

/// Inserts the sales without the service, each as a line of its order.
pub(super) async fn put(fixture: &Fixture, sales: &[Sale]) {
    let orders: BTreeMap<usize, &Sale> = sales.iter().map(|sale| (sale.order, sale)).collect();
    for (number, order) in orders {
        let status = serde_json::json!({"phase": order.phase}).to_string();
        sqlx::query(
            "insert into orders.order_header (uid, currency_code, status, create_ts) \
             values ('ord_' || $1, $2, $3::jsonb, $4::timestamptz)",
        )
        .bind(number.to_string())
        .bind(order.currency)
        .bind(status)
        .bind(order.at.to_rfc3339())
        .execute(&fixture.pool)
        .await
        .unwrap_or_else(|error| unreachable!("{error}"));
    }
    for (at, sale) in sales.iter().enumerate() {
        sqlx::query(
            "insert into orders.order_line_item (order_uid, uid, line_number, product_uid, quantity, unit_price) \
             values ('ord_' || $1, 'oli_' || $2, 1, 'prd_' || $3, $4, $5::numeric)",
        )
        .bind(sale.order.to_string())
        .bind(at.to_string())
        .bind(sale.product.to_string())
        .bind(sale.quantity)
        .bind(&sale.price)
        .execute(&fixture.pool)
        .await
        .unwrap();
    }
}

/// The sales of a product on one day in one currency.
#[derive(Default)]
struct Sold {
    orders: BTreeSet<usize>,
    units: i64,
    gross: Option<Decimal>,
}

/// The expected result.
pub(super) fn expected(sales: &[Sale], zone: &str, from: &str, to: &str, phases: &[&str]) -> Vec<ProductSales> {
    let zone: Tz = zone.parse().unwrap();
    let mut sums: BTreeMap<(String, String, String), Sold> = BTreeMap::new();
    for sale in sales.iter().filter(|sale| phases.contains(&sale.phase)) {
        let day = sale.at.with_timezone(&zone).date_naive().to_string();
        if day.as_str() < from || day.as_str() > to {
            continue;
        }
        let key = (format!("prd_{}", sale.product), day, sale.currency.to_owned());
        let sold = sums.entry(key).or_default();
        let price: Decimal = sale.price.parse().unwrap();
        let amount = Decimal::from(i64::from(sale.quantity)).checked_mul(&price).unwrap();
        sold.orders.insert(sale.order);
        sold.units += i64::from(sale.quantity);
        sold.gross = Some(sold.gross.take().map_or(Ok(amount.clone()), |gross| gross.checked_add(&amount)).unwrap());
    }
    sums.into_iter()
        .map(|((product_uid, day, currency_code), sold)| ProductSales {
            product_uid,
            day,
            currency_code,
            orders: sold.orders.len() as i64,
            units: sold.units,
            gross: sold.gross.unwrap().to_string(),
            recent: Vec::new(),
        })
        .collect()
}

/// The expected sums of a whole period and of its last days.
pub(super) fn expected_sums(
    sales: &[Sale],
    zone: &str,
    from: &str,
    to: &str,
    recent_days: &[i32],
) -> Vec<ProductSales> {
    let last: chrono::NaiveDate = to.parse().unwrap();
    let whole = |from: &str| {
        let mut sums: BTreeMap<(String, String), (BTreeSet<usize>, i64, Decimal)> = BTreeMap::new();
        let zone: Tz = zone.parse().unwrap();
        for sale in sales.iter().filter(|sale| SOLD.contains(&sale.phase)) {
            let day = sale.at.with_timezone(&zone).date_naive().to_string();
            if day.as_str() < from || day.as_str() > to {
                continue;
            }
            let key = (format!("prd_{}", sale.product), sale.currency.to_owned());
            let none = || (BTreeSet::new(), 0, Decimal::from(0));
            let (orders, units, gross) = sums.entry(key).or_insert_with(none);
            let price: Decimal = sale.price.parse().unwrap();
            let amount = Decimal::from(i64::from(sale.quantity)).checked_mul(&price).unwrap();
            orders.insert(sale.order);
            *units += i64::from(sale.quantity);
            *gross = gross.checked_add(&amount).unwrap();
        }
        sums
    };
    let recent: Vec<_> = recent_days
        .iter()
        .map(|&days| {
            let first = (last - chrono::Duration::days(i64::from(days) - 1)).to_string();
            (days, whole(&first.max(from.to_owned())))
        })
        .collect();
    whole(from)
        .into_iter()
        .map(|(key, (orders, units, gross))| ProductSales {
            recent: recent
                .iter()
                .map(|(days, sums)| {
                    let (units, gross) = sums.get(&key).map_or((0, Decimal::from(0)), |sum| (sum.1, sum.2.clone()));
                    RecentSales { days: *days, units, gross: gross.to_string() }
                })
                .collect(),
            product_uid: key.0,
            day: String::new(),
            currency_code: key.1,
            orders: orders.len() as i64,
            units,
            gross: gross.to_string(),
        })
        .collect()
}

/// Rows whose amounts are compared as numbers: Postgres keeps the digits of all that it adds.
pub(super) fn in_numbers(rows: Vec<ProductSales>) -> Vec<ProductSales> {
    let number = |text: &str| {
        let number = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
        number.to_owned()
    };
    let mut rows = rows;
    for row in &mut rows {
        row.gross = number(&row.gross);
        for recent in &mut row.recent {
            recent.gross = number(&recent.gross);
        }
    }
    rows
}

pub(super) fn request(from: &str, to: &str, zone: &str) -> StreamProductSalesRequest {
    StreamProductSalesRequest {
        day_from: from.to_owned(),
        day_to: to.to_owned(),
        time_zone: zone.to_owned(),
        ..StreamProductSalesRequest::default()
    }
}

/// All pages with their tokens.
pub(super) async fn pages(
    client: &mut OrdersServiceClient<Channel>,
    request: StreamProductSalesRequest,
) -> Result<Vec<(Vec<ProductSales>, String)>, Status> {
    let mut stream = client.stream_product_sales(request).await?.into_inner();
    let mut pages = Vec::new();
    while let Some(page) = stream.message().await? {
        assert_ne!(page.resume_token, "");
        pages.push((page.product_sales, page.resume_token));
    }
    Ok(pages)
}

pub(super) async fn rows(fixture: &Fixture, request: StreamProductSalesRequest) -> Vec<ProductSales> {
    let pages = pages(&mut fixture.server.client(), request).await.unwrap();
    pages.into_iter().flat_map(|(rows, _)| rows).collect()
}

/// Sales of all kinds around both clock changes of 2011, the same each time.
pub(super) fn many() -> Vec<Sale> {
    let mut state = 7_u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut sales = Vec::new();
    for order in 0..150 {
        let start = instant(["2011-03-25T00:00:00Z", "2011-10-28T00:00:00Z"][order % 2]);
        let at = start + chrono::Duration::seconds(next(5 * 86_400) as i64);
        let currency = ["GBP", "EUR", "USD"][next(3) as usize];
        let phase = ["draft", "cancelled", "fulfilled", "returned", "confirmed", "theirs"][next(6) as usize];
        for _ in 0..next(5) {
            let price = ["1.50", "0.001", "12345.6789", "-3.25", "7", "0"][next(6) as usize].to_owned();
            let (product, quantity) = (next(9) as usize, next(41) as i32 - 20);
            sales.push(Sale { order, at, currency, phase, product, quantity, price });
        }
    }
    sales
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sums_are_those_of_the_lines_in_every_time_zone() {
    let fixture = Fixture::new().await;
    let sales = many();
    put(&fixture, &sales).await;
    for zone in ["UTC", "Europe/London", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "Australia/Lord_Howe"] {
        for (from, to) in [
            ("2011-01-01", "2011-12-31"),
            ("2011-03-27", "2011-03-27"),
            ("2011-03-26", "2011-03-28"),
            ("2011-10-30", "2011-10-30"),
            ("2012-01-01", "2012-12-31"),
        ] {
            let found = rows(&fixture, request(from, to, zone)).await;
            assert_eq!(found, expected(&sales, zone, from, to, &SOLD), "{zone} {from} {to}");
        }
    }
    let all = rows(&fixture, request("2011-01-01", "2011-12-31", "")).await;
    assert!(all.len() > 50);
    assert_eq!(all, expected(&sales, "UTC", "2011-01-01", "2011-12-31", &SOLD));
    let drafts = StreamProductSalesRequest {
        phases: vec!["draft".to_owned(), "theirs".to_owned()],
        ..request("2011-01-01", "2011-12-31", "")
    };
    let found = rows(&fixture, drafts).await;
    assert_eq!(found, expected(&sales, "UTC", "2011-01-01", "2011-12-31", &["draft", "theirs"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_is_summed_up_with_its_last_days() {
    let fixture = Fixture::new().await;
    let sales = many();
    put(&fixture, &sales).await;
    for zone in ["UTC", "Europe/London", "Asia/Kolkata", "Pacific/Apia"] {
        for (from, to) in [("2011-01-01", "2011-12-31"), ("2011-03-26", "2011-03-28"), ("2011-03-01", "2011-10-30")] {
            for recent_days in [&[1, 2, 3_661][..], &[2, 2], &[60]] {
                let asked = StreamProductSalesRequest { recent_days: recent_days.to_vec(), ..request(from, to, zone) };
                let all = in_numbers(rows(&fixture, asked.clone()).await);
                assert_eq!(all, in_numbers(expected_sums(&sales, zone, from, to, recent_days)), "{zone} {from} {to}");
                let mut passed = 0;
                let small = StreamProductSalesRequest { page_size: 4, ..asked };
                for (page, resume_token) in pages(&mut fixture.server.client(), small.clone()).await.unwrap() {
                    passed += page.len();
                    let rest = rows(&fixture, StreamProductSalesRequest { resume_token, ..small.clone() }).await;
                    assert_eq!(in_numbers(rest), all[passed..], "after {passed}");
                }
                assert_eq!(passed, all.len());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_on_which_the_clock_changes_has_the_hours_it_has() {
    let fixture = Fixture::new().await;
    let sales = [
        // In London clocks were set from 1:00 to 2:00 on 27 March 2011: a day of 23 hours.
        sale(1, "2011-03-26T23:59:59.999999Z", 1, 1, "1"),
        sale(2, "2011-03-27T00:00:00Z", 1, 10, "1"),
        sale(3, "2011-03-27T01:00:00Z", 1, 100, "1"),
        sale(4, "2011-03-27T22:59:59.999999Z", 1, 1_000, "1"),
        sale(5, "2011-03-27T23:00:00Z", 1, 10_000, "1"),
        // And from 2:00 back to 1:00 on 30 October: a day of 25.
        sale(6, "2011-10-29T22:59:59.999999Z", 1, 1, "1"),
        sale(7, "2011-10-29T23:00:00Z", 1, 10, "1"),
        sale(8, "2011-10-30T00:30:00Z", 1, 100, "1"),
        sale(9, "2011-10-30T01:30:00Z", 1, 1_000, "1"),
        sale(10, "2011-10-30T23:59:59.999999Z", 1, 10_000, "1"),
        sale(11, "2011-10-31T00:00:00Z", 1, 100_000, "1"),
        // In Brazil they were set from midnight back to 23:00 on 19 February 2011.
        sale(12, "2011-02-20T01:30:00Z", 2, 1, "1"),
        sale(13, "2011-02-20T02:30:00Z", 2, 10, "1"),
        sale(14, "2011-02-20T03:00:00Z", 2, 100, "1"),
    ];
    put(&fixture, &sales).await;
    for (day, zone, units) in [
        ("2011-03-26", "Europe/London", 1),
        ("2011-03-27", "Europe/London", 1_110),
        ("2011-03-28", "Europe/London", 10_000),
        ("2011-10-29", "Europe/London", 1),
        ("2011-10-30", "Europe/London", 11_110),
        ("2011-10-31", "Europe/London", 100_000),
        ("2011-02-19", "America/Sao_Paulo", 11),
        ("2011-02-20", "America/Sao_Paulo", 100),
    ] {
        let found = rows(&fixture, request(day, day, zone)).await;
        let [row] = found.as_slice() else { unreachable!("{day} {found:?}") };
        assert_eq!((row.day.as_str(), row.units), (day, units), "{zone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_are_exact_and_an_order_counts_once() {
    let fixture = Fixture::new().await;
    let sales = [
        sale(1, "2011-03-01T12:00:00Z", 1, 3, "0.001"),
        sale(1, "2011-03-01T12:00:00Z", 1, -1, "2.50"),
        sale(2, "2011-03-01T13:00:00Z", 1, 2_147_483_647, "123456789012345.6789"),
        sale(3, "2011-03-01T13:00:00Z", 2, 1, "2.50"),
    ];
    put(&fixture, &sales).await;
    // A line without a product, a line without an order, and a price in another program's format.
    fixture
        .run(
            "insert into orders.order_line_item (order_uid, uid, line_number, quantity) values ('ord_1', 'oli_x', 9, \
             5); \
             insert into orders.order_line_item (order_uid, uid, line_number, product_uid, quantity) values \
             ('ord_gone', 'oli_x', 9, 'prd_1', 5); \
             insert into orders.order_line_item (order_uid, uid, line_number, product_uid, quantity, unit_price) \
             values ('ord_1', 'oli_y', 9, 'prd_3', 5, 'NaN')",
        )
        .await;
    let found = rows(&fixture, request("2011-03-01", "2011-03-01", "UTC")).await;
    let sums: Vec<_> =
        found.iter().map(|row| (row.product_uid.as_str(), row.orders, row.units, row.gross.as_str())).collect();
    assert_eq!(
        sums,
        [("prd_1", 2, 2_147_483_649, "265121435515141626548860.4513"), ("prd_2", 1, 1, "2.50"), ("prd_3", 1, 5, "NaN"),]
    );
    let own: Vec<_> = expected(&sales, "UTC", "2011-03-01", "2011-03-01", &SOLD);
    assert_eq!(&found[..2], own);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_are_named() {
    let fixture = Fixture::new().await;
    let mut client = fixture.server.client();
    let good = request("2011-03-01", "2011-03-02", "Europe/London");
    for (request, field) in [
        (StreamProductSalesRequest { day_from: String::new(), ..good.clone() }, "day_from"),
        (StreamProductSalesRequest { day_from: "2011-02-29".to_owned(), ..good.clone() }, "day_from"),
        (StreamProductSalesRequest { day_from: "'; select 1 --".to_owned(), ..good.clone() }, "day_from"),
        (StreamProductSalesRequest { day_to: "2011-3-2".to_owned(), ..good.clone() }, "day_to"),
        (StreamProductSalesRequest { day_to: "2011-02-28".to_owned(), ..good.clone() }, "day_to"),
        (StreamProductSalesRequest { day_to: "2021-03-09".to_owned(), ..good.clone() }, "day_to"),
        (StreamProductSalesRequest { time_zone: "Europe/Atlantis".to_owned(), ..good.clone() }, "time_zone"),
        (StreamProductSalesRequest { time_zone: "europe/london".to_owned(), ..good.clone() }, "time_zone"),
        // Postgres would accept these as time zones.
        (StreamProductSalesRequest { time_zone: "FOO3".to_owned(), ..good.clone() }, "time_zone"),
        (StreamProductSalesRequest { time_zone: "+02".to_owned(), ..good.clone() }, "time_zone"),
        (StreamProductSalesRequest { time_zone: "UTC'".to_owned(), ..good.clone() }, "time_zone"),
        (StreamProductSalesRequest { time_zone: "U\0TC".to_owned(), ..good.clone() }, "time_zone"),
        (StreamProductSalesRequest { phases: vec![String::new()], ..good.clone() }, "phases"),
        (StreamProductSalesRequest { phases: vec!["x".to_owned(); 65], ..good.clone() }, "phases"),
        (StreamProductSalesRequest { page_size: -1, ..good.clone() }, "page_size"),
        (StreamProductSalesRequest { recent_days: vec![1; 9], ..good.clone() }, "recent_days"),
        (StreamProductSalesRequest { recent_days: vec![1, 0], ..good.clone() }, "recent_days[1]"),
        (StreamProductSalesRequest { recent_days: vec![3_662], ..good.clone() }, "recent_days[0]"),
    ] {
        assert_invalid(client.stream_product_sales(request).await, "FIELD_INVALID", field);
    }
    for (from, to) in [("2011-03-01", "2021-03-08"), ("0001-01-01", "0001-01-01"), ("9999-12-31", "9999-12-31")] {
        assert_eq!(rows(&fixture, request(from, to, "Europe/London")).await, [], "{from} {to}");
    }
}
