//! ExportComboReports: combo reports as a CSV file, page by page, with the names of their products from Catalog.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use orrery_kit::collection::Messages;
use orrery_kit::context::{Call, Context, Reads};
use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_kit::read::list::PageToken;
use orrery_kit::read::order::Order;
use orrery_kit::read::scan::{Cursor, Page, Scan};
use orrery_kit::resource::mask::MaskPath;
use orrery_kit::uid::check_key;
use orrery_peers::CatalogClient;
use orrery_proto::catalog::v1::{ProductFilter, StreamProductsRequest};
use orrery_proto::records::v1::artifact::Payload;
use orrery_proto::records::v1::{
    Artifact, BatchGetArtifactsResponse, ComboReport, ExportComboReportsRequest, ExportComboReportsResponse,
};
use prost::Message as _;
use prost_types::FieldMask;
use tonic::{Request, Response};

use crate::report_files::row::MAX_TITLE_BYTES;
use crate::report_files::writer::{self, NamedReport};
use crate::store::artifact::{self, ARTIFACT, COMBO_REPORT};
use crate::store::report_names::read_identifiers;

/// Maximum number of reports that are read at once.
const PAGE_ROWS: usize = 500;
/// Maximum number of products whose names are in memory, unless one report has more.
const MAX_PRODUCTS: usize = 1_000;

/// A page of the file.
type File = ExportComboReportsResponse;

/// The names of what reports refer to, by uid.
#[derive(Debug, Default)]
struct Names {
    templates: HashMap<String, String>,
    products: HashMap<String, String>,
}

/// A report of a page.
#[derive(Debug)]
struct Row {
    uid: String,
    identifier: String,
    report: ComboReport,
}

pub(super) async fn stream(
    context: &Context,
    catalog: &CatalogClient,
    request: Request<ExportComboReportsRequest>,
) -> Result<Response<Messages<File>>, Error> {
    let call = Call::of(&request)?;
    let reads = context.reads(&call);
    let request = request.into_inner();
    let filter = filter(&request)?;
    let mask = MaskPath::of(&ARTIFACT, &["uid", "kind", "identifier", "body"]).map_err(Error::internal)?;
    let scan = Scan::internal(&reads, &ARTIFACT, &mask, filter, Order::NATURAL);
    let ExportComboReportsRequest { resume_token, .. } = &request;
    let scope = ExportComboReportsRequest { resume_token: String::new(), ..request.clone() }.encode_to_vec();
    let token = PageToken::new("ExportComboReports", &scope, &scan);
    let mut cursor = token.open(&reads, &scan, "resume_token", resume_token, call.deadline).await?;
    let mut data = if resume_token.is_empty() { writer::header() } else { String::new() };
    let max_bytes = call.answers.page_bytes(reads.stream.page_bytes);
    let catalog = catalog.clone();
    Ok(Response::new(Box::pin(async_stream::try_stream! {
        let mut end = false;
        while !end {
            let (page, after) = next_page(&call, &scan, &cursor).await?;
            end = page.end;
            let mut rows = rows(page)?.into_iter().peekable();
            while rows.peek().is_some() {
                let group = group(&mut rows);
                let names = names(&reads, &catalog, &call, &group).await?;
                let mut reports = 0;
                for row in group {
                    let before = data.len();
                    append(&row, &names, &mut data);
                    if reports > 0 && data.len() > max_bytes {
                        let next = data.split_off(before);
                        let whole = std::mem::replace(&mut data, next);
                        yield message(&reads, &call, &token, &cursor, whole, reports).await?;
                        reports = 0;
                    }
                    reports += 1;
                    cursor = at(&row.uid, &after)?;
                }
                if rows.peek().is_none() {
                    // The page may have passed more than its last row.
                    cursor = after.clone();
                }
                yield message(&reads, &call, &token, &cursor, std::mem::take(&mut data), reports).await?;
            }
            if cursor != after {
                cursor = after;
                yield message(&reads, &call, &token, &cursor, std::mem::take(&mut data), 0).await?;
            }
        }
        if !data.is_empty() {
            yield message(&reads, &call, &token, &cursor, data, 0).await?;
        }
    })))
}

/// The reports that a request asks for.
fn filter(request: &ExportComboReportsRequest) -> Result<Filter, Error> {
    let ExportComboReportsRequest { catalog_uid, filter, .. } = request;
    if let Some(filter) = filter {
        if !filter.kinds.is_empty() {
            return Err(Error::invalid("filter.kinds", "must be unset: combo reports are exported"));
        }
        if !filter.catalog_uids.is_empty() {
            return Err(Error::invalid("filter.catalog_uids", "must be unset: set catalog_uid"));
        }
    }
    let filter = artifact::filter(filter.as_ref())?.names("", "kind", &[COMBO_REPORT.to_owned()]);
    if catalog_uid.is_empty() {
        return filter.unset("catalog_uid").checked();
    }
    check_key(catalog_uid).map_err(|why| Error::invalid("catalog_uid", why))?;
    filter.uids("catalog_uid", "catalog_uid", std::slice::from_ref(catalog_uid)).checked()
}

/// The next page, and the place after it, unless the process drains first.
async fn next_page(call: &Call, scan: &Scan, cursor: &Cursor) -> Result<(Page, Cursor), Error> {
    let mut after = cursor.clone();
    let page = call.draining.step(Box::pin(scan.page(&mut after, PAGE_ROWS, call.deadline))).await?;
    Ok((page, after))
}

fn rows(page: Page) -> Result<Vec<Row>, Error> {
    // A page has each row as field 1, as this message has.
    let page = BatchGetArtifactsResponse::decode(Bytes::from(page.body)).map_err(Error::internal)?;
    let row = |artifact: Artifact| {
        let report = match artifact.payload {
            Some(Payload::ComboReport(report)) => report,
            _ => ComboReport::default(),
        };
        Row { uid: artifact.uid, identifier: artifact.identifier, report }
    };
    Ok(page.artifacts.into_iter().map(row).collect())
}

/// The next rows, with at most [`MAX_PRODUCTS`] products; at least one row.
fn group(rows: &mut std::iter::Peekable<std::vec::IntoIter<Row>>) -> Vec<Row> {
    let mut products = 0;
    let mut group = Vec::new();
    let fits = |row: &Row, products: &mut usize, is_first: bool| {
        *products += row.report.product_uids.len();
        is_first || *products <= MAX_PRODUCTS
    };
    while let Some(row) = rows.next_if(|row| fits(row, &mut products, group.is_empty())) {
        group.push(row);
    }
    group
}

/// The names of the templates and products of reports.
async fn names(reads: &Reads, catalog: &CatalogClient, call: &Call, rows: &[Row]) -> Result<Names, Error> {
    let templates: BTreeSet<&str> = rows.iter().map(|row| row.report.template_uid.as_str()).collect();
    let templates: Vec<&str> = templates.into_iter().filter(|uid| !uid.is_empty()).collect();
    let templates = read_identifiers(reads, &templates, call.deadline).await?;
    let products: BTreeSet<&String> = rows.iter().flat_map(|row| &row.report.product_uids).collect();
    let products: Vec<&String> = products.into_iter().filter(|uid| check_key(uid).is_ok()).collect();
    let mut names = Names { templates, products: HashMap::with_capacity(products.len()) };
    for uids in products.chunks(MAX_PRODUCTS) {
        let filter =
            ProductFilter { uids: uids.iter().map(|uid| (*uid).clone()).collect(), ..ProductFilter::default() };
        let read_mask = FieldMask { paths: vec!["uid".to_owned(), "name".to_owned()] };
        let request = StreamProductsRequest {
            filter: Some(filter),
            read_mask: Some(read_mask),
            ..StreamProductsRequest::default()
        };
        let mut pages = catalog.stream_products(request, call.deadline);
        while let Some(page) = pages.next().await? {
            let short = page.products.into_iter().filter(|product| product.name.len() <= MAX_TITLE_BYTES);
            names.products.extend(short.map(|product| (product.uid, product.name)));
        }
    }
    Ok(names)
}

fn append(row: &Row, names: &Names, data: &mut String) {
    let Row { identifier, report, .. } = row;
    let name = |uid: &String| names.products.get(uid).map_or("", String::as_str);
    let template = names.templates.get(&report.template_uid).map_or("", String::as_str);
    let titles = report.product_uids.iter().map(name).collect();
    writer::write(&NamedReport { identifier, template, titles, report }, data);
}

/// The place after a row of the page that ends at `after`.
fn at(uid: &str, after: &Cursor) -> Result<Cursor, Error> {
    let position = Order::NATURAL.position(&ARTIFACT, vec![uid.as_bytes().to_vec()]);
    let position = position.ok_or_else(|| Error::internal("a uid is no position"))?;
    Ok(Cursor::at(Some(position), after.window.is_some()))
}

async fn message(
    reads: &Reads,
    call: &Call,
    token: &PageToken,
    cursor: &Cursor,
    data: String,
    reports: i32,
) -> Result<File, Error> {
    // The token comes as a field of a message like this one.
    let sealed = File::decode(token.seal(reads, cursor, call.deadline).await?).map_err(Error::internal)?;
    let message = File { data: data.into(), resume_token: sealed.resume_token, reports };
    call.answers.check(message.encoded_len())?;
    call.rows.add(u64::try_from(reports).unwrap_or_default());
    Ok(message)
}
