//! ImportComboReports: a file of combo reports, row by row.

mod batch;
mod errors;
mod titles;

use orrery_kit::context::{Call, Context, Writes};
use orrery_kit::error::{Error, Violation};
use orrery_kit::write::check_id;
use orrery_peers::CatalogClient;
use orrery_proto::records::v1::import_combo_reports_request::{Payload, Start};
use orrery_proto::records::v1::{ImportComboReportsRequest, ImportComboReportsResponse};
use orrery_proto::r#type::v1::ReferenceCheck;
use tonic::{Request, Response, Status, Streaming};

use self::batch::ReportWriter;
use self::errors::{Errors, unreadable};
use crate::report_files::columns::Header;
use crate::report_files::parser::{Parser, Record};
use crate::report_files::row::{self, ReportRow};
use crate::store::macrodata_catalog::MACRODATA_CATALOG;
use crate::store::report_names::catalog_exists;
use crate::store::uids::MACRODATA_CATALOG_UID;

/// Maximum number of rows of a transaction.
const BATCH_ROWS: usize = 500;
/// How many bytes of rows wait for a transaction before it begins.
const BATCH_BYTES: usize = 1 << 20;
/// Maximum number of bytes in a message.
const MAX_DATA_BYTES: usize = 256 << 10;

pub(super) async fn import(
    context: &Context,
    catalog: &CatalogClient,
    request: Request<Streaming<ImportComboReportsRequest>>,
) -> Result<Response<ImportComboReportsResponse>, Status> {
    let call = Call::of(&request)?;
    let writes = context.writes(&call);
    let mut inbound = request.into_inner();
    let first = call.next(&mut inbound).await?.and_then(|first| first.payload);
    let Some(Payload::Start(start)) = first else {
        return Err(Error::invalid("start", "must be the first message").into());
    };
    let mut import = Import::begin(&call, writes, catalog, start).await?;
    while let Some(message) = call.next(&mut inbound).await? {
        match message.payload {
            Some(Payload::Data(data)) if data.len() <= MAX_DATA_BYTES => import.take(&data).await?,
            Some(Payload::Data(_)) => {
                let why = format!("must be at most {} KiB", MAX_DATA_BYTES >> 10);
                return Err(Error::invalid("data", why).into());
            }
            Some(Payload::Start(_)) => return Err(Error::invalid("start", "must be sent once").into()),
            None => return Err(Error::invalid("payload", "is required").into()),
        }
    }
    Ok(Response::new(import.end().await?))
}

/// An import.
struct Import<'c> {
    call: &'c Call,
    context: Writes,
    catalog: &'c CatalogClient,
    start: Start,
    parser: Parser,
    /// What the header says; `None` before it.
    file: Option<(Header, ReportWriter)>,
    /// Rows that wait for a transaction, and their bytes.
    rows: Vec<ReportRow>,
    bytes: usize,
    /// The number of records behind the header so far.
    records: u64,
    counts: ImportComboReportsResponse,
    errors: Errors,
}

impl<'c> Import<'c> {
    async fn begin(
        call: &'c Call,
        context: Writes,
        catalog: &'c CatalogClient,
        start: Start,
    ) -> Result<Import<'c>, Error> {
        check(&start)?;
        let Start { catalog_uid, reference_check, .. } = &start;
        let must_exist = !catalog_uid.is_empty() && *reference_check != i32::from(ReferenceCheck::Accept);
        if must_exist && !catalog_exists(&context, catalog_uid, call.deadline).await? {
            let (resource, name) = (MACRODATA_CATALOG.description.message, catalog_uid.clone());
            return Err(Error::NotFound { resource, name });
        }
        let delimiter = start.delimiter.bytes().next().unwrap_or(b',');
        Ok(Self {
            call,
            context,
            catalog,
            start,
            parser: Parser::new(delimiter),
            file: None,
            rows: Vec::new(),
            bytes: 0,
            records: 0,
            counts: ImportComboReportsResponse::default(),
            errors: Errors::new(call.answers.bytes()),
        })
    }

    /// Takes the next bytes of the file.
    async fn take(&mut self, mut data: &[u8]) -> Result<(), Error> {
        while !data.is_empty() {
            let (taken, record) = self.parser.take(data);
            data = data.get(taken..).unwrap_or_default();
            if let Some(record) = record {
                self.record(record).await?;
            }
        }
        Ok(())
    }

    async fn record(&mut self, record: Record) -> Result<(), Error> {
        if record.is_blank() {
            return Ok(());
        }
        let Some((header, _)) = &self.file else {
            let header = Header::read(&record).map_err(|why| Error::invalid("data", why))?;
            let writer = ReportWriter::new(&self.context, self.catalog, self.start.clone(), &header)?;
            self.file = Some((header, writer));
            return Ok(());
        };
        self.records += 1;
        match row::read(&record, header, self.records) {
            Ok(row) => {
                self.bytes += row.bytes;
                self.rows.push(row);
            }
            Err(mistakes) => self.errors.refuse(unreadable(record.line, mistakes)),
        }
        if self.rows.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
            self.write().await?;
        }
        Ok(())
    }

    /// Writes the rows that wait.
    async fn write(&mut self) -> Result<(), Error> {
        if self.call.draining.has_begun() {
            return Err(Error::Draining);
        }
        if self.call.deadline.expired() {
            return Err(Error::DeadlineExceeded);
        }
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        match &mut self.file {
            Some((_, writer)) if !rows.is_empty() => {
                writer.write(self.call, rows, &mut self.counts, &mut self.errors).await
            }
            _ => Ok(()),
        }
    }

    /// The answer, after the last bytes.
    async fn end(mut self) -> Result<ImportComboReportsResponse, Error> {
        if let Some(record) = self.parser.end() {
            self.record(record).await?;
        }
        if self.file.is_none() {
            return Err(Error::invalid("data", "is empty: a file begins with a header"));
        }
        self.write().await?;
        let Self { counts, errors, .. } = self;
        Ok(ImportComboReportsResponse { rejected: errors.rejected, errors: errors.into_sorted(), ..counts })
    }
}

/// Checks what the contract's annotations say.
fn check(start: &Start) -> Result<(), Error> {
    let Start { catalog_uid, import_id, min_score, reference_check, delimiter, .. } = start;
    let mut violations = Vec::new();
    let mut refuse = |field: &str, why: String| violations.push(Violation::new(format!("start.{field}"), why));
    if !catalog_uid.is_empty()
        && let Err(why) = MACRODATA_CATALOG_UID.check(catalog_uid)
    {
        refuse("catalog_uid", why);
    }
    if let Err(why) = check_id(import_id) {
        refuse("import_id", why);
    }
    if min_score.is_some_and(|score| !(0.0..=1.0).contains(&score)) {
        refuse("min_score", "must be a number from 0 to 1".to_owned());
    }
    if ReferenceCheck::try_from(*reference_check).is_err() {
        refuse("reference_check", "is no ReferenceCheck".to_owned());
    }
    if !["", ",", ";", "\t"].contains(&delimiter.as_str()) {
        refuse("delimiter", "must be a comma, a semicolon or a tab".to_owned());
    }
    if violations.is_empty() { Ok(()) } else { Err(Error::Invalid(violations)) }
}
