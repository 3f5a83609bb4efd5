//! The services of the slice, a folder each.

pub mod tags;
