//! `GetProduct`, `BatchGetProducts` and `CheckProducts`: existing and missing products, in the requested order.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use futures::StreamExt as _;
use orrery_proto::catalog::v1::{
    BatchGetProductsRequest, BatchGetProductsResponse, CheckProductsRequest, CheckProductsResponse, GetProductRequest,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{CatalogServer, Role, TestDatabase, accepting, assert_invalid, refusal, run, seed, uid, uids};

async fn start(rows: usize) -> (TestDatabase, CatalogServer) {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, rows).await;
    let server = CatalogServer::start(&database).await;
    (database, server)
}

async fn batch(server: &CatalogServer, uids: Vec<String>) -> Result<BatchGetProductsResponse, Status> {
    let request = BatchGetProductsRequest { uids, read_mask: None };
    Ok(server.client().batch_get_products(request).await?.into_inner())
}

/// The responses to several requests on one stream, up to the first error.
async fn check(server: &CatalogServer, requests: Vec<Vec<String>>) -> (Vec<CheckProductsResponse>, Option<Status>) {
    let requests = tokio_stream::iter(requests.into_iter().map(|uids| CheckProductsRequest { uids }));
    let mut answers = server.client().check_products(requests).await.unwrap().into_inner();
    let mut seen = Vec::new();
    loop {
        match answers.message().await {
            Ok(Some(answer)) => seen.push(answer),
            Ok(None) => return (seen, None),
            Err(status) => return (seen, Some(status)),
        }
    }
}

#[tokio::test]
async fn a_product_is_got_or_is_not_there() {
    let (_database, server) = start(10).await;
    let get = |uid: &str| GetProductRequest { uid: uid.to_owned(), read_mask: None };
    let product = server.client().get_product(get(&uid(7))).await.unwrap().into_inner();
    assert_eq!((product.uid, product.name), (uid(7), "Thing 7".to_owned()));
    let status = server.client().get_product(get("prd_none")).await.unwrap_err();
    assert_eq!((refusal(&status).code, refusal(&status).reason.as_str()), (Code::NotFound, "RESOURCE_NOT_FOUND"));
    assert_eq!(status.get_details_resource_info().unwrap().resource_name, "prd_none");
    // Another program may have stored any key that Postgres accepts.
    for missing in
        ["7", "prd_", "PRD_0000007", "ord_0000007", "prd_0000007 ", "prd_é", "prd_a/b", &"x".repeat(256 * 1024)]
    {
        assert_eq!(server.client().get_product(get(missing)).await.unwrap_err().code(), Code::NotFound, "{missing}");
    }
    for wrong in ["", "prd_\0", &"x".repeat(256 * 1024 + 1)] {
        assert_invalid(server.client().get_product(get(wrong)).await, "FIELD_INVALID", "uid");
    }
}

#[tokio::test]
async fn a_batch_answers_in_the_order_asked_repeats_included() {
    let (_database, server) = start(1_000).await;
    let asked = [uid(9), "prd_none".to_owned(), uid(3), uid(9), "prd_gone".to_owned(), uid(1), "prd_none".to_owned()];
    let answer = batch(&server, asked.to_vec()).await.unwrap();
    let found: Vec<String> = answer.products.into_iter().map(|product| product.uid).collect();
    assert_eq!(found, [uid(9), uid(3), uid(9), uid(1)]);
    assert_eq!(answer.missing_uids, ["prd_none", "prd_gone", "prd_none"]);

    let mut many = uids(1_000);
    many.reverse();
    let answer = batch(&server, many.clone()).await.unwrap();
    assert_eq!(answer.products.into_iter().map(|product| product.uid).collect::<Vec<_>>(), many);
    assert_eq!(batch(&server, vec![uid(5); 1_000]).await.unwrap().products.len(), 1_000);

    many.push(uid(1));
    assert_invalid(batch(&server, many).await, "FIELD_INVALID", "uids");
    assert_invalid(batch(&server, vec![]).await, "FIELD_INVALID", "uids");
    assert_invalid(batch(&server, vec![uid(1), String::new()]).await, "FIELD_INVALID", "uids[1]");
    assert_invalid(batch(&server, vec!["prd_\0".to_owned()]).await, "FIELD_INVALID", "uids[0]");
}

#[tokio::test]
async fn large_answers_are_put_together_from_several_pages() {
    let (database, server) = start(10).await;
    run(
        &mut database.connect(Role::Operator).await,
        "update catalog.product set annotations = jsonb_build_object('text', repeat('x', 700000))",
    )
    .await;
    let mut asked = uids(10);
    asked.reverse();
    let request = BatchGetProductsRequest { uids: asked.clone(), read_mask: None };
    let answer = server.client().batch_get_products(accepting(request, 16 << 20)).await.unwrap().into_inner();
    assert_eq!(answer.products.into_iter().map(|product| product.uid).collect::<Vec<_>>(), asked);
}

#[tokio::test]
async fn what_is_missing_is_told_once_and_in_order() {
    let (_database, server) = start(10).await;
    let none = |number: usize| format!("prd_none{number}");
    let (answers, error) = check(
        &server,
        vec![
            vec![uid(1)],
            vec![none(2), uid(5), none(1), uid(5), none(2), none(3)],
            vec![none(1)],
            vec![uid(3), uid(2), uid(1)],
        ],
    )
    .await;
    assert!(error.is_none(), "{error:?}");
    let answer = |checked: i64, missing_uids: Vec<String>| CheckProductsResponse { checked, missing_uids };
    assert_eq!(
        answers,
        [answer(1, vec![]), answer(4, vec![none(2), none(1), none(3)]), answer(1, vec![none(1)]), answer(3, vec![])]
    );
    assert_eq!(check(&server, vec![]).await.0, []);
}

#[tokio::test]
async fn ten_thousand_uids_are_answered_in_the_order_asked() {
    let (database, _) = start(20_000).await;
    let mut operator = database.connect(Role::Operator).await;
    let mut asked: Vec<String> = (1..=20_000).step_by(2).map(uid).collect();
    asked.reverse();
    // Every third of them is deleted.
    let expected: Vec<String> = asked.iter().step_by(3).cloned().collect();
    let gone = expected.iter().map(|uid| format!("'{uid}'")).collect::<Vec<_>>().join(",");
    run(&mut operator, &format!("delete from catalog.product where uid in ({gone})")).await;
    // With each join method of the planner.
    for (setting, others) in [("enable_hashjoin", "enable_nestloop"), ("enable_mergejoin", "enable_hashjoin"), ("", "")]
    {
        let role = format!("alter role catalog_service in database {}", database.name());
        run(&mut operator, &format!("{role} reset all")).await;
        for setting in [setting, others].into_iter().filter(|setting| !setting.is_empty()) {
            run(&mut operator, &format!("{role} set {setting} = off")).await;
        }
        let server = CatalogServer::start(&database).await;
        let (answers, error) = check(&server, vec![asked.clone()]).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!((answers.len(), answers[0].checked), (1, 10_000));
        assert_eq!(answers[0].missing_uids, expected);
    }
    let server = CatalogServer::start(&database).await;
    asked.push(uid(2));
    let (answers, error) = check(&server, vec![vec![uid(2)], asked]).await;
    assert_eq!(answers.len(), 1, "what was asked before is answered");
    assert_invalid::<()>(Err(error.unwrap()), "FIELD_INVALID", "uids");
    let (_, error) = check(&server, vec![vec![]]).await;
    assert_invalid::<()>(Err(error.unwrap()), "FIELD_INVALID", "uids");
    let (_, error) = check(&server, vec![vec![uid(1), String::new()]]).await;
    assert_invalid::<()>(Err(error.unwrap()), "FIELD_INVALID", "uids[1]");
}

#[tokio::test]
async fn each_check_is_answered_before_the_next_one_is_sent() {
    let (_database, server) = start(10).await;
    let (send, requests) = mpsc::channel(1);
    let mut answers = server.client().check_products(ReceiverStream::new(requests)).await.unwrap().into_inner();
    for number in 1..=500 {
        send.send(CheckProductsRequest { uids: vec![uid(number)] }).await.unwrap();
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!(answer.missing_uids.is_empty(), number <= 10);
    }
    drop(send);
    assert_eq!(answers.next().await.map(|answer| answer.unwrap()), None);
}
