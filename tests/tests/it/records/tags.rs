//! Tags: unique names, renames, and finding tags by name.

use std::collections::HashSet;

use futures::future::join_all;
use orrery_proto::records::v1::{
    CreateTagRequest, GetTagRequest, ListTagsRequest, RenameTagRequest, ResolveTagsRequest, Tag, TagClassification,
    TagFilter, UpdateTagRequest,
};
use orrery_proto::r#type::v1::{WriteMode, WriteStart};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{CLASSIFICATIONS, Records, TAGS, assert_refused, named};
use crate::harness::{refusal, tag, tag_uid};
use crate::resources::skipping;
use crate::writes::stream::{mask, write};

async fn create(records: &Records, tag: Tag) -> Result<Tag, Status> {
    let request = CreateTagRequest { tag: Some(tag), ..CreateTagRequest::default() };
    Ok(records.client().create_tag(request).await?.into_inner())
}

async fn rename(records: &Records, uid: &str, new_name: &str, etag: &str) -> Result<Tag, Status> {
    let request = RenameTagRequest { uid: uid.to_owned(), new_name: new_name.to_owned(), etag: etag.to_owned() };
    Ok(records.client().rename_tag(request).await?.into_inner())
}

#[tokio::test]
async fn a_name_is_taken_in_any_letter_case() {
    let records = Records::new().await;
    let green = create(&records, named("Grün")).await.unwrap();
    assert!(green.uid.starts_with("tag_") && green.status.unwrap().phase == "active");
    let taken = create(&records, named("GRÜN")).await.unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);
    assert_eq!(refusal(&taken).fields, ["tag.name"]);
    assert_eq!(taken.get_details_resource_info().unwrap().resource_name, green.uid);
    let rows = [tag(1), Tag { name: "grün".to_owned(), ..tag(2) }, Tag { name: "tag 1".to_owned(), ..tag(3) }, tag(4)];
    let (totals, end) = write(records.server.channel(), TAGS, skipping(WriteMode::Upsert), &rows).await;
    end.unwrap();
    let refused: Vec<i64> = totals.errors.iter().map(|error| error.offset).collect();
    assert_eq!((totals.created, refused), (2, vec![1, 2]));
    assert_refused(&create(&records, named("")).await.unwrap_err(), "tag.name");
    assert_refused(&create(&records, named(&"x".repeat(257))).await.unwrap_err(), "tag.name");
}

#[tokio::test]
async fn a_classification_follows_every_rename() {
    let records = Records::new().await;
    records.write(TAGS, &[tag(1), tag(2)]).await;
    let classified = TagClassification {
        tag_uid: tag_uid(1),
        category_name: "color".to_owned(),
        tag_name: "not this".to_owned(),
        ..TagClassification::default()
    };
    records.write(CLASSIFICATIONS, &[classified]).await;
    let name = "select tag_name from records.tag_classification";
    assert_eq!(records.texts(name).await, ["Tag 1"]);
    let renamed = rename(&records, &tag_uid(1), "Grass", "").await.unwrap();
    assert_eq!((renamed.name.as_str(), records.texts(name).await), ("Grass", vec!["Grass".to_owned()]));
    let update = UpdateTagRequest {
        tag: Some(Tag { uid: tag_uid(1), name: "Moss".to_owned(), ..Tag::default() }),
        update_mask: Some(mask(&["name"])),
        ..UpdateTagRequest::default()
    };
    records.client().update_tag(update).await.unwrap();
    assert_eq!(records.texts(name).await, ["Moss"]);
    records.write(TAGS, &[Tag { name: "Fern".to_owned(), ..tag(1) }]).await;
    assert_eq!(records.texts(name).await, ["Fern"]);
    // A mask without the name leaves both names alone, whatever is sent.
    let start = WriteStart { update_mask: Some(mask(&["labels"])), ..WriteStart::default() };
    let sent = Tag { name: "Other".to_owned(), ..tag(1) };
    write(records.server.channel(), TAGS, start, &[sent]).await.1.unwrap();
    assert_eq!(records.texts(name).await, ["Fern"]);
    assert_eq!(records.texts("select name from records.tag where uid = 'tag_0000001'").await, ["Fern"]);
}

#[tokio::test]
async fn a_rename_respects_names_and_etags() {
    let records = Records::new().await;
    records.write(TAGS, &[tag(1), tag(2)]).await;
    let taken = rename(&records, &tag_uid(1), "TAG 2", "").await.unwrap_err();
    assert_eq!((taken.code(), refusal(&taken).fields), (Code::AlreadyExists, vec!["new_name".to_owned()]));
    assert_eq!(taken.get_details_resource_info().unwrap().resource_name, tag_uid(2));
    // A tag may change the letter case of its own name.
    let renamed = rename(&records, &tag_uid(1), "TAG 1", "").await.unwrap();
    assert_eq!(rename(&records, &tag_uid(1), "x", "0123456789abcdef").await.unwrap_err().code(), Code::Aborted);
    assert_eq!(rename(&records, &tag_uid(1), "x", &renamed.etag).await.unwrap().name, "x");
    assert_eq!(rename(&records, &tag_uid(9), "y", "").await.unwrap_err().code(), Code::NotFound);
    assert_refused(&rename(&records, &tag_uid(1), "", "").await.unwrap_err(), "new_name");
    assert_refused(&rename(&records, "", "y", "").await.unwrap_err(), "uid");
    // The same name again changes nothing.
    let before =
        records.client().get_tag(GetTagRequest { uid: tag_uid(1), read_mask: None }).await.unwrap().into_inner();
    assert_eq!(rename(&records, &tag_uid(1), "x", "").await.unwrap(), before);
}

#[tokio::test]
async fn tags_are_found_by_name_and_made_once() {
    let records = Records::new().await;
    records.write(TAGS, &[tag(1)]).await;
    let resolve = |names: &[&str], create_missing: bool| {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let mut client = records.client();
        async move {
            let answer = client.resolve_tags(ResolveTagsRequest { names, create_missing }).await?;
            Ok::<_, Status>(answer.into_inner())
        }
    };
    let found = resolve(&["none", "TAG 1", "tag 1"], false).await.unwrap();
    assert_eq!((found.tag_uids, found.created), (vec![String::new(), tag_uid(1), tag_uid(1)], 0));
    let made = resolve(&["New", "tag 1", "NEW", "Other"], true).await.unwrap();
    assert_eq!(made.created, 2);
    assert_eq!((&made.tag_uids[0], &made.tag_uids[1]), (&made.tag_uids[2], &tag_uid(1)));
    assert_eq!(records.texts("select name from records.tag order by name").await, ["New", "Other", "Tag 1"]);
    assert_refused(&resolve(&[], true).await.unwrap_err(), "names");
    assert_refused(&resolve(&["a", ""], true).await.unwrap_err(), "names[1]");
    assert_refused(&resolve(&["a", "b\0"], true).await.unwrap_err(), "names[1]");
    // Whoever races, a name has one tag.
    let names: Vec<String> = (0..40).map(|n| format!("raced {n}")).collect();
    let answers = join_all((0..32).map(|caller| {
        let mut names = names.clone();
        names.rotate_left(caller);
        let mut client = records.server.separate_client();
        async move {
            let mut answer =
                client.resolve_tags(ResolveTagsRequest { names, create_missing: true }).await.unwrap().into_inner();
            answer.tag_uids.rotate_right(caller);
            answer
        }
    }))
    .await;
    assert_eq!(answers.iter().map(|answer| answer.created).sum::<i64>(), 40);
    let distinct: HashSet<&Vec<String>> = answers.iter().map(|answer| &answer.tag_uids).collect();
    assert_eq!(distinct.len(), 1);
}

#[tokio::test]
async fn lists_select_by_category_and_order_by_name() {
    let records = Records::new().await;
    records
        .write(TAGS, &[Tag { name: "b".to_owned(), ..tag(1) }, Tag { name: "a".to_owned(), ..tag(2) }, tag(3)])
        .await;
    let category = |number: usize, name: &str| TagClassification {
        tag_uid: tag_uid(number),
        category_name: name.to_owned(),
        ..TagClassification::default()
    };
    records.write(CLASSIFICATIONS, &[category(1, "color"), category(2, "color"), category(3, "size")]).await;
    let filter = TagFilter { category_names: vec!["color".to_owned()], ..TagFilter::default() };
    let request = ListTagsRequest { filter: Some(filter), order_by: "name".to_owned(), ..ListTagsRequest::default() };
    let page = records.client().list_tags(request).await.unwrap().into_inner();
    assert_eq!(page.tags.iter().map(|tag| tag.uid.clone()).collect::<Vec<_>>(), [tag_uid(2), tag_uid(1)]);
    let filter = TagFilter { category_names: vec![String::new()], ..TagFilter::default() };
    let request = ListTagsRequest { filter: Some(filter), ..ListTagsRequest::default() };
    assert_refused(&records.client().list_tags(request).await.unwrap_err(), "filter.category_names");
}
