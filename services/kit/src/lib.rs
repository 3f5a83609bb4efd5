//! placeholder

pub mod label;
pub mod page_token;
pub mod timestamp;
pub mod uid;
