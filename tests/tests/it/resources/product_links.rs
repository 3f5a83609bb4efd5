//! The products of artifacts, for the common tests of rows that are nothing but their key.

use orrery_proto::records::v1::{ProductLink, StreamProductLinksRequest};
use tonic::transport::Channel;

use super::subject::{Subject, pages};
use crate::records::Records;
use crate::records::artifacts::PRODUCT_LINKS;

pub(crate) struct ProductLinks(Records);

/// Three artifacts of each product: both columns of the key matter to the order.
const OF_ONE: i32 = 3;
const ZERO: i32 = 2_000_000;

impl Subject for ProductLinks {
    type Row = ProductLink;
    const WRITE: &'static str = PRODUCT_LINKS;
    const TEXT: &'static str = "create_ts";

    async fn new() -> Self {
        Self(Records::new().await)
    }

    fn channel(&self) -> Channel {
        self.0.server.channel()
    }

    fn row(number: i32) -> ProductLink {
        ProductLink {
            product_uid: format!("prd_{}", ZERO + number.div_euclid(OF_ONE)),
            artifact_uid: format!("mda_{}", number.rem_euclid(OF_ONE)),
            create_ts: None,
        }
    }

    fn number(row: &ProductLink) -> i32 {
        let of = |uid: &str| uid[4..].parse::<i32>().unwrap();
        (of(&row.product_uid) - ZERO) * OF_ONE + of(&row.artifact_uid)
    }

    fn with_text(row: ProductLink, _: &str) -> ProductLink {
        row
    }

    fn text(_: &ProductLink) -> &'static str {
        ""
    }

    async fn stream(&self, page_size: i32, token: &str) -> Vec<(Vec<ProductLink>, String)> {
        let request = StreamProductLinksRequest { page_size, resume_token: token.to_owned(), ..Default::default() };
        let stream = self.0.artifacts().stream_product_links(request).await.unwrap().into_inner();
        pages(stream, |page| (page.product_links, page.resume_token)).await
    }

    async fn add_dependent(&self, _: i32) {}

    async fn belonging(&self) -> i64 {
        0
    }
}
