//! Groups of tags.

use orrery_proto::records::v1::{
    CreateTagGroupRequest, DeleteTagGroupRequest, DeleteTagRequest, GetTagGroupRequest, ListTagGroupsRequest,
    MergeTagsRequest, TagGroup, TagGroupFilter, UpdateTagGroupRequest,
};
use tonic::{Code, Status};

use super::{Records, TAGS, assert_refused};
use crate::harness::{refusal, tag, tag_uid};
use crate::writes::stream::mask;

fn group(name: &str, tags: &[usize]) -> TagGroup {
    TagGroup { name: name.to_owned(), tag_uids: tags.iter().map(|&tag| tag_uid(tag)).collect(), ..TagGroup::default() }
}

async fn create(records: &Records, group: TagGroup) -> Result<TagGroup, Status> {
    let request = CreateTagGroupRequest { tag_group: Some(group), ..CreateTagGroupRequest::default() };
    Ok(records.client().create_tag_group(request).await?.into_inner())
}

async fn tags_of(records: &Records, uid: &str) -> Vec<String> {
    let request = GetTagGroupRequest { uid: uid.to_owned(), read_mask: None };
    records.client().get_tag_group(request).await.unwrap().into_inner().tag_uids
}

#[tokio::test]
async fn a_group_holds_each_of_its_tags_once() {
    let records = Records::new().await;
    records.write(TAGS, &(1..=4).map(tag).collect::<Vec<_>>()).await;
    let made = create(&records, group("Summer", &[2, 1, 2])).await.unwrap();
    assert!(made.uid.starts_with("tgr_"));
    assert_eq!(made.tag_uids, [tag_uid(2), tag_uid(1)]);
    assert_eq!(tags_of(&records, &made.uid).await, made.tag_uids);
    let taken = create(&records, group("SUMMER", &[])).await.unwrap_err();
    assert_eq!((taken.code(), refusal(&taken).fields), (Code::AlreadyExists, vec!["tag_group.name".to_owned()]));
    let missing = create(&records, group("Winter", &[1, 9])).await.unwrap_err();
    let told = refusal(&missing);
    assert_eq!((told.code, told.reason.as_str()), (Code::FailedPrecondition, "REFERENCE_MISSING"));
    assert_eq!(told.fields, ["tag_group.tag_uids[1]"]);
    let empty = create(&records, TagGroup { tag_uids: vec![String::new()], ..group("Winter", &[]) }).await;
    assert_refused(&empty.unwrap_err(), "tag_group.tag_uids[0]");
    // What a mask does not name is neither changed nor checked.
    let update = |paths: &[&str], tags: &[usize]| {
        let sent = TagGroup { uid: made.uid.clone(), description: "x".to_owned(), ..group("Summer", tags) };
        let request = UpdateTagGroupRequest {
            tag_group: Some(sent),
            update_mask: Some(mask(paths)),
            ..UpdateTagGroupRequest::default()
        };
        let mut client = records.client();
        async move { client.update_tag_group(request).await }
    };
    update(&["description"], &[9]).await.unwrap();
    assert_eq!(tags_of(&records, &made.uid).await, made.tag_uids);
    assert_eq!(update(&["tag_uids"], &[9]).await.unwrap_err().code(), Code::FailedPrecondition);
    update(&["tag_uids"], &[4, 4, 3]).await.unwrap();
    assert_eq!(tags_of(&records, &made.uid).await, [tag_uid(4), tag_uid(3)]);
    let filter = TagGroupFilter { tag_uids: vec![tag_uid(3)], ..TagGroupFilter::default() };
    let request = ListTagGroupsRequest { filter: Some(filter), ..ListTagGroupsRequest::default() };
    assert_eq!(records.client().list_tag_groups(request).await.unwrap().into_inner().tag_groups.len(), 1);
    let filter = TagGroupFilter { tag_uids: vec![tag_uid(1)], ..TagGroupFilter::default() };
    let request = ListTagGroupsRequest { filter: Some(filter), ..ListTagGroupsRequest::default() };
    assert_eq!(records.client().list_tag_groups(request).await.unwrap().into_inner().tag_groups.len(), 0);
    let request = DeleteTagGroupRequest { uid: made.uid.clone(), ..DeleteTagGroupRequest::default() };
    records.client().delete_tag_group(request.clone()).await.unwrap();
    assert_eq!(records.client().delete_tag_group(request).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn groups_follow_when_tags_are_merged_or_deleted() {
    let records = Records::new().await;
    records.write(TAGS, &(1..=4).map(tag).collect::<Vec<_>>()).await;
    let both = create(&records, group("both", &[3, 1, 2])).await.unwrap().uid;
    let source = create(&records, group("source", &[1, 4])).await.unwrap().uid;
    let merge = MergeTagsRequest { source_uids: vec![tag_uid(1)], target_uid: tag_uid(2), allow_missing: false };
    records.client().merge_tags(merge).await.unwrap();
    assert_eq!(tags_of(&records, &both).await, [tag_uid(3), tag_uid(2)]);
    assert_eq!(tags_of(&records, &source).await, [tag_uid(2), tag_uid(4)]);
    let delete = DeleteTagRequest { uid: tag_uid(2), ..DeleteTagRequest::default() };
    records.client().delete_tag(delete).await.unwrap();
    assert_eq!(tags_of(&records, &both).await, [tag_uid(3)]);
    assert_eq!(tags_of(&records, &source).await, [tag_uid(4)]);
    // A list that another program stored as something else is left alone.
    records.execute("update records.tag_group set tag_uids = '{\"tag_0000003\": 1}' where name = 'both'").await;
    let delete = DeleteTagRequest { uid: tag_uid(3), ..DeleteTagRequest::default() };
    records.client().delete_tag(delete).await.unwrap();
    assert_eq!(tags_of(&records, &both).await, Vec::<String>::new());
}
