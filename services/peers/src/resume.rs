//! Reads a stream of pages to its end. Requests it again with the last token when it breaks.

use std::fmt;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use tonic::{Status, Streaming};

use crate::backoff::Backoff;
use crate::fault::retry_after;

/// A message of a paged stream.
pub trait Page: Send + 'static {
    /// Where the stream continues after this page. Never empty.
    fn resume_token(&self) -> &str;
}

type Open<P> = dyn FnMut(String) -> BoxFuture<'static, Result<Streaming<P>, Status>> + Send;

/// The pages of a stream. At most one page is in memory, besides what the connection has received of the next one.
pub struct ResumingStream<P> {
    open: Box<Open<P>>,
    stream: Option<Streaming<P>>,
    token: String,
    backoff: Backoff,
}

impl<P: Page> ResumingStream<P> {
    /// Starts after the page that gave `token`, or at the beginning if it is empty. `open` requests the stream after a
    /// token; `backoff` says how long to try.
    pub fn new<F>(token: String, backoff: Backoff, mut open: impl FnMut(String) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Streaming<P>, Status>> + Send + 'static,
    {
        Self { open: Box::new(move |token| open(token).boxed()), stream: None, token, backoff }
    }

    /// The token of the last page: a new stream continues after it.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The next page, which may have no rows; none at the end. `on_retry` is told of each failure that is tried again,
    /// and how long that is waited for. After an error, a further call continues after the last page.
    ///
    /// # Errors
    /// The last failure, if trying again cannot help, or has not helped for as long as the backoff allows.
    pub async fn next(&mut self, on_retry: &mut (dyn FnMut(&Status, Duration) + Send)) -> Result<Option<P>, Status> {
        self.backoff.restart();
        loop {
            let status = match self.page().await {
                Ok(page) => {
                    self.backoff.succeeded();
                    return Ok(page);
                }
                Err(status) => status,
            };
            self.stream = None;
            let wait = retry_after(&status).and_then(|asked| self.backoff.next_wait(asked));
            let Some(wait) = wait else { return Err(status) };
            on_retry(&status, wait);
            tokio::time::sleep(wait).await;
        }
    }

    async fn page(&mut self) -> Result<Option<P>, Status> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            closed => closed.insert((self.open)(self.token.clone()).await?),
        };
        let Some(page) = stream.message().await? else { return Ok(None) };
        if page.resume_token().is_empty() {
            return Err(Status::data_loss("a page without a token"));
        }
        page.resume_token().clone_into(&mut self.token);
        Ok(Some(page))
    }
}

impl<P> fmt::Debug for ResumingStream<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token, backoff, .. } = self;
        formatter.debug_struct("ResumingStream").field("token", token).field("backoff", backoff).finish_non_exhaustive()
    }
}
