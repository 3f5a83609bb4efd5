//! The HTTP client of buckets: `object_store` brings none that fits. Built from the HTTP and TLS libraries that the
//! service uses anyway, with ring as the only cryptography, and a time limit for everything that it waits for.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
    HttpService,
};
use orrery_kit::config::ConfigError;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::Sleep;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept. S3 closes them after about 20 seconds.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
const MAX_IDLE_CONNECTIONS: usize = 8;
/// The most that is read ahead of a slow reader.
const MAX_BUFFER_BYTES: usize = 128 * 1024;

/// Makes the client. `object_store` asks for one for the bucket and others for credentials; all are the same.
#[derive(Clone, Debug)]
pub(super) struct Transport {
    client: Client<HttpsConnector<TcpConnector>, HttpRequestBody>,
    timeout: Duration,
}

impl Transport {
    /// A client that trusts the usual certificates and those in the file `ca_bundle`. A request must be answered within
    /// `timeout`, and its answer must not pause for longer.
    ///
    /// # Errors
    /// The file cannot be read, or has no certificate.
    pub(super) fn new(timeout: Duration, ca_bundle: Option<&str>) -> Result<Self, ConfigError> {
        let refused = |problem: String| ConfigError::new("documents", problem);
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = ca_bundle {
            let unusable = |why: String| refused(format!("the file of AWS_CA_BUNDLE, {path}, cannot be used: {why}"));
            let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
                roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
            }
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = TcpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT.min(timeout)));
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            .http1_max_buf_size(MAX_BUFFER_BYTES)
            .build(connector.wrap_connector(tcp));
        Ok(Self { client, timeout })
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answered = tokio::time::timeout(self.timeout, self.client.request(request)).await;
        let response = answered.map_err(|_| timed_out())?.map_err(|error| {
            let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Request };
            HttpError::new(kind, error)
        })?;
        let (parts, body) = response.into_parts();
        let body = TimedBody { body, timeout: self.timeout, patience: None };
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

impl HttpConnector for Transport {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl HttpService for Transport {
    fn call<'s, 'f>(&'s self, request: HttpRequest) -> BoxFuture<'f, Result<HttpResponse, HttpError>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(self.send(request))
    }
}

fn timed_out() -> HttpError {
    HttpError::new(HttpErrorKind::Timeout, std::io::Error::from(std::io::ErrorKind::TimedOut))
}

/// The body of an answer. It fails if its sender pauses for too long; a reader may pause.
#[derive(Debug)]
struct TimedBody<B> {
    body: B,
    timeout: Duration,
    /// Runs while the sender is waited for.
    patience: Option<Pin<Box<Sleep>>>,
}

impl<B> Body for TimedBody<B>
where
    B: Body<Data = Bytes, Error: StdError + Send + Sync + 'static> + Unpin,
{
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.patience = None;
            let interrupted = |error| HttpError::new(HttpErrorKind::Interrupted, error);
            return Poll::Ready(frame.map(|frame| frame.map_err(interrupted)));
        }
        let timeout = this.timeout;
        let patience = this.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(patience.as_mut().poll(cx));
        Poll::Ready(Some(Err(timed_out())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use futures::StreamExt as _;
    use futures::channel::mpsc;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    #[tokio::test]
    async fn a_pause_of_the_reader_is_none_of_the_sender() {
        let (sender, pieces) = mpsc::unbounded();
        let body = StreamBody::new(pieces.map(|piece| Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(piece)))));
        let mut body = TimedBody { body, timeout: Duration::from_millis(100), patience: None };
        for piece in [&b"one"[..], b"two"] {
            // The reader waits, and then gets a piece.
            let (frame, sent) = tokio::join!(body.frame(), async { sender.unbounded_send(piece) });
            sent.unwrap();
            assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), piece);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        // Nothing comes any more.
        assert_eq!(body.frame().await.unwrap().unwrap_err().kind(), HttpErrorKind::Timeout);
        drop(sender);
    }
}
