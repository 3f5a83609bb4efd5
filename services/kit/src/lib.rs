//! placeholder

pub mod label;
pub mod timestamp;
pub mod uid;
