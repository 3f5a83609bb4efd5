//! ClassifyProducts: the metrics of products, which Catalog streams, with their classes.

use bytes::{Buf as _, Bytes};
use orrery_kit::collection::Messages;
use orrery_kit::context::{Call, Context, Reads};
use orrery_kit::error::{Error, Violation};
use orrery_kit::label::check_key;
use orrery_kit::page_token::Scope;
use orrery_kit::read::filter::Filter;
use orrery_kit::read::point;
use orrery_kit::read::stream::page_rows;
use orrery_kit::read::view::{View, mask};
use orrery_kit::resource::select::Selection;
use orrery_peers::CatalogClient;
use orrery_proto::catalog::v1::{ProductMetric, ProductMetricFilter, StreamProductMetricsRequest};
use orrery_proto::records::v1::artifact::Payload;
use orrery_proto::records::v1::classify_products_request::Classification;
use orrery_proto::records::v1::{Artifact, ClassificationSpec, ClassifyProductsRequest, ProductClass};
use orrery_proto::wire::Encoded;
use prost::Message as _;
use prost_types::FieldMask;
use tonic::{Request, Response};

use crate::classes::Classes;
use crate::store::artifact::{ARTIFACT, CLASSIFICATION_SPEC};

/// Maximum number of classes.
const MAX_CLASSES: usize = 64;
/// Maximum length of a metric's name in bytes.
const MAX_METRIC_BYTES: usize = 256;
/// What a product takes in a message beside its texts, at most.
const ROW_OVERHEAD: usize = 32;

/// Where a stream stands: within a page of Catalog, or before one.
#[derive(Clone, Debug, Default)]
struct Place {
    /// The token of Catalog's stream before the page.
    token: String,
    /// The last product of the page that was sent; empty if none was.
    after: String,
}

pub(super) async fn stream(
    context: &Context,
    catalog: &CatalogClient,
    request: Request<ClassifyProductsRequest>,
) -> Result<Response<Messages<Encoded>>, Error> {
    let call = Call::of(&request)?;
    let reads = context.reads(&call);
    let ClassifyProductsRequest { classification, product_uids, as_of, resume_token, page_size } = request.into_inner();
    let max_rows = page_rows(page_size)?;
    // The same rules as Catalog's.
    Filter::default()
        .uids("product_uids", "product_uid", &product_uids)
        .time_range("as_of", "as_of_ts", as_of.as_ref())
        .checked()?;
    let (field, spec) = match classification {
        Some(Classification::Spec(spec)) => ("spec", spec),
        Some(Classification::SpecUid(uid)) => ("spec_uid", stored_spec(&reads, &call, &uid).await?),
        None => return Err(Error::invalid("classification", "is required")),
    };
    let classes = classes(&spec).map_err(|violation| match field {
        "spec" => Error::Invalid(vec![violation.within(field)]),
        _ => Error::invalid(
            field,
            format!("names a spec that breaks a rule: {}: {}", violation.field, violation.description),
        ),
    })?;
    let filter = ProductMetricFilter { product_uids, names: vec![spec.metric_name.clone()], as_of };
    let scope = Scope::new("ClassifyProducts", &filter.encode_to_vec(), &canonical(&spec));
    let mut place = open(&reads, &scope, &resume_token, &call).await?;
    let request = StreamProductMetricsRequest {
        filter: Some(filter),
        read_mask: Some(FieldMask { paths: vec!["product_uid".to_owned(), "value".to_owned()] }),
        resume_token: place.token.clone(),
        page_size,
        order_by: String::new(),
    };
    let mut pages = catalog.stream_product_metrics(request, call.deadline);
    let max_bytes = call.answers.page_bytes(reads.stream.page_bytes);
    Ok(Response::new(Box::pin(async_stream::try_stream! {
        while let Some(page) = call.draining.step(pages.next()).await? {
            let rows = classified(page.product_metrics, &place.after, &classes);
            let mut rest = rows.as_slice();
            loop {
                let (now, later) = rest.split_at(fitting(rest, max_rows, max_bytes));
                rest = later;
                place = match now.last() {
                    Some(last) if !rest.is_empty() => Place { after: last.product_uid.clone(), ..place },
                    _ => Place { token: pages.token().to_owned(), after: String::new() },
                };
                let parts = [place.token.as_bytes(), place.after.as_bytes()];
                let tail = reads.tokens.seal(&scope, &parts, call.deadline).await?;
                call.rows.add(now.len() as u64);
                yield call.answers.checked(page_of(now, tail))?;
                if rest.is_empty() {
                    break;
                }
            }
        }
    })))
}

/// The spec in a stored artifact.
async fn stored_spec(reads: &Reads, call: &Call, uid: &str) -> Result<ClassificationSpec, Error> {
    orrery_kit::uid::check_key(uid).map_err(|why| Error::invalid("spec_uid", why))?;
    let selection = Selection::new(&ARTIFACT, &mask(&ARTIFACT, None, View::Full)?);
    let stored = point::get(reads, &ARTIFACT, &selection, &ARTIFACT.key([uid])?, call.deadline).await?;
    let artifact = Artifact::decode(stored.body.chain(stored.tail)).map_err(Error::internal)?;
    match artifact.payload {
        Some(Payload::ClassificationSpec(spec)) => Ok(spec),
        _ => Err(Error::invalid("spec_uid", format!("names no {CLASSIFICATION_SPEC}"))),
    }
}

/// A page with its token.
fn page_of(rows: &[ProductClass], tail: Bytes) -> Encoded {
    let mut body = Vec::new();
    for row in rows {
        prost::encoding::message::encode(1, row, &mut body);
    }
    Encoded { rows: rows.len() as u64, body: body.into(), tail }
}

/// The classes of a spec.
fn classes(spec: &ClassificationSpec) -> Result<Classes, Violation> {
    let ClassificationSpec { metric_name, thresholds } = spec;
    if metric_name.is_empty() || metric_name.len() > MAX_METRIC_BYTES || metric_name.contains('\0') {
        return Err(Violation::new("metric_name", format!("must be 1 to {MAX_METRIC_BYTES} bytes, without NUL")));
    }
    if thresholds.len() > MAX_CLASSES {
        return Err(Violation::new("thresholds", format!("has more than {MAX_CLASSES} entries")));
    }
    for name in thresholds.keys() {
        check_key(name).map_err(|why| Violation::new(format!("thresholds.{name}"), why))?;
    }
    let entries = thresholds.iter().map(|(name, threshold)| (name.clone(), threshold.clone()));
    Classes::new(entries).map_err(|violation| violation.within("thresholds"))
}

/// A spec as a text that is the same for the same spec.
fn canonical(spec: &ClassificationSpec) -> String {
    let mut thresholds: Vec<(&String, &String)> = spec.thresholds.iter().collect();
    thresholds.sort_unstable();
    let thresholds = thresholds.into_iter().map(|(name, threshold)| format!("\0{name}={threshold}"));
    std::iter::once(spec.metric_name.clone()).chain(thresholds).collect()
}

/// The products of a page that are in a class, without those up to one that was sent before.
fn classified(metrics: Vec<ProductMetric>, after: &str, classes: &Classes) -> Vec<ProductClass> {
    let class = |metric: ProductMetric| {
        let class_name = classes.of(&metric.value)?.to_owned();
        Some(ProductClass { product_uid: metric.product_uid, class_name, value: metric.value })
    };
    metrics.into_iter().filter(|metric| metric.product_uid.as_str() > after).filter_map(class).collect()
}

/// How many products fit into a message: at least one, if there is one.
fn fitting(rows: &[ProductClass], max_rows: usize, max_bytes: usize) -> usize {
    let mut bytes = 0;
    let fits = |row: &&ProductClass| {
        bytes += row.encoded_len() + ROW_OVERHEAD;
        bytes <= max_bytes
    };
    rows.iter().take(max_rows).take_while(fits).count().max(1).min(rows.len())
}

/// The place in a token. An empty token means the beginning.
async fn open(reads: &Reads, scope: &Scope, token: &str, call: &Call) -> Result<Place, Error> {
    const FIELD: &str = "resume_token";
    if token.is_empty() {
        return Ok(Place::default());
    }
    let parts = reads.tokens.open(scope, FIELD, token, call.deadline).await?;
    let texts: Result<Vec<String>, _> = parts.into_iter().map(String::from_utf8).collect();
    match texts.map_err(|_| Error::TokenInvalid(FIELD))?.as_slice() {
        [token, after] => Ok(Place { token: token.clone(), after: after.clone() }),
        _ => Err(Error::TokenInvalid(FIELD)),
    }
}
