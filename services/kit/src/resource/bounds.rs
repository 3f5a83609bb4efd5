//! The limits of every row.

/// Most bytes of one encoded row without its children, and of each child. It is so low that every row that was written
/// can be read within the limits.
pub const MAX_ROW_BYTES: usize = 1024 * 1024;
/// Most violations that are reported for one row. The check of a row stops there.
pub(super) const MAX_VIOLATIONS: usize = 32;

/// Most children in one field of an owner, and most children of all owners of a chunk together: as many as one
/// statement may touch. The size of a message is not enough of a limit: an empty child takes two bytes there and thirty
/// times as many in memory.
pub const MAX_CHILDREN: usize = 100_000;
