//! No response is larger than the client accepts: 4 MiB by default.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::HashMap;

use orrery_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use orrery_proto::catalog::v1::{
    BatchGetProductsRequest, CheckProductsRequest, GetProductMetricsRequest, GetProductRequest, ListProductsRequest,
    Product, StreamProductMetricsRequest, StreamProductsRequest, UpdateProductRequest,
};
use orrery_proto::r#type::v1::{RowErrorPolicy, WriteStart};
use orrery_proto::wire::{WritePayload, WriteRequest, WriteResponse};
use prost::Message as _;
use sqlx::PgConnection;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt as _;

use crate::harness::{
    CatalogServer, LARGEST_MESSAGE, Role, TestDatabase, accepting, assert_invalid, refusal, run, seed, uid, uids,
};
use crate::writes::stream::{PRODUCTS, chunk, mask};

const MIB: usize = 1 << 20;
const KEY: &str = "x-max-answer-bytes";

/// Products of this size in bytes, written by another program.
async fn large(connection: &mut PgConnection, uids: &[String], bytes: usize) {
    let uids = uids.iter().map(|uid| format!("'{uid}'")).collect::<Vec<_>>().join(", ");
    let text = format!("jsonb_build_object('text', repeat('x', {bytes}))");
    run(connection, &format!("update catalog.product set annotations = {text} where uid in ({uids})")).await;
}

async fn start(rows: usize) -> (TestDatabase, PgConnection, CatalogServer) {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, rows).await;
    let server = CatalogServer::start(&database).await;
    (database, operator, server)
}

/// A client with default settings.
fn client(server: &CatalogServer) -> CatalogServiceClient<Channel> {
    CatalogServiceClient::new(server.channel())
}

fn batch(uids: Vec<String>) -> BatchGetProductsRequest {
    BatchGetProductsRequest { uids, read_mask: None }
}

/// Checks that a response was refused because of its size, and returns the metadata of the error.
#[track_caller]
fn assert_too_large(status: &Status) -> HashMap<String, String> {
    let refused = refusal(status);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "ANSWER_TOO_LARGE"), "{status:?}");
    status.get_details_error_info().unwrap().metadata
}

#[track_caller]
fn assert_names(status: &Status, uid: &str) {
    let resource = status.get_details_resource_info().unwrap();
    assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), ("orrery.catalog.v1.Product", uid));
}

#[tokio::test]
async fn a_batch_is_answered_whole_to_whoever_takes_it_and_refused_to_others() {
    let (_database, mut operator, server) = start(60).await;
    large(&mut operator, &uids(60), 200_000).await;
    let mut default = client(&server);
    assert_eq!(default.batch_get_products(batch(uids(20))).await.unwrap().into_inner().products.len(), 20);
    let told = assert_too_large(&default.batch_get_products(batch(uids(60))).await.unwrap_err());
    assert_eq!((&*told["max_answer_bytes"], &*told["service_max_answer_bytes"]), ("4194304", "67108864"));
    assert!(told["answer_bytes"].parse::<usize>().unwrap() > 4 * MIB, "{told:?}");
    let all = server.client().batch_get_products(accepting(batch(uids(60)), 16 * MIB)).await.unwrap();
    assert_eq!(all.into_inner().products.len(), 60);
    // Repeated uids would be returned repeatedly: here 200 MB of one row.
    let often = vec![uid(1); 1_000];
    assert_too_large(&default.batch_get_products(batch(often.clone())).await.unwrap_err());
    let told = server.client().batch_get_products(accepting(batch(often), LARGEST_MESSAGE)).await.unwrap_err();
    assert!(assert_too_large(&told)["answer_bytes"].parse::<usize>().unwrap() > 200_000_000);
    let least = BatchGetProductsRequest { read_mask: Some(mask(&["name"])), ..batch(uids(60)) };
    assert_eq!(default.batch_get_products(least).await.unwrap().into_inner().products.len(), 60);
}

#[tokio::test]
async fn lists_and_streams_are_cut_to_what_their_caller_takes() {
    let (_database, mut operator, server) = start(2_000).await;
    large(&mut operator, &uids(60), 60_000).await;
    for bytes in [64 << 10, 4 * MIB] {
        let mut listed = 0;
        let mut request = ListProductsRequest { page_size: 1_000, ..ListProductsRequest::default() };
        loop {
            let page = server.client().list_products(accepting(request.clone(), bytes)).await.unwrap().into_inner();
            assert!(page.encoded_len() <= bytes - 5, "{} bytes of {bytes}", page.encoded_len());
            listed += page.products.len();
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(listed, 2_000);
        let mut pages = server
            .client()
            .stream_products(accepting(StreamProductsRequest::default(), bytes))
            .await
            .unwrap()
            .into_inner();
        let mut streamed = 0;
        while let Some(page) = pages.message().await.unwrap() {
            assert!(page.encoded_len() <= bytes - 5, "{} bytes of {bytes}", page.encoded_len());
            streamed += page.products.len();
        }
        assert_eq!(streamed, 2_000);
    }
}

#[tokio::test]
async fn a_row_that_is_too_large_is_named_and_is_got_by_taking_more_or_asking_for_less() {
    let (_database, mut operator, server) = start(100).await;
    large(&mut operator, &[uid(40)], 5 * MIB).await;
    let mut default = client(&server);
    let get = GetProductRequest { uid: uid(40), read_mask: None };
    for refused in [
        default.get_product(get.clone()).await.map(drop).unwrap_err(),
        default.batch_get_products(batch(vec![uid(40)])).await.map(drop).unwrap_err(),
    ] {
        let told = assert_too_large(&refused);
        assert!(told["answer_bytes"].parse::<usize>().unwrap() > 5 * MIB, "{told:?}");
        assert_names(&refused, &uid(40));
        assert!(refused.message().contains(KEY), "{refused:?}");
    }
    let least = GetProductRequest { read_mask: Some(mask(&["name"])), ..get.clone() };
    assert_eq!(default.get_product(least).await.unwrap().into_inner().name, "Thing 40");
    let whole = server.client().get_product(accepting(get, 6 * MIB)).await.unwrap().into_inner();
    assert_eq!(whole.annotations["text"].len(), 5 * MIB);

    // A stream and a list return the rows before it and can be continued there.
    let mut pages = default.stream_products(StreamProductsRequest::default()).await.unwrap().into_inner();
    let (mut seen, mut resume_token) = (0, String::new());
    let refused = loop {
        match pages.message().await {
            Ok(page) => {
                let page = page.unwrap();
                seen += page.products.len();
                resume_token = page.resume_token;
            }
            Err(status) => break status,
        }
    };
    assert_too_large(&refused);
    assert_names(&refused, &uid(40));
    assert_eq!(seen, 39);
    let request = StreamProductsRequest { resume_token, ..StreamProductsRequest::default() };
    assert_too_large(
        &default.stream_products(request.clone()).await.unwrap().into_inner().message().await.unwrap_err(),
    );
    for less in [false, true] {
        let mut pages = if less {
            let request = StreamProductsRequest { read_mask: Some(mask(&["uid"])), ..request.clone() };
            default.stream_products(request).await.unwrap().into_inner()
        } else {
            server.client().stream_products(accepting(request.clone(), 6 * MIB)).await.unwrap().into_inner()
        };
        let mut rest = Vec::new();
        while let Some(page) = pages.message().await.unwrap() {
            rest.extend(page.products.into_iter().map(|product| product.uid));
        }
        assert_eq!(rest, (40..=100).map(uid).collect::<Vec<_>>());
    }

    let first = ListProductsRequest { page_size: 1_000, ..ListProductsRequest::default() };
    let page = default.list_products(first.clone()).await.unwrap().into_inner();
    assert_eq!(page.products.len(), 39);
    let next = ListProductsRequest { page_token: page.next_page_token, ..first };
    let refused = default.list_products(next.clone()).await.unwrap_err();
    assert_too_large(&refused);
    assert_names(&refused, &uid(40));
    let page = server.client().list_products(accepting(next, 6 * MIB)).await.unwrap().into_inner();
    assert_eq!(page.products[0].uid, uid(40));
}

#[tokio::test]
async fn a_write_is_never_refused_for_the_size_of_what_is_stored() {
    let (_database, mut operator, server) = start(3).await;
    large(&mut operator, &[uid(2)], 5 * MIB).await;
    let rename = |name: &str| UpdateProductRequest {
        product: Some(Product { uid: uid(2), name: name.to_owned(), ..Product::default() }),
        update_mask: Some(mask(&["name"])),
        allow_missing: false,
        ..UpdateProductRequest::default()
    };
    let answer = client(&server).update_product(rename("New")).await.unwrap();
    let omitted = answer.metadata().get("x-omitted-fields").unwrap().to_str().unwrap().to_owned();
    assert_eq!(omitted, "name,status,labels,annotations,etag");
    let told = answer.into_inner();
    assert!(told.create_ts.is_some() && told.update_ts.is_some() && told.update_ts != told.create_ts);
    let times = Product { create_ts: told.create_ts, update_ts: told.update_ts, ..Product::default() };
    assert_eq!(told, Product { uid: uid(2), ..times });
    let name: String = sqlx::query_scalar("select name from catalog.product where uid = $1")
        .bind(uid(2))
        .fetch_one(&mut operator)
        .await
        .unwrap();
    assert_eq!(name, "New");
    let answer = server.client().update_product(accepting(rename("Newer"), 6 * MIB)).await.unwrap();
    assert!(answer.metadata().get("x-omitted-fields").is_none());
    assert_eq!((answer.get_ref().name.as_str(), answer.get_ref().annotations["text"].len()), ("Newer", 5 * MIB));
}

#[tokio::test]
async fn what_is_asked_for_is_a_size_and_the_service_has_a_bound_of_its_own() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 5).await;
    large(&mut operator, &uids(5), 300_000).await;
    let server = CatalogServer::start_with(&database, |config| config.stream.max_answer_bytes = MIB).await;
    let mut client = client(&server);
    for value in ["", "0", "-1", "65535", "4MiB", "1e9", "0x100000"] {
        let get = |value: &str| {
            let mut request = Request::new(GetProductRequest { uid: uid(1), read_mask: None });
            request.metadata_mut().insert(KEY, value.parse().unwrap());
            request
        };
        assert_invalid(client.get_product(get(value)).await, "FIELD_INVALID", KEY);
        let stream = get(value).map(|_| StreamProductsRequest::default());
        assert_invalid(client.stream_products(stream).await, "FIELD_INVALID", KEY);
    }
    for asked in [None, Some(64 * MIB)] {
        let ask = |count: usize| match asked {
            None => Request::new(batch(uids(count))),
            Some(bytes) => accepting(batch(uids(count)), bytes),
        };
        let told = assert_too_large(&client.batch_get_products(ask(4)).await.unwrap_err());
        assert_eq!((&*told["max_answer_bytes"], &*told["service_max_answer_bytes"]), ("1048576", "1048576"));
        assert_eq!(client.batch_get_products(ask(3)).await.unwrap().into_inner().products.len(), 3);
    }
}

#[tokio::test]
async fn what_one_caller_was_given_is_not_given_to_one_who_takes_less() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 40).await;
    large(&mut operator, &uids(40), 200_000).await;
    let server = CatalogServer::start_with(&database, |config| config.cache.cache_bytes = 64 * MIB).await;
    let cached = |mut request: Request<BatchGetProductsRequest>| {
        request.metadata_mut().insert("cache-control", "max-age=60".parse().unwrap());
        request
    };
    for how in ["miss", "hit"] {
        let answer = server.client().batch_get_products(cached(accepting(batch(uids(40)), 16 * MIB))).await.unwrap();
        assert_eq!(answer.metadata().get("x-cache").unwrap(), how);
        assert_too_large(&client(&server).batch_get_products(cached(Request::new(batch(uids(40))))).await.unwrap_err());
    }
}

#[tokio::test]
async fn metrics_and_checks_keep_to_it_as_well() {
    let (_database, mut operator, server) = start(2).await;
    run(
        &mut operator,
        "insert into catalog.product_metric (product_uid, name, value, as_of_ts) \
         select 'prd_0000001', 'metric-' || n, n, now() from generate_series(1, 3000) n",
    )
    .await;
    let bytes = 64 << 10;
    let get = || GetProductMetricsRequest { product_uid: uid(1), read_mask: None };
    assert_too_large(&server.client().get_product_metrics(accepting(get(), bytes)).await.unwrap_err());
    assert_eq!(client(&server).get_product_metrics(get()).await.unwrap().into_inner().product_metrics.len(), 3_000);
    run(
        &mut operator,
        "insert into catalog.product_metric (product_uid, name, value, as_of_ts) \
         select 'prd_0000001', 'more-' || n, n, now() from generate_series(1, 7001) n",
    )
    .await;
    // Not a limit on bytes: the method returns at most 10,000.
    let refused = server.client().get_product_metrics(accepting(get(), LARGEST_MESSAGE)).await.unwrap_err();
    assert_eq!(assert_too_large(&refused), HashMap::new());
    assert!(refused.message().contains("10000 rows"), "{refused:?}");
    let request = accepting(StreamProductMetricsRequest::default(), bytes);
    let mut pages = server.client().stream_product_metrics(request).await.unwrap().into_inner();
    let mut seen = 0;
    while let Some(page) = pages.message().await.unwrap() {
        assert!(page.encoded_len() <= bytes - 5);
        seen += page.product_metrics.len();
    }
    assert_eq!(seen, 10_001);

    let uids: Vec<String> = (0..10_000).map(|number| format!("prd_none{number}{}", "x".repeat(110))).collect();
    for (takes, fits) in [(4 * MIB, true), (bytes, false)] {
        let requests = accepting(tokio_stream::iter([CheckProductsRequest { uids: uids.clone() }]), takes);
        let mut answers = client(&server).check_products(requests).await.unwrap().into_inner();
        match answers.message().await {
            Ok(answer) => assert!(fits && answer.unwrap().missing_uids == uids),
            Err(status) => assert!(!fits && !assert_too_large(&status).is_empty(), "{status:?}"),
        }
    }
}

#[tokio::test]
async fn row_errors_are_as_many_as_their_caller_takes_and_all_are_counted() {
    let (_database, _operator, server) = start(1).await;
    let labels = |number: usize| [(format!("{number}{}", "ü".repeat(500)), String::new())].into();
    let wrong: Vec<Product> =
        (0..2_000).map(|number| Product { uid: uid(number), labels: labels(number), ..Product::default() }).collect();
    for (takes, told) in [(64 << 10, 10..500), (4 * MIB, 1_000..1_001)] {
        let start = WriteStart { on_row_error: RowErrorPolicy::Skip.into(), ..WriteStart::default() };
        let start = WriteRequest { payload: Some(WritePayload::Start(start)) };
        let request = accepting(tokio_stream::iter([start, chunk(0, &wrong)]), takes);
        let mut grpc = tonic::client::Grpc::new(server.channel()).max_encoding_message_size(usize::MAX);
        grpc.ready().await.unwrap();
        let codec = ProstCodec::<WriteRequest, WriteResponse>::default();
        let answers = grpc.streaming(request, PathAndQuery::from_static(PRODUCTS), codec).await.unwrap();
        let answer = answers.into_inner().message().await.unwrap().unwrap();
        assert_eq!((answer.committed_offset, answer.rejected), (2_000, 2_000));
        assert!(told.contains(&answer.row_errors.len()), "{} errors", answer.row_errors.len());
        assert!(answer.row_errors.iter().zip(0..).all(|(error, offset)| error.offset == offset));
        assert!(answer.encoded_len() <= takes - 5, "{} bytes", answer.encoded_len());
    }
}
