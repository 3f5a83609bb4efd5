//! The products that artifacts denote.

use futures::future::join_all;
use orrery_proto::records::v1::{
    DeleteArtifactRequest, LinkProductsRequest, ProductLink, ProductLinkFilter, StreamProductLinksRequest,
    UnlinkProductsRequest,
};
use orrery_proto::r#type::v1::{ReferenceCheck, WriteMode, WriteStart};
use tonic::{Code, Status};

use super::{PRODUCT_LINKS, asset, named, told};
use crate::harness::{Role, assert_invalid, product, refusal, uid, until_waiting};
use crate::records::Records;
use crate::resources::{in_mode, skipping};
use crate::writes::stream::{PRODUCTS, assert_status, write};

/// Services with three artifacts, and products 0 to 9.
async fn linkable() -> Records {
    let records = Records::new().await;
    let rows: Vec<_> = (1..4).map(|number| named(&artifact(number), asset(number))).collect();
    records.write_artifacts(WriteStart::default(), &rows).await.1.unwrap();
    let products: Vec<_> = (0..10).map(|number| product(&uid(number))).collect();
    write(records.catalog.channel(), PRODUCTS, WriteStart::default(), &products).await.1.unwrap();
    records
}

fn artifact(number: usize) -> String {
    format!("mda_{number}")
}

fn row(product: usize, of: usize) -> ProductLink {
    ProductLink { product_uid: uid(product), artifact_uid: artifact(of), create_ts: None }
}

async fn link(records: &Records, of: &str, products: &[usize]) -> Result<i32, Status> {
    let product_uids = products.iter().map(|&number| uid(number)).collect();
    let request = LinkProductsRequest { artifact_uid: of.to_owned(), product_uids, reference_check: 0 };
    Ok(records.artifacts().link_products(request).await?.into_inner().linked)
}

async fn unlink(records: &Records, of: &str, products: &[usize]) -> Result<i32, Status> {
    let product_uids = products.iter().map(|&number| uid(number)).collect();
    let request = UnlinkProductsRequest { artifact_uid: of.to_owned(), product_uids };
    Ok(records.artifacts().unlink_products(request).await?.into_inner().unlinked)
}

/// The products and artifacts of all pages after a token, and the tokens.
async fn streamed(
    records: &Records,
    request: StreamProductLinksRequest,
) -> Result<(Vec<(String, String)>, Vec<String>), Status> {
    let mut stream = records.artifacts().stream_product_links(request).await?.into_inner();
    let (mut links, mut tokens) = (Vec::new(), Vec::new());
    while let Some(page) = stream.message().await? {
        links.extend(page.product_links.into_iter().map(|link| (link.product_uid, link.artifact_uid)));
        tokens.push(page.resume_token);
    }
    Ok((links, tokens))
}

#[tokio::test]
async fn products_are_linked_and_unlinked_once() {
    let records = linkable().await;
    assert_eq!(link(&records, "mda_1", &[3, 1, 3]).await.unwrap(), 2);
    assert_eq!(link(&records, "mda_1", &[1, 2]).await.unwrap(), 1);
    assert_eq!(unlink(&records, "mda_1", &[3, 3, 9]).await.unwrap(), 1);
    assert_eq!(unlink(&records, "mda_none", &[3]).await.unwrap(), 0);
    let (links, _) = streamed(&records, StreamProductLinksRequest::default()).await.unwrap();
    assert_eq!(links, [(uid(1), artifact(1)), (uid(2), artifact(1))]);
    let answers = join_all((0..32).map(|_| link(&records, "mda_2", &[5, 6, 7]))).await;
    assert_eq!(answers.into_iter().map(|linked| linked.unwrap()).sum::<i32>(), 3);
}

/// The link waits for another program that makes the same one, while its artifact is deleted.
#[tokio::test]
async fn a_delete_takes_a_link_along_that_is_just_being_made() {
    let records = linkable().await;
    let mut watcher = records.database.connect(Role::Operator).await;
    let mut holding = records.pool.begin().await.unwrap();
    let same = format!(
        "insert into records.link_product_macrodata_artifact (product_uid, artifact_uid) values ('{}', 'mda_1')",
        uid(1)
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(same)).execute(&mut *holding).await.unwrap();
    let force = DeleteArtifactRequest { uid: artifact(1), force: true, ..DeleteArtifactRequest::default() };
    let mut deleting = records.artifacts();
    let steps = async {
        until_waiting(&mut watcher, Role::Records, 1).await;
        let delete = deleting.delete_artifact(force);
        let begun = async {
            until_waiting(&mut watcher, Role::Records, 2).await;
            holding.rollback().await.unwrap();
        };
        tokio::join!(delete, begun).0
    };
    let (linked, deleted) = tokio::join!(link(&records, "mda_1", &[1]), steps);
    assert_eq!(linked.unwrap(), 1);
    deleted.unwrap();
    let (links, _) = streamed(&records, StreamProductLinksRequest::default()).await.unwrap();
    assert_eq!(links, []);
}

#[tokio::test]
async fn only_what_exists_is_linked() {
    let records = linkable().await;
    let missing = link(&records, "mda_none", &[1]).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    let missing = link(&records, "mda_1", &[1, 77]).await.unwrap_err();
    let told = refusal(&missing);
    assert_eq!((told.code, told.reason.as_str()), (Code::FailedPrecondition, "REFERENCE_MISSING"));
    assert_eq!(told.fields, ["product_uids[1]"]);
    let accepted = LinkProductsRequest {
        artifact_uid: artifact(1),
        product_uids: vec![uid(77)],
        reference_check: ReferenceCheck::Accept.into(),
    };
    assert_eq!(records.artifacts().link_products(accepted.clone()).await.unwrap().into_inner().linked, 1);
    let unknown = LinkProductsRequest { reference_check: 9, ..accepted.clone() };
    assert_invalid(records.artifacts().link_products(unknown).await, "FIELD_INVALID", "reference_check");
    assert_invalid(link(&records, "", &[1]).await, "FIELD_INVALID", "artifact_uid");
    assert_invalid(link(&records, "mda_1", &[]).await, "FIELD_INVALID", "product_uids");
    assert_invalid(link(&records, "mda_1", &vec![1; 1_001]).await, "FIELD_INVALID", "product_uids");
    let odd = LinkProductsRequest { product_uids: vec![uid(1), "x".to_owned()], ..accepted };
    assert_invalid(records.artifacts().link_products(odd).await, "FIELD_INVALID", "product_uids[1]");
    assert_invalid(unlink(&records, "mda_1", &[]).await, "FIELD_INVALID", "product_uids");
    let odd = UnlinkProductsRequest { artifact_uid: artifact(1), product_uids: vec!["a\0".to_owned()] };
    assert_invalid(records.artifacts().unlink_products(odd).await, "FIELD_INVALID", "product_uids[0]");
}

#[tokio::test]
async fn links_are_written_in_chunks() {
    let records = linkable().await;
    let rows = [row(1, 1), row(0, 2), row(1, 1), row(9, 3)];
    let (totals, end) = write(records.server.channel(), PRODUCT_LINKS, WriteStart::default(), &rows).await;
    end.unwrap();
    assert_eq!(totals.counts(), [3, 0, 0, 0, 1]);
    let start = WriteStart { reference_check: ReferenceCheck::Reject.into(), ..skipping(WriteMode::Upsert) };
    let rows = [row(1, 1), row(2, 77), row(77, 2), row(2, 2)];
    let (totals, end) = write(records.server.channel(), PRODUCT_LINKS, start, &rows).await;
    end.unwrap();
    assert_eq!(
        told(&totals.errors),
        [(1, "REFERENCE_MISSING", "artifact_uid"), (2, "REFERENCE_MISSING", "product_uid")]
    );
    assert_eq!(totals.counts(), [1, 0, 1, 2, 0]);
    let rows = [row(1, 1), row(5, 5)];
    let (totals, end) = write(records.server.channel(), PRODUCT_LINKS, in_mode(WriteMode::Delete), &rows).await;
    end.unwrap();
    assert_eq!((totals.deleted, totals.counts()), (1, [0, 0, 1, 0, 0]));
    let (links, _) = streamed(&records, StreamProductLinksRequest::default()).await.unwrap();
    assert_eq!(links, [(uid(0), artifact(2)), (uid(2), artifact(2)), (uid(9), artifact(3))]);
}

#[tokio::test]
async fn links_are_streamed_by_product_and_by_artifact() {
    let records = linkable().await;
    let rows: Vec<ProductLink> = (0..10).flat_map(|product| (1..4).map(move |of| row(product, of))).collect();
    write(records.server.channel(), PRODUCT_LINKS, WriteStart::default(), &rows).await.1.unwrap();
    let mut all: Vec<(String, String)> =
        rows.iter().map(|link| (link.product_uid.clone(), link.artifact_uid.clone())).collect();
    for order_by in ["", "product_uid", "artifact_uid", "artifact_uid desc"] {
        all.sort_by_key(|(product, of)| match order_by {
            "artifact_uid" | "artifact_uid desc" => (of.clone(), product.clone()),
            _ => (product.clone(), of.clone()),
        });
        if order_by.ends_with("desc") {
            all.reverse();
        }
        for page_size in [0, 1, 7, 30] {
            let request = StreamProductLinksRequest { page_size, order_by: order_by.to_owned(), ..Default::default() };
            let (links, tokens) = streamed(&records, request.clone()).await.unwrap();
            assert_eq!(links, all, "{order_by} {page_size}");
            for (nth, token) in tokens.into_iter().enumerate().filter(|_| page_size > 0) {
                let request = StreamProductLinksRequest { resume_token: token, ..request.clone() };
                let (rest, _) = streamed(&records, request).await.unwrap();
                assert_eq!(rest, all[((nth + 1) * page_size as usize).min(30)..], "{order_by} {page_size} {nth}");
            }
        }
    }
    let filtered = |product_uids: &[usize], artifact_uids: &[usize]| StreamProductLinksRequest {
        filter: Some(ProductLinkFilter {
            product_uids: product_uids.iter().map(|&number| uid(number)).collect(),
            artifact_uids: artifact_uids.iter().map(|&number| artifact(number)).collect(),
            created: None,
        }),
        ..StreamProductLinksRequest::default()
    };
    let (of_product, _) = streamed(&records, filtered(&[4], &[])).await.unwrap();
    assert_eq!(of_product, [(uid(4), artifact(1)), (uid(4), artifact(2)), (uid(4), artifact(3))]);
    assert_eq!(streamed(&records, filtered(&[], &[2])).await.unwrap().0.len(), 10);
    let (both, _) = streamed(&records, filtered(&[4, 5], &[2, 9])).await.unwrap();
    assert_eq!(both, [(uid(4), artifact(2)), (uid(5), artifact(2))]);
    let other = StreamProductLinksRequest { order_by: "create_ts".to_owned(), ..Default::default() };
    assert_invalid(streamed(&records, other).await, "FIELD_INVALID", "order_by");
}

#[tokio::test]
async fn products_cannot_be_checked_without_the_catalog() {
    let records = Records::new().await;
    let made = records.created(asset(1)).await;
    records.catalog.stop().await.unwrap();
    let request = LinkProductsRequest { artifact_uid: made.uid, product_uids: vec![uid(1)], reference_check: 0 };
    let refused = {
        let mut client =
            orrery_proto::records::v1::records_service_client::RecordsServiceClient::new(records.server.channel());
        client.link_products(request).await.unwrap_err()
    };
    assert_status(&refused, Code::Unavailable, "DEPENDENCY_UNAVAILABLE");
}
