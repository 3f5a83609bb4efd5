//! Any input to the records service: as in [`crate::arbitrary_input`], with the catalog and orders beside it.

use super::performance::Shop;
use crate::arbitrary_input::generator::Vocabulary;
use crate::arbitrary_input::{Target, assert_both_ways_out};
use crate::harness::{Role, seed};

const CONTENTS: &str = "select md5(concat( \
    (select string_agg(t::text, '|' order by uid) from records.tag t), \
    (select string_agg(t::text, '|' order by tag_uid) from records.tag_classification t), \
    (select string_agg(t::text, '|' order by uid) from records.tag_group t), \
    (select string_agg(t::text, '|' order by product_uid, tag_uid) from records.link_product_tag t)))";

const TAG_UIDS: &[&str] = &["tag_0000001", "tag_0000002", "tag_0000003", "tag_new"];

const VOCABULARY: Vocabulary = Vocabulary {
    fitting: |message, field| match (message, field) {
        ("Tag", "uid") => &["", "tag_0000001", "tag_0000002", "tag_new"],
        (
            "TagGroup"
            | "GetTagGroupRequest"
            | "DeleteTagGroupRequest"
            | "TagGroupFilter"
            | "GetTagGroupPerformanceRequest",
            "uid" | "uids",
        ) => &["tgr_0000001", "tgr_0000002", "tgr_new"],
        (_, "uid" | "uids" | "tag_uid" | "tag_uids" | "source_uids" | "target_uid") => TAG_UIDS,
        (_, "product_uid" | "product_uids") => &["prd_0000001", "prd_0000002"],
        (_, "name" | "names" | "tag_name" | "new_name" | "name_contains") => &["Tag 1", "tag 2", "Tag new", "other"],
        (_, "category_name" | "category_names") => &["color", "size"],
        (_, "phase" | "phases") => &["active", "draft"],
        (_, "paths") => &["labels.season", "name", "description", "tag_uids", "category_name"],
        (_, "order_by") => &["name desc", "uid", "tag_uid, product_uid", "category_name", "gross_7d desc"],
        (_, "day_as_of") => &["2026-01-01", ""],
        (_, "time_zone") => &["Europe/London", ""],
        (_, "currency_code") => &["GBP", "-", ""],
        (_, "label_selector") => &["season=summer", "!a"],
        (_, "key") => &["season", "k", "example.com/key"],
        // Valid tokens and etags come from earlier responses.
        _ => &[],
    },
    nasty: &[
        "tag_0000001",
        "tag_",
        "tag_\0",
        "tgr_1",
        "prd_0000001",
        "prd_none",
        "TAG 1",
        "ÄBC",
        "",
        "name",
        "tag_name",
        "update_ts",
        "create_ts",
        "k=v",
    ],
};

const ROWS: &str = "insert into records.tag (uid, name) \
    select 'tag_000000' || n, 'Tag ' || n from generate_series(1, 3) n on conflict do nothing; \
    insert into records.tag_classification (tag_uid, tag_name, category_name) \
    select uid, name, 'color' from records.tag where uid < 'tag_0000003' on conflict do nothing; \
    insert into records.tag_group (uid, name, tag_uids) \
    select 'tgr_000000' || n, 'Group ' || n, '[\"tag_0000001\", \"tag_0000002\"]' from generate_series(1, 2) n \
    on conflict do nothing; \
    insert into records.link_product_tag (product_uid, tag_uid) \
    select 'prd_000000' || n, uid from records.tag, generate_series(1, 2) n on conflict do nothing";

/// Runs `test` with all services.
async fn with_records<T>(test: impl AsyncFnOnce(Target<'_>) -> T) -> T {
    let shop = Shop::new().await;
    let records = &shop.records;
    seed(&mut records.database.connect(Role::Operator).await, 5).await;
    test(Target {
        service: "orrery.records.v1.TagsService",
        channel: records.server.channel(),
        vocabulary: VOCABULARY,
        database: &records.database,
        rows: ROWS,
        contents: CONTENTS,
    })
    .await
}

#[tokio::test]
async fn messages_of_the_right_shape_with_wrong_values() {
    assert_both_ways_out(with_records(async |target| target.bombard_with_values().await).await);
}

#[tokio::test]
async fn messages_with_broken_bytes() {
    with_records(async |target| target.bombard_with_broken_bytes().await).await;
}

#[tokio::test]
async fn any_bytes_at_all() {
    with_records(async |target| target.bombard_with_any_bytes().await).await;
}
