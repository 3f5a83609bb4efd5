//! GetTagDistribution: how a category's tags spread over the products.

use std::cmp::Reverse;

use orrery_kit::context::{Call, Context};
use orrery_kit::error::Error;
use orrery_peers::CatalogClient;
use orrery_proto::catalog::v1::CountProductsRequest;
use orrery_proto::records::v1::{GetTagDistributionRequest, GetTagDistributionResponse, TagShare};
use orrery_proto::wire::Encoded;
use prost::Message as _;
use tonic::{Request, Response};

use super::check_name;
use crate::store::tag_category::distribution as count;

/// Maximum number of tags in an answer.
const MAX_TAGS: usize = 10_000;

pub(super) async fn distribution(
    context: &Context,
    catalog: &CatalogClient,
    request: Request<GetTagDistributionRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let reads = context.reads(&call);
    let category_name = request.into_inner().category_name;
    check_name("category_name", &category_name)?;
    let counted = reads.read(|| count(&reads, &category_name, MAX_TAGS, call.deadline)).await?;
    let Some(counted) = counted else {
        return Err(Error::NotFound { resource: "orrery.records.v1.TagCategory", name: category_name });
    };
    let product_count = catalog.count_products(CountProductsRequest::default(), call.deadline).await?;
    let mut tags = counted.tags;
    tags.sort_by_key(|(.., products)| Reverse(*products));
    let rows = tags.len() as u64;
    let tag_share = |(tag_uid, tag_name, count)| TagShare {
        tag_uid,
        tag_name,
        product_count: count,
        share: share(count, product_count),
    };
    let answer = GetTagDistributionResponse {
        tag_shares: tags.into_iter().map(tag_share).collect(),
        covered_product_count: counted.covered,
        covered_share: share(counted.covered, product_count),
        uncovered_product_count: (product_count - counted.covered).max(0),
        product_count,
    };
    call.answer(Encoded { rows, body: answer.encode_to_vec().into(), ..Encoded::default() })
}

/// A part of the products, 0 to 1. Links of products that were deleted count, so that there may be more than all.
fn share(part: i64, all: i64) -> f64 {
    if part == 0 { 0.0 } else { (part as f64 / all.max(part) as f64).clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn a_share_is_between_nothing_and_all() {
        for (part, all, expected) in [(0, 0, 0.0), (0, 7, 0.0), (1, 4, 0.25), (4, 4, 1.0), (5, 4, 1.0), (1, 0, 1.0)] {
            assert!((share(part, all) - expected).abs() < f64::EPSILON, "{part} of {all}");
        }
    }
}
