//! placeholder

pub mod label;
