//! Metrics of products, for the common tests: of one product, with names that sort like their numbers.

use orrery_proto::catalog::v1::{ProductMetric, StreamProductMetricsRequest};
use tonic::transport::Channel;

use super::subject::{Subject, pages};
use crate::harness::metric;
use crate::writes::Fixture;
use crate::writes::stream::METRICS;

pub(crate) struct Metrics(Fixture);

impl Subject for Metrics {
    type Row = ProductMetric;
    const WRITE: &'static str = METRICS;
    const TEXT: &'static str = "unit";

    async fn new() -> Self {
        Self(Fixture::new().await)
    }

    fn channel(&self) -> Channel {
        self.0.server.channel()
    }

    fn row(number: i32) -> ProductMetric {
        metric("prd_a", &format!("n{:07}", number + 1_000_000), "1.50", 1_000)
    }

    fn number(row: &ProductMetric) -> i32 {
        row.name[1..].parse::<i32>().unwrap() - 1_000_000
    }

    fn with_text(row: ProductMetric, text: &str) -> ProductMetric {
        ProductMetric { unit: text.to_owned(), ..row }
    }

    fn text(row: &ProductMetric) -> &str {
        &row.unit
    }

    async fn stream(&self, page_size: i32, token: &str) -> Vec<(Vec<ProductMetric>, String)> {
        let request = StreamProductMetricsRequest { page_size, resume_token: token.to_owned(), ..Default::default() };
        let stream = self.0.server.client().stream_product_metrics(request).await.unwrap().into_inner();
        pages(stream, |page| (page.product_metrics, page.resume_token)).await
    }

    async fn add_dependent(&self, _: i32) {}

    async fn belonging(&self) -> i64 {
        0
    }
}
