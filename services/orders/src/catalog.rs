//! The client of the catalog service: asks whether the products in order lines exist.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, stream};
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_kit::references::ForeignReferences;
use orrery_proto::catalog::v1::CheckProductsRequest;
use orrery_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::config::CatalogConfig;

/// Maximum number of uids in one message of CheckProducts.
const MAX_UIDS: usize = 10_000;
/// Timeout for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a connection is probed while a call waits on it, and how long an answer may take, so that a lost peer is
/// noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A client of the catalog service. It connects on first use, and again after a connection was lost.
#[derive(Clone, Debug)]
pub struct CatalogClient {
    client: CatalogServiceClient<Channel>,
    timeout: Duration,
}

impl CatalogClient {
    /// Creates the client; nothing is sent yet.
    pub fn new(config: &CatalogConfig) -> Self {
        let endpoint = config.address.endpoint();
        let channel = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .connect_lazy();
        Self { client: CatalogServiceClient::new(channel), timeout: config.timeout }
    }

    /// One call with all uids.
    async fn check(&self, uids: Vec<String>, timeout: Duration) -> Result<HashSet<String>, Fault> {
        let messages: Vec<CheckProductsRequest> =
            uids.chunks(MAX_UIDS).map(|uids| CheckProductsRequest { uids: uids.to_vec() }).collect();
        let mut unanswered = messages.len();
        let mut request = Request::new(stream::iter(messages));
        request.set_timeout(timeout);
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

/// Why a call failed.
#[derive(Debug)]
enum Fault {
    Status(Status),
    /// The call succeeded, but its answer cannot be right.
    Answer(&'static str),
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl ForeignReferences for CatalogClient {
    fn missing(&self, uids: Vec<String>, deadline: Deadline) -> BoxFuture<'_, Result<HashSet<String>, Error>> {
        async move {
            if uids.is_empty() {
                return Ok(HashSet::new());
            }
            // The shorter of the two deadlines applies, and it decides the error.
            let caller_is_first = deadline.remaining().is_some_and(|left| left <= self.timeout);
            let timeout = deadline.bound(self.timeout);
            let too_late = || {
                let cause = "no answer in time".into();
                if caller_is_first {
                    Error::DeadlineExceeded
                } else {
                    Error::DependencyUnavailable { service: "catalog", cause }
                }
            };
            let fault = match tokio::time::timeout(timeout, self.check(uids, timeout)).await {
                Ok(Ok(missing)) => return Ok(missing),
                Ok(Err(fault)) => fault,
                Err(_) => return Err(too_late()),
            };
            Err(match fault {
                Fault::Answer(what) => Error::internal(format!("CheckProducts: {what}")),
                Fault::Status(status) => match status.code() {
                    // tonic's own timers report CANCELLED.
                    Code::DeadlineExceeded | Code::Cancelled => too_late(),
                    // This includes all errors of the transport.
                    Code::Unavailable | Code::Unknown | Code::ResourceExhausted | Code::Aborted => {
                        Error::DependencyUnavailable { service: "catalog", cause: status.into() }
                    }
                    _ => Error::internal(status),
                },
            })
        }
        .boxed()
    }
}
