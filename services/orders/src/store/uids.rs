//! The kinds of uids that orders deal with.

use orrery_kit::uid::UidKind;

/// Uids of orders.
pub const ORDER_UID: UidKind = UidKind { prefix: "ord_" };

/// Uids of lines.
pub const LINE_ITEM_UID: UidKind = UidKind { prefix: "oli_" };

/// Uids of products, which Catalog keeps.
pub const PRODUCT_UID: UidKind = UidKind { prefix: "prd_" };
