//! `orrery up`.

/// Where the private cluster lies unless told otherwise.
pub(crate) const DATA_DIR: &str = ".orrery";
/// The database of the private cluster.
pub(crate) const DATABASE: &str = "orrery";
