//! Tags, for the common tests.

use orrery_proto::records::v1::{
    BatchGetTagsRequest, CheckTagsRequest, CreateTagRequest, DeleteTagRequest, GetTagRequest, ListTagsRequest,
    ProductTag, StreamTagsRequest, Tag, TagClassification, UpdateTagRequest,
};
use tonic::Status;
use tonic::transport::Channel;

use super::subject::{Complete, Subject, pages};
use crate::harness::{status, tag_uid};
use crate::records::{CLASSIFICATIONS, PRODUCT_TAGS, Records, TAGS};
use crate::writes::stream::mask;

pub(crate) struct Tags(Records);

/// Uids sort like their numbers, negative ones first.
pub(super) fn uid_of(number: i32) -> String {
    tag_uid((number + 1_000_000) as usize)
}

pub(super) fn number_of(uid: &str) -> i32 {
    uid[4..].parse::<i32>().unwrap() - 1_000_000
}

impl Subject for Tags {
    type Row = Tag;
    const WRITE: &'static str = TAGS;
    const TEXT: &'static str = "status.phase";

    async fn new() -> Self {
        Self(Records::new().await)
    }

    fn channel(&self) -> Channel {
        self.0.server.channel()
    }

    fn row(number: i32) -> Tag {
        Tag { uid: uid_of(number), name: format!("Name of {number}"), status: Some(status("draft")), ..Tag::default() }
    }

    fn number(row: &Tag) -> i32 {
        number_of(&row.uid)
    }

    // Names are unique.
    fn with_text(row: Tag, text: &str) -> Tag {
        Tag { status: Some(status(text)), ..row }
    }

    fn text(row: &Tag) -> &str {
        row.status.as_ref().map_or("", |status| &status.phase)
    }

    async fn stream(&self, page_size: i32, token: &str) -> Vec<(Vec<Tag>, String)> {
        let request = StreamTagsRequest { page_size, resume_token: token.to_owned(), ..Default::default() };
        let stream = self.0.server.client().stream_tags(request).await.unwrap().into_inner();
        pages(stream, |page| (page.tags, page.resume_token)).await
    }

    async fn add_dependent(&self, number: i32) {
        let tag_uid = uid_of(number);
        let classified = TagClassification {
            tag_uid: tag_uid.clone(),
            category_name: format!("category {number}"),
            ..TagClassification::default()
        };
        self.0.write(CLASSIFICATIONS, &[classified]).await;
        let links = ["prd_a", "prd_b"].map(|product| ProductTag {
            product_uid: product.to_owned(),
            tag_uid: tag_uid.clone(),
            create_ts: None,
        });
        self.0.write(PRODUCT_TAGS, &links).await;
    }

    async fn belonging(&self) -> i64 {
        let count = "select (select count(*) from records.link_product_tag) + (select count(*) from records.tag_classification)";
        sqlx::query_scalar(count).fetch_one(&self.0.pool).await.unwrap()
    }
}

impl Complete for Tags {
    const MESSAGE: &'static str = "orrery.records.v1.Tag";
    const KEYS: [&'static str; 2] = ["uids", "uids[0]"];

    fn etag(row: &Tag) -> &str {
        &row.etag
    }

    fn with_etag(row: Tag, etag: &str) -> Tag {
        Tag { etag: etag.to_owned(), ..row }
    }

    fn revision(_: &Tag) -> i32 {
        0
    }

    fn name(number: i32) -> String {
        uid_of(number)
    }

    async fn get(&self, number: i32) -> Result<Tag, Status> {
        let request = GetTagRequest { uid: uid_of(number), read_mask: None };
        Ok(self.0.server.client().get_tag(request).await?.into_inner())
    }

    async fn batch_get(&self, numbers: &[i32]) -> Result<(Vec<Tag>, Vec<i32>), Status> {
        let uids = numbers.iter().map(|&number| uid_of(number)).collect();
        let request = BatchGetTagsRequest { uids, read_mask: None };
        let found = self.0.server.client().batch_get_tags(request).await?.into_inner();
        Ok((found.tags, found.missing_uids.iter().map(|uid| number_of(uid)).collect()))
    }

    async fn create(&self, row: Tag, request_id: &str) -> Result<Tag, Status> {
        let request =
            CreateTagRequest { tag: Some(row), request_id: request_id.to_owned(), ..CreateTagRequest::default() };
        Ok(self.0.server.client().create_tag(request).await?.into_inner())
    }

    async fn update(&self, row: Tag, paths: &[&str], allow_missing: bool) -> Result<Tag, Status> {
        let request = UpdateTagRequest {
            tag: Some(row),
            update_mask: Some(mask(paths)),
            allow_missing,
            ..UpdateTagRequest::default()
        };
        Ok(self.0.server.client().update_tag(request).await?.into_inner())
    }

    async fn delete(&self, number: i32, etag: &str, allow_missing: bool) -> Result<(), Status> {
        let request = DeleteTagRequest { uid: uid_of(number), etag: etag.to_owned(), allow_missing };
        self.0.server.client().delete_tag(request).await.map(|_| ())
    }

    async fn list(&self, page_size: i32, order_by: &str, token: &str) -> Result<(Vec<Tag>, String), Status> {
        let (order_by, page_token) = (order_by.to_owned(), token.to_owned());
        let request = ListTagsRequest { page_size, order_by, page_token, ..Default::default() };
        let page = self.0.server.client().list_tags(request).await?.into_inner();
        Ok((page.tags, page.next_page_token))
    }

    async fn check(&self, numbers: &[i32]) -> Result<(i64, Vec<i32>), Status> {
        let request = CheckTagsRequest { uids: numbers.iter().map(|&number| uid_of(number)).collect() };
        let mut answers = self.0.server.client().check_tags(tokio_stream::iter([request])).await?.into_inner();
        let answer = answers.message().await?.unwrap();
        Ok((answer.checked, answer.missing_uids.iter().map(|uid| number_of(uid)).collect()))
    }
}
