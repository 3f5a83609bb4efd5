//! Tags that are merged and deleted, with links that take several transactions.

use futures::future::join_all;
use orrery_proto::records::v1::{DeleteTagRequest, MergeTagsRequest, MergeTagsResponse};
use orrery_proto::r#type::v1::{ErrorReason, WriteMode};
use tonic::{Code, Status};

use super::{PRODUCT_TAGS, Records, TAGS, assert_refused};
use crate::harness::{product_tag, tag, tag_uid};
use crate::resources::skipping;
use crate::writes::stream::write;

async fn merge(
    records: &Records,
    sources: &[usize],
    target: usize,
    allow_missing: bool,
) -> Result<MergeTagsResponse, Status> {
    let source_uids = sources.iter().map(|&source| tag_uid(source)).collect();
    let request = MergeTagsRequest { source_uids, target_uid: tag_uid(target), allow_missing };
    Ok(records.server.separate_client().merge_tags(request).await?.into_inner())
}

/// Links `count` products to a tag, without the service.
async fn link_many(records: &Records, tag: usize, count: usize) {
    let uid = tag_uid(tag);
    let insert = format!(
        "insert into records.link_product_tag (product_uid, tag_uid) \
         select 'prd_' || lpad(n::text, 7, '0'), '{uid}' from generate_series(1, {count}) as n"
    );
    records.execute(&insert).await;
}

async fn count(records: &Records, condition: &str) -> i64 {
    let select = format!("select count(*) from records.link_product_tag where {condition}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(select)).fetch_one(&records.pool).await.unwrap()
}

#[tokio::test]
async fn a_merge_moves_all_links_and_leaves_one_tag() {
    let records = Records::new().await;
    records.write(TAGS, &(1..=3).map(tag).collect::<Vec<_>>()).await;
    link_many(&records, 1, 12_000).await;
    link_many(&records, 2, 10).await;
    link_many(&records, 3, 4_000).await;
    let merged = merge(&records, &[1, 2, 1], 3, false).await.unwrap();
    assert_eq!((merged.moved_links, merged.dropped_links, merged.deleted_tags), (8_000, 4_010, 2));
    assert_eq!(records.texts("select uid from records.tag").await, [tag_uid(3)]);
    assert_eq!(count(&records, "true").await, 12_000);
    assert_eq!(count(&records, "tag_uid = 'tag_0000003'").await, 12_000);
}

#[tokio::test]
async fn a_merge_is_refused_as_a_whole_or_can_be_called_again() {
    let records = Records::new().await;
    records.write(TAGS, &(1..=3).map(tag).collect::<Vec<_>>()).await;
    records.write(PRODUCT_TAGS, &[product_tag("prd_a", 1)]).await;
    assert_refused(&merge(&records, &[], 3, false).await.unwrap_err(), "source_uids");
    assert_refused(&merge(&records, &[1, 3], 3, false).await.unwrap_err(), "source_uids[1]");
    // A source that is missing stops the merge before anything has changed.
    assert_eq!(merge(&records, &[1, 9], 3, false).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(merge(&records, &[1], 9, false).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(count(&records, "tag_uid = 'tag_0000001'").await, 1);
    assert_eq!(merge(&records, &[1, 9], 3, true).await.unwrap().deleted_tags, 1);
    assert_eq!(merge(&records, &[1], 3, true).await.unwrap(), MergeTagsResponse::default());
}

#[tokio::test]
async fn merges_into_each_other_and_writers_lose_no_link() {
    let records = Records::new().await;
    records.write(TAGS, &(1..=8).map(tag).collect::<Vec<_>>()).await;
    for number in 1..=8 {
        link_many(&records, number, 200).await;
    }
    // Each tag is merged into its neighbour, in a circle.
    let merges = (1..=8).map(|number| {
        let records = &records;
        async move { merge(records, &[number], number % 8 + 1, true).await }
    });
    let answers = join_all(merges).await;
    assert!(answers.iter().any(Result::is_ok));
    for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert!(matches!(error.code(), Code::NotFound | Code::Aborted), "{error:?}");
    }
    let left = records.texts("select uid from records.tag").await;
    assert!(!left.is_empty());
    // Every product has one of the tags that are left, and no link names one that is gone.
    let products: i64 = sqlx::query_scalar("select count(distinct product_uid) from records.link_product_tag")
        .fetch_one(&records.pool)
        .await
        .unwrap();
    assert_eq!(products, 200);
    let gone = "not exists (select from records.tag where uid = tag_uid)";
    assert_eq!(count(&records, gone).await, 0);
}

#[tokio::test]
async fn a_tag_of_many_products_is_deleted_by_its_own_method_only() {
    let records = Records::new().await;
    records.write(TAGS, &[tag(1), tag(2)]).await;
    link_many(&records, 1, 11_000).await;
    link_many(&records, 2, 5).await;
    let (totals, end) = write(records.server.channel(), TAGS, skipping(WriteMode::Delete), &[tag(1), tag(2)]).await;
    end.unwrap();
    assert_eq!((totals.deleted, totals.errors[0].reason()), (1, ErrorReason::ResourceReferenced));
    assert_eq!(count(&records, "true").await, 11_000);
    let delete = |etag: &str| {
        let request = DeleteTagRequest { uid: tag_uid(1), etag: etag.to_owned(), allow_missing: false };
        let mut client = records.client();
        async move { client.delete_tag(request).await.map(|_| ()) }
    };
    assert_eq!(delete("0123456789abcdef").await.unwrap_err().code(), Code::Aborted);
    assert_eq!(count(&records, "true").await, 11_000);
    delete("").await.unwrap();
    assert_eq!(count(&records, "true").await, 0);
    assert_eq!(delete("").await.unwrap_err().code(), Code::NotFound);
}
