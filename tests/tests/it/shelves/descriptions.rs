//! The descriptions of the slice's resources.

use std::sync::LazyLock;

use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_kit::resource::child_table::ChildDescription;
use orrery_kit::resource::kind::{self, IntegerKind, Member, Name, OneOf, Payload, TextKind};
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

/// The member of a payload.
const LOAD_KIND: TextKind<OneOf> = kind::one_of(&["pallet", "tank"]).optional();
pub(crate) const PALLET: Member = Member {
    field: "pallet",
    fields: &[
        ("content_hash", &kind::hash(8)),
        ("size_bytes", &kind::big_integer(0, i64::MAX)),
        ("code_count", &kind::integer(0, i32::MAX).completed()),
        ("codes", &kind::text_list(8, 64)),
        ("unit_price", &kind::decimal(30, 10).optional()),
        ("sealed", &kind::boolean()),
        ("fill", &kind::double()),
        ("packed_ts", &kind::timestamp()),
        ("attributes", &kind::document(4_096)),
        ("note", &kind::text(2_048)),
        ("size", &kind::enumeration(&[(1, "half"), (2, "whole")]).optional()),
    ],
};
pub(crate) const TANK: Member = Member {
    field: "tank",
    fields: &[
        ("liquid", &kind::text(64)),
        ("volume", &kind::integer(1, 1_000)),
        ("content_hash", &kind::text(64)),
        ("codes", &kind::text_list(8, 64)),
    ],
};
/// What a shelf is loaded with.
const LOAD: Payload = kind::payload(Payload { oneof: "load", discriminator: "load_kind", members: &[PALLET, TANK] });
/// What a stocktake has found.
const FINDING: Payload =
    kind::payload(Payload { oneof: "finding", discriminator: "finding_kind", members: &[PALLET, TANK] });

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
        ("load_kind", &LOAD_KIND),
        ("body", &LOAD),
    ],
    unique: &[
        Unique { index: "shelf_label_idx", columns: &["label"], expressions: &["lower(label)"] },
        Unique { index: "shelf_zone_code_idx", columns: &["code", "zone"], expressions: &["zone", "code"] },
        Unique { index: "shelf_content_hash_idx", columns: &["content_hash"], expressions: &["content_hash"] },
        Unique {
            index: "shelf_load_idx",
            columns: &["body", "load_kind"],
            expressions: &["load_kind", "(body ->> 'content_hash'::text)"],
        },
        Unique {
            index: "shelf_liquid_idx",
            columns: &["body"],
            expressions: &["(body ->> 'liquid'::text)", "(body ->> 'volume'::text)"],
        },
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
        ("finding", &FINDING),
        ("finding_kind", &LOAD_KIND),
        ("etag", &kind::etag()),
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
