//! The kinds of uids in the records slice.

use orrery_kit::uid::UidKind;

/// The uids of tags.
pub const TAG_UID: UidKind = UidKind { prefix: "tag_" };

/// The uids of tag groups.
pub const TAG_GROUP_UID: UidKind = UidKind { prefix: "tgr_" };

/// The uids of products, which the catalog slice owns.
pub const PRODUCT_UID: UidKind = UidKind { prefix: "prd_" };

/// The uids of artifacts.
pub const ARTIFACT_UID: UidKind = UidKind { prefix: "mda_" };

/// The uids of catalogs of artifacts.
pub const MACRODATA_CATALOG_UID: UidKind = UidKind { prefix: "mdc_" };
