//! Categories of tags, tags without one, and how a category's tags spread over the products.

use orrery_proto::records::v1::{
    DeleteTagClassificationRequest, GetTagDistributionRequest, ListTagCategoriesRequest, ListUnclassifiedTagsRequest,
    StreamTagClassificationsRequest, StreamUnclassifiedTagsRequest, TagClassification, UnclassifiedTag,
    UpsertTagClassificationRequest,
};
use orrery_proto::r#type::v1::{ReferenceCheck, WriteMode, WriteStart};
use tonic::{Code, Status};

use super::{CLASSIFICATIONS, PRODUCT_TAGS, Records, TAGS, assert_refused};
use crate::harness::{Role, product_tag, seed, tag, tag_uid, uid};
use crate::resources::skipping;
use crate::writes::stream::write;

fn classification(number: usize, category: &str) -> TagClassification {
    TagClassification { tag_uid: tag_uid(number), category_name: category.to_owned(), ..TagClassification::default() }
}

async fn upsert(
    records: &Records,
    (tag_uid, tag_name): (&str, &str),
    category_name: &str,
) -> Result<TagClassification, Status> {
    let request = UpsertTagClassificationRequest {
        tag_uid: tag_uid.to_owned(),
        tag_name: tag_name.to_owned(),
        category_name: category_name.to_owned(),
    };
    Ok(records.client().upsert_tag_classification(request).await?.into_inner())
}

/// Six tags; the first four in two categories. Product 1 has tags 1, 2, 3 and 5, product 2 has tag 1, product 3 has 5.
async fn tagged() -> Records {
    let records = Records::new().await;
    seed(&mut records.database.connect(Role::Operator).await, 4).await;
    records.write(TAGS, &(1..=6).map(tag).collect::<Vec<_>>()).await;
    let classified = [classification(1, "color"), classification(2, "color"), classification(3, "size")];
    records.write(CLASSIFICATIONS, &classified).await;
    records.write(CLASSIFICATIONS, &[classification(4, "size")]).await;
    let [a, b, c] = [1, 2, 3].map(uid);
    let links = [(&a, 1), (&a, 2), (&a, 3), (&a, 5), (&b, 1), (&c, 5)].map(|(product, tag)| product_tag(product, tag));
    records.write(PRODUCT_TAGS, &links).await;
    records
}

#[tokio::test]
async fn a_tag_is_moved_between_categories_and_out_of_them() {
    let records = tagged().await;
    let moved = upsert(&records, ("", "TAG 1"), "size").await.unwrap();
    let expected = (tag_uid(1), "size".to_owned(), "Tag 1".to_owned());
    assert_eq!((moved.tag_uid.clone(), moved.category_name.clone(), moved.tag_name.clone()), expected);
    // The same again changes nothing.
    assert_eq!(upsert(&records, (&tag_uid(1), ""), "size").await.unwrap(), moved);
    assert_eq!(upsert(&records, (&tag_uid(9), ""), "size").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(upsert(&records, ("", "nothing"), "size").await.unwrap_err().code(), Code::NotFound);
    assert_refused(&upsert(&records, ("", ""), "size").await.unwrap_err(), "tag_uid");
    assert_refused(&upsert(&records, (&tag_uid(1), "Tag 1"), "size").await.unwrap_err(), "tag_name");
    assert_refused(&upsert(&records, (&tag_uid(1), ""), "").await.unwrap_err(), "category_name");
    let delete = |allow_missing| {
        let request = DeleteTagClassificationRequest { tag_uid: tag_uid(1), allow_missing };
        let mut client = records.client();
        async move { client.delete_tag_classification(request).await.map(|_| ()) }
    };
    delete(false).await.unwrap();
    assert_eq!(delete(false).await.unwrap_err().code(), Code::NotFound);
    delete(true).await.unwrap();
    let mut stream = records
        .client()
        .stream_tag_classifications(StreamTagClassificationsRequest {
            order_by: "category_name desc".to_owned(),
            ..StreamTagClassificationsRequest::default()
        })
        .await
        .unwrap()
        .into_inner();
    let rows = stream.message().await.unwrap().unwrap().tag_classifications;
    let rows: Vec<(&str, &str)> = rows.iter().map(|row| (row.category_name.as_str(), row.tag_name.as_str())).collect();
    assert_eq!(rows, [("size", "Tag 4"), ("size", "Tag 3"), ("color", "Tag 2")]);
}

#[tokio::test]
async fn a_bulk_write_refuses_tags_that_do_not_exist_or_takes_them_without_a_name() {
    let records = tagged().await;
    let rows = [classification(2, "size"), classification(7, "size")];
    let start = WriteStart { reference_check: ReferenceCheck::Reject.into(), ..skipping(WriteMode::Upsert) };
    let (totals, end) = write(records.server.channel(), CLASSIFICATIONS, start, &rows).await;
    end.unwrap();
    assert_eq!((totals.updated, totals.rejected, totals.errors[0].offset), (1, 1, 1));
    records.write(CLASSIFICATIONS, &rows).await;
    let name = "select tag_name is null from records.tag_classification where tag_uid = 'tag_0000007'";
    let is_unknown: bool = sqlx::query_scalar(name).fetch_one(&records.pool).await.unwrap();
    assert!(is_unknown);
    // The tag brings its name when it arrives.
    records.write(TAGS, &[tag(7)]).await;
    let name = "select tag_name from records.tag_classification where tag_uid = 'tag_0000007'";
    assert_eq!(records.texts(name).await, ["Tag 7"]);
}

#[tokio::test]
async fn categories_are_counted_page_by_page() {
    let records = tagged().await;
    let mut token = String::new();
    let mut found = Vec::new();
    loop {
        let request = ListTagCategoriesRequest { page_size: 1, page_token: token.clone() };
        let page = records.client().list_tag_categories(request).await.unwrap().into_inner();
        assert!(page.tag_categories.len() <= 1);
        found.extend(page.tag_categories.into_iter().map(|row| (row.name, row.tag_count, row.product_count)));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(found, [("color".to_owned(), 2, 2), ("size".to_owned(), 2, 1)]);
    let request = ListTagCategoriesRequest { page_size: -1, ..ListTagCategoriesRequest::default() };
    assert_refused(&records.client().list_tag_categories(request).await.unwrap_err(), "page_size");
    let request = ListTagCategoriesRequest { page_token: "x".to_owned(), ..ListTagCategoriesRequest::default() };
    assert_refused(&records.client().list_tag_categories(request).await.unwrap_err(), "page_token");
}

#[tokio::test]
async fn tags_without_a_category_are_listed_and_streamed_with_their_products() {
    let records = tagged().await;
    let row = |number: usize, product_count| UnclassifiedTag {
        tag_uid: tag_uid(number),
        tag_name: format!("Tag {number}"),
        product_count,
    };
    let expected = [row(5, 2), row(6, 0)];
    let request = ListUnclassifiedTagsRequest { page_size: 1, ..ListUnclassifiedTagsRequest::default() };
    let first = records.client().list_unclassified_tags(request).await.unwrap().into_inner();
    let request = ListUnclassifiedTagsRequest { page_size: 9, page_token: first.next_page_token };
    let rest = records.client().list_unclassified_tags(request).await.unwrap().into_inner();
    assert_eq!([first.unclassified_tags, rest.unclassified_tags].concat(), expected);
    assert_eq!(rest.next_page_token, "");
    // A stream that broke after its first page goes on behind it.
    let mut streamed = Vec::new();
    let mut token = String::new();
    for _ in 0..2 {
        let request = StreamUnclassifiedTagsRequest { page_size: 1, resume_token: token.clone() };
        let mut stream = records.client().stream_unclassified_tags(request).await.unwrap().into_inner();
        let page = stream.message().await.unwrap().unwrap();
        streamed.extend(page.unclassified_tags);
        token = page.resume_token;
    }
    assert_eq!(streamed, expected);
}

#[tokio::test]
async fn a_distribution_counts_each_product_once() {
    let records = tagged().await;
    let request = |category: &str| GetTagDistributionRequest { category_name: category.to_owned() };
    let found = records.client().get_tag_distribution(request("color")).await.unwrap().into_inner();
    let shares: Vec<(&str, i64, f64)> =
        found.tag_shares.iter().map(|tag| (tag.tag_name.as_str(), tag.product_count, tag.share)).collect();
    assert_eq!(shares, [("Tag 1", 2, 0.5), ("Tag 2", 1, 0.25)]);
    let counts = (found.covered_product_count, found.uncovered_product_count, found.product_count);
    assert_eq!((counts, found.covered_share.to_string().as_str()), ((2, 2, 4), "0.5"));
    let missing = records.client().get_tag_distribution(request("none")).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    assert_refused(&records.client().get_tag_distribution(request("")).await.unwrap_err(), "category_name");
    records.catalog.stop().await.unwrap();
    let unavailable = records.server.client().get_tag_distribution(request("color")).await.unwrap_err();
    assert_eq!(unavailable.code(), Code::Unavailable);
}
