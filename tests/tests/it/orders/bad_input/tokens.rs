//! A token of another method, filter or installation is refused, and so is a changed one.

use orrery_proto::orders::v1::lookup_orders_request::Criterion;
use orrery_proto::orders::v1::{
    LineItemFilter, ListOrdersRequest, LookupOrdersRequest, OrderFilter, StreamLineItemsRequest, StreamOrdersRequest,
    StreamProductSalesRequest,
};
use tonic::Status;

use super::whole;
use crate::harness::assert_invalid;
use crate::orders::fixture::Fixture;

/// The methods with tokens, and the field of the token.
const METHODS: [(&str, &str); 5] = [
    ("ListOrders", "page_token"),
    ("StreamOrders", "resume_token"),
    ("LookupOrders", "page_token"),
    ("StreamLineItems", "resume_token"),
    ("StreamProductSales", "resume_token"),
];

/// Calls a method with a token, and returns the first token of the response. `other`: with another filter.
async fn token(fixture: &Fixture, method: &str, token: &str, other: bool) -> Result<String, Status> {
    let mut client = fixture.server.client();
    let (token, page_size) = (token.to_owned(), 1);
    let customer_id = if other { "17850" } else { "" }.to_owned();
    let filter = Some(OrderFilter { customer_id, ..OrderFilter::default() });
    Ok(match method {
        "ListOrders" => {
            let request = ListOrdersRequest { filter, page_size, page_token: token, ..ListOrdersRequest::default() };
            client.list_orders(request).await?.into_inner().next_page_token
        }
        "StreamOrders" => {
            let request =
                StreamOrdersRequest { filter, page_size, resume_token: token, ..StreamOrdersRequest::default() };
            client.stream_orders(request).await?.into_inner().message().await?.unwrap_or_default().resume_token
        }
        "LookupOrders" => {
            let criterion = Some(if other { Criterion::Sku("b".to_owned()) } else { Criterion::Sku("a".to_owned()) });
            let request =
                LookupOrdersRequest { criterion, page_size, page_token: token, ..LookupOrdersRequest::default() };
            client.lookup_orders(request).await?.into_inner().next_page_token
        }
        "StreamLineItems" => {
            let filter = other.then(|| LineItemFilter { skus: vec!["a".to_owned()], ..LineItemFilter::default() });
            let request =
                StreamLineItemsRequest { filter, page_size, resume_token: token, ..StreamLineItemsRequest::default() };
            client.stream_line_items(request).await?.into_inner().message().await?.unwrap_or_default().resume_token
        }
        _ => {
            let request = StreamProductSalesRequest {
                day_from: "2011-06-09".to_owned(),
                day_to: "2011-06-10".to_owned(),
                time_zone: if other { "Europe/London" } else { "" }.to_owned(),
                page_size,
                resume_token: token,
                ..StreamProductSalesRequest::default()
            };
            client.stream_product_sales(request).await?.into_inner().message().await?.unwrap_or_default().resume_token
        }
    })
}

async fn with_orders() -> Fixture {
    let fixture = Fixture::new().await;
    let mut orders = ["a", "b", "c"].map(whole);
    for order in &mut orders {
        order.status = Some(crate::harness::status("fulfilled"));
        order.create_ts = Some(crate::harness::timestamp(1_307_620_800));
        for line in &mut order.line_items {
            line.product_uid = format!("prd_{}", line.sku);
        }
    }
    fixture.write(&orders).await;
    fixture
}

#[tokio::test]
async fn a_token_is_good_for_what_it_came_from_and_nothing_else() {
    let (fixture, elsewhere) = (with_orders().await, with_orders().await);
    for (method, field) in METHODS {
        let good = token(&fixture, method, "", false).await.unwrap();
        assert!(!good.is_empty(), "{method}");
        assert_ne!(token(&fixture, method, &good, false).await.unwrap(), good, "{method} goes on");
        assert_invalid(token(&fixture, method, &good, true).await, "TOKEN_MISMATCH", field);
        for (other, field) in METHODS.into_iter().filter(|(other, _)| *other != method) {
            assert_invalid(token(&fixture, other, &good, false).await, "TOKEN_MISMATCH", field);
        }
        let foreign = token(&elsewhere, method, "", false).await.unwrap();
        let mut altered =
            vec![foreign, "x".to_owned(), "é".to_owned(), "\0".to_owned(), format!("{good}A"), "A".repeat(100_000)];
        for at in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            altered.push(String::from_utf8(bytes).unwrap());
            altered.push(good[..at].to_owned());
        }
        for altered in altered.into_iter().filter(|altered| !altered.is_empty()) {
            assert_invalid(token(&fixture, method, &altered, false).await, "TOKEN_INVALID", field);
        }
    }
}
