//! The three kinds of metric, written with their names.

use std::fmt::Error;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Where a collector writes to.
pub(super) struct Exposition<'e>(pub(super) DescriptorEncoder<'e>);

impl Exposition<'_> {
    /// A counter; the text format adds `_total` to `name`.
    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        write: impl FnOnce(&mut MetricEncoder<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        write(&mut self.0.encode_descriptor(name, help, None, MetricType::Counter)?)
    }

    /// A gauge.
    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        write: impl FnOnce(&mut MetricEncoder<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        write(&mut self.0.encode_descriptor(name, help, None, MetricType::Gauge)?)
    }

    /// A histogram.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        write: impl FnOnce(&mut MetricEncoder<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        write(&mut self.0.encode_descriptor(name, help, None, MetricType::Histogram)?)
    }
}

/// The value of a counter.
pub(super) fn count(metric: &mut MetricEncoder<'_>, value: u64) -> Result<(), Error> {
    metric.encode_counter::<NoLabelSet, _, f64>(&value, None)
}
