//! The rules of the slice's resources, one file each.

pub mod artifact;
pub mod macrodata_catalog;
pub mod tag;
pub mod tag_classification;
pub mod tag_group;
