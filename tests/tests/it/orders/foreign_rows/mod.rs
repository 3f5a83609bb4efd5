//! Orders written by other programs, with anything that their tables can hold: they can be read everywhere, and a write
//! keeps everything that it does not mean to change, byte for byte.

mod odd;
mod random;
mod reading;
pub(crate) mod uids;
mod writing;

use orrery_proto::orders::v1::{Order, OrderView, UpdateOrderRequest};
use sqlx::query;
use tonic::Status;

use crate::foreign_rows::documents;
use crate::orders::fixture::Fixture;
use crate::writes::stream::mask;

/// Contents of an address's `lines` that are not lists of texts, and how they are read.
const ADDRESS_LINES: &[(&str, &[&str])] = &[
    (r#"["1 Street", "Floor 2"]"#, &["1 Street", "Floor 2"]),
    ("[]", &[]),
    ("null", &[]),
    ("{}", &[]),
    (r#"{"1": "Street"}"#, &[]),
    (r#""1 Street""#, &[]),
    ("5", &[]),
    (
        r#"[1, 1.10, 12345678901234567890, null, true, "", {"a": [1.10]}, [["x"]]]"#,
        &["1", "1.10", "12345678901234567890", "null", "true", "", r#"{"a": [1.10]}"#, r#"[["x"]]"#],
    ),
];

/// A status for an order: phases of products are not valid.
fn of_orders(status: &str) -> String {
    status.replace("\"active\"", "\"confirmed\"").replace("\"Sold out!\"", "\"closed\"")
}

/// Orders with all [`documents`] in the header and in two lines, with an address each; and their uids. Their phases are
/// valid or missing.
async fn orders(fixture: &Fixture) -> Vec<String> {
    orders_of(fixture, &documents()).await
}

/// As [`orders`], with documents that can be sent back.
async fn sendable_orders(fixture: &Fixture) -> Vec<String> {
    let mut documents = documents();
    documents.retain(|(status, ..)| {
        let status: serde_json::Value = serde_json::from_str(status).unwrap();
        status.get("phase").is_none_or(serde_json::Value::is_string) && status.get("details").is_none()
    });
    orders_of(fixture, &documents).await
}

async fn orders_of(fixture: &Fixture, documents: &[(String, String, String)]) -> Vec<String> {
    let mut uids = Vec::new();
    for (number, (status, labels, annotations)) in documents.iter().enumerate() {
        let uid = format!("ord_{number:03}");
        query(
            "insert into orders.order_header (uid, currency_code, customer_id, status, labels, annotations, update_ts) \
             values ($1, 'GBP', $5, $2::text::jsonb, $3::text::jsonb, $4::text::jsonb, '2026-01-01 00:00:00+00')",
        )
        .bind(&uid)
        .bind(of_orders(status))
        .bind(labels)
        .bind(annotations)
        .bind((number % 3 > 0).then(|| "17850".repeat(number % 3 - 1)))
        .execute(&fixture.pool)
        .await
        .unwrap();
        for line in 1..=2 {
            let (status, labels, annotations) = &documents[(number + line) % documents.len()];
            query(
                "insert into orders.order_line_item \
                   (order_uid, uid, line_number, sku, name, product_uid, quantity, unit_price, status, labels, \
                   annotations, update_ts) \
                 values ($1, $2, $3, $4, '', $4, 2, 1.50, $5::text::jsonb, $6::text::jsonb, $7::text::jsonb, \
                 '2026-01-01 00:00:00+00')",
            )
            .bind(&uid)
            .bind(format!("oli_{line}"))
            // Gaps, and the larger number first.
            .bind(100 - 7 * line as i32)
            .bind((line == 1).then_some(""))
            .bind(status)
            .bind(labels)
            .bind(annotations)
            .execute(&fixture.pool)
            .await
            .unwrap();
        }
        let (lines, _) = ADDRESS_LINES[number % ADDRESS_LINES.len()];
        query(
            "insert into orders.order_address (order_uid, kind, name, city, country_code, lines) \
             values ($1, 'billing', '', 'Paris', $2, $3::text::jsonb)",
        )
        .bind(&uid)
        .bind((number % 2 == 0).then_some(""))
        .bind(lines)
        .execute(&fixture.pool)
        .await
        .unwrap();
        uids.push(uid);
    }
    uids
}

/// Everything that is stored, except times and numbers of changes.
async fn stored(fixture: &Fixture) -> Vec<String> {
    let mut rows = Vec::new();
    for table in ["order_header", "order_line_item", "order_address"] {
        let select = format!(
            "select coalesce(string_agg('{table} ' || (to_jsonb(t) - 'revision' - 'update_ts')::text, E'\\n' order by \
             t::text), '') \
             from orders.{table} t"
        );
        rows.extend(fixture.text(&select).await.lines().map(str::to_owned));
    }
    rows
}

async fn update(fixture: &Fixture, order: Order, paths: &[&str]) -> Result<Order, Status> {
    let update_mask = (!paths.is_empty()).then(|| mask(paths));
    let request = UpdateOrderRequest {
        order: Some(order),
        update_mask,
        reference_check: orrery_proto::r#type::v1::ReferenceCheck::Accept.into(),
        view: OrderView::Full.into(),
        ..UpdateOrderRequest::default()
    };
    fixture.server.client().update_order(request).await.map(tonic::Response::into_inner)
}
