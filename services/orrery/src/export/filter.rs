//! The filters of `orrery export`.

use clap::Args;
use orrery_proto::catalog::v1::ProductFilter;
use orrery_proto::orders::v1::OrderFilter;
use orrery_proto::records::v1::{ArtifactFilter, ArtifactKind, ProductTagFilter, TagFilter};
use orrery_proto::r#type::v1::TimeRange;
use prost_types::Timestamp;

/// The conditions that all resources have.
#[derive(Debug, Default, Args)]
#[expect(clippy::struct_field_names, reason = "the fields are the names of the options")]
struct CommonFilterOptions {
    /// Only rows with matching labels, such as "env=prod,tier in (a,b),!legacy".
    #[arg(long, value_name = "SELECTOR")]
    filter_label_selector: Option<String>,
    /// Only rows in this phase. Can be repeated.
    #[arg(long, value_name = "PHASE")]
    filter_phase: Vec<String>,
    /// Only this row. Can be repeated.
    #[arg(long, value_name = "UID")]
    filter_uid: Vec<String>,
    /// Only rows created at or after this time, such as "2026-05-01T00:00:00Z". At most nine digits after the decimal
    /// point.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    filter_created_from: Option<Timestamp>,
    /// Only rows created before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    filter_created_before: Option<Timestamp>,
    /// Only rows last changed at or after this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    filter_updated_from: Option<Timestamp>,
    /// Only rows last changed before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    filter_updated_before: Option<Timestamp>,
}

/// `orrery.catalog.v1.ProductFilter` with an option for each field. All given conditions must hold.
#[derive(Debug, Default, Args)]
pub(crate) struct ProductFilterOptions {
    #[command(flatten)]
    common: CommonFilterOptions,
    /// Only products whose name contains this, ignoring letter case.
    #[arg(long, value_name = "TEXT")]
    filter_name_contains: Option<String>,
}

impl ProductFilterOptions {
    /// The filter.
    pub(crate) fn into_message(self) -> ProductFilter {
        let common = self.common;
        ProductFilter {
            label_selector: common.filter_label_selector.unwrap_or_default(),
            phases: common.filter_phase,
            uids: common.filter_uid,
            created: range(common.filter_created_from, common.filter_created_before),
            updated: range(common.filter_updated_from, common.filter_updated_before),
            name_contains: self.filter_name_contains.unwrap_or_default(),
        }
    }
}

/// `orrery.orders.v1.OrderFilter` with an option for each field. All given conditions must hold.
#[derive(Debug, Default, Args)]
pub(crate) struct OrderFilterOptions {
    #[command(flatten)]
    common: CommonFilterOptions,
    /// Only orders of this customer.
    #[arg(long, value_name = "ID")]
    filter_customer_id: Option<String>,
    /// Only orders in this currency.
    #[arg(long, value_name = "CODE")]
    filter_currency_code: Option<String>,
    /// Only orders that contain this product.
    #[arg(long, value_name = "UID")]
    filter_product_uid: Option<String>,
    /// Only orders due for provisioning at or after this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    filter_provision_timer_from: Option<Timestamp>,
    /// Only orders due for provisioning before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    filter_provision_timer_before: Option<Timestamp>,
}

impl OrderFilterOptions {
    /// The filter.
    pub(crate) fn into_message(self) -> OrderFilter {
        let common = self.common;
        OrderFilter {
            label_selector: common.filter_label_selector.unwrap_or_default(),
            phases: common.filter_phase,
            uids: common.filter_uid,
            created: range(common.filter_created_from, common.filter_created_before),
            updated: range(common.filter_updated_from, common.filter_updated_before),
            customer_id: self.filter_customer_id.unwrap_or_default(),
            provision_timer: range(self.filter_provision_timer_from, self.filter_provision_timer_before),
            currency_code: self.filter_currency_code.unwrap_or_default(),
            product_uid: self.filter_product_uid.unwrap_or_default(),
        }
    }
}

/// `orrery.records.v1.TagFilter` with an option for each field. All given conditions must hold.
#[derive(Debug, Default, Args)]
pub(crate) struct TagFilterOptions {
    #[command(flatten)]
    common: CommonFilterOptions,
    /// Only tags whose name contains this, ignoring letter case.
    #[arg(long, value_name = "TEXT")]
    filter_name_contains: Option<String>,
    /// Only tags in this category. Can be repeated.
    #[arg(long, value_name = "NAME")]
    filter_category_name: Vec<String>,
}

impl TagFilterOptions {
    /// The filter.
    pub(crate) fn into_message(self) -> TagFilter {
        let common = self.common;
        TagFilter {
            label_selector: common.filter_label_selector.unwrap_or_default(),
            phases: common.filter_phase,
            uids: common.filter_uid,
            created: range(common.filter_created_from, common.filter_created_before),
            updated: range(common.filter_updated_from, common.filter_updated_before),
            name_contains: self.filter_name_contains.unwrap_or_default(),
            category_names: self.filter_category_name,
        }
    }
}

/// `orrery.records.v1.ProductTagFilter` with an option for each field. All given conditions must hold.
#[derive(Debug, Default, Args)]
#[expect(clippy::struct_field_names, reason = "the fields are the names of the options")]
pub(crate) struct ProductTagFilterOptions {
    /// Only tags of this product. Can be repeated.
    #[arg(long, value_name = "UID")]
    filter_product_uid: Vec<String>,
    /// Only products with this tag. Can be repeated.
    #[arg(long, value_name = "UID")]
    filter_tag_uid: Vec<String>,
    /// Only rows created at or after this time, such as "2026-05-01T00:00:00Z". At most nine digits after the decimal
    /// point.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    filter_created_from: Option<Timestamp>,
    /// Only rows created before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    filter_created_before: Option<Timestamp>,
}

impl ProductTagFilterOptions {
    /// The filter.
    pub(crate) fn into_message(self) -> ProductTagFilter {
        ProductTagFilter {
            product_uids: self.filter_product_uid,
            tag_uids: self.filter_tag_uid,
            created: range(self.filter_created_from, self.filter_created_before),
        }
    }
}

/// `orrery.records.v1.ArtifactFilter` with an option for each field. All given conditions must hold.
#[derive(Debug, Default, Args)]
pub(crate) struct ArtifactFilterOptions {
    #[command(flatten)]
    common: CommonFilterOptions,
    /// Only artifacts of this kind, such as "design_asset". Can be repeated.
    #[arg(long, value_name = "KIND", value_parser = parse_kind)]
    filter_kind: Vec<ArtifactKind>,
    /// Only the artifact with this identifier. Can be repeated.
    #[arg(long, value_name = "TEXT")]
    filter_identifier: Vec<String>,
    /// Only artifacts in this catalog. Can be repeated.
    #[arg(long, value_name = "UID")]
    filter_catalog_uid: Vec<String>,
    /// Only artifacts with this content, by its SHA-256. Can be repeated.
    #[arg(long, value_name = "HASH")]
    filter_content_hash: Vec<String>,
    /// Only artifacts that are linked to this product.
    #[arg(long, value_name = "UID")]
    filter_product_uid: Option<String>,
    /// Only suggestions and reports of this template.
    #[arg(long, value_name = "UID")]
    filter_template_uid: Option<String>,
}

impl ArtifactFilterOptions {
    /// The filter.
    pub(crate) fn into_message(self) -> ArtifactFilter {
        let common = self.common;
        ArtifactFilter {
            label_selector: common.filter_label_selector.unwrap_or_default(),
            phases: common.filter_phase,
            uids: common.filter_uid,
            created: range(common.filter_created_from, common.filter_created_before),
            updated: range(common.filter_updated_from, common.filter_updated_before),
            kinds: self.filter_kind.into_iter().map(i32::from).collect(),
            identifiers: self.filter_identifier,
            catalog_uids: self.filter_catalog_uid,
            content_hashes: self.filter_content_hash,
            product_uid: self.filter_product_uid.unwrap_or_default(),
            template_uid: self.filter_template_uid.unwrap_or_default(),
        }
    }
}

/// Parses the name of a kind, without what all names begin with.
fn parse_kind(text: &str) -> Result<ArtifactKind, String> {
    let name = format!("ARTIFACT_KIND_{}", text.to_ascii_uppercase());
    let kind = ArtifactKind::from_str_name(&name).filter(|kind| *kind != ArtifactKind::Unspecified);
    kind.ok_or_else(|| "is no kind; kinds are named as in the contract: design_asset, combo_report, ...".to_owned())
}

fn range(start: Option<Timestamp>, end: Option<Timestamp>) -> Option<TimeRange> {
    (start.is_some() || end.is_some()).then_some(TimeRange { start, end })
}

/// Parses a time that a [`Timestamp`] can hold exactly. Rounding would change the bound.
fn parse_time(text: &str) -> Result<Timestamp, String> {
    let time = chrono::DateTime::parse_from_rfc3339(text)
        .map_err(|_| "a time is written as 2026-05-01T00:00:00Z".to_owned())?
        .to_utc();
    let fraction = text.split_once('.').map_or("", |(_, rest)| rest);
    if fraction.bytes().take_while(u8::is_ascii_digit).count() > 9 {
        return Err("a time has at most nine digits after the decimal point".to_owned());
    }
    let nanos = time.timestamp_subsec_nanos();
    if nanos >= 1_000_000_000 {
        return Err("a leap second cannot be told apart from the second after it; name that one".to_owned());
    }
    Ok(Timestamp { seconds: time.timestamp(), nanos: nanos as i32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_to_the_nanosecond_or_refused() {
        let read = |text: &str| parse_time(text).map(|time| (time.seconds, time.nanos));
        assert_eq!(read("1970-01-01T00:00:01Z"), Ok((1, 0)));
        assert_eq!(read("1970-01-01T01:00:01.000000001+01:00"), Ok((1, 1)));
        assert_eq!(read("1969-12-31T23:59:59.999999999Z"), Ok((-1, 999_999_999)));
        assert!(read("1970-01-01T00:00:01.0000000001Z").is_err_and(|why| why.contains("nine digits")));
        assert!(read("2016-12-31T23:59:60Z").is_err_and(|why| why.contains("leap second")));
        for text in ["", "1970-01-01", "1970-01-01T00:00:01", "yesterday", "1970-01-01T00:00:01.Z"] {
            assert!(read(text).is_err_and(|why| why.contains("is written as")), "{text}");
        }
    }
}
