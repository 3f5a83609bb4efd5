//! The descriptions of the slice's resources.

use std::sync::LazyLock;

use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_kit::resource::child_table::ChildDescription;
use orrery_kit::resource::kind::{self, IntegerKind, Name, TextKind};
use orrery_kit::resource::{DeclaredOrder, Description, Reference, ReferenceTarget, Resource, SortColumn, Unique};
use orrery_kit::uid::UidKind;

use super::contract::{FILE_DESCRIPTOR_SET, ShelfFilter, StreamStocktakesRequest};
use super::rules::ShelfRules;

/// Uids of keepers.
const KEEPER_UID: UidKind = UidKind { prefix: "kpr_" };
/// The slots of an aisle; those below zero are in the cellar.
const SLOT: IntegerKind = kind::integer(-1_000, 1_000_000);
/// A name that is part of a shelf's address.
const PLACE: TextKind<Name> = kind::name(63);

/// `orrery.test.v1.Shelf` in `warehouse.shelf` and the tables of its children.
pub(crate) static SHELF: LazyLock<Resource> = LazyLock::new(|| Resource::compile(&SHELF_DESCRIPTION, "shelves"));
/// `orrery.test.v1.Box` in `warehouse.box`.
static BOX: LazyLock<Resource> = LazyLock::new(|| Resource::compile(&BOX_DESCRIPTION, "boxes"));
/// `orrery.test.v1.Inspection` in `warehouse.inspection`.
static INSPECTION: LazyLock<Resource> = LazyLock::new(|| Resource::compile(&INSPECTION_DESCRIPTION, "inspections"));
/// `orrery.test.v1.Stocktake` in `warehouse.stocktake`.
pub(crate) static STOCKTAKE: LazyLock<Resource> =
    LazyLock::new(|| Resource::compile(&STOCKTAKE_DESCRIPTION, "stocktakes"));

const TO_KEEPERS: &[Reference] =
    &[Reference { column: "keeper_uid", target: ReferenceTarget::Table { table: "warehouse.keeper", column: "uid" } }];

pub(crate) static SHELF_DESCRIPTION: Description = Description {
    descriptors: FILE_DESCRIPTOR_SET,
    key: &["warehouse", "aisle", "slot"],
    owner: &["warehouse"],
    fields: &[
        ("warehouse", &PLACE),
        ("aisle", &PLACE),
        ("slot", &SLOT),
        ("label", &kind::text(256)),
        ("zone", &kind::text(64)),
        ("code", &kind::text(64)),
        ("content_hash", &kind::text(64)),
        ("series", &kind::text(64)),
        ("number", &kind::integer(0, i32::MAX).computed()),
        ("keeper_uid", &kind::uid_of(KEEPER_UID).optional()),
        ("kind", &kind::one_of(&["open", "closed", "cold", "fixed"])),
        ("country_code", &kind::code(2).optional()),
        ("note", &kind::text_not_null(2_048)),
        ("tags", &kind::text_list(8, 64)),
        ("weight", &kind::decimal(10, 3)),
        ("price", &kind::decimal(15, 4).or_zero()),
        ("capacity", &kind::integer(0, 1_000)),
        ("moved", &kind::big_integer(i64::MIN, i64::MAX).computed()),
        ("revision", &kind::revision()),
        ("status", &kind::status("open")),
        ("labels", &kind::labels()),
        ("annotations", &kind::annotations()),
        ("checked_ts", &kind::timestamp()),
        ("create_ts", &kind::created_at()),
        ("update_ts", &kind::updated_at()),
        ("etag", &kind::etag()),
    ],
    unique: &[
        Unique { index: "shelf_label_idx", columns: &["label"], expressions: &["lower(label)"] },
        Unique { index: "shelf_zone_code_idx", columns: &["code", "zone"], expressions: &["zone", "code"] },
        Unique { index: "shelf_content_hash_idx", columns: &["content_hash"], expressions: &["content_hash"] },
    ],
    references: TO_KEEPERS,
    children: &[
        ChildDescription { field: "boxes", resource: &BOX, replaced: false },
        ChildDescription { field: "inspection", resource: &INSPECTION, replaced: true },
    ],
    orders: &[DeclaredOrder { index: "shelf_create_ts_idx", columns: &[SortColumn::plain("create_ts")] }],
    dependents: &[&STOCKTAKE],
    rules: ShelfRules::of,
    ..Description::new("orrery.test.v1.Shelf", "warehouse.shelf")
};

static BOX_DESCRIPTION: Description = Description {
    descriptors: FILE_DESCRIPTOR_SET,
    key: &["warehouse", "aisle", "slot", "position"],
    fields: &[
        ("warehouse", &PLACE),
        ("aisle", &PLACE),
        ("slot", &SLOT),
        ("position", &kind::integer(0, i32::MAX).completed()),
        ("content", &kind::text(256)),
        ("keeper_uid", &kind::uid_of(KEEPER_UID).optional()),
    ],
    references: TO_KEEPERS,
    ..Description::new("orrery.test.v1.Box", "warehouse.box")
};

static INSPECTION_DESCRIPTION: Description = Description {
    descriptors: FILE_DESCRIPTOR_SET,
    key: &["warehouse", "aisle", "slot"],
    fields: &[("warehouse", &PLACE), ("aisle", &PLACE), ("slot", &SLOT), ("inspector", &kind::text(256))],
    ..Description::new("orrery.test.v1.Inspection", "warehouse.inspection")
};

static STOCKTAKE_DESCRIPTION: Description = Description {
    descriptors: FILE_DESCRIPTOR_SET,
    key: &["warehouse", "aisle", "slot", "day"],
    owner: &["warehouse", "aisle", "slot"],
    fields: &[
        ("warehouse", &PLACE),
        ("aisle", &PLACE),
        ("slot", &SLOT),
        ("day", &PLACE),
        ("quantity", &kind::integer(i32::MIN, i32::MAX)),
    ],
    ..Description::new("orrery.test.v1.Stocktake", "warehouse.stocktake")
};

/// Translates a filter of shelves.
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
