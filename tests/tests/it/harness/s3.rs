//! A server with S3's interface: moto, in the Python of the clients.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use orrery_records::storage::AwsEnvironment;
use orrery_tests_needs::{self as needs, Need};
use tempfile::TempDir;
use tokio::sync::OnceCell;

static SHARED: OnceCell<S3Server> = OnceCell::const_new();
static BUCKETS: AtomicU32 = AtomicU32::new(0);

/// The server reads whose request it is, and does not check the signature.
const AUTHORIZATION: &str =
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=none";

/// A running server. It ends with this process, because its standard input is closed then.
pub(crate) struct S3Server {
    address: SocketAddr,
    child: Child,
    _stdin: ChildStdin,
}

impl S3Server {
    /// The server that all tests of this process share. The test needs [`Need::Moto`].
    pub(crate) async fn shared() -> &'static Self {
        SHARED.get_or_init(|| async { tokio::task::spawn_blocking(|| Self::start(None).0).await.unwrap() }).await
    }

    /// A server with TLS for one test, and the path of its certificate, which is in `folder`.
    pub(crate) async fn with_tls(folder: &TempDir) -> (Self, String) {
        let folder = folder.path().to_owned();
        let (server, certificate) = tokio::task::spawn_blocking(move || Self::start(Some(&folder))).await.unwrap();
        (server, certificate.unwrap())
    }

    fn start(tls: Option<&Path>) -> (Self, Option<String>) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python/s3_server.py");
        let mut command = Command::new(needs::program(Need::Moto).path());
        command.arg("-B").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        if let Some(folder) = tls {
            command.arg("--tls").arg(folder);
        }
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut lines = BufReader::new(stdout).lines();
        let mut line = || lines.next().expect("the S3 server ended before it listened").unwrap();
        let certificate = tls.map(|_| line());
        let port = line().parse().unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        (Self { address, child, _stdin: stdin }, certificate)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Creates a bucket and returns its name.
    pub(crate) async fn create_bucket(&self) -> String {
        let name = format!("documents-{}", BUCKETS.fetch_add(1, Ordering::Relaxed));
        self.call("PUT", &name, "").await;
        name
    }

    /// The keys of all finished objects in a bucket, in order.
    pub(crate) async fn keys(&self, bucket: &str) -> Vec<String> {
        elements(&self.list(bucket, "list-type=2").await, "Key")
    }

    /// The ids of all unfinished objects in a bucket.
    pub(crate) async fn unfinished(&self, bucket: &str) -> Vec<String> {
        elements(&self.list(bucket, "uploads").await, "UploadId")
    }

    /// Removes an object, as another program might.
    pub(crate) async fn delete(&self, bucket: &str, key: &str) {
        self.call("DELETE", &format!("{bucket}/{key}"), "").await;
    }

    /// Stores an object, as another program might.
    pub(crate) async fn put(&self, bucket: &str, key: &str, content: &'static str) {
        self.call("PUT", &format!("{bucket}/{key}"), content).await;
    }

    /// Aborts an unfinished object, as a rule of the bucket might.
    pub(crate) async fn abort(&self, bucket: &str, key: &str, id: &str) {
        self.call("DELETE", &format!("{bucket}/{key}?uploadId={id}"), "").await;
    }

    async fn list(&self, bucket: &str, query: &str) -> String {
        self.call("GET", &format!("{bucket}?{query}"), "").await
    }

    async fn call(&self, method: &str, path: &str, content: &'static str) -> String {
        let request = http::Request::builder().method(method).uri(format!("http://{}/{path}", self.address));
        let request = request.header("authorization", AUTHORIZATION);
        let request = request.body(Full::new(Bytes::from_static(content.as_bytes()))).unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answer = client.request(request).await.unwrap();
        assert!(answer.status().is_success(), "{method} {path}: {answer:?}");
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The texts of all elements with this name.
fn elements(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let texts = xml.split(&open).skip(1).filter_map(|rest| rest.split_once(&close));
    texts.map(|(text, _)| text.to_owned()).collect()
}

/// Credentials that the server accepts, with more variables.
pub(crate) fn environment(more: &[(&str, &str)]) -> AwsEnvironment {
    let credentials = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "only-for-tests")];
    AwsEnvironment::from_pairs(credentials.iter().chain(more).copied())
}
