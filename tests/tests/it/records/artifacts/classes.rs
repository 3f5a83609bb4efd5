//! ClassifyProducts.

use orrery_proto::records::v1::classify_products_request::Classification;
use orrery_proto::records::v1::{ClassificationSpec, ClassifyProductsRequest, ClassifyProductsResponse, ProductClass};
use orrery_proto::r#type::v1::{TimeRange, WriteStart};
use tonic::{Code, Request, Status};

use super::{document, spec};
use crate::harness::{accepting, assert_invalid, metric, refusal, timestamp, uid};
use crate::records::Records;
use crate::writes::stream::{METRICS, assert_status, write};

const THRESHOLDS: [(&str, &str); 3] = [("winner", "2.50"), ("average", "1"), ("loser", "")];

fn inline(thresholds: &[(&str, &str)]) -> ClassifyProductsRequest {
    let Some(orrery_proto::records::v1::artifact::Payload::ClassificationSpec(spec)) = spec(thresholds).payload else {
        panic!("no spec")
    };
    ClassifyProductsRequest { classification: Some(Classification::Spec(spec)), ..ClassifyProductsRequest::default() }
}

fn stored(spec_uid: &str) -> ClassifyProductsRequest {
    ClassifyProductsRequest {
        classification: Some(Classification::SpecUid(spec_uid.to_owned())),
        ..ClassifyProductsRequest::default()
    }
}

/// Services with a metric of `count` products: 0.5, 1.0, 1.5, ... to 3.0, and again.
async fn measured(count: usize) -> Records {
    let records = Records::new().await;
    let rows: Vec<_> = (0..count)
        .flat_map(|number| {
            let value = format!("{}.{}", (number % 6).div_ceil(2), if number % 2 == 0 { 5 } else { 0 });
            [metric(&uid(number), "roas", &value, 10 + number as i64), metric(&uid(number), "other", "99", 10)]
        })
        .collect();
    for rows in rows.chunks(10_000) {
        write(records.catalog.channel(), METRICS, WriteStart::default(), rows).await.1.unwrap();
    }
    records
}

async fn pages(
    records: &Records,
    request: impl Into<Request<ClassifyProductsRequest>>,
) -> Result<Vec<ClassifyProductsResponse>, Status> {
    let mut stream = records.artifacts().classify_products(request.into()).await?.into_inner();
    let mut pages = Vec::new();
    while let Some(page) = stream.message().await? {
        assert!(!page.resume_token.is_empty());
        pages.push(page);
    }
    Ok(pages)
}

async fn classes(records: &Records, request: ClassifyProductsRequest) -> Result<Vec<(String, String)>, Status> {
    let class = |ProductClass { product_uid, class_name, .. }| (product_uid, class_name);
    Ok(pages(records, Request::new(request))
        .await?
        .into_iter()
        .flat_map(|page| page.product_classes)
        .map(class)
        .collect())
}

/// The classes of the first products by [`THRESHOLDS`].
fn expected(count: usize) -> Vec<(String, String)> {
    let class = |number: usize| ["loser", "average", "average", "average", "winner", "winner"][number % 6].to_owned();
    (0..count).map(|number| (uid(number), class(number))).collect()
}

#[tokio::test]
async fn every_measured_product_gets_its_class() {
    let records = measured(20).await;
    let made = records.created(spec(&THRESHOLDS)).await;
    for request in [inline(&THRESHOLDS), stored(&made.uid)] {
        assert_eq!(classes(&records, request).await.unwrap(), expected(20));
    }
    let first = pages(&records, Request::new(stored(&made.uid))).await.unwrap().remove(0).product_classes.remove(1);
    assert_eq!(first.value, "1.0");
    // Without a class for the rest, products below all thresholds are left out.
    let winners = classes(&records, inline(&[("winner", "2.5")])).await.unwrap();
    assert_eq!(winners, expected(20).into_iter().filter(|(_, class)| class == "winner").collect::<Vec<_>>());
    let some = ClassifyProductsRequest { product_uids: vec![uid(5), uid(3), uid(99)], ..inline(&THRESHOLDS) };
    assert_eq!(classes(&records, some).await.unwrap(), [3, 5].map(|number| expected(20)[number].clone()));
    let late = ClassifyProductsRequest {
        as_of: Some(TimeRange { start: Some(timestamp(25)), end: None }),
        ..inline(&THRESHOLDS)
    };
    assert_eq!(classes(&records, late).await.unwrap(), expected(20)[15..]);
    assert_eq!(classes(&records, ClassifyProductsRequest { ..inline(&[("a", "100")]) }).await.unwrap(), []);
}

#[tokio::test]
async fn a_stream_continues_after_every_page() {
    let records = measured(30).await;
    let made = records.created(spec(&THRESHOLDS)).await;
    for page_size in [1, 7, 30, 100] {
        let request = ClassifyProductsRequest { page_size, ..stored(&made.uid) };
        let all = pages(&records, Request::new(request.clone())).await.unwrap();
        let mut before = 0;
        for page in all {
            assert!(page.product_classes.len() <= page_size as usize);
            before += page.product_classes.len();
            let rest = ClassifyProductsRequest { resume_token: page.resume_token, page_size: 0, ..request.clone() };
            assert_eq!(classes(&records, rest).await.unwrap(), expected(30)[before..], "{page_size} {before}");
        }
        assert_eq!(before, 30);
    }
}

#[tokio::test]
async fn a_page_is_as_large_as_the_caller_accepts() {
    let records = measured(5_000).await;
    let long = "x".repeat(63);
    let request = inline(&[(&long, "")]);
    let all = pages(&records, accepting(request.clone(), 65_536)).await.unwrap();
    assert!(all.len() > 5, "{}", all.len());
    let found: Vec<String> =
        all.iter().flat_map(|page| &page.product_classes).map(|row| row.product_uid.clone()).collect();
    assert_eq!(found, (0..5_000).map(uid).collect::<Vec<_>>());
    // A token within a page of Catalog.
    let rest = ClassifyProductsRequest { resume_token: all[2].resume_token.clone(), ..request };
    let before: usize = all[..3].iter().map(|page| page.product_classes.len()).sum();
    assert_eq!(classes(&records, rest).await.unwrap().len(), 5_000 - before);
}

#[tokio::test]
async fn a_token_belongs_to_its_classes() {
    let records = measured(5).await;
    let made = records.created(spec(&THRESHOLDS)).await;
    let request = ClassifyProductsRequest { page_size: 1, ..stored(&made.uid) };
    let token = pages(&records, Request::new(request.clone())).await.unwrap().remove(0).resume_token;
    let with_token =
        |request: ClassifyProductsRequest| ClassifyProductsRequest { resume_token: token.clone(), ..request };
    // The same classes from elsewhere are the same.
    assert_eq!(classes(&records, with_token(inline(&THRESHOLDS))).await.unwrap(), expected(5)[1..]);
    let others = [inline(&[("a", "1")]), ClassifyProductsRequest { product_uids: vec![uid(1)], ..inline(&THRESHOLDS) }];
    for other in others {
        assert_invalid(classes(&records, with_token(other)).await, "TOKEN_MISMATCH", "resume_token");
    }
    let changed = super::named(&made.uid, spec(&[("winner", "3")]));
    records.update(changed, &[]).await.unwrap();
    assert_invalid(classes(&records, with_token(stored(&made.uid))).await, "TOKEN_MISMATCH", "resume_token");
    let odd = ClassifyProductsRequest { resume_token: "x".to_owned(), ..stored(&made.uid) };
    assert_invalid(classes(&records, odd).await, "TOKEN_INVALID", "resume_token");
}

#[tokio::test]
async fn what_is_no_spec_is_refused() {
    let records = measured(1).await;
    assert_invalid(classes(&records, ClassifyProductsRequest::default()).await, "FIELD_INVALID", "classification");
    assert_invalid(classes(&records, stored("")).await, "FIELD_INVALID", "spec_uid");
    assert_eq!(classes(&records, stored("mda_none")).await.unwrap_err().code(), Code::NotFound);
    let other = records.created(document("a")).await;
    assert_invalid(classes(&records, stored(&other.uid)).await, "FIELD_INVALID", "spec_uid");
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[], "spec.thresholds"),
        (&[("a", "x")], "spec.thresholds.a"),
        (&[("a", "1"), ("b", "1")], "spec.thresholds.b"),
        (&[("a b", "1")], "spec.thresholds.a b"),
        (&[("", "1")], "spec.thresholds."),
    ];
    for (thresholds, field) in cases {
        let refused = refusal(&classes(&records, inline(thresholds)).await.unwrap_err());
        assert!(refused.fields == [field] || refused.fields == ["spec.thresholds.a"], "{refused:?}");
    }
    let unnamed =
        ClassificationSpec { metric_name: String::new(), thresholds: [("a".to_owned(), "1".to_owned())].into() };
    let unnamed =
        ClassifyProductsRequest { classification: Some(Classification::Spec(unnamed)), ..inline(&THRESHOLDS) };
    assert_invalid(classes(&records, unnamed).await, "FIELD_INVALID", "spec.metric_name");
    let negative = ClassifyProductsRequest { page_size: -1, ..inline(&THRESHOLDS) };
    assert_invalid(classes(&records, negative).await, "FIELD_INVALID", "page_size");
    let odd = ClassifyProductsRequest { product_uids: vec![String::new()], ..inline(&THRESHOLDS) };
    assert_invalid(classes(&records, odd).await, "FIELD_INVALID", "product_uids[0]");
    // Another program stored a spec that breaks the rules.
    let sql = "insert into records.macrodata_artifact (uid, kind, body) values \
               ('odd', 'classification_spec', '{\"metric_name\": \"roas\", \"thresholds\": {\"a\": \"1\", \"b\": 1}}')";
    records.execute(sql).await;
    assert_invalid(classes(&records, stored("odd")).await, "FIELD_INVALID", "spec_uid");
}

#[tokio::test]
async fn without_the_catalog_nothing_is_classified() {
    let records = measured(1).await;
    records.catalog.stop().await.unwrap();
    let mut client =
        orrery_proto::records::v1::records_service_client::RecordsServiceClient::new(records.server.channel());
    let mut stream = client.classify_products(inline(&THRESHOLDS)).await.unwrap().into_inner();
    let refused = stream.message().await.unwrap_err();
    assert_status(&refused, Code::Unavailable, "DEPENDENCY_UNAVAILABLE");
}
