//! The performance of tags: `records.tag_performance_aggregate`, and what it is rebuilt from.
//!
//! A rebuild is a generation of rows of its own. Readers see the current generation, so that they never see a part of
//! the next one. A generation stays for one more rebuild, for the streams that began on it.
//!
//! - [`refresh`]: the steps of a rebuild
//! - [`read`]: what readers ask for

pub mod read;
pub mod refresh;

/// The measures of a row, by the names of their columns.
pub const MEASURES: [&str; 9] =
    ["product_count", "units", "units_7d", "units_30d", "units_90d", "gross", "gross_7d", "gross_30d", "gross_90d"];

/// The last days that measures sum up, besides all days: `units_7d` for 7.
pub const RECENT_DAYS: [i32; 3] = [7, 30, 90];
