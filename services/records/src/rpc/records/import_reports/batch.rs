//! Writes rows of a file, so many at a time as fit into a transaction.

use std::collections::HashMap;

use orrery_kit::context::{Call, Writes};
use orrery_kit::error::Error;
use orrery_kit::write::direct::RowWriter;
use orrery_peers::CatalogClient;
use orrery_proto::records::v1::artifact::Payload;
use orrery_proto::records::v1::import_combo_reports_request::Start;
use orrery_proto::records::v1::{Artifact, ComboReport, ImportComboReportsResponse, ImportError};
use orrery_proto::r#type::v1::{ErrorReason, ReferenceCheck, RowErrorCode, WriteStart};
use prost::Message as _;
use prost_types::FieldMask;
use sha2::{Digest as _, Sha256};

use super::errors::{Errors, error, missing, refused};
use super::titles::{Meaning, Titles};
use crate::report_files::columns::{Column, Header};
use crate::report_files::row::{NamedProducts, NamedTemplate, ReportRow};
use crate::rules::artifact::combo_name::ComboName;
use crate::store::artifact::{ARTIFACT, COMBO_REPORT, COMBO_TEMPLATE};
use crate::store::report_names::{identifiers_of, uids_of};
use crate::store::uids::ARTIFACT_UID;

/// How often rows are written whose identifier another writer has taken meanwhile.
const ATTEMPTS: usize = 3;
/// How many characters of a name are told.
const MAX_NAME: usize = 100;

/// Writes the rows of one file.
#[derive(Debug)]
pub(super) struct ReportWriter {
    context: Writes,
    rows: RowWriter,
    titles: Titles,
    start: Start,
}

/// The artifact that a row is written to.
#[derive(Clone, Debug)]
struct Target {
    uid: String,
    /// The identifier of the stored artifact; `None` if it is new.
    stored: Option<String>,
}

impl ReportWriter {
    /// For the columns of a file.
    ///
    /// # Errors
    /// [`Error::Invalid`] for fields of `start`.
    pub(super) fn new(context: &Writes, catalog: &CatalogClient, start: Start, header: &Header) -> Result<Self, Error> {
        let reference_check = match start.reference_check() {
            ReferenceCheck::Unspecified => ReferenceCheck::Reject,
            asked => asked,
        };
        let settings = WriteStart {
            update_mask: Some(FieldMask { paths: header.paths() }),
            reference_check: reference_check.into(),
            validate_only: start.validate_only,
            ..WriteStart::default()
        };
        let rows = RowWriter::new(context, &ARTIFACT, settings)?;
        Ok(Self { context: context.clone(), rows, titles: Titles::new(catalog, start.min_score), start })
    }

    /// Writes rows. What is refused is added to `errors`, everything else to `counts`.
    pub(super) async fn write(
        &mut self,
        call: &Call,
        rows: Vec<ReportRow>,
        counts: &mut ImportComboReportsResponse,
        errors: &mut Errors,
    ) -> Result<(), Error> {
        let mut rows = self.resolve(call, rows, errors).await?;
        for attempt in 1..=ATTEMPTS {
            if rows.is_empty() {
                break;
            }
            let targets = self.targets(call, &rows).await?;
            let messages: Vec<Vec<u8>> =
                rows.iter().zip(&targets).map(|(row, target)| self.artifact(row, target).encode_to_vec()).collect();
            let written = self.rows.write(call, &messages).await?;
            counts.created += written.created;
            counts.updated += written.updated;
            counts.unchanged += written.unchanged;
            counts.superseded += written.superseded;
            call.rows.add((written.created + written.updated + written.unchanged).unsigned_abs());
            let mut refusals: HashMap<usize, _> = written
                .row_errors
                .into_iter()
                .filter_map(|refusal| Some((usize::try_from(refusal.offset).ok()?, refusal)))
                .collect();
            let mut again = Vec::new();
            for (at, (row, target)) in rows.into_iter().zip(&targets).enumerate() {
                let Some(refusal) = refusals.remove(&at) else { continue };
                let is_taken = target.stored.is_none() && refusal.code == i32::from(RowErrorCode::AlreadyExists);
                if is_taken && attempt < ATTEMPTS {
                    // Another writer has just created the report. The next attempt finds it.
                    again.push(row);
                } else {
                    errors.refuse([refused(&row, &refusal)]);
                }
            }
            rows = again;
        }
        Ok(())
    }

    /// Finds the templates and products that rows name. Returns the rows of which all were found.
    async fn resolve(
        &mut self,
        call: &Call,
        rows: Vec<ReportRow>,
        errors: &mut Errors,
    ) -> Result<Vec<ReportRow>, Error> {
        let titles = rows.iter().flat_map(|row| match &row.products {
            NamedProducts::ByTitle(titles) => titles.as_slice(),
            NamedProducts::ByUid => &[],
        });
        self.titles.look_up(titles, call).await?;
        let mut named: Vec<&str> = rows.iter().filter_map(template_name).collect();
        named.sort_unstable();
        named.dedup();
        let catalog_uid = &self.start.catalog_uid;
        let templates = uids_of(&self.context, COMBO_TEMPLATE, catalog_uid, &named, call.deadline).await?;
        let mut found = Vec::with_capacity(rows.len());
        for mut row in rows {
            match self.complete(&mut row, &templates) {
                Ok(()) => found.push(row),
                Err(mistakes) => errors.refuse(mistakes),
            }
        }
        Ok(found)
    }

    /// Puts uids into a row for what it names.
    fn complete(&self, row: &mut ReportRow, templates: &HashMap<String, String>) -> Result<(), Vec<ImportError>> {
        let mut mistakes = Vec::new();
        if row.identifier.is_empty() && self.start.import_id.is_empty() {
            let kind = (RowErrorCode::InvalidArgument, ErrorReason::FieldInvalid);
            let message = "is required, because the import has no import_id";
            mistakes.push(error(row.line, Some(Column::Identifier), kind, message));
        }
        if let Some(name) = template_name(row) {
            if let Some(uid) = templates.get(name) {
                row.report.template_uid.clone_from(uid);
            } else {
                let message = format!("no template of this catalog has the identifier {}", shown(name));
                mistakes.push(missing(row, Column::Template, &message, Vec::new()));
            }
        }
        if let NamedProducts::ByTitle(titles) = &row.products {
            let mut uids = Vec::with_capacity(titles.len());
            for title in titles {
                match self.titles.meaning(title) {
                    Meaning::Product(uid) => uids.push(uid.clone()),
                    Meaning::Ambiguous(candidates) => {
                        let message = format!("{} fits several products equally well", shown(title));
                        mistakes.push(missing(row, Column::Products, &message, candidates.clone()));
                    }
                    Meaning::None => {
                        let message = format!("no product is called {}", shown(title));
                        mistakes.push(missing(row, Column::Products, &message, Vec::new()));
                    }
                }
            }
            row.report.product_uids = uids;
        }
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }

    /// The artifacts that rows are written to.
    async fn targets(&self, call: &Call, rows: &[ReportRow]) -> Result<Vec<Target>, Error> {
        let Start { catalog_uid, import_id, .. } = &self.start;
        let mut identifiers: Vec<&str> = rows.iter().map(|row| row.identifier.as_str()).collect();
        identifiers.retain(|identifier| !identifier.is_empty());
        identifiers.sort_unstable();
        identifiers.dedup();
        let by_identifier = uids_of(&self.context, COMBO_REPORT, catalog_uid, &identifiers, call.deadline).await?;
        let numbered = rows.iter().filter(|row| row.identifier.is_empty());
        let numbered: Vec<String> = numbered.map(|row| numbered_uid(catalog_uid, import_id, row.number)).collect();
        let uids: Vec<&str> = numbered.iter().map(String::as_str).collect();
        let stored = identifiers_of(&self.context, &uids, call.deadline).await?;
        let mut numbered = numbered.into_iter();
        // Two rows with the same new identifier are of the same report.
        let mut new: HashMap<&str, String> = HashMap::new();
        let mut targets = Vec::with_capacity(rows.len());
        for row in rows {
            targets.push(if row.identifier.is_empty() {
                let uid = numbered.next().unwrap_or_default();
                Target { stored: stored.get(&uid).cloned(), uid }
            } else if let Some(uid) = by_identifier.get(&row.identifier) {
                Target { uid: uid.clone(), stored: Some(row.identifier.clone()) }
            } else {
                let uid = new.entry(&row.identifier).or_insert_with(|| ARTIFACT_UID.new_uid());
                Target { uid: uid.clone(), stored: None }
            });
        }
        Ok(targets)
    }

    /// The artifact of a row.
    fn artifact(&self, row: &ReportRow, target: &Target) -> Artifact {
        let mut report = row.report.clone();
        if let Some(identifier) = &target.stored {
            complete_from(identifier, &mut report);
        }
        Artifact {
            uid: target.uid.clone(),
            catalog_uid: self.start.catalog_uid.clone(),
            identifier: row.identifier.clone(),
            payload: Some(Payload::ComboReport(report)),
            ..Artifact::default()
        }
    }
}

/// The identifier of the template that a row names by it.
fn template_name(row: &ReportRow) -> Option<&str> {
    match &row.template {
        NamedTemplate::ByIdentifier(identifier) => Some(identifier),
        NamedTemplate::None | NamedTemplate::ByUid => None,
    }
}

/// Sets what is unset to what the identifier of a stored report says. For a new report the rules do that.
fn complete_from(identifier: &str, report: &mut ComboReport) {
    // What another program stored may have another form.
    let Ok((name, _)) = ComboName::parse(identifier) else { return };
    if report.r#type.is_empty() {
        report.r#type = name.combo_type;
    }
    if report.product_codes.is_empty() {
        report.product_codes = name.product_codes;
    }
    if report.product_count == 0 {
        report.product_count = name.product_count;
    }
    if report.audience.is_empty() {
        report.audience = name.audience;
    }
}

/// The uid of the report that a record without an identifier makes. The same for the same record of the same file.
fn numbered_uid(catalog_uid: &str, import_id: &str, number: u64) -> String {
    let hash = Sha256::digest([catalog_uid, import_id, &number.to_string()].join("\0"));
    let number = hash.first_chunk().copied().map_or(0, u128::from_be_bytes);
    format!("{}{number:032x}", ARTIFACT_UID.prefix)
}

/// The beginning of a name, quoted.
fn shown(name: &str) -> String {
    let mut shown: String = name.chars().take(MAX_NAME).collect();
    if shown.len() < name.len() {
        shown.push_str("...");
    }
    format!("{shown:?}")
}
