//! The services of the slice, a folder each.

pub mod records;
pub mod tags;
