//! `orrery.records.v1.RecordsService`. The methods that every resource has are in kit's `Collection`; every other group
//! of methods has a file of its own.

mod classify;
mod decisions;
mod delete;
mod download;
mod export_reports;
mod import_reports;
mod links;
mod suggestions;
mod upload;

use orrery_kit::collection::{Collection, Messages};
use orrery_kit::context::Context;
use orrery_peers::CatalogClient;
use orrery_proto::records::v1::server::RecordsService;
use orrery_proto::records::v1::{
    AcceptSuggestionRequest, BatchGetArtifactsRequest, CheckArtifactsRequest, CheckArtifactsResponse,
    ClassifyProductsRequest, DeleteArtifactRequest, DeleteMacrodataCatalogRequest, DownloadDocumentRequest,
    DownloadDocumentResponse, ExportComboReportsRequest, ExportComboReportsResponse, FinalizeComboReportRequest,
    GetArtifactRequest, GetMacrodataCatalogRequest, ImportComboReportsRequest, ImportComboReportsResponse,
    LinkProductsRequest, LinkProductsResponse, ListArtifactsRequest, ListMacrodataCatalogsRequest,
    QueryDocumentUploadRequest, QueryDocumentUploadResponse, RejectSuggestionRequest, StreamArtifactsRequest,
    StreamProductLinksRequest, UnlinkProductsRequest, UnlinkProductsResponse, UploadDocumentRequest,
};
use orrery_proto::wire::{Encoded, ReceivedCreate, ReceivedUpdate, ReceivedWrite, WriteResponse};
use tonic::{Request, Response, Status, Streaming};

use crate::storage::Documents;
use crate::store::artifact::{self, ARTIFACT};
use crate::store::macrodata_catalog::{self, MACRODATA_CATALOG};
use crate::store::product_link::{self, PRODUCT_LINK};

/// The service.
#[derive(Debug)]
pub struct Records {
    context: Context,
    catalog: CatalogClient,
    documents: Documents,
    artifacts: Collection,
    links: Collection,
    catalogs: Collection,
}

impl Records {
    /// The service on a database. Its context may check products; `catalog` has their metrics; `documents` keeps the
    /// content of documents.
    pub fn new(context: Context, catalog: CatalogClient, documents: Documents) -> Self {
        let artifacts = Collection::new(&context, &ARTIFACT);
        let links = Collection::new(&context, &PRODUCT_LINK);
        let catalogs = Collection::new(&context, &MACRODATA_CATALOG);
        Self { context, catalog, documents, artifacts, links, catalogs }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl RecordsService for Records {
    async fn get_artifact(&self, request: Request<GetArtifactRequest>) -> Answer<Encoded> {
        self.artifacts.get(request).await
    }

    async fn batch_get_artifacts(&self, request: Request<BatchGetArtifactsRequest>) -> Answer<Encoded> {
        self.artifacts.batch_get(request).await
    }

    async fn create_artifact(&self, request: Request<ReceivedCreate>) -> Answer<Encoded> {
        self.artifacts.create_deduplicated(request).await
    }

    async fn update_artifact(&self, request: Request<ReceivedUpdate>) -> Answer<Encoded> {
        self.artifacts.update(request).await
    }

    async fn delete_artifact(&self, request: Request<DeleteArtifactRequest>) -> Answer<()> {
        delete::delete(&self.context, &self.artifacts, request).await
    }

    async fn list_artifacts(&self, request: Request<ListArtifactsRequest>) -> Answer<Encoded> {
        self.artifacts.list(request, artifact::filter).await
    }

    type StreamArtifactsStream = Messages<Encoded>;

    async fn stream_artifacts(&self, request: Request<StreamArtifactsRequest>) -> Answer<Messages<Encoded>> {
        self.artifacts.stream(request, artifact::filter).await
    }

    type WriteArtifactsStream = Messages<WriteResponse>;

    async fn write_artifacts(&self, request: Request<Streaming<ReceivedWrite>>) -> Answer<Messages<WriteResponse>> {
        self.artifacts.write(request)
    }

    type CheckArtifactsStream = Messages<CheckArtifactsResponse>;

    async fn check_artifacts(
        &self,
        request: Request<Streaming<CheckArtifactsRequest>>,
    ) -> Answer<Messages<CheckArtifactsResponse>> {
        self.artifacts.check(request)
    }

    async fn accept_suggestion(&self, request: Request<AcceptSuggestionRequest>) -> Answer<Encoded> {
        Ok(suggestions::accept(&self.context, request).await?)
    }

    async fn reject_suggestion(&self, request: Request<RejectSuggestionRequest>) -> Answer<Encoded> {
        Ok(suggestions::reject(&self.context, request).await?)
    }

    async fn finalize_combo_report(&self, request: Request<FinalizeComboReportRequest>) -> Answer<Encoded> {
        Ok(decisions::finalize(&self.context, request).await?)
    }

    async fn import_combo_reports(
        &self,
        request: Request<Streaming<ImportComboReportsRequest>>,
    ) -> Answer<ImportComboReportsResponse> {
        import_reports::import(&self.context, &self.catalog, request).await
    }

    type ExportComboReportsStream = Messages<ExportComboReportsResponse>;

    async fn export_combo_reports(
        &self,
        request: Request<ExportComboReportsRequest>,
    ) -> Answer<Messages<ExportComboReportsResponse>> {
        Ok(export_reports::stream(&self.context, &self.catalog, request).await?)
    }

    type ClassifyProductsStream = Messages<Encoded>;

    async fn classify_products(&self, request: Request<ClassifyProductsRequest>) -> Answer<Messages<Encoded>> {
        Ok(classify::stream(&self.context, &self.catalog, request).await?)
    }

    async fn upload_document(&self, request: Request<Streaming<UploadDocumentRequest>>) -> Answer<Encoded> {
        upload::upload(&self.context, &self.documents, request).await
    }

    async fn query_document_upload(
        &self,
        request: Request<QueryDocumentUploadRequest>,
    ) -> Answer<QueryDocumentUploadResponse> {
        Ok(upload::query(&self.context, &self.documents, request).await?)
    }

    type DownloadDocumentStream = Messages<DownloadDocumentResponse>;

    async fn download_document(
        &self,
        request: Request<DownloadDocumentRequest>,
    ) -> Answer<Messages<DownloadDocumentResponse>> {
        Ok(download::download(&self.context, &self.documents, request).await?)
    }

    async fn link_products(&self, request: Request<LinkProductsRequest>) -> Answer<LinkProductsResponse> {
        Ok(links::link(&self.context, request).await?)
    }

    async fn unlink_products(&self, request: Request<UnlinkProductsRequest>) -> Answer<UnlinkProductsResponse> {
        Ok(links::unlink(&self.context, request).await?)
    }

    type WriteProductLinksStream = Messages<WriteResponse>;

    async fn write_product_links(&self, request: Request<Streaming<ReceivedWrite>>) -> Answer<Messages<WriteResponse>> {
        self.links.write(request)
    }

    type StreamProductLinksStream = Messages<Encoded>;

    async fn stream_product_links(&self, request: Request<StreamProductLinksRequest>) -> Answer<Messages<Encoded>> {
        self.links.stream(request, product_link::filter).await
    }

    async fn get_macrodata_catalog(&self, request: Request<GetMacrodataCatalogRequest>) -> Answer<Encoded> {
        self.catalogs.get(request).await
    }

    async fn create_macrodata_catalog(&self, request: Request<ReceivedCreate>) -> Answer<Encoded> {
        self.catalogs.create(request).await
    }

    async fn update_macrodata_catalog(&self, request: Request<ReceivedUpdate>) -> Answer<Encoded> {
        self.catalogs.update(request).await
    }

    async fn delete_macrodata_catalog(&self, request: Request<DeleteMacrodataCatalogRequest>) -> Answer<()> {
        self.catalogs.delete(request).await
    }

    async fn list_macrodata_catalogs(&self, request: Request<ListMacrodataCatalogsRequest>) -> Answer<Encoded> {
        self.catalogs.list(request, macrodata_catalog::filter).await
    }
}
