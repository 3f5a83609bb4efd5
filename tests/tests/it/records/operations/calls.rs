//! A valid call of each method of the records service.

use bytes::Bytes;
use orrery_proto::records::v1 as records;
use orrery_proto::r#type::v1::{ReferenceCheck, WriteStart};
use prost::Message;

use super::{artifacts, procedures};
use crate::harness::raw::{Method, methods};
use crate::harness::{product_tag, tag, tag_uid};

/// A call: its path, and its messages.
pub(super) type Call = (String, Vec<Bytes>);

/// One call of each method, on the rows of [`rows`].
pub(super) fn calls() -> Vec<Call> {
    let all = orrery_records::SERVICE_NAMES.iter().flat_map(|service| methods(service));
    let call = |method: Method| {
        let of = |service: &str| method.path.contains(service);
        let messages = if of(".TagsService/") {
            messages(&method.name)
        } else if of(".ProceduresService/") {
            procedures::messages(&method.name)
        } else {
            artifacts::messages(&method.name)
        };
        (method.path, messages)
    };
    all.map(call).collect()
}

/// Statements that insert what the calls need.
pub(super) fn rows() -> [&'static str; 3] {
    [ROWS, artifacts::ROWS, procedures::ROWS]
}

/// Three tags, their category, a group, links, and a rebuilt aggregate.
const ROWS: &str = "insert into records.tag (uid, name) \
    select 'tag_000000' || n, 'Tag ' || n from generate_series(1, 3) n; \
    insert into records.tag_classification (tag_uid, tag_name, category_name) \
    select uid, name, 'color' from records.tag where uid < 'tag_0000003'; \
    insert into records.tag_group (uid, name, tag_uids) values ('tgr_1', 'Group', '[\"tag_0000001\"]'); \
    insert into records.link_product_tag (product_uid, tag_uid) \
    select 'prd_000000' || n, uid from records.tag, generate_series(1, 2) n; \
    insert into records.tag_performance_refresh (generation, phase, step, day_as_of, time_zone) \
    values (1, 'current', 'publish', '2026-03-31', 'UTC')";

/// What each call leaves to the next one must be what it needs, so that they can be called in this order.
fn messages(method: &str) -> Vec<Bytes> {
    let uid = || tag_uid(1);
    let group = || "tgr_1".to_owned();
    match method {
        "GetTag" => one(&records::GetTagRequest { uid: uid(), ..Default::default() }),
        "BatchGetTags" => one(&records::BatchGetTagsRequest { uids: vec![uid()], ..Default::default() }),
        "CreateTag" => one(&records::CreateTagRequest { tag: Some(tag(7)), ..Default::default() }),
        "UpdateTag" => one(&records::UpdateTagRequest { tag: Some(tag(1)), ..Default::default() }),
        "RenameTag" => {
            one(&records::RenameTagRequest { uid: uid(), new_name: "renamed".to_owned(), etag: String::new() })
        }
        "MergeTags" => one(&records::MergeTagsRequest {
            source_uids: vec![tag_uid(2)],
            target_uid: tag_uid(3),
            allow_missing: true,
        }),
        "DeleteTag" => one(&records::DeleteTagRequest { uid: tag_uid(3), allow_missing: true, ..Default::default() }),
        "ListTags" => one(&records::ListTagsRequest::default()),
        "StreamTags" => one(&records::StreamTagsRequest::default()),
        "WriteTags" => {
            use records::write_tags_request::{Chunk, Payload};
            let chunk = Payload::Chunk(Chunk { offset: 0, tags: vec![tag(8)] });
            let messages = [Payload::Start(WriteStart::default()), chunk];
            several(&messages.map(|payload| records::WriteTagsRequest { payload: Some(payload) }))
        }
        "CheckTags" => one(&records::CheckTagsRequest { uids: vec![uid()] }),
        "ResolveTags" => one(&records::ResolveTagsRequest { names: vec!["Another".to_owned()], create_missing: true }),
        "UpsertTagClassification" => one(&records::UpsertTagClassificationRequest {
            tag_uid: uid(),
            category_name: "size".to_owned(),
            ..Default::default()
        }),
        "DeleteTagClassification" => {
            one(&records::DeleteTagClassificationRequest { tag_uid: uid(), allow_missing: true })
        }
        "WriteTagClassifications" => {
            use records::write_tag_classifications_request::{Chunk, Payload};
            let row =
                records::TagClassification { tag_uid: uid(), category_name: "color".to_owned(), ..Default::default() };
            let chunk = Payload::Chunk(Chunk { offset: 0, tag_classifications: vec![row] });
            let messages = [Payload::Start(WriteStart::default()), chunk];
            several(&messages.map(|payload| records::WriteTagClassificationsRequest { payload: Some(payload) }))
        }
        "StreamTagClassifications" => one(&records::StreamTagClassificationsRequest::default()),
        "ListTagCategories" => one(&records::ListTagCategoriesRequest::default()),
        "ListUnclassifiedTags" => one(&records::ListUnclassifiedTagsRequest::default()),
        "StreamUnclassifiedTags" => one(&records::StreamUnclassifiedTagsRequest::default()),
        "GetTagDistribution" => one(&records::GetTagDistributionRequest { category_name: "color".to_owned() }),
        "WriteProductTags" => {
            use records::write_product_tags_request::{Chunk, Payload};
            let chunk = Payload::Chunk(Chunk { offset: 0, product_tags: vec![product_tag("prd_0000001", 1)] });
            let start = WriteStart { reference_check: ReferenceCheck::Reject.into(), ..WriteStart::default() };
            let messages = [Payload::Start(start), chunk];
            several(&messages.map(|payload| records::WriteProductTagsRequest { payload: Some(payload) }))
        }
        "StreamProductTags" => one(&records::StreamProductTagsRequest::default()),
        "ListTagsOfProducts" => one(&records::ListTagsOfProductsRequest {
            product_uids: vec!["prd_0000001".to_owned()],
            ..Default::default()
        }),
        "GetTagGroup" => one(&records::GetTagGroupRequest { uid: group(), ..Default::default() }),
        "CreateTagGroup" => one(&records::CreateTagGroupRequest {
            tag_group: Some(records::TagGroup { name: "Another".to_owned(), ..Default::default() }),
            ..Default::default()
        }),
        "UpdateTagGroup" => one(&records::UpdateTagGroupRequest {
            tag_group: Some(records::TagGroup { uid: group(), name: "Renamed".to_owned(), ..Default::default() }),
            ..Default::default()
        }),
        "DeleteTagGroup" => {
            one(&records::DeleteTagGroupRequest { uid: "tgr_2".to_owned(), allow_missing: true, ..Default::default() })
        }
        "ListTagGroups" => one(&records::ListTagGroupsRequest::default()),
        "RefreshTagPerformanceAggregate" => one(&records::RefreshTagPerformanceAggregateRequest::default()),
        "GetTagPerformance" => one(&records::GetTagPerformanceRequest { tag_uids: vec![uid()] }),
        "GetTagGroupPerformance" => one(&records::GetTagGroupPerformanceRequest { uid: group() }),
        "StreamTagPerformance" => one(&records::StreamTagPerformanceRequest::default()),
        other => panic!("no call of {other} is known: add one"),
    }
}

pub(super) fn one(message: &impl Message) -> Vec<Bytes> {
    vec![message.encode_to_vec().into()]
}

pub(super) fn several<M: Message>(messages: &[M]) -> Vec<Bytes> {
    messages.iter().map(|message| message.encode_to_vec().into()).collect()
}
