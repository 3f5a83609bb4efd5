//! The tags of products, by product and by tag.

use orrery_proto::records::v1::{
    ListTagsOfProductsRequest, ProductTag, ProductTagFilter, StreamProductTagsRequest, TagsOfProduct,
};
use orrery_proto::r#type::v1::{ErrorReason, ReferenceCheck, WriteMode, WriteStart};

use super::{PRODUCT_TAGS, Records, TAGS, assert_refused};
use crate::harness::{Role, product_tag, seed, tag, tag_uid, uid};
use crate::resources::{in_mode, skipping};
use crate::writes::stream::write;

async fn linked() -> Records {
    let records = Records::new().await;
    seed(&mut records.database.connect(Role::Operator).await, 3).await;
    records.write(TAGS, &[tag(3), tag(1), tag(2)]).await;
    let links = [(1, 1), (1, 2), (2, 2), (3, 1)].map(|(product, tag)| product_tag(&uid(product), tag));
    records.write(PRODUCT_TAGS, &links).await;
    records
}

async fn streamed(records: &Records, request: StreamProductTagsRequest) -> Vec<(String, String)> {
    let mut stream = records.client().stream_product_tags(request).await.unwrap().into_inner();
    let mut links = Vec::new();
    while let Some(page) = stream.message().await.unwrap() {
        links.extend(page.product_tags.into_iter().map(|link| (link.product_uid, link.tag_uid)));
    }
    links
}

fn pairs(links: &[(usize, usize)]) -> Vec<(String, String)> {
    links.iter().map(|&(product, tag)| (uid(product), tag_uid(tag))).collect()
}

#[tokio::test]
async fn links_are_streamed_by_product_and_by_tag() {
    let records = linked().await;
    assert_eq!(records.links().await, pairs(&[(1, 1), (1, 2), (2, 2), (3, 1)]));
    let by_tag = StreamProductTagsRequest { order_by: "tag_uid".to_owned(), ..Default::default() };
    assert_eq!(streamed(&records, by_tag).await, pairs(&[(1, 1), (3, 1), (1, 2), (2, 2)]));
    let filter = ProductTagFilter { tag_uids: vec![tag_uid(2)], ..ProductTagFilter::default() };
    let of_tag = StreamProductTagsRequest { filter: Some(filter), page_size: 1, ..Default::default() };
    assert_eq!(streamed(&records, of_tag).await, pairs(&[(1, 2), (2, 2)]));
    let filter = ProductTagFilter { product_uids: vec![uid(1)], ..ProductTagFilter::default() };
    let of_product = StreamProductTagsRequest { filter: Some(filter), ..Default::default() };
    assert_eq!(streamed(&records, of_product).await, pairs(&[(1, 1), (1, 2)]));
}

#[tokio::test]
async fn links_are_written_once_and_deleted_by_key() {
    let records = linked().await;
    let channel = records.server.channel();
    let rows = [product_tag(&uid(1), 1), product_tag(&uid(2), 3)];
    let (totals, end) = write(channel.clone(), PRODUCT_TAGS, WriteStart::default(), &rows).await;
    end.unwrap();
    assert_eq!(totals.counts(), [1, 0, 1, 0, 0]);
    let (totals, end) = write(channel, PRODUCT_TAGS, in_mode(WriteMode::Delete), &rows).await;
    end.unwrap();
    assert_eq!(totals.deleted, 2);
    assert_eq!(records.links().await, pairs(&[(1, 2), (2, 2), (3, 1)]));
}

#[tokio::test]
async fn the_tags_of_products_become_exactly_those_that_are_sent() {
    let records = linked().await;
    let none = |number| ProductTag { product_uid: uid(number), ..ProductTag::default() };
    let start = WriteStart { reference_check: ReferenceCheck::Reject.into(), ..in_mode(WriteMode::Replace) };
    let rows = [none(3), product_tag(&uid(1), 3), product_tag(&uid(1), 2)];
    let (totals, end) = write(records.server.channel(), PRODUCT_TAGS, start.clone(), &rows).await;
    end.unwrap();
    assert_eq!((totals.counts(), totals.deleted), ([1, 0, 1, 0, 0], 2));
    assert_eq!(records.links().await, pairs(&[(1, 2), (1, 3), (2, 2)]));
    // A tag that does not exist costs its row; a product that does not exist has no tags.
    let start = WriteStart { reference_check: start.reference_check, ..skipping(WriteMode::Replace) };
    let rows = [product_tag(&uid(2), 9), product_tag(&uid(2), 1), product_tag(&uid(9), 1), none(8)];
    let (totals, end) = write(records.server.channel(), PRODUCT_TAGS, start, &rows).await;
    end.unwrap();
    assert_eq!((totals.counts(), totals.deleted), ([1, 0, 1, 2, 0], 1));
    assert_eq!(records.links().await, pairs(&[(1, 2), (1, 3), (2, 1)]));
    let (_, end) = write(records.server.channel(), TAGS, in_mode(WriteMode::Replace), &[tag(1)]).await;
    assert_refused(&end.unwrap_err(), "start.mode");
}

#[tokio::test]
async fn products_and_tags_that_do_not_exist_cost_their_rows() {
    let records = linked().await;
    let start = WriteStart { reference_check: ReferenceCheck::Reject.into(), ..skipping(WriteMode::Upsert) };
    let rows = [product_tag(&uid(9), 1), product_tag(&uid(2), 9), product_tag(&uid(2), 1)];
    let (totals, end) = write(records.server.channel(), PRODUCT_TAGS, start, &rows).await;
    end.unwrap();
    let told: Vec<(i64, &str, ErrorReason)> =
        totals.errors.iter().map(|error| (error.offset, error.field.as_str(), error.reason())).collect();
    let missing = ErrorReason::ReferenceMissing;
    assert_eq!((totals.created, told), (1, vec![(0, "product_uid", missing), (1, "tag_uid", missing)]));
    let nothing = [ProductTag { product_uid: uid(1), ..ProductTag::default() }];
    let (totals, _) = write(records.server.channel(), PRODUCT_TAGS, skipping(WriteMode::Upsert), &nothing).await;
    assert_eq!((totals.rejected, totals.errors[0].field.as_str()), (1, "tag_uid"));
}

#[tokio::test]
async fn tags_of_products_come_in_the_order_of_the_request() {
    let records = linked().await;
    // A link whose tag is gone.
    records.write(PRODUCT_TAGS, &[product_tag(&uid(3), 8)]).await;
    let product_uids = vec![uid(3), "prd_none".to_owned(), uid(1), uid(3)];
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListTagsOfProductsRequest { product_uids: product_uids.clone(), page_size: 3, page_token };
        let page = records.client().list_tags_of_products(request).await.unwrap().into_inner();
        let names =
            |row: TagsOfProduct| (row.product_uid, row.tags.iter().map(|tag| tag.name.clone()).collect::<Vec<_>>());
        found.extend(page.tags_of_products.into_iter().map(names));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let of = |product: &str, tags: &[&str]| (product.to_owned(), tags.iter().map(|&tag| tag.to_owned()).collect());
    let expected: [(String, Vec<String>); 4] =
        [of(&uid(3), &["Tag 1"]), of("prd_none", &[]), of(&uid(1), &["Tag 1", "Tag 2"]), of(&uid(3), &["Tag 1"])];
    assert_eq!(found, expected);
    let request = |product_uids| ListTagsOfProductsRequest { product_uids, ..ListTagsOfProductsRequest::default() };
    let refused = records.client().list_tags_of_products(request(Vec::new())).await.unwrap_err();
    assert_refused(&refused, "product_uids");
    let refused = records.client().list_tags_of_products(request(vec![uid(1), String::new()])).await.unwrap_err();
    assert_refused(&refused, "product_uids[1]");
}
