//! The client of the catalog service.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, stream};
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_kit::integrity::orphans::{ForeignUids, UidPage, UidPages};
use orrery_kit::references::ForeignReferences;
use orrery_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use orrery_proto::catalog::v1::{
    BatchGetProductsRequest, BatchGetProductsResponse, CheckProductsRequest, CountProductsRequest,
    ResolveProductsRequest, ResolvedProduct, StreamProductMetricsRequest, StreamProductMetricsResponse,
    StreamProductsRequest, StreamProductsResponse,
};
use prost_types::FieldMask;
use tonic::transport::Channel;

use crate::config::CatalogPeerConfig;
use crate::fault::Fault;
use crate::pages::Pages;
use crate::peer::{Peer, request};

/// Maximum number of uids in one message of CheckProducts.
const MAX_UIDS: usize = 10_000;
/// How many times the timeout ResolveProducts may take: it compares names with those of all products.
const RESOLVE_PATIENCE: u32 = 12;

/// A client of the catalog service. Clones share a connection.
///
/// Every method fails with [`Error::DependencyUnavailable`] if the catalog cannot be reached or does not answer in
/// time, with [`Error::DeadlineExceeded`] if the caller's own `deadline` passes first, and with [`Error::Internal`] if
/// the catalog refuses the request or its answer cannot be right.
#[derive(Clone, Debug)]
pub struct CatalogClient {
    peer: Peer,
    client: CatalogServiceClient<Channel>,
}

impl CatalogClient {
    /// Creates the client; nothing is sent yet.
    pub fn new(config: &CatalogPeerConfig) -> Self {
        let peer = Peer::new("catalog", &config.address, config.timeout);
        Self { client: CatalogServiceClient::new(peer.channel()), peer }
    }

    /// Returns products by uid. At most 1,000 uids; products of more than 4 MiB together are [`Error::Internal`], so
    /// that a read_mask should say what is needed.
    ///
    /// # Errors
    /// See [`CatalogClient`].
    pub async fn batch_get_products(
        &self,
        message: BatchGetProductsRequest,
        deadline: Deadline,
    ) -> Result<BatchGetProductsResponse, Error> {
        let call = |timeout: Duration| async move {
            Ok(self.client.clone().batch_get_products(request(message, Some(timeout))).await?.into_inner())
        };
        self.peer.call("BatchGetProducts", deadline, call).await
    }

    /// Counts products.
    ///
    /// # Errors
    /// See [`CatalogClient`].
    pub async fn count_products(&self, message: CountProductsRequest, deadline: Deadline) -> Result<i64, Error> {
        let call = |timeout: Duration| async move {
            Ok(self.client.clone().count_products(request(message, Some(timeout))).await?.into_inner().count)
        };
        self.peer.call("CountProducts", deadline, call).await
    }

    /// Finds products by what other systems call them: one resolution for each name, in the order of the request. At
    /// most 1,000 names; an answer of more than 4 MiB is [`Error::Internal`]. The catalog may have to read the names of
    /// all products, so that the call waits twelve times as long as others.
    ///
    /// # Errors
    /// See [`CatalogClient`].
    pub async fn resolve_products(
        &self,
        message: ResolveProductsRequest,
        deadline: Deadline,
    ) -> Result<Vec<ResolvedProduct>, Error> {
        let names = message.names.len();
        let call = |timeout: Duration| async move {
            let request = request(message, Some(timeout));
            let resolutions = self.client.clone().resolve_products(request).await?.into_inner().resolutions;
            if resolutions.len() == names { Ok(resolutions) } else { Err(Fault::Answer("a resolution for each name")) }
        };
        self.peer.patient(RESOLVE_PATIENCE).call("ResolveProducts", deadline, call).await
    }

    /// Streams products.
    pub fn stream_products(&self, message: StreamProductsRequest, deadline: Deadline) -> Pages<StreamProductsResponse> {
        let client = self.client.clone();
        Pages::new(self.peer.clone(), "StreamProducts", deadline, message, move |request| {
            let mut client = client.clone();
            async move { client.stream_products(request).await }
        })
    }

    /// Streams metrics.
    pub fn stream_product_metrics(
        &self,
        message: StreamProductMetricsRequest,
        deadline: Deadline,
    ) -> Pages<StreamProductMetricsResponse> {
        let client = self.client.clone();
        Pages::new(self.peer.clone(), "StreamProductMetrics", deadline, message, move |request| {
            let mut client = client.clone();
            async move { client.stream_product_metrics(request).await }
        })
    }

    /// One call with all uids.
    async fn check(&self, uids: Vec<String>, timeout: Duration) -> Result<HashSet<String>, Fault> {
        let messages: Vec<CheckProductsRequest> =
            uids.chunks(MAX_UIDS).map(|uids| CheckProductsRequest { uids: uids.to_vec() }).collect();
        let mut unanswered = messages.len();
        let request = request(stream::iter(messages), Some(timeout));
        let mut answers = self.client.clone().check_products(request).await?.into_inner();
        let mut missing = HashSet::new();
        while let Some(answer) = answers.message().await? {
            unanswered = unanswered.checked_sub(1).ok_or(Fault::Answer("more responses than requests"))?;
            missing.extend(answer.missing_uids);
        }
        if unanswered > 0 {
            return Err(Fault::Answer("fewer responses than requests"));
        }
        Ok(missing)
    }
}

impl ForeignReferences for CatalogClient {
    fn missing(&self, uids: Vec<String>, deadline: Deadline) -> BoxFuture<'_, Result<HashSet<String>, Error>> {
        async move {
            if uids.is_empty() {
                return Ok(HashSet::new());
            }
            self.peer.call("CheckProducts", deadline, |timeout| self.check(uids, timeout)).await
        }
        .boxed()
    }
}

impl ForeignUids for CatalogClient {
    fn target(&self) -> &'static str {
        "catalog.product.uid"
    }

    fn missing(&self, uids: Vec<String>, deadline: Deadline) -> BoxFuture<'_, Result<HashSet<String>, Error>> {
        ForeignReferences::missing(self, uids, deadline)
    }

    fn count(&self, deadline: Deadline) -> BoxFuture<'_, Result<i64, Error>> {
        self.count_products(CountProductsRequest::default(), deadline).boxed()
    }

    fn all(&self, token: String) -> Box<dyn UidPages> {
        let read_mask = Some(FieldMask { paths: vec!["uid".to_owned()] });
        let message = StreamProductsRequest { read_mask, resume_token: token, ..StreamProductsRequest::default() };
        Box::new(ProductUids(self.stream_products(message, Deadline::none())))
    }
}

/// The uids of all products.
struct ProductUids(Pages<StreamProductsResponse>);

impl UidPages for ProductUids {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<UidPage>, Error>> {
        async move {
            let page = self.0.next().await?;
            Ok(page.map(|page| UidPage {
                uids: page.products.into_iter().map(|product| product.uid).collect(),
                token: page.resume_token,
            }))
        }
        .boxed()
    }
}
