//! The categories of tags: `records.tag_classification`.

use std::sync::LazyLock;

use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_kit::resource::{DeclaredOrder, Description, Reference, ReferenceTarget, Resource, SortColumn, kind};
use orrery_proto::records::v1::TagClassificationFilter;

use super::tag::MAX_NAME_BYTES;
use super::uids::TAG_UID;
use crate::rules::tag_classification::TagClassificationRules;

/// `orrery.records.v1.TagClassification` in `records.tag_classification`.
pub static TAG_CLASSIFICATION: LazyLock<Resource> =
    LazyLock::new(|| Resource::compile(&DESCRIPTION, "tag_classifications"));

static DESCRIPTION: Description = Description {
    key: &["tag_uid"],
    fields: &[
        ("tag_uid", &kind::uid_of(TAG_UID)),
        ("category_name", &kind::text_checked(MAX_NAME_BYTES, |_| Ok(()))),
        ("tag_name", &kind::text(MAX_NAME_BYTES).computed()),
        ("create_ts", &kind::created_at()),
        ("update_ts", &kind::updated_at()),
    ],
    references: &[Reference {
        column: "tag_uid",
        target: ReferenceTarget::Table { table: "records.tag", column: "uid" },
    }],
    orders: &[DeclaredOrder {
        index: "tag_classification_category_order_idx",
        columns: &[SortColumn::plain("category_name")],
    }],
    rules: TagClassificationRules::of,
    ..Description::new("orrery.records.v1.TagClassification", "records.tag_classification")
};

/// Compiles a filter.
///
/// # Errors
/// [`Error::Invalid`] with every violation, below `filter`.
pub fn filter(filter: Option<&TagClassificationFilter>) -> Result<Filter, Error> {
    let Some(filter) = filter else { return Ok(Filter::default()) };
    Filter::default()
        .names("filter.category_names", "category_name", &filter.category_names)
        .uids("filter.tag_uids", "tag_uid", &filter.tag_uids)
        .checked()
}
