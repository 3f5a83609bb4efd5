//! Filters on the command line.

use clap::Args;
use orrery_proto::catalog::v1::ProductFilter;
use orrery_proto::r#type::v1::TimeRange;
use prost_types::Timestamp;

/// `orrery.catalog.v1.ProductFilter`, an option for each field. Every condition that is given must hold.
#[derive(Debug, Default, Args)]
#[expect(clippy::struct_field_names, reason = "the fields are the names of the options")]
pub(crate) struct ProductFilterOptions {
    /// Only those whose labels fit, as "env=prod,tier in (a,b),!legacy".
    #[arg(long, value_name = "SELECTOR")]
    filter_label_selector: Option<String>,
    /// Only those in this phase; may be given several times.
    #[arg(long, value_name = "PHASE")]
    filter_phase: Vec<String>,
    /// Only this one; may be given several times.
    #[arg(long, value_name = "UID")]
    filter_uid: Vec<String>,
    /// Only those whose name contains this, in any letter case.
    #[arg(long, value_name = "TEXT")]
    filter_name_contains: Option<String>,
    /// Only those created at this time or later, as "2026-05-01T00:00:00Z".
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    filter_created_from: Option<Timestamp>,
    /// Only those created before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    filter_created_before: Option<Timestamp>,
    /// Only those last changed at this time or later.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    filter_updated_from: Option<Timestamp>,
    /// Only those last changed before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    filter_updated_before: Option<Timestamp>,
}

impl ProductFilterOptions {
    /// The filter; none if nothing was asked for.
    pub(crate) fn into_message(self) -> Option<ProductFilter> {
        let filter = ProductFilter {
            label_selector: self.filter_label_selector.unwrap_or_default(),
            phases: self.filter_phase,
            uids: self.filter_uid,
            created: range(self.filter_created_from, self.filter_created_before),
            updated: range(self.filter_updated_from, self.filter_updated_before),
            name_contains: self.filter_name_contains.unwrap_or_default(),
        };
        (filter != ProductFilter::default()).then_some(filter)
    }
}

fn range(start: Option<Timestamp>, end: Option<Timestamp>) -> Option<TimeRange> {
    (start.is_some() || end.is_some()).then_some(TimeRange { start, end })
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    let time = chrono::DateTime::parse_from_rfc3339(text)
        .map_err(|_| "a time is written as 2026-05-01T00:00:00Z".to_owned())?
        .to_utc();
    Ok(Timestamp { seconds: time.timestamp(), nanos: time.timestamp_subsec_nanos() as i32 })
}
