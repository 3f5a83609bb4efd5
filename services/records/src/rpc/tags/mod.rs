//! `orrery.records.v1.TagsService`. The methods that every resource has are in kit's `Collection`; every other group of
//! methods has a file of its own.

mod classify;
mod counts;
mod merge;
mod names;
mod of_products;
mod performance;
mod refresh;

use orrery_kit::collection::{Collection, Messages};
use orrery_kit::context::{Call, Context};
use orrery_kit::error::Error;
use orrery_kit::read::computed;
use orrery_proto::records::v1::server::TagsService;
use orrery_proto::records::v1::{
    BatchGetTagsRequest, CheckTagsRequest, CheckTagsResponse, DeleteTagClassificationRequest, DeleteTagGroupRequest,
    DeleteTagRequest, GetTagDistributionRequest, GetTagGroupPerformanceRequest, GetTagGroupRequest,
    GetTagPerformanceRequest, GetTagRequest, ListTagCategoriesRequest, ListTagGroupsRequest, ListTagsOfProductsRequest,
    ListTagsRequest, ListUnclassifiedTagsRequest, MergeTagsRequest, MergeTagsResponse,
    RefreshTagPerformanceAggregateRequest, RefreshTagPerformanceAggregateResponse, RenameTagRequest,
    ResolveTagsRequest, ResolveTagsResponse, StreamProductTagsRequest, StreamTagClassificationsRequest,
    StreamTagPerformanceRequest, StreamTagsRequest, StreamUnclassifiedTagsRequest, UpsertTagClassificationRequest,
};
use orrery_proto::requests::{List, Stream};
use orrery_proto::wire::{Encoded, ReceivedCreate, ReceivedUpdate, ReceivedWrite, WriteResponse};
use tonic::{Request, Response, Status, Streaming};

use crate::refresh::Sources;
use crate::store::product_tag::{self, PRODUCT_TAG};
use crate::store::tag::{self, TAG};
use crate::store::tag_category::{Categories, Unclassified};
use crate::store::tag_classification::{self, TAG_CLASSIFICATION};
use crate::store::tag_group::{self, TAG_GROUP};

/// The service.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "a collection is called by what it holds, and so is the service")]
pub struct Tags {
    context: Context,
    sources: Sources,
    tags: Collection,
    classifications: Collection,
    groups: Collection,
    links: Collection,
}

impl Tags {
    /// The service on a database. Its context may check products; the sources tell what products there are, and how
    /// they sell.
    pub fn new(context: Context, sources: Sources) -> Self {
        let tags = Collection::new(&context, &TAG);
        let classifications = Collection::new(&context, &TAG_CLASSIFICATION);
        let groups = Collection::new(&context, &TAG_GROUP);
        let links = Collection::new(&context, &PRODUCT_TAG);
        Self { context, sources, tags, classifications, groups, links }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl TagsService for Tags {
    async fn get_tag(&self, request: Request<GetTagRequest>) -> Answer<Encoded> {
        self.tags.get(request).await
    }

    async fn batch_get_tags(&self, request: Request<BatchGetTagsRequest>) -> Answer<Encoded> {
        self.tags.batch_get(request).await
    }

    async fn create_tag(&self, request: Request<ReceivedCreate>) -> Answer<Encoded> {
        self.tags.create(request).await
    }

    async fn update_tag(&self, request: Request<ReceivedUpdate>) -> Answer<Encoded> {
        self.tags.update(request).await
    }

    async fn rename_tag(&self, request: Request<RenameTagRequest>) -> Answer<Encoded> {
        Ok(names::rename(&self.context, request).await?)
    }

    async fn merge_tags(&self, request: Request<MergeTagsRequest>) -> Answer<MergeTagsResponse> {
        Ok(merge::merge(&self.context, request).await?)
    }

    async fn delete_tag(&self, request: Request<DeleteTagRequest>) -> Answer<()> {
        merge::delete_links(&self.context, &request).await?;
        self.tags.delete(request).await
    }

    async fn list_tags(&self, request: Request<ListTagsRequest>) -> Answer<Encoded> {
        self.tags.list(request, tag::filter).await
    }

    type StreamTagsStream = Messages<Encoded>;

    async fn stream_tags(&self, request: Request<StreamTagsRequest>) -> Answer<Messages<Encoded>> {
        self.tags.stream(request, tag::filter).await
    }

    type WriteTagsStream = Messages<WriteResponse>;

    async fn write_tags(&self, request: Request<Streaming<ReceivedWrite>>) -> Answer<Messages<WriteResponse>> {
        self.tags.write(request)
    }

    type CheckTagsStream = Messages<CheckTagsResponse>;

    async fn check_tags(&self, request: Request<Streaming<CheckTagsRequest>>) -> Answer<Messages<CheckTagsResponse>> {
        self.tags.check(request)
    }

    async fn resolve_tags(&self, request: Request<ResolveTagsRequest>) -> Answer<ResolveTagsResponse> {
        Ok(names::resolve(&self.context, request).await?)
    }

    async fn upsert_tag_classification(&self, request: Request<UpsertTagClassificationRequest>) -> Answer<Encoded> {
        Ok(classify::upsert(&self.context, request).await?)
    }

    async fn delete_tag_classification(&self, request: Request<DeleteTagClassificationRequest>) -> Answer<()> {
        self.classifications.delete(request).await
    }

    type WriteTagClassificationsStream = Messages<WriteResponse>;

    async fn write_tag_classifications(
        &self,
        request: Request<Streaming<ReceivedWrite>>,
    ) -> Answer<Messages<WriteResponse>> {
        self.classifications.write(request)
    }

    type StreamTagClassificationsStream = Messages<Encoded>;

    async fn stream_tag_classifications(
        &self,
        request: Request<StreamTagClassificationsRequest>,
    ) -> Answer<Messages<Encoded>> {
        self.classifications.stream(request, tag_classification::filter).await
    }

    async fn list_tag_categories(&self, request: Request<ListTagCategoriesRequest>) -> Answer<Encoded> {
        let call = Call::of(&request)?;
        let list: List<ListTagCategoriesRequest> = request.into_inner().into();
        let page = computed::list(&self.context.reads(&call), &call, list, Categories).await?;
        Ok(call.answer(page)?)
    }

    async fn list_unclassified_tags(&self, request: Request<ListUnclassifiedTagsRequest>) -> Answer<Encoded> {
        let call = Call::of(&request)?;
        let list: List<ListUnclassifiedTagsRequest> = request.into_inner().into();
        let page = computed::list(&self.context.reads(&call), &call, list, Unclassified).await?;
        Ok(call.answer(page)?)
    }

    type StreamUnclassifiedTagsStream = Messages<Encoded>;

    async fn stream_unclassified_tags(
        &self,
        request: Request<StreamUnclassifiedTagsRequest>,
    ) -> Answer<Messages<Encoded>> {
        let call = Call::of(&request)?;
        let stream: Stream<StreamUnclassifiedTagsRequest> = request.into_inner().into();
        let reads = self.context.reads(&call);
        Ok(Response::new(computed::stream(&reads, call, stream, Unclassified).await?))
    }

    async fn get_tag_distribution(&self, request: Request<GetTagDistributionRequest>) -> Answer<Encoded> {
        Ok(counts::distribution(&self.context, &self.sources.catalog, request).await?)
    }

    type WriteProductTagsStream = Messages<WriteResponse>;

    async fn write_product_tags(&self, request: Request<Streaming<ReceivedWrite>>) -> Answer<Messages<WriteResponse>> {
        self.links.write(request)
    }

    type StreamProductTagsStream = Messages<Encoded>;

    async fn stream_product_tags(&self, request: Request<StreamProductTagsRequest>) -> Answer<Messages<Encoded>> {
        self.links.stream(request, product_tag::filter).await
    }

    async fn list_tags_of_products(&self, request: Request<ListTagsOfProductsRequest>) -> Answer<Encoded> {
        Ok(of_products::list(&self.context, request).await?)
    }

    async fn get_tag_group(&self, request: Request<GetTagGroupRequest>) -> Answer<Encoded> {
        self.groups.get(request).await
    }

    async fn create_tag_group(&self, request: Request<ReceivedCreate>) -> Answer<Encoded> {
        self.groups.create(request).await
    }

    async fn update_tag_group(&self, request: Request<ReceivedUpdate>) -> Answer<Encoded> {
        self.groups.update(request).await
    }

    async fn delete_tag_group(&self, request: Request<DeleteTagGroupRequest>) -> Answer<()> {
        self.groups.delete(request).await
    }

    async fn list_tag_groups(&self, request: Request<ListTagGroupsRequest>) -> Answer<Encoded> {
        self.groups.list(request, tag_group::filter).await
    }

    type RefreshTagPerformanceAggregateStream = Messages<RefreshTagPerformanceAggregateResponse>;

    async fn refresh_tag_performance_aggregate(
        &self,
        request: Request<RefreshTagPerformanceAggregateRequest>,
    ) -> Answer<Messages<RefreshTagPerformanceAggregateResponse>> {
        Ok(refresh::refresh(&self.context, &self.sources, request)?)
    }

    async fn get_tag_performance(&self, request: Request<GetTagPerformanceRequest>) -> Answer<Encoded> {
        Ok(performance::get(&self.context, request).await?)
    }

    async fn get_tag_group_performance(&self, request: Request<GetTagGroupPerformanceRequest>) -> Answer<Encoded> {
        Ok(performance::of_group(&self.context, request).await?)
    }

    type StreamTagPerformanceStream = Messages<Encoded>;

    async fn stream_tag_performance(&self, request: Request<StreamTagPerformanceRequest>) -> Answer<Messages<Encoded>> {
        Ok(performance::stream(&self.context, request).await?)
    }
}

/// A uid that a request names.
fn check_uid(field: &str, uid: &str) -> Result<(), Error> {
    orrery_kit::uid::check_key(uid).map_err(|why| Error::invalid(field, why))
}

/// A name that a request gives: 1 to 256 bytes without NUL.
fn check_name(field: &str, name: &str) -> Result<(), Error> {
    let most = tag::MAX_NAME_BYTES;
    if name.is_empty() || name.len() > most || name.contains('\0') {
        return Err(Error::invalid(field, format!("must be 1 to {most} bytes, without NUL")));
    }
    Ok(())
}
