//! The kinds of uids in the orders slice.

use orrery_kit::uid::UidKind;

/// The uids of orders.
pub const ORDER_UID: UidKind = UidKind { prefix: "ord_" };

/// The uids of order lines.
pub const LINE_ITEM_UID: UidKind = UidKind { prefix: "oli_" };

/// The uids of products, which the catalog slice owns.
pub const PRODUCT_UID: UidKind = UidKind { prefix: "prd_" };
