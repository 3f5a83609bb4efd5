//! The tags of products: `records.link_product_tag`.

use std::sync::LazyLock;

use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_kit::resource::{DeclaredOrder, Description, Reference, ReferenceTarget, Resource, SortColumn, kind};
use orrery_proto::records::v1::ProductTagFilter;

use super::uids::{PRODUCT_UID, TAG_UID};

/// `orrery.records.v1.ProductTag` in `records.link_product_tag`.
pub static PRODUCT_TAG: LazyLock<Resource> = LazyLock::new(|| Resource::compile(&DESCRIPTION, "product_tags"));

static DESCRIPTION: Description = Description {
    key: &["product_uid", "tag_uid"],
    owner: &["product_uid"],
    fields: &[
        ("product_uid", &kind::uid_of(PRODUCT_UID)),
        ("tag_uid", &kind::uid_of(TAG_UID)),
        ("create_ts", &kind::created_at()),
    ],
    references: &[
        Reference { column: "product_uid", target: ReferenceTarget::Elsewhere },
        Reference { column: "tag_uid", target: ReferenceTarget::Table { table: "records.tag", column: "uid" } },
    ],
    orders: &[DeclaredOrder { index: "link_product_tag_tag_uid_idx", columns: &[SortColumn::plain("tag_uid")] }],
    ..Description::new("orrery.records.v1.ProductTag", "records.link_product_tag")
};

/// Compiles a filter.
///
/// # Errors
/// [`Error::Invalid`] with every violation, below `filter`.
pub fn filter(filter: Option<&ProductTagFilter>) -> Result<Filter, Error> {
    let Some(filter) = filter else { return Ok(Filter::default()) };
    Filter::default()
        .uids("filter.product_uids", "product_uid", &filter.product_uids)
        .uids("filter.tag_uids", "tag_uid", &filter.tag_uids)
        .time_range("filter.created", "create_ts", filter.created.as_ref())
        .checked()
}
