//! The statements of writes, each with a name, for people who read them: see [`crate::statements`].

use orrery_proto::r#type::v1::{ReferenceCheck, WriteMode};

use super::replace::OwnerReplacement;
use super::statement::BatchWriter;
use crate::resource::Resource;
use crate::resource::batch::Origin;
use crate::resource::mask::UpdateMask;

/// The statements of all writes of a resource: those without a mask, and those with one.
pub(crate) fn of(
    resource: &'static Resource,
    populated: &UpdateMask,
    every_field: &UpdateMask,
) -> Vec<(String, String)> {
    let writer = |origin, mode, mask: &UpdateMask| {
        BatchWriter::new(resource, origin, mode, mask.clone(), ReferenceCheck::Reject).sql()
    };
    let mut all = writer(Origin::Single, WriteMode::Create, populated);
    all.extend(
        writer(Origin::Single, WriteMode::Update, populated).into_iter().filter(|(title, _)| title == "update one row"),
    );
    all.extend(writer(Origin::Chunked, WriteMode::Upsert, populated));
    let named = writer(Origin::Chunked, WriteMode::Update, every_field).into_iter();
    all.extend(named.map(|(title, sql)| (format!("{title}, with a mask of every field"), sql)));
    all.extend(writer(Origin::Chunked, WriteMode::Delete, populated));
    if resource.owner_length() > 0 {
        all.extend(OwnerReplacement::new(resource).sql());
    }
    all
}
