//! placeholder

pub mod label;
pub mod uid;
