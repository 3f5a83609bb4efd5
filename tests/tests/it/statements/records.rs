//! The statements of calls of the records service: see [`calls`](super::calls).

use orrery_proto::records::v1 as records;
use orrery_proto::r#type::v1::{WriteMode, WriteStart};

use super::calls::{MODES, Recorder, start};
use crate::harness::{
    CatalogServer, OrdersServer, RecordsServer, TestDatabase, metric, order, product_tag, status, tag, tag_uid,
};
use crate::records::{CLASSIFICATIONS, PRODUCT_TAGS, TAGS};
use crate::writes::stream::{METRICS, ORDERS, mask, write};

fn classification(number: usize, category: &str) -> records::TagClassification {
    records::TagClassification {
        tag_uid: tag_uid(number),
        category_name: category.to_owned(),
        ..records::TagClassification::default()
    }
}

fn written_tag(number: usize, mode: WriteMode) -> records::Tag {
    match mode {
        // Only the key.
        WriteMode::Delete => records::Tag { uid: tag_uid(number), ..Default::default() },
        mode => records::Tag { name: format!("{} {number}", mode.as_str_name()), ..tag(number) },
    }
}

#[tokio::test]
async fn calls_of_the_records_run_what_is_written_down() {
    let mut recorder = Recorder::new("TagsService").await;
    // Of the other services nothing is recorded.
    let elsewhere = TestDatabase::create().await;
    let (catalog, orders) = (CatalogServer::start(&elsewhere).await, OrdersServer::start(&elsewhere).await);
    write(catalog.channel(), METRICS, WriteStart::default(), &[metric("prd_1", "views", "7", 10)]).await.1.unwrap();
    let mut sold = order("ord_1");
    sold.status = Some(status("closed"));
    sold.line_items[0].product_uid = "prd_1".to_owned();
    write(orders.channel(), ORDERS, WriteStart::default(), &[sold]).await.1.unwrap();
    let server = RecordsServer::start_with(&recorder.database, |config| {
        config.catalog.address = catalog.address().to_string().parse().unwrap();
        config.orders.address = orders.address().to_string().parse().unwrap();
    })
    .await;
    let client = || server.client();
    for number in 1..=4 {
        let title = if number == 1 { "CreateTag, the first" } else { "CreateTag" };
        let request = records::CreateTagRequest { tag: Some(tag(number)), ..Default::default() };
        recorder.call(title, client().create_tag(request)).await;
    }
    let request = records::GetTagRequest { uid: tag_uid(1), ..Default::default() };
    recorder.call("GetTag", client().get_tag(request)).await;
    let request = records::UpdateTagRequest {
        tag: Some(records::Tag { name: "another".to_owned(), ..tag(1) }),
        update_mask: Some(mask(&["name"])),
        ..Default::default()
    };
    recorder.call("UpdateTag", client().update_tag(request)).await;
    let request = records::RenameTagRequest { uid: tag_uid(1), new_name: "a third".to_owned(), etag: String::new() };
    recorder.call("RenameTag", client().rename_tag(request)).await;
    let request = records::ListTagsRequest { order_by: "name".to_owned(), ..Default::default() };
    recorder.call("ListTags by name", client().list_tags(request)).await;
    recorder.stream("StreamTags", client().stream_tags(records::StreamTagsRequest::default())).await;
    let resolve = |create_missing| {
        let names = vec!["Tag 2".to_owned(), "new".to_owned()];
        records::ResolveTagsRequest { names, create_missing }
    };
    recorder.call("ResolveTags", client().resolve_tags(resolve(false))).await;
    recorder.call("ResolveTags, create_missing", client().resolve_tags(resolve(true))).await;
    let request = records::UpsertTagClassificationRequest {
        tag_name: "tag 2".to_owned(),
        category_name: "color".to_owned(),
        ..Default::default()
    };
    recorder.call("UpsertTagClassification", client().upsert_tag_classification(request)).await;
    for (mode, name) in MODES {
        let rows = [2, 8, 9].map(|number| written_tag(number, mode));
        recorder
            .write(&format!("WriteTags, WRITE_MODE_{name}"), write(server.channel(), TAGS, start(mode, name), &rows))
            .await;
        let rows = [1, 3].map(|number| classification(number, name));
        let title = format!("WriteTagClassifications, WRITE_MODE_{name}");
        recorder.write(&title, write(server.channel(), CLASSIFICATIONS, start(mode, name), &rows)).await;
        let rows = [product_tag("prd_1", 1), product_tag("prd_2", 3)];
        let title = format!("WriteProductTags, WRITE_MODE_{name}");
        recorder.write(&title, write(server.channel(), PRODUCT_TAGS, start(mode, name), &rows)).await;
    }
    let rows = [product_tag("prd_1", 1), product_tag("prd_1", 3), product_tag("prd_2", 3)];
    write(server.channel(), PRODUCT_TAGS, WriteStart::default(), &rows).await.1.unwrap();
    let replaced = [product_tag("prd_1", 3), product_tag("prd_2", 3), product_tag("prd_2", 1)];
    let call = write(server.channel(), PRODUCT_TAGS, start(WriteMode::Replace, "REPLACE"), &replaced);
    recorder.write("WriteProductTags, WRITE_MODE_REPLACE", call).await;
    write(server.channel(), PRODUCT_TAGS, WriteStart::default(), &rows).await.1.unwrap();
    write(server.channel(), CLASSIFICATIONS, WriteStart::default(), &[classification(1, "color")]).await.1.unwrap();
    let request =
        records::StreamTagClassificationsRequest { order_by: "category_name".to_owned(), ..Default::default() };
    recorder.stream("StreamTagClassifications by category_name", client().stream_tag_classifications(request)).await;
    recorder
        .call("ListTagCategories", client().list_tag_categories(records::ListTagCategoriesRequest::default()))
        .await;
    let request = records::ListUnclassifiedTagsRequest::default();
    recorder.call("ListUnclassifiedTags", client().list_unclassified_tags(request)).await;
    let request = records::StreamProductTagsRequest { order_by: "tag_uid".to_owned(), ..Default::default() };
    recorder.stream("StreamProductTags by tag_uid", client().stream_product_tags(request)).await;
    let request = records::ListTagsOfProductsRequest { product_uids: vec!["prd_1".to_owned()], ..Default::default() };
    recorder.call("ListTagsOfProducts", client().list_tags_of_products(request)).await;
    let group =
        records::TagGroup { name: "all".to_owned(), tag_uids: vec![tag_uid(1), tag_uid(3)], ..Default::default() };
    let request = records::CreateTagGroupRequest { tag_group: Some(group), ..Default::default() };
    let group = recorder.call("CreateTagGroup", client().create_tag_group(request)).await.into_inner();
    let filter = records::TagGroupFilter { tag_uids: vec![tag_uid(1)], ..Default::default() };
    let request = records::ListTagGroupsRequest { filter: Some(filter), ..Default::default() };
    recorder.call("ListTagGroups", client().list_tag_groups(request)).await;
    let request = records::UpdateTagGroupRequest {
        tag_group: Some(records::TagGroup { etag: String::new(), tag_uids: vec![tag_uid(1)], ..group.clone() }),
        update_mask: Some(mask(&["tag_uids"])),
        ..Default::default()
    };
    recorder.call("UpdateTagGroup", client().update_tag_group(request)).await;
    for title in ["RefreshTagPerformanceAggregate, the first", "RefreshTagPerformanceAggregate"] {
        let request = records::RefreshTagPerformanceAggregateRequest::default();
        recorder.stream(title, client().refresh_tag_performance_aggregate(request)).await;
    }
    let request = records::GetTagPerformanceRequest { tag_uids: vec![tag_uid(1)] };
    recorder.call("GetTagPerformance", client().get_tag_performance(request)).await;
    let filter = records::TagPerformanceFilter { top_per_category: 2, ..Default::default() };
    let request = records::StreamTagPerformanceRequest {
        filter: Some(filter),
        order_by: "gross desc".to_owned(),
        page_size: 1,
        ..Default::default()
    };
    recorder.stream("StreamTagPerformance by gross desc", client().stream_tag_performance(request)).await;
    let request =
        records::MergeTagsRequest { source_uids: vec![tag_uid(1)], target_uid: tag_uid(3), allow_missing: false };
    recorder.call("MergeTags", client().merge_tags(request)).await;
    let request = records::DeleteTagRequest { uid: tag_uid(3), ..Default::default() };
    recorder.call("DeleteTag", client().delete_tag(request)).await;
    recorder.check("records");
}
