//! Lookups by what a support person types.

use orrery_proto::orders::v1::lookup_orders_request::{Annotation, Criterion};
use orrery_proto::orders::v1::{ListOrdersRequest, LookupOrdersRequest, OrderFilter, OrderView};
use prost_types::FieldMask;

use super::fixture::Fixture;
use crate::harness::assert_invalid;

/// Inserts an order without the service: its customer, the SKU of its line and its annotations.
async fn put(fixture: &Fixture, uid: &str, customer: &str, sku: &str, annotations: &str) {
    sqlx::query(
        "with h as (insert into orders.order_header (uid, customer_id, currency_code, annotations) \
                    values ($1, $2, 'GBP', $4::jsonb)) \
         insert into orders.order_line_item (order_uid, uid, line_number, sku) values ($1, 'oli_1', 1, $3)",
    )
    .bind(uid)
    .bind(customer)
    .bind(sku)
    .bind(annotations)
    .execute(&fixture.pool)
    .await
    .unwrap();
}

fn by(criterion: Criterion) -> LookupOrdersRequest {
    LookupOrdersRequest { criterion: Some(criterion), ..LookupOrdersRequest::default() }
}

async fn found(fixture: &Fixture, what: Criterion) -> Vec<String> {
    let answer = fixture.server.client().lookup_orders(by(what)).await.unwrap().into_inner();
    assert_eq!(answer.next_page_token, "");
    answer.orders.into_iter().map(|order| order.uid).collect()
}

async fn annotated(fixture: &Fixture, key: &str, value: &str) -> Vec<String> {
    found(fixture, Criterion::Annotation(Annotation { key: key.to_owned(), value: value.to_owned() })).await
}

async fn typed(fixture: &Fixture, text: &str) -> Vec<String> {
    found(fixture, Criterion::Text(text.to_owned())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_finds_its_orders_and_no_other() {
    let fixture = Fixture::new().await;
    put(&fixture, "ord_1", "17850", "85123A", r#"{"source/country": "France"}"#).await;
    put(&fixture, "ord_12", "17851", "85123", r#"{"source/country": "Greece"}"#).await;
    put(&fixture, "ord_2", "85123A", "17850", r#"{"other": "France"}"#).await;
    assert_eq!(found(&fixture, Criterion::CustomerId("17850".to_owned())).await, ["ord_1"]);
    assert_eq!(found(&fixture, Criterion::Sku("17850".to_owned())).await, ["ord_2"]);
    assert_eq!(annotated(&fixture, "source/country", "France").await, ["ord_1"]);
    assert_eq!(found(&fixture, Criterion::UidPrefix("ord_1".to_owned())).await, ["ord_1", "ord_12"]);
    assert_eq!(found(&fixture, Criterion::UidPrefix("ord_12".to_owned())).await, ["ord_12"]);
    assert_eq!(found(&fixture, Criterion::UidPrefix("ord_3".to_owned())).await, Vec::<String>::new());
    // A text is looked up in all ways.
    assert_eq!(typed(&fixture, "17850").await, ["ord_1", "ord_2"]);
    assert_eq!(typed(&fixture, "source/country=Greece").await, ["ord_12"]);
    assert_eq!(typed(&fixture, "ord_1").await, ["ord_1", "ord_12"]);
    assert_eq!(typed(&fixture, " ord_12\n").await, ["ord_12"]);
    assert_eq!(typed(&fixture, "1785").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_no_text_is_found_by_what_it_reads_as() {
    let fixture = Fixture::new().await;
    let stored = [
        "5",
        "5.0",
        "\"5\"",
        "true",
        "\"true\"",
        "null",
        "\"null\"",
        "{\"a\": [1, 2]}",
        "[]",
        "1e3",
        "\"\"",
        "-0.50",
        "123456789012345678901234567890",
        "\"007\"",
        "7",
    ];
    for (at, value) in stored.iter().enumerate() {
        put(&fixture, &format!("ord_{at:02}"), "x", "x", &format!("{{\"k\": {value}, \"z\": 1}}")).await;
    }
    let expect = async |value: &str, numbers: &[usize]| {
        let uids: Vec<String> = numbers.iter().map(|at| format!("ord_{at:02}")).collect();
        assert_eq!(annotated(&fixture, "k", value).await, uids, "{value}");
        assert_eq!(typed(&fixture, &format!("k={value}")).await, uids, "k={value}");
    };
    expect("5", &[0, 2]).await;
    // As numbers they are equal, as texts they are not.
    expect("5.0", &[1]).await;
    expect("5.00", &[]).await;
    expect("true", &[3, 4]).await;
    expect("null", &[5, 6]).await;
    expect("{\"a\": [1, 2]}", &[7]).await;
    // Postgres prints a document in one way; another notation is another text.
    expect("{\"a\":[1,2]}", &[]).await;
    expect("[]", &[8]).await;
    expect("1000", &[9]).await;
    expect("1e3", &[]).await;
    expect("-0.50", &[11]).await;
    expect("123456789012345678901234567890", &[12]).await;
    expect("007", &[13]).await;
    expect("7", &[14]).await;
    assert_eq!(typed(&fixture, "k=").await, ["ord_10"]);
    // Values that the database could not read do not exist.
    for value in ["1e999999", "[\"\\u0000\"]", "\"5", "{"] {
        expect(value, &[]).await;
    }
    // An order is found by each text that its values are read as.
    for (at, _) in stored.iter().enumerate() {
        let read = fixture.get(&format!("{at:02}")).await.annotations["k"].clone();
        assert!(typed(&fixture, &format!("k={read}")).await.contains(&format!("ord_{at:02}")), "{read}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_character_has_a_meaning_of_its_own() {
    let fixture = Fixture::new().await;
    let texts =
        ["%", "_", "\\", "'", "\"", "''; drop table orders.order_header; --", ".*", "a\\'b", "é%", "$1", "{}", "??"];
    put(&fixture, "ord_other", "abc", "abc", r#"{"abc": "abc"}"#).await;
    for (at, text) in texts.iter().enumerate() {
        let annotations = serde_json::json!({*text: text}).to_string();
        put(&fixture, &format!("ord_{at:02}"), text, text, &annotations).await;
    }
    for (at, text) in texts.iter().enumerate() {
        let own = [format!("ord_{at:02}")];
        assert_eq!(found(&fixture, Criterion::CustomerId((*text).to_owned())).await, own, "{text}");
        assert_eq!(found(&fixture, Criterion::Sku((*text).to_owned())).await, own, "{text}");
        assert_eq!(annotated(&fixture, text, text).await, own, "{text}");
        assert_eq!(typed(&fixture, text).await, own, "{text}");
        assert_eq!(typed(&fixture, &format!("{text}={text}")).await, own, "{text}");
    }
    // In a uid `_` is an ordinary character.
    put(&fixture, "ord_a_c", "x", "x", "{}").await;
    put(&fixture, "ord_abc", "x", "x", "{}").await;
    assert_eq!(found(&fixture, Criterion::UidPrefix("ord_a_".to_owned())).await, ["ord_a_c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_programs_stored_in_place_of_annotations_does_no_harm() {
    let fixture = Fixture::new().await;
    for (at, annotations) in ["[\"k\"]", "\"k\"", "null", "5", "[{\"k\": \"v\"}]"].iter().enumerate() {
        put(&fixture, &format!("ord_{at}"), "x", "x", annotations).await;
    }
    put(&fixture, "ord_9", "x", "x", r#"{"k": "v"}"#).await;
    assert_eq!(annotated(&fixture, "k", "v").await, ["ord_9"]);
    assert_eq!(annotated(&fixture, "k", "null").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_page_by_page_and_shows_as_much_as_asked_for() {
    let fixture = Fixture::new().await;
    for number in 0..7 {
        put(&fixture, &format!("ord_{number}"), "17850", "17850", "{}").await;
    }
    put(&fixture, "ord_8", "x", "x", "{}").await;
    let mut client = fixture.server.client();
    let mut request = LookupOrdersRequest { page_size: 3, ..by(Criterion::Text("17850".to_owned())) };
    let mut uids = Vec::new();
    loop {
        let page = client.lookup_orders(request.clone()).await.unwrap().into_inner();
        assert!(page.orders.len() <= 3);
        // BASIC: without lines.
        assert!(page.orders.iter().all(|order| order.line_items.is_empty() && order.customer_id == "17850"));
        uids.extend(page.orders.into_iter().map(|order| order.uid));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(uids, (0..7).map(|number| format!("ord_{number}")).collect::<Vec<_>>());
    // A token is valid only for its lookup.
    let other = LookupOrdersRequest { criterion: Some(Criterion::CustomerId("17850".to_owned())), ..request.clone() };
    assert_invalid(client.lookup_orders(other).await, "TOKEN_MISMATCH", "page_token");
    let mut full =
        LookupOrdersRequest { view: OrderView::Full.into(), page_size: 1, ..by(Criterion::Text("17850".to_owned())) };
    let page = client.lookup_orders(full.clone()).await.unwrap().into_inner();
    assert_eq!(page.orders[0].line_items.len(), 1);
    full.read_mask = Some(FieldMask { paths: vec!["uid".to_owned(), "customer_id".to_owned()] });
    full.page_token = page.next_page_token;
    let masked = client.lookup_orders(full).await.unwrap().into_inner().orders.remove(0);
    assert_eq!((masked.uid.as_str(), masked.customer_id.as_str(), masked.line_items.len()), ("ord_1", "17850", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pasted_is_found_however_it_is_stored() {
    let fixture = Fixture::new().await;
    let stored = [
        ("ord_01", "anna@example.com", "85123a"),
        ("ord_02", "Anna@Example.com", "85123A"),
        ("ord_03", "ANNA@EXAMPLE.COM", "85123A "),
        ("ord_04", "Ärger", "Caf\u{e9}"),
        ("ord_05", "A\u{308}rger", "cafe\u{301}"),
        ("ord_06", "ärger", "CAFE\u{301}"),
        ("ord_07", "a b", "x\u{200b}y"),
        ("ord_08", "anna@example.org", "85123"),
        ("ord_0A", "Östlich-süd", "0"),
    ];
    for (uid, customer, sku) in stored {
        put(&fixture, uid, customer, sku, "{}").await;
    }
    let customer = async |text: &str| found(&fixture, Criterion::CustomerId(text.to_owned())).await;
    let sku = async |text: &str| found(&fixture, Criterion::Sku(text.to_owned())).await;
    let anna = ["ord_01", "ord_02", "ord_03"];
    let arger = ["ord_04", "ord_05", "ord_06"];
    for text in ["anna@example.com", "ANNA@example.COM", "aNNa@eXample.com"] {
        for pasted in [
            text.to_owned(),
            format!("\u{feff}{text}\r\n"),
            format!("\u{a0}{text}\u{200b}"),
            format!("\u{202a}an\u{ad}{}\u{202c} ", &text[2..]),
        ] {
            assert_eq!(customer(&pasted).await, anna, "{pasted:?}");
            assert_eq!(typed(&fixture, &pasted).await, anna, "{pasted:?}");
        }
    }
    for text in ["Ärger", "A\u{308}rger", "ärger", "a\u{308}rger", "ÄRGER", "A\u{308}RGER", "ÄrGeR", " Ärger\u{a0}"]
    {
        let all = customer(text).await;
        assert_eq!(all, arger, "{text:?}");
        assert_eq!(typed(&fixture, text).await, all, "{text:?}");
    }
    for text in ["café", "CAFÉ", "cafe\u{301}", "Cafe\u{301}\u{feff}"] {
        assert_eq!(sku(text).await, ["ord_04", "ord_05", "ord_06"], "{text:?}");
    }
    assert_eq!(sku("85123A").await, ["ord_01", "ord_02"]);
    // As stored, including spaces, it is found as well.
    assert_eq!(sku("85123a ").await, anna);
    assert_eq!(sku("x\u{200b}y").await, ["ord_07"]);
    assert_eq!(sku("xy").await, Vec::<String>::new());
    assert_eq!(customer("a\u{a0}b").await, ["ord_07"]);
    // Beyond A to Z, each letter as stored, or all in one case.
    assert_eq!(customer("ÖSTLICH-süd").await, ["ord_0A"]);
    assert_eq!(customer("östlich-süd").await, Vec::<String>::new());
    // Uids, as pasted or in lower case.
    for text in ["ord_08", "ORD_08", "\u{feff}Ord_08\n"] {
        assert_eq!(typed(&fixture, text).await, ["ord_08"], "{text:?}");
        assert_eq!(found(&fixture, Criterion::UidPrefix(text.to_owned())).await, ["ord_08"], "{text:?}");
    }
    assert_eq!(typed(&fixture, "ord_0A").await, ["ord_0A"]);
    // Filters of lists are exact.
    let exact = |customer_id: &str| ListOrdersRequest {
        filter: Some(OrderFilter { customer_id: customer_id.to_owned(), ..OrderFilter::default() }),
        ..ListOrdersRequest::default()
    };
    let listed = fixture.server.client().list_orders(exact("anna@example.com")).await.unwrap().into_inner().orders;
    assert_eq!(listed.into_iter().map(|order| order.uid).collect::<Vec<_>>(), ["ord_01"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_annotation_is_found_in_either_composition_and_its_own_case() {
    let fixture = Fixture::new().await;
    put(&fixture, "ord_1", "x", "x", r#"{"source/city": "K\u00f6ln"}"#).await;
    put(&fixture, "ord_2", "x", "x", r#"{"source/city": "Ko\u0308ln"}"#).await;
    put(&fixture, "ord_3", "x", "x", r#"{"source/city": "k\u00f6ln"}"#).await;
    put(&fixture, "ord_4", "x", "x", r#"{"source/city": " K\u00f6ln"}"#).await;
    let both = ["ord_1", "ord_2"];
    for text in ["Köln", "Ko\u{308}ln", "\u{feff}Köln\n", "K\u{ad}öln"] {
        assert_eq!(annotated(&fixture, "source/city", text).await, both, "{text:?}");
        assert_eq!(typed(&fixture, &format!("source/city={text}")).await, both, "{text:?}");
        assert_eq!(typed(&fixture, &format!(" source/city = {text} ")).await, both, "{text:?}");
    }
    assert_eq!(annotated(&fixture, "source/city", " Köln").await, ["ord_1", "ord_2", "ord_4"]);
    assert_eq!(annotated(&fixture, "source/city", "KÖLN").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_are_named() {
    let fixture = Fixture::new().await;
    let mut client = fixture.server.client();
    let annotation =
        |key: &str, value: &str| Criterion::Annotation(Annotation { key: key.to_owned(), value: value.to_owned() });
    for (what, field) in [
        (Criterion::Text(String::new()), "text"),
        (Criterion::Text("x".repeat(1_025)), "text"),
        (Criterion::Text("a\0b".to_owned()), "text"),
        (Criterion::CustomerId(String::new()), "customer_id"),
        (Criterion::CustomerId("x".repeat(257)), "customer_id"),
        (Criterion::Sku(String::new()), "sku"),
        (Criterion::Sku("x".repeat(257)), "sku"),
        (annotation("", "v"), "annotation.key"),
        (annotation("k", ""), "annotation.value"),
        (annotation("k", &"v".repeat(1_025)), "annotation.value"),
        (annotation("k\0", "v"), "annotation.key"),
        (Criterion::UidPrefix("ord_".to_owned()), "uid_prefix"),
        (Criterion::UidPrefix("o".to_owned()), "uid_prefix"),
        (Criterion::UidPrefix(" ORD_ ".to_owned()), "uid_prefix"),
        (Criterion::UidPrefix("ord_1\0".to_owned()), "uid_prefix"),
        (Criterion::UidPrefix("x".repeat(1_025)), "uid_prefix"),
    ] {
        assert_invalid(client.lookup_orders(by(what)).await, "FIELD_INVALID", field);
    }
    assert_invalid(client.lookup_orders(LookupOrdersRequest::default()).await, "FIELD_INVALID", "criterion");
    let negative = LookupOrdersRequest { page_size: -1, ..by(Criterion::Text("x".to_owned())) };
    assert_invalid(client.lookup_orders(negative).await, "FIELD_INVALID", "page_size");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_meaning_is_served_by_an_index() {
    let fixture = Fixture::new().await;
    fixture
        .run(
            "insert into orders.order_header (uid, customer_id, currency_code, annotations) \
             select 'ord_' || lpad(n::text, 7, '0'), case when n % 2 = 0 then 'c' else 'C' end || n, 'GBP', \
                    jsonb_build_object('source/number', n) \
               from generate_series(1, 30000) n; \
             insert into orders.order_line_item (order_uid, uid, line_number, sku) \
             select 'ord_' || lpad(n::text, 7, '0'), 'oli_1', 1, \
                    case when n % 2 = 0 then 's' else 'S' end || n from generate_series(1, 30000) n; \
             analyze orders.order_header, orders.order_line_item",
        )
        .await;
    let sequential = "coalesce(sum(seq_tup_read), 0) from pg_stat_user_tables where schemaname = 'orders'";
    let before = fixture.text(&format!("select {sequential}")).await;
    // Near the end of the tables, so that a scan of an index is noticed too.
    for (text, number) in [
        ("c29017", 29_017),
        ("s29017", 29_017),
        ("ORD_0029017", 29_017),
        ("source/number=29017", 29_017),
        ("C29018", 29_018),
        ("\u{feff}S29018", 29_018),
    ] {
        assert_eq!(typed(&fixture, text).await, [format!("ord_{number:07}")], "{text}");
    }
    // Sessions report their statistics when they end.
    let Fixture { server, pool, database: _database } = fixture;
    server.stop().await.unwrap();
    let counted = format!(
        "select (select {sequential})::text, (select sum(idx_scan) from pg_stat_user_indexes \
         where schemaname = 'orders' and indexrelname = 'order_header_annotations_idx')::text, \
         (select coalesce(sum(idx_tup_read), 0)::bigint from pg_stat_user_indexes where schemaname = 'orders')"
    );
    let patience = std::time::Instant::now();
    loop {
        let (after, used, read): (String, String, i64) =
            sqlx::query_as(sqlx::AssertSqlSafe(counted.clone())).fetch_one(&pool).await.unwrap();
        assert_eq!(before, after, "a table was read as a whole");
        assert!(read < 1_000, "{read} entries of indexes were read");
        if used != "0" {
            return;
        }
        assert!(patience.elapsed().as_secs() < 20, "the index on annotations was not used");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
