//! Tags: `records.tag`.

use std::sync::LazyLock;

use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_kit::resource::{DeclaredOrder, Description, Resource, SortColumn, Unique, kind};
use orrery_proto::records::v1::TagFilter;

use super::uids::TAG_UID;
use crate::rules::tag::TagRules;

/// Maximum length of a tag's or group's name in bytes.
pub const MAX_NAME_BYTES: usize = 256;

/// `orrery.records.v1.Tag` in `records.tag`.
pub static TAG: LazyLock<Resource> = LazyLock::new(|| Resource::compile(&DESCRIPTION, "tags"));

static DESCRIPTION: Description = Description {
    fields: &[
        ("uid", &kind::uid(TAG_UID)),
        ("name", &kind::text_checked(MAX_NAME_BYTES, |_| Ok(()))),
        ("status", &kind::status("active")),
        ("labels", &kind::labels()),
        ("annotations", &kind::annotations()),
        ("create_ts", &kind::created_at()),
        ("update_ts", &kind::updated_at()),
        ("etag", &kind::etag()),
    ],
    unique: &[Unique { index: "tag_name_idx", columns: &["name"], expressions: &["lower(name)"] }],
    orders: &[
        DeclaredOrder {
            index: "tag_name_order_idx",
            columns: &[SortColumn::indexed_as("name", "left(name, 128) collate \"C\"")],
        },
        DeclaredOrder { index: "tag_create_ts_idx", columns: &[SortColumn::plain("create_ts")] },
        DeclaredOrder { index: "tag_update_ts_idx", columns: &[SortColumn::plain("update_ts")] },
    ],
    rules: TagRules::of,
    ..Description::new("orrery.records.v1.Tag", "records.tag")
};

/// Compiles a filter.
///
/// # Errors
/// [`Error::Invalid`] with every violation, below `filter`.
pub fn filter(filter: Option<&TagFilter>) -> Result<Filter, Error> {
    let Some(filter) = filter else { return Ok(Filter::default()) };
    Filter::default()
        .label_selector("filter.label_selector", "labels", &filter.label_selector)
        .phases("filter.phases", "status", &filter.phases)
        .uids("filter.uids", "uid", &filter.uids)
        .time_range("filter.created", "create_ts", filter.created.as_ref())
        .time_range("filter.updated", "update_ts", filter.updated.as_ref())
        .contains("filter.name_contains", "name", &filter.name_contains)
        .referred_to_by(
            "filter.category_names",
            "uid",
            ("records.tag_classification", "tag_uid", "category_name"),
            &filter.category_names,
        )
        .checked()
}
