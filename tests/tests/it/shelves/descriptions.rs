//! What the slice's resources are.

use std::sync::LazyLock;

use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_kit::resource::part::PartDescription;
use orrery_kit::resource::{Description, Reference, Resource, Rule, Target, Unique};
use orrery_kit::uid::UidKind;

use super::contract::{FILE_DESCRIPTOR_SET, ShelfFilter, StreamStocktakesRequest};
use super::rules::ShelfRules;

/// Uids of keepers.
const KEEPER_UID: UidKind = UidKind { prefix: "kpr_" };
/// The slots of an aisle; those below zero are in the cellar.
const SLOT: Rule = Rule::Integer(-1_000, 1_000_000);

/// `orrery.test.v1.Shelf` in `warehouse.shelf` and the tables of its children.
pub(crate) static SHELF: LazyLock<Resource> = LazyLock::new(|| Resource::compile(&SHELF_DESCRIPTION, "shelves"));
/// `orrery.test.v1.Box` in `warehouse.box`.
static BOX: LazyLock<Resource> = LazyLock::new(|| Resource::compile(&BOX_DESCRIPTION, "boxes"));
/// `orrery.test.v1.Inspection` in `warehouse.inspection`.
static INSPECTION: LazyLock<Resource> = LazyLock::new(|| Resource::compile(&INSPECTION_DESCRIPTION, "inspections"));
/// `orrery.test.v1.Stocktake` in `warehouse.stocktake`.
pub(crate) static STOCKTAKE: LazyLock<Resource> =
    LazyLock::new(|| Resource::compile(&STOCKTAKE_DESCRIPTION, "stocktakes"));

/// By what else than its key a list of shelves can be ordered.
pub(crate) const ORDER_COLUMNS: &[&str] = &["create_ts"];

const TO_KEEPERS: &[Reference] =
    &[Reference { column: "keeper_uid", target: Target::Table { table: "warehouse.keeper", column: "uid" } }];

pub(crate) static SHELF_DESCRIPTION: Description = Description {
    descriptors: FILE_DESCRIPTOR_SET,
    key: &["warehouse", "aisle", "slot"],
    rules: &[
        ("warehouse", Rule::Name(63)),
        ("aisle", Rule::Name(63)),
        ("slot", SLOT),
        ("label", Rule::Text(256)),
        ("zone", Rule::Text(64)),
        ("code", Rule::Text(64)),
        ("content_hash", Rule::Text(64)),
        ("series", Rule::Text(64)),
        ("number", Rule::ComputedInteger),
        ("keeper_uid", Rule::OptionalUidOf(KEEPER_UID)),
        ("kind", Rule::OneOf(&["open", "closed", "cold", "fixed"])),
        ("country_code", Rule::OptionalCode(2)),
        ("note", Rule::TextNotNull(2_048)),
        ("tags", Rule::TextList(8, 64)),
        ("weight", Rule::Decimal(10, 3)),
        ("price", Rule::Amount),
        ("capacity", Rule::Integer(0, 1_000)),
        ("moved", Rule::ComputedBigInteger),
        ("revision", Rule::Revision),
        ("status", Rule::Status("open")),
        ("labels", Rule::Labels),
        ("annotations", Rule::Annotations),
        ("checked_ts", Rule::Timestamp),
        ("create_ts", Rule::CreatedAt),
        ("update_ts", Rule::UpdatedAt),
        ("etag", Rule::Etag),
    ],
    unique: &[
        Unique { index: "shelf_label_idx", columns: &["label"], expressions: &["lower(label)"] },
        Unique { index: "shelf_zone_code_idx", columns: &["code", "zone"], expressions: &["zone", "code"] },
        Unique { index: "shelf_content_hash_idx", columns: &["content_hash"], expressions: &["content_hash"] },
    ],
    references: TO_KEEPERS,
    parts: &[
        PartDescription { field: "boxes", resource: &BOX, replaced: false },
        PartDescription { field: "inspection", resource: &INSPECTION, replaced: true },
    ],
    dependents: &[&STOCKTAKE],
    own_rules: ShelfRules::of,
    ..Description::new("orrery.test.v1.Shelf", "warehouse.shelf")
};

static BOX_DESCRIPTION: Description = Description {
    descriptors: FILE_DESCRIPTOR_SET,
    key: &["warehouse", "aisle", "slot", "position"],
    rules: &[
        ("warehouse", Rule::Name(63)),
        ("aisle", Rule::Name(63)),
        ("slot", SLOT),
        ("position", Rule::PositiveInteger),
        ("content", Rule::Text(256)),
        ("keeper_uid", Rule::OptionalUidOf(KEEPER_UID)),
    ],
    references: TO_KEEPERS,
    ..Description::new("orrery.test.v1.Box", "warehouse.box")
};

static INSPECTION_DESCRIPTION: Description = Description {
    descriptors: FILE_DESCRIPTOR_SET,
    key: &["warehouse", "aisle", "slot"],
    rules: &[("warehouse", Rule::Name(63)), ("aisle", Rule::Name(63)), ("slot", SLOT), ("inspector", Rule::Text(256))],
    ..Description::new("orrery.test.v1.Inspection", "warehouse.inspection")
};

static STOCKTAKE_DESCRIPTION: Description = Description {
    descriptors: FILE_DESCRIPTOR_SET,
    key: &["warehouse", "aisle", "slot", "day"],
    rules: &[
        ("warehouse", Rule::Name(63)),
        ("aisle", Rule::Name(63)),
        ("slot", SLOT),
        ("day", Rule::Name(63)),
        ("quantity", Rule::Integer(i32::MIN, i32::MAX)),
    ],
    ..Description::new("orrery.test.v1.Stocktake", "warehouse.stocktake")
};

/// What a filter of shelves means.
pub(crate) fn filter(filter: Option<&ShelfFilter>) -> Result<Filter, Error> {
    let Some(filter) = filter else { return Ok(Filter::default()) };
    Filter::default()
        .names("filter.warehouses", "warehouse", &filter.warehouses)
        .phases("filter.phases", "status", &filter.phases)
        .checked()
}

/// Stocktakes have no filter.
#[expect(clippy::unnecessary_wraps, reason = "a filter can be refused as a rule")]
pub(crate) fn all(_: Option<&StreamStocktakesRequest>) -> Result<Filter, Error> {
    Ok(Filter::default())
}
