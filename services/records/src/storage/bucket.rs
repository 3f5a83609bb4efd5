//! Documents in a bucket of an S3-compatible service.

use std::ops::Range;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::{
    BackoffConfig, GetOptions, GetRange, ObjectStore as _, ObjectStoreExt as _, PutPayload, RetryConfig,
};
use orrery_kit::config::ConfigError;

use super::config::{DocumentsConfig, parse_endpoint};
use super::environment::AwsEnvironment;
use super::http::Transport;
use super::store::{ObjectKey, Store, StoreError, StoreFuture, StoredBytes};

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
const DEFAULT_REGION: &str = "us-east-1";

/// A bucket, or the keys in it with one prefix.
#[derive(Debug)]
pub(super) struct Bucket {
    store: AmazonS3,
    prefix: String,
}

impl Bucket {
    /// Connects when it is first used.
    ///
    /// # Errors
    /// The setting that is missing or invalid.
    pub(super) fn open(
        name: &str,
        prefix: &str,
        config: &DocumentsConfig,
        environment: &AwsEnvironment,
    ) -> Result<Self, ConfigError> {
        if !environment.has_credentials() {
            return Err(ConfigError::new(
                "documents",
                "a bucket needs credentials in the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
                 AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI",
            ));
        }
        let retry = RetryConfig {
            backoff: BackoffConfig { init_backoff: FIRST_BACKOFF, max_backoff: MAX_BACKOFF, base: 2.0 },
            max_retries: usize::MAX,
            retry_timeout: config.retry_time,
        };
        let region = environment.first(&["AWS_REGION", "AWS_DEFAULT_REGION"]);
        let region = config.region.as_deref().or(region).unwrap_or(DEFAULT_REGION);
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(name)
            .with_region(region)
            .with_retry(retry)
            // Not every service has bulk deletes.
            .with_disable_bulk_delete(true)
            .with_http_connector(Transport::new(config.timeout, environment.first(&["AWS_CA_BUNDLE"]))?);
        for (variable, value) in environment.credentials() {
            let key: AmazonS3ConfigKey = variable.to_ascii_lowercase().parse().map_err(|error| unusable(&error))?;
            builder = builder.with_config(key, value);
        }
        if let Some(endpoint) = endpoint(config, environment)? {
            builder = builder.with_endpoint(endpoint);
        }
        Ok(Self { store: builder.build().map_err(|error| unusable(&error))?, prefix: prefix.to_owned() })
    }

    fn path(&self, key: &ObjectKey) -> Path {
        let separator = if self.prefix.is_empty() { "" } else { "/" };
        Path::from(format!("{}{separator}{}", self.prefix, key.as_str()))
    }

    async fn read_range(&self, key: &ObjectKey, range: Range<u64>) -> Result<StoredBytes, StoreError> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let found = self.store.get_opts(&self.path(key), options).await?;
        let object_bytes = found.meta.size;
        Ok(StoredBytes { object_bytes, pieces: found.into_stream().map_err(StoreError::from).boxed() })
    }

    async fn remove_all(&self, key: &ObjectKey, id: Option<&str>) -> Result<(), StoreError> {
        let path = self.path(key);
        if let Some(id) = id {
            missing_is_fine(self.store.abort_multipart(&path, &id.to_owned()).await)?;
        }
        missing_is_fine(self.store.delete(&path).await)
    }
}

/// The address of the service; `None` for AWS.
fn endpoint(config: &DocumentsConfig, environment: &AwsEnvironment) -> Result<Option<String>, ConfigError> {
    if config.endpoint.is_some() {
        return Ok(config.endpoint.clone());
    }
    for variable in ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"] {
        if let Some(endpoint) = environment.first(&[variable]) {
            let endpoint = parse_endpoint(endpoint);
            return endpoint
                .map(Some)
                .map_err(|why| ConfigError::new("documents-endpoint", format!("{variable} {why}")));
        }
    }
    Ok(None)
}

fn unusable(error: &object_store::Error) -> ConfigError {
    ConfigError::new("documents", error.to_string())
}

fn missing_is_fine(done: object_store::Result<()>) -> Result<(), StoreError> {
    match done {
        Err(object_store::Error::NotFound { .. }) => Ok(()),
        done => Ok(done?),
    }
}

impl Store for Bucket {
    fn put<'s>(&'s self, key: &'s ObjectKey, content: PutPayload) -> StoreFuture<'s, ()> {
        Box::pin(async move {
            self.store.put(&self.path(key), content).await?;
            Ok(())
        })
    }

    fn begin_parts<'s>(&'s self, key: &'s ObjectKey) -> StoreFuture<'s, String> {
        Box::pin(async move { Ok(self.store.create_multipart(&self.path(key)).await?) })
    }

    fn put_part<'s>(
        &'s self,
        key: &'s ObjectKey,
        id: &'s str,
        number: usize,
        content: PutPayload,
    ) -> StoreFuture<'s, String> {
        Box::pin(async move {
            let part = self.store.put_part(&self.path(key), &id.to_owned(), number, content).await?;
            Ok(part.content_id)
        })
    }

    fn complete<'s>(&'s self, key: &'s ObjectKey, id: &'s str, parts: Vec<String>) -> StoreFuture<'s, ()> {
        let parts = parts.into_iter().map(|content_id| PartId { content_id }).collect();
        Box::pin(async move {
            match self.store.complete_multipart(&self.path(key), &id.to_owned(), parts).await {
                // An older stream has stored a part again, after the newer one had noted it.
                Err(error) if error.to_string().contains("InvalidPart") => Err(StoreError::Missing),
                completed => completed.map(drop).map_err(StoreError::from),
            }
        })
    }

    fn size<'s>(&'s self, key: &'s ObjectKey) -> StoreFuture<'s, u64> {
        Box::pin(async move { Ok(self.store.head(&self.path(key)).await?.size) })
    }

    fn read<'s>(&'s self, key: &'s ObjectKey, range: Range<u64>) -> StoreFuture<'s, StoredBytes> {
        Box::pin(self.read_range(key, range))
    }

    fn remove<'s>(&'s self, key: &'s ObjectKey, id: Option<&'s str>) -> StoreFuture<'s, ()> {
        Box::pin(self.remove_all(key, id))
    }
}
