//! The catalogs of artifacts: `records.macrodata_catalog`.

use std::sync::LazyLock;

use orrery_kit::db::{Statement, Transaction};
use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_kit::resource::{DeclaredOrder, Description, Resource, SortColumn, Unique, kind};
use orrery_proto::records::v1::MacrodataCatalogFilter;
use sqlx::Row as _;

use super::uids::MACRODATA_CATALOG_UID;
use crate::rules::macrodata_catalog::MacrodataCatalogRules;

/// `orrery.records.v1.MacrodataCatalog` in `records.macrodata_catalog`.
pub static MACRODATA_CATALOG: LazyLock<Resource> =
    LazyLock::new(|| Resource::compile(&DESCRIPTION, "macrodata_catalogs"));

static DESCRIPTION: Description = Description {
    fields: &[
        ("uid", &kind::uid(MACRODATA_CATALOG_UID)),
        ("name", &kind::text_checked(2_048, |_| Ok(()))),
        ("labels", &kind::labels()),
        ("annotations", &kind::annotations()),
        ("create_ts", &kind::created_at()),
        ("update_ts", &kind::updated_at()),
        ("etag", &kind::etag()),
    ],
    unique: &[Unique { index: "macrodata_catalog_name_idx", columns: &["name"], expressions: &["lower(name)"] }],
    orders: &[
        DeclaredOrder {
            index: "macrodata_catalog_name_order_idx",
            columns: &[SortColumn::indexed_as("name", "left(name, 128) collate \"C\"")],
        },
        DeclaredOrder { index: "macrodata_catalog_create_ts_idx", columns: &[SortColumn::plain("create_ts")] },
        DeclaredOrder { index: "macrodata_catalog_update_ts_idx", columns: &[SortColumn::plain("update_ts")] },
    ],
    rules: MacrodataCatalogRules::of,
    ..Description::new("orrery.records.v1.MacrodataCatalog", "records.macrodata_catalog")
};

/// Compiles a filter.
///
/// # Errors
/// [`Error::Invalid`] with every violation, below `filter`.
pub fn filter(filter: Option<&MacrodataCatalogFilter>) -> Result<Filter, Error> {
    let Some(filter) = filter else { return Ok(Filter::default()) };
    Filter::default()
        .label_selector("filter.label_selector", "labels", &filter.label_selector)
        .uids("filter.uids", "uid", &filter.uids)
        .time_range("filter.created", "create_ts", filter.created.as_ref())
        .time_range("filter.updated", "update_ts", filter.updated.as_ref())
        .contains("filter.name_contains", "name", &filter.name_contains)
        .checked()
}

/// An artifact that belongs to a catalog; `None` if there is none.
///
/// # Errors
/// The errors of the database.
pub async fn any_artifact(transaction: &mut Transaction<'_>, uid: &str) -> Result<Option<String>, Error> {
    let sql = "select t.uid\n  from records.macrodata_artifact as t\n where t.catalog_uid = $1\n limit 1";
    let rows = transaction.fetch(Statement::new(sql, 1).bind(uid)?).await?;
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
}
