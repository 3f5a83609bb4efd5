//! Rows of other programs that are read together by key, and exceed the service's own limit on rows.

use futures::future::join_all;
use orrery_proto::catalog::v1::{GetProductRequest, Product};
use orrery_proto::r#type::v1::WriteStart;
use sqlx::PgConnection;
use tonic::{Code, Status};

use super::{managed, refusing};
use crate::harness::wire::{Limit, WireLimits};
use crate::harness::{CatalogServer, Role, TestDatabase, refusal, run, seed, uid};
use crate::writes::stream::{PRODUCTS, write};

const ROWS: usize = 300;
/// The size of a few rows, fewer than are read together.
const RESULT_BYTES: usize = 64 << 10;

/// Writes products 1 to [`ROWS`], of 10 kB each.
async fn large_rows(operator: &mut PgConnection) {
    seed(operator, ROWS).await;
    run(operator, "update catalog.product set annotations = jsonb_build_object('text', repeat('x', 10000))").await;
}

async fn get(server: &CatalogServer, number: usize) -> Result<Product, Status> {
    let request = GetProductRequest { uid: uid(number), read_mask: None };
    server.client().get_product(request).await.map(tonic::Response::into_inner)
}

/// Gets all products at once.
async fn get_all(server: &CatalogServer) -> Vec<Product> {
    let products = join_all((1..=ROWS).map(|number| get(server, number))).await;
    let products: Vec<Product> = products.into_iter().map(Result::unwrap).collect();
    assert!((1..).zip(&products).all(|(number, product)| product.uid == uid(number)));
    products
}

/// The number of refusals, all because of the size of a result.
fn refusals(database: &TestDatabase) -> usize {
    let violations = database.take_violations();
    assert!(violations.iter().all(|violation| violation.limit == Limit::ResultBytes), "{violations:?}");
    violations.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_share_a_query_get_their_rows_where_it_is_refused() {
    for limits in refusing(WireLimits { result_bytes: RESULT_BYTES as u64, ..managed() }) {
        let database = TestDatabase::limited(limits).await;
        large_rows(&mut database.connect(Role::Operator).await).await;
        let server =
            CatalogServer::start_with(&database, |config| config.overload.max_concurrent_calls = Some(ROWS)).await;
        get_all(&server).await;
        // From then on, only as many as fit are read together.
        let refused = refusals(&database);
        assert!((1..ROWS / 4).contains(&refused), "{refused} times");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn etags_are_compared_of_fewer_rows_where_a_result_is_refused() {
    for limits in refusing(WireLimits { result_bytes: RESULT_BYTES as u64, ..managed() }) {
        let database = TestDatabase::limited(limits).await;
        large_rows(&mut database.connect(Role::Operator).await).await;
        let server =
            CatalogServer::start_with(&database, |config| config.overload.max_concurrent_calls = Some(ROWS)).await;
        let renamed = |product: Product| Product {
            uid: product.uid,
            etag: product.etag,
            name: "renamed".to_owned(),
            ..Product::default()
        };
        let mut products: Vec<Product> = get_all(&server).await.into_iter().map(renamed).collect();
        refusals(&database);
        let (totals, end) = write(server.channel(), PRODUCTS, WriteStart::default(), &products).await;
        end.unwrap();
        assert_eq!(totals.counts(), [0, ROWS as i64, 0, 0, 0]);
        let refused = refusals(&database);
        assert!((1..=8).contains(&refused), "{refused} times");
        // None of these etags is current.
        products.truncate(1);
        let (_, end) = write(server.channel(), PRODUCTS, WriteStart::default(), &products).await;
        assert_eq!(refusal(&end.unwrap_err()).reason, "ROW_REJECTED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_cuts_results_off_by_its_own_limit() {
    let database = TestDatabase::limited(managed()).await;
    let mut operator = database.connect(Role::Operator).await;
    large_rows(&mut operator).await;
    let server = CatalogServer::start_with(&database, |config| {
        config.overload.max_concurrent_calls = Some(ROWS);
        config.limits.max_result_bytes = RESULT_BYTES;
        config.stream.page_bytes = RESULT_BYTES;
    })
    .await;
    get_all(&server).await;
    run(
        &mut operator,
        &format!(
            "update catalog.product set annotations = jsonb_build_object('text', repeat('x', 100000)) where uid = '{}'",
            uid(7)
        ),
    )
    .await;
    let status = get(&server, 7).await.unwrap_err();
    let refused = refusal(&status);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "ROW_TOO_LARGE"), "{status:?}");
    assert!(status.message().contains(&uid(7)), "{status:?}");
}
