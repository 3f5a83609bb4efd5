//! What imports and exports ask of tags beside their streams: the uids of names, the names of uids, and categories.

use std::collections::HashMap;
use std::time::Duration;

use orrery_kit::answer::MAX_ANSWER_BYTES;
use orrery_proto::records::v1::tags_service_client::TagsServiceClient;
use orrery_proto::records::v1::{
    BatchGetTagsRequest, ResolveTagsRequest, StreamTagClassificationsRequest, TagClassificationFilter,
};
use prost_types::FieldMask;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::{MESSAGE_LIMIT, RetryingClient, ServiceAddress, Waiting};

/// The most names or uids of a call.
pub(crate) const MAX_TAGS: usize = 1_000;

/// A client that tries again until it gives up.
pub(crate) struct TagsClient(RetryingClient<TagsServiceClient<Channel>>);

impl TagsClient {
    /// A client that gives up after a time without an answer.
    pub(crate) fn new(address: ServiceAddress, give_up_after: Duration) -> Self {
        Self(RetryingClient::new(address, give_up_after, |channel| {
            TagsServiceClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT)
        }))
    }

    /// The uids of the tags with these names, at most [`MAX_TAGS`], and how many of them were created. The uid of a
    /// missing tag is empty, unless `create` is set.
    pub(crate) async fn resolve(
        &mut self,
        names: Vec<String>,
        create: bool,
        waiting: Waiting<'_>,
    ) -> Result<(Vec<String>, i64), Status> {
        let request = ResolveTagsRequest { names, create_missing: create };
        let answer =
            self.0.call(waiting, async |client| client.resolve_tags(request.clone()).await).await?.into_inner();
        if answer.tag_uids.len() != request.names.len() {
            return Err(Status::data_loss("ResolveTags did not answer each name"));
        }
        Ok((answer.tag_uids, answer.created))
    }

    /// The names of the tags with these uids, at most [`MAX_TAGS`]. Missing tags have none.
    pub(crate) async fn names(
        &mut self,
        uids: Vec<String>,
        waiting: Waiting<'_>,
    ) -> Result<HashMap<String, String>, Status> {
        let read_mask = Some(FieldMask { paths: vec!["uid".to_owned(), "name".to_owned()] });
        let message = BatchGetTagsRequest { uids, read_mask };
        let tags = self.0.call(waiting, async |client| client.batch_get_tags(request(message.clone())).await).await?;
        Ok(tags.into_inner().tags.into_iter().map(|tag| (tag.uid, tag.name)).collect())
    }

    /// The categories of the tags with these uids, at most [`MAX_TAGS`]. Tags in no category have none.
    pub(crate) async fn categories(
        &mut self,
        uids: Vec<String>,
        waiting: Waiting<'_>,
    ) -> Result<HashMap<String, String>, Status> {
        let filter = TagClassificationFilter { tag_uids: uids, ..TagClassificationFilter::default() };
        let message = StreamTagClassificationsRequest { filter: Some(filter), ..Default::default() };
        self.0
            .call(waiting, async |client| {
                let mut stream = client.stream_tag_classifications(request(message.clone())).await?.into_inner();
                let mut categories = HashMap::new();
                while let Some(page) = stream.message().await? {
                    categories.extend(page.tag_classifications.into_iter().map(|row| (row.tag_uid, row.category_name)));
                }
                Ok(categories)
            })
            .await
    }
}

fn request<M>(message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(MAX_ANSWER_BYTES, MESSAGE_LIMIT.into());
    request
}
