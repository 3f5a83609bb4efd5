//! The admin port of a service, and a strict parser of its metrics.

#![allow(clippy::panic, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use orrery_kit::config::AdminListen;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longer than any step of a test takes.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An admin port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admin(pub(crate) SocketAddr);

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Admin {
    /// A free port, and the value for `admin_listen`.
    pub(crate) fn take() -> (Self, AdminListen) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        (Self(address), AdminListen::On(Arc::new(listener)))
    }

    /// Sends one request.
    pub(crate) async fn ask(self, method: &str, path: &str) -> Answer {
        let exchange = async {
            let mut connection = TcpStream::connect(self.0).await.unwrap();
            let request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.0);
            connection.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            connection.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answer = tokio::time::timeout(TIMEOUT, exchange).await.expect("the admin port answers");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    /// The status and the word in a probe's response.
    pub(crate) async fn probe(self, path: &str) -> (u16, String) {
        let answer = self.ask("GET", path).await;
        (answer.status, answer.body.trim_end().to_owned())
    }

    /// Waits until a probe returns this.
    pub(crate) async fn until(self, path: &str, status: u16, word: &str) {
        let begun = Instant::now();
        loop {
            let answered = self.probe(path).await;
            if answered == (status, word.to_owned()) {
                return;
            }
            assert!(begun.elapsed() < TIMEOUT, "{path} says {answered:?}, not {status} {word}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The current metrics.
    pub(crate) async fn scrape(self) -> Scrape {
        let answer = self.ask("GET", "/metrics").await;
        assert_eq!(answer.status, 200);
        Scrape::parse(&answer.body)
    }

    /// Waits until the metrics satisfy `wanted`.
    pub(crate) async fn scrape_until(self, what: &str, wanted: impl Fn(&Scrape) -> bool) -> Scrape {
        let begun = Instant::now();
        loop {
            let scrape = self.scrape().await;
            if wanted(&scrape) {
                return scrape;
            }
            assert!(begun.elapsed() < TIMEOUT, "not seen in time: {what}; {scrape:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// All samples by name and sorted labels.
#[derive(Debug)]
pub(crate) struct Scrape(BTreeMap<(String, Vec<(String, String)>), f64>);

impl Scrape {
    /// The value of exactly this series, or 0 if it does not exist.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let mut labels: Vec<_> = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        labels.sort();
        self.0.get(&(name.to_owned(), labels)).copied().unwrap_or_default()
    }

    /// Whether a series with this name exists.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.keys().any(|(found, _)| found == name)
    }

    /// The number of calls of a method that ended with a code.
    pub(crate) fn handled(&self, service: &str, method: &str, kind: &str, code: &str) -> f64 {
        let labels = [("grpc_service", service), ("grpc_method", method), ("grpc_type", kind), ("grpc_code", code)];
        self.value("grpc_server_handled_total", &labels)
    }

    /// Parses OpenMetrics 1.0 text and checks the rules of the specification.
    pub(crate) fn parse(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("it ends with # EOF");
        let mut samples = BTreeMap::new();
        let mut families: HashSet<&str> = HashSet::new();
        let (mut helped, mut family, mut kind) = ("", "", "");
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(!help.is_empty() && families.insert(name), "{line}");
                helped = name;
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                (family, kind) = rest.split_once(' ').unwrap();
                assert_eq!(family, helped, "{line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            } else {
                let (name, labels, value) = sample(line);
                let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} is no sample of {family}"));
                let suffixes: &[&str] = match kind {
                    "counter" => &["_total"],
                    "gauge" => &[""],
                    _ => &["_sum", "_count", "_bucket"],
                };
                assert!(suffixes.contains(&suffix), "{line} in the {kind} {family}");
                assert!(kind == "gauge" || value >= 0.0, "{line}");
                assert_eq!(samples.insert((name.clone(), labels), value), None, "{line} comes twice");
            }
        }
        let scrape = Self(samples);
        scrape.check_histograms();
        scrape
    }

    /// Buckets never decrease, and the last equals the count.
    fn check_histograms(&self) {
        let mut buckets: BTreeMap<(&str, Vec<_>), Vec<(f64, f64)>> = BTreeMap::new();
        for ((name, labels), value) in &self.0 {
            let Some(family) = name.strip_suffix("_bucket") else { continue };
            let (bound, others): (Vec<_>, Vec<_>) = labels.iter().partition(|(name, _)| name == "le");
            let bound = bound[0].1.replace("+Inf", "inf").parse().unwrap();
            buckets.entry((family, others)).or_default().push((bound, *value));
        }
        for ((family, labels), mut buckets) in buckets {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{family} {labels:?}: {buckets:?}");
            let (bound, last) = *buckets.last().unwrap();
            assert!(bound.is_infinite(), "{family}: {buckets:?}");
            let labels = labels.into_iter().cloned().collect();
            assert_eq!(self.0.get(&(format!("{family}_count"), labels)), Some(&last), "{family}");
        }
    }
}

/// `name{label="value",...} number`
fn sample(line: &str) -> (String, Vec<(String, String)>, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let value = value.parse().unwrap_or_else(|_| panic!("{line} has no number"));
    let Some((name, labels)) = series.split_once('{') else { return (series.to_owned(), Vec::new(), value) };
    assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{line}");
    // No label in these metrics contains a quote or a comma.
    let labels = labels.strip_suffix('}').unwrap().split(',').map(|label| {
        let (name, value) = label.split_once('=').unwrap();
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap();
        assert!(!value.contains('"') && !name.is_empty(), "{line}");
        (name.to_owned(), value.to_owned())
    });
    let mut labels: Vec<_> = labels.collect();
    labels.sort();
    (name.to_owned(), labels, value)
}
