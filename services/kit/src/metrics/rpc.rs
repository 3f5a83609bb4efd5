//! Metrics of calls: how many there were, how they ended, and how long they took. Names and labels are those of
//! go-grpc-prometheus, so that dashboards and alerts made for it work here.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use orrery_proto::FILE_DESCRIPTOR_SET;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prost::Message as _;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};
use rustc_hash::FxHashMap;
use tonic::Code;

use super::exposition::{Exposition, count};
use super::histogram::{DURATIONS, Histogram, SECONDS};

/// The services of every process.
const INFRASTRUCTURE: [&str; 3] =
    ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];
const UNKNOWN: &str = "unknown";

/// The names of codes by their numbers, as go-grpc-prometheus spells them.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// The metrics of all methods of a process.
#[derive(Clone, Debug)]
pub(crate) struct RpcMetrics {
    methods: Arc<FxHashMap<String, Arc<MethodMetrics>>>,
    /// For every unknown path, so that a caller cannot make labels.
    unknown: Arc<MethodMetrics>,
}

/// The metrics of one method.
#[derive(Debug)]
pub(crate) struct MethodMetrics {
    service: String,
    method: String,
    kind: &'static str,
    started: AtomicU64,
    handled: [AtomicU64; CODES.len()],
    handling: Histogram,
    open: AtomicI64,
}

impl MethodMetrics {
    fn new(service: &str, method: &str, kind: &'static str) -> Self {
        Self {
            service: service.to_owned(),
            method: method.to_owned(),
            kind,
            started: AtomicU64::new(0),
            handled: std::array::from_fn(|_| AtomicU64::new(0)),
            handling: Histogram::new(DURATIONS),
            open: AtomicI64::new(0),
        }
    }

    /// Whether either side sends a stream.
    pub(crate) fn is_stream(&self) -> bool {
        self.kind.ends_with("_stream")
    }

    /// Whether the caller sends exactly one message. Not known of unknown methods.
    pub(crate) fn takes_one_message(&self) -> bool {
        matches!(self.kind, "unary" | "server_stream")
    }

    /// Whether the method is known.
    pub(crate) fn is_known(&self) -> bool {
        self.kind != UNKNOWN
    }

    /// Whether the method belongs to health or reflection, which every process serves beside its own services.
    pub(crate) fn is_infrastructure(&self) -> bool {
        INFRASTRUCTURE.contains(&self.service.as_str())
    }

    /// Counts a call that begins.
    pub(crate) fn start(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
        if self.is_stream() {
            self.open.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a call that was refused before any work was done for it. Its time is not counted: it would make served
    /// calls look fast.
    pub(crate) fn refuse(&self, code: Code) {
        self.started.fetch_add(1, Ordering::Relaxed);
        self.count(code);
    }

    fn count(&self, code: Code) {
        if let Some(handled) = self.handled.get(code as usize) {
            handled.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a call that has ended.
    pub(crate) fn finish(&self, code: Code, took: Duration) {
        self.count(code);
        self.handling.observe_duration(took);
        if self.is_stream() {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn labels(&self) -> [(&'static str, &str); 3] {
        [("grpc_service", &self.service), ("grpc_method", &self.method), ("grpc_type", self.kind)]
    }
}

impl RpcMetrics {
    pub(super) fn new(service_names: &[&str]) -> Self {
        let mut methods = FxHashMap::default();
        let sets = [
            FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        // What is compiled in can be decoded; otherwise every call would be counted as unknown.
        for file in sets.into_iter().filter_map(|set| FileDescriptorSet::decode(set).ok()).flat_map(|set| set.file) {
            for service in &file.service {
                let name = format!("{}.{}", file.package(), service.name());
                if !service_names.contains(&name.as_str()) && !INFRASTRUCTURE.contains(&name.as_str()) {
                    continue;
                }
                for method in &service.method {
                    let metrics = MethodMetrics::new(&name, method.name(), kind(method));
                    methods.insert(format!("/{name}/{}", method.name()), Arc::new(metrics));
                }
            }
        }
        Self { methods: Arc::new(methods), unknown: Arc::new(MethodMetrics::new(UNKNOWN, UNKNOWN, UNKNOWN)) }
    }

    /// The metrics of the method at a path, `/package.Service/Method`.
    pub(crate) fn of(&self, path: &str) -> &Arc<MethodMetrics> {
        self.methods.get(path).unwrap_or(&self.unknown)
    }

    /// All methods, in a stable order.
    fn all(&self) -> Vec<&MethodMetrics> {
        let mut all: Vec<&MethodMetrics> = self.methods.values().map(Arc::as_ref).collect();
        all.sort_by_key(|metrics| (&metrics.service, &metrics.method));
        all.push(&self.unknown);
        all
    }
}

fn kind(method: &MethodDescriptorProto) -> &'static str {
    match (method.client_streaming(), method.server_streaming()) {
        (false, false) => "unary",
        (true, false) => "client_stream",
        (false, true) => "server_stream",
        (true, true) => "bidi_stream",
    }
}

impl Collector for RpcMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut exposition = Exposition(encoder);
        let all = self.all();
        exposition.counter("grpc_server_started", "Calls that have begun.", |metric| {
            all.iter().try_for_each(|method| {
                count(&mut metric.encode_family(&method.labels())?, method.started.load(Ordering::Relaxed))
            })
        })?;
        exposition.counter(
            "grpc_server_handled",
            "Calls that have ended, by the code in their trailers.",
            |metric| {
                for method in &all {
                    for (name, handled) in CODES.iter().zip(&method.handled) {
                        let handled = handled.load(Ordering::Relaxed);
                        // Codes without calls are left out, except OK: a rate needs a first value.
                        if handled > 0 || *name == "OK" {
                            let [service, method, kind] = method.labels();
                            count(&mut metric.encode_family(&[service, method, kind, ("grpc_code", name)])?, handled)?;
                        }
                    }
                }
                Ok(())
            },
        )?;
        exposition.histogram(
            "grpc_server_handling_seconds",
            "Time from a call's headers to its trailers.",
            |metric| {
                all.iter().filter(|method| !method.handling.is_empty()).try_for_each(|method| {
                    method.handling.encode(&mut metric.encode_family(&method.labels())?, SECONDS)
                })
            },
        )?;
        exposition.gauge("orrery_streams_open", "Open streams.", |metric| {
            all.iter().filter(|method| method.is_stream()).try_for_each(|method| {
                let [service, name, _] = method.labels();
                metric.encode_family(&[service, name])?.encode_gauge(&method.open.load(Ordering::Relaxed))
            })
        })
    }
}
