//! Artifacts: `records.macrodata_artifact`.

use std::collections::HashMap;
use std::sync::LazyLock;

use orrery_kit::db::array::ArrayParameter;
use orrery_kit::db::{Statement, Transaction};
use orrery_kit::error::{Error, Violation};
use orrery_kit::read::filter::Filter;
use orrery_kit::resource::{
    DeclaredOrder, Description, Reference, ReferenceTarget, Resource, SortColumn, Unique, kind,
};
use orrery_proto::records::v1::{ArtifactFilter, ArtifactKind};
use sqlx::Row as _;

use super::payload::PAYLOAD;
use super::uids::{ARTIFACT_UID, MACRODATA_CATALOG_UID};
use crate::rules::artifact::ArtifactRules;

/// Maximum length of an identifier in bytes.
pub const MAX_IDENTIFIER_BYTES: usize = 512;

/// The kinds, as they are stored.
const KINDS: kind::EnumNames = &[
    (ArtifactKind::DesignAsset as i32, DESIGN_ASSET),
    (ArtifactKind::ComboTemplate as i32, COMBO_TEMPLATE),
    (ArtifactKind::ComboSuggestion as i32, COMBO_SUGGESTION),
    (ArtifactKind::ComboReport as i32, COMBO_REPORT),
    (ArtifactKind::ClassificationSpec as i32, CLASSIFICATION_SPEC),
    (ArtifactKind::Document as i32, DOCUMENT),
];

/// A file that a design consists of.
pub const DESIGN_ASSET: &str = "design_asset";
/// What a creative test consists of.
pub const COMBO_TEMPLATE: &str = "combo_template";
/// A proposal to run a creative test.
pub const COMBO_SUGGESTION: &str = "combo_suggestion";
/// How a creative test has done.
pub const COMBO_REPORT: &str = "combo_report";
/// Named thresholds over a metric of products.
pub const CLASSIFICATION_SPEC: &str = "classification_spec";
/// A file that the service keeps.
pub const DOCUMENT: &str = "document";

/// The index in which a design asset is its content.
pub const DESIGN_ASSET_INDEX: &str = "macrodata_artifact_design_asset_idx";

const ARTIFACTS: ReferenceTarget = ReferenceTarget::Table { table: "records.macrodata_artifact", column: "uid" };

/// `orrery.records.v1.Artifact` in `records.macrodata_artifact`.
pub static ARTIFACT: LazyLock<Resource> = LazyLock::new(|| Resource::compile(&DESCRIPTION, "artifacts"));

static DESCRIPTION: Description = Description {
    fields: &[
        ("uid", &kind::uid(ARTIFACT_UID)),
        ("catalog_uid", &kind::uid_of(MACRODATA_CATALOG_UID).optional()),
        ("kind", &kind::enumeration(KINDS).optional()),
        ("identifier", &kind::text(MAX_IDENTIFIER_BYTES)),
        ("content_hash", &kind::hash(64).computed()),
        ("revision", &kind::revision()),
        ("status", &kind::status("active")),
        ("labels", &kind::labels()),
        ("annotations", &kind::annotations()),
        ("create_ts", &kind::created_at()),
        ("update_ts", &kind::updated_at()),
        ("etag", &kind::etag()),
        ("body", &PAYLOAD),
    ],
    unique: &[
        Unique {
            index: "macrodata_artifact_identifier_idx",
            columns: &["identifier", "kind", "catalog_uid"],
            expressions: &["identifier", "kind", "coalesce(catalog_uid, '')"],
        },
        Unique {
            index: DESIGN_ASSET_INDEX,
            columns: &["content_hash", "kind"],
            expressions: &["case when kind = 'design_asset' then content_hash end"],
        },
    ],
    references: &[
        Reference {
            column: "catalog_uid",
            target: ReferenceTarget::Table { table: "records.macrodata_catalog", column: "uid" },
        },
        Reference { column: "combo_suggestion.template_uid", target: ARTIFACTS },
        Reference { column: "combo_suggestion.product_uids", target: ReferenceTarget::Elsewhere },
        Reference { column: "combo_report.template_uid", target: ARTIFACTS },
        Reference { column: "combo_report.product_uids", target: ReferenceTarget::Elsewhere },
    ],
    orders: &[
        DeclaredOrder { index: "macrodata_artifact_create_ts_idx", columns: &[SortColumn::plain("create_ts")] },
        DeclaredOrder { index: "macrodata_artifact_update_ts_idx", columns: &[SortColumn::plain("update_ts")] },
    ],
    rules: ArtifactRules::of,
    ..Description::new("orrery.records.v1.Artifact", "records.macrodata_artifact")
};

/// Compiles a filter.
///
/// # Errors
/// [`Error::Invalid`] with every violation, below `filter`.
pub fn filter(filter: Option<&ArtifactFilter>) -> Result<Filter, Error> {
    let Some(filter) = filter else { return Ok(Filter::default()) };
    let products = if filter.product_uid.is_empty() { &[][..] } else { std::slice::from_ref(&filter.product_uid) };
    Filter::default()
        .label_selector("filter.label_selector", "labels", &filter.label_selector)
        .phases("filter.phases", "status", &filter.phases)
        .uids("filter.uids", "uid", &filter.uids)
        .time_range("filter.created", "create_ts", filter.created.as_ref())
        .time_range("filter.updated", "update_ts", filter.updated.as_ref())
        .names("filter.kinds", "kind", &kinds(&filter.kinds)?)
        .uids("filter.identifiers", "identifier", &filter.identifiers)
        .uids("filter.catalog_uids", "catalog_uid", &filter.catalog_uids)
        .uids("filter.content_hashes", "content_hash", &filter.content_hashes)
        .referred_to_by(
            "filter.product_uid",
            "uid",
            ("records.link_product_macrodata_artifact", "artifact_uid", "product_uid"),
            products,
        )
        .text("filter.template_uid", "body ->> 'template_uid'", orrery_kit::uid::MAX_KEY_BYTES, &filter.template_uid)
        .checked()
}

/// The stored texts of kinds.
fn kinds(numbers: &[i32]) -> Result<Vec<String>, Error> {
    let unknown =
        |nth: usize| Violation::new(format!("filter.kinds[{nth}]"), "is no ArtifactKind, or ARTIFACT_KIND_UNSPECIFIED");
    let (mut names, mut violations) = (Vec::new(), Vec::new());
    for (nth, number) in numbers.iter().enumerate() {
        match KINDS.iter().find(|(known, _)| known == number) {
            Some((_, name)) => names.push((*name).to_owned()),
            None => violations.push(unknown(nth)),
        }
    }
    if violations.is_empty() { Ok(names) } else { Err(Error::Invalid(violations)) }
}

/// What never changes in a stored artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FixedColumns {
    /// Its kind; empty if another program stored none.
    pub kind: String,
    /// Its identifier; empty if it has none.
    pub identifier: String,
    /// Its content hash; empty if it has none.
    pub content_hash: String,
}

/// Reads what never changes of the artifacts that are stored under some uids.
///
/// # Errors
/// The errors of the database.
pub async fn fixed_columns(
    transaction: &mut Transaction<'_>,
    uids: &[String],
) -> Result<HashMap<String, FixedColumns>, Error> {
    let sql = "select t.uid, coalesce(t.kind, ''), coalesce(t.identifier, ''), coalesce(t.content_hash, '')
  from records.macrodata_artifact as t
 where t.uid = any ($1)";
    let mut found = HashMap::with_capacity(uids.len());
    for uids in uids.chunks(transaction.max_statement_rows()) {
        let select = Statement::new(sql, uids.len()).bind(ArrayParameter::texts(uids))?;
        for row in transaction.fetch(select).await? {
            let (kind, identifier, content_hash) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            found.insert(row.try_get(0)?, FixedColumns { kind, identifier, content_hash });
        }
    }
    Ok(found)
}

/// The uids of the design assets that have some content hashes, by hash.
///
/// # Errors
/// The errors of the database.
pub async fn assets_of(transaction: &mut Transaction<'_>, hashes: &[String]) -> Result<HashMap<String, String>, Error> {
    // The unique index has this expression.
    let sql = "select t.content_hash, t.uid
  from records.macrodata_artifact as t
 where case when t.kind = 'design_asset' then t.content_hash end = any ($1)";
    let mut found = HashMap::new();
    for hashes in hashes.chunks(transaction.max_statement_rows()) {
        let select = Statement::new(sql, hashes.len()).bind(ArrayParameter::texts(hashes))?;
        for row in transaction.fetch(select).await? {
            found.insert(row.try_get(0)?, row.try_get(1)?);
        }
    }
    Ok(found)
}

/// Final combo reports among the artifacts that are stored under some uids.
///
/// # Errors
/// The errors of the database.
pub async fn final_reports(transaction: &mut Transaction<'_>, uids: &[String]) -> Result<Vec<String>, Error> {
    let sql = "select t.uid
  from records.macrodata_artifact as t
 where t.uid = any ($1)
   and t.kind = 'combo_report'
   and (t.status ->> 'phase' = 'final' or t.body ->> 'final_ts' is not null)";
    let mut found = Vec::new();
    for uids in uids.chunks(transaction.max_statement_rows()) {
        let select = Statement::new(sql, uids.len()).bind(ArrayParameter::texts(uids))?;
        for row in transaction.fetch(select).await? {
            found.push(row.try_get(0)?);
        }
    }
    Ok(found)
}
