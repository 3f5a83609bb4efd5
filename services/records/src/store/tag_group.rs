//! Named sets of tags: `records.tag_group`.

use std::sync::LazyLock;

use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_kit::resource::{Description, Resource, Unique, kind};
use orrery_proto::records::v1::TagGroupFilter;

use super::tag::MAX_NAME_BYTES;
use super::uids::TAG_GROUP_UID;
use crate::rules::tag_group::TagGroupRules;

/// Maximum number of tags in a group.
const MAX_TAGS: usize = 1_000;

/// `orrery.records.v1.TagGroup` in `records.tag_group`.
pub static TAG_GROUP: LazyLock<Resource> = LazyLock::new(|| Resource::compile(&DESCRIPTION, "tag_groups"));

static DESCRIPTION: Description = Description {
    fields: &[
        ("uid", &kind::uid(TAG_GROUP_UID)),
        ("name", &kind::text_checked(MAX_NAME_BYTES, |_| Ok(()))),
        ("description", &kind::text_not_null(4_096)),
        ("tag_uids", &kind::text_list(MAX_TAGS, 256)),
        ("labels", &kind::labels()),
        ("annotations", &kind::annotations()),
        ("create_ts", &kind::created_at()),
        ("update_ts", &kind::updated_at()),
        ("etag", &kind::etag()),
    ],
    unique: &[Unique { index: "tag_group_name_idx", columns: &["name"], expressions: &["lower(name)"] }],
    rules: TagGroupRules::of,
    ..Description::new("orrery.records.v1.TagGroup", "records.tag_group")
};

/// Compiles a filter.
///
/// # Errors
/// [`Error::Invalid`] with every violation, below `filter`.
pub fn filter(filter: Option<&TagGroupFilter>) -> Result<Filter, Error> {
    let Some(filter) = filter else { return Ok(Filter::default()) };
    Filter::default()
        .uids("filter.uids", "uid", &filter.uids)
        .uid_in_list("filter.tag_uids", "tag_uids", &filter.tag_uids)
        .checked()
}
