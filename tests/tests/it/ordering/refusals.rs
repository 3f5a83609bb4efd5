//! Invalid orders, tokens and positions.

use tonic::Code;

use super::subjects::{METHODS, Method, Services};
use crate::harness::{Role, TestDatabase, assert_invalid, refusal, run, seed};

#[tokio::test]
async fn an_order_that_a_resource_has_not_is_refused_by_each_method() {
    let database = TestDatabase::create().await;
    let mut services = Services::start(&database).await;
    for method in METHODS {
        let natural = method.resource().natural_order();
        let mut refused: Vec<String> =
            ["nope", "labels", "status.phase", "uid,", ",", "uid DESC", "uid\0", "t.uid", "*"]
                .map(str::to_owned)
                .into();
        refused.push(format!("{0}, {0}", natural[0]));
        refused.push(format!("{}, create_ts", natural.join(", ")));
        refused.push(format!("{} up", natural[0]));
        if natural.len() > 1 {
            refused.push(format!("{} desc, {}", natural[0], natural[1]));
            refused.push(format!("{}, {} desc", natural[0], natural[1]));
        }
        for order_by in refused {
            assert_invalid(method.page(&mut services, &order_by, 1, String::new()).await, "FIELD_INVALID", "order_by");
        }
    }
}

#[tokio::test]
async fn a_refusal_says_what_is_possible() {
    let database = TestDatabase::create().await;
    let mut services = Services::start(&database).await;
    let refused = Method::StreamMetrics.page(&mut services, "value desc", 1, String::new()).await.unwrap_err();
    assert_eq!(
        refused.message(),
        "order_by: names no order of this resource; possible are \"product_uid, name\", \"name, value, product_uid\", \
         or the first columns of one of them, all ascending or each followed by \"desc\""
    );
}

#[tokio::test]
async fn a_token_belongs_to_its_order() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 20).await;
    let mut services = Services::start(&database).await;
    for (method, field) in [(Method::ListProducts, "page_token"), (Method::StreamProducts, "resume_token")] {
        let first = method.page(&mut services, "name desc", 3, String::new()).await.unwrap();
        let token = first.1.clone().unwrap();
        for order_by in ["", "name", "create_ts desc", "uid desc"] {
            let other = method.page(&mut services, order_by, 3, token.clone()).await;
            assert_invalid(other, "TOKEN_MISMATCH", field);
        }
        // The same order, written differently.
        let next = method.page(&mut services, " name  desc,uid desc ", 3, token.clone()).await.unwrap();
        assert_eq!(next, method.page(&mut services, "name desc", 3, token).await.unwrap());
        assert!(next.0.len() == 3 && next.0[0] < first.0[2], "{next:?} after {first:?}");
    }
}

#[tokio::test]
async fn a_row_without_a_place_is_an_error_and_no_page_that_repeats() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 6).await;
    // No service and no migration can create this: nulls come first in descending order.
    run(
        &mut operator,
        "alter table catalog.product alter column create_ts drop not null; \
         update catalog.product set create_ts = null where uid = 'prd_0000003'",
    )
    .await;
    let mut services = Services::start(&database).await;
    for method in [Method::ListProducts, Method::StreamProducts] {
        let refused = method.page(&mut services, "create_ts desc", 1, String::new()).await.unwrap_err();
        assert_eq!(refusal(&refused).code, Code::Internal, "{refused:?}");
        assert!(!refused.message().contains("create_ts"), "{refused:?}");
        // Other orders are not affected.
        assert_eq!(method.page(&mut services, "uid", 3, String::new()).await.unwrap().0.len(), 3);
    }
}
