//! ListTagsOfProducts: the tags of each of some products, page by page of the products.

use std::collections::HashMap;

use futures::future::BoxFuture;
use orrery_kit::answer::AnswerLimit;
use orrery_kit::context::{Call, Context, Reads};
use orrery_kit::db::Statement;
use orrery_kit::db::array::ArrayParameter;
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_kit::read::computed::{self, Computed, Step};
use orrery_kit::read::point;
use orrery_kit::read::view::{View, mask};
use orrery_proto::records::v1::{BatchGetTagsResponse, ListTagsOfProductsRequest, Tag, TagsOfProduct};
use orrery_proto::requests::{Keys, List};
use orrery_proto::wire::Encoded;
use prost::Message as _;
use sqlx::Row as _;
use tonic::{Request, Response};

use super::check_uid;
use crate::store::tag::TAG;

/// Maximum number of products of a request.
const MAX_PRODUCTS: usize = 1_000;
/// Maximum number of tags of one product, and of links that are read at once.
const MAX_LINKS: usize = 10_000;

/// The products of a request.
#[derive(Clone, Debug)]
struct Products(Vec<String>);

pub(super) async fn list(
    context: &Context,
    request: Request<ListTagsOfProductsRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let mut list: List<ListTagsOfProductsRequest> = request.into_inner().into();
    let products = list.filter.message.take().map(|request| request.product_uids).unwrap_or_default();
    if products.is_empty() || products.len() > MAX_PRODUCTS {
        return Err(Error::invalid("product_uids", format!("must be 1 to {MAX_PRODUCTS} uids")));
    }
    for (nth, uid) in products.iter().enumerate() {
        check_uid(&format!("product_uids[{nth}]"), uid)?;
    }
    let page = computed::list(&context.reads(&call), &call, list, Products(products)).await?;
    call.answer(page)
}

impl Computed for Products {
    type Row = TagsOfProduct;
    /// How many products were answered.
    type Cursor = usize;

    fn start(&self) -> usize {
        0
    }

    fn resume(&self, parts: Vec<String>) -> Option<usize> {
        match parts.as_slice() {
            [answered] => answered.parse().ok().filter(|&answered| answered <= self.0.len()),
            _ => None,
        }
    }

    fn parts(&self, cursor: &usize) -> Vec<String> {
        vec![cursor.to_string()]
    }

    fn after(&self, before: &usize, _: &usize, taken: &[TagsOfProduct]) -> usize {
        before + taken.len()
    }

    fn step<'a>(
        &'a self,
        reads: &'a Reads,
        cursor: &'a mut usize,
        limit: usize,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Step<TagsOfProduct>, Error>> {
        Box::pin(async move {
            let rest = self.0.get(*cursor..).unwrap_or_default();
            let mut products = &rest[..limit.min(rest.len())];
            // If they have too many links together, fewer are answered.
            let links = loop {
                if let Some(links) = links(reads, products, deadline).await? {
                    break links;
                }
                if products.len() == 1 {
                    return Err(Error::TooManyRows(MAX_LINKS));
                }
                products = &products[..products.len() / 2];
            };
            let mut uids: Vec<String> = links.values().flatten().cloned().collect();
            uids.sort_unstable();
            uids.dedup();
            let tags = tags(reads, &uids, deadline).await?;
            let of_product = |product_uid: &String| {
                let uids = links.get(product_uid).map(Vec::as_slice).unwrap_or_default();
                let mut tags: Vec<Tag> = uids.iter().filter_map(|uid| tags.get(uid).cloned()).collect();
                tags.sort_by(|a, b| (&a.name, &a.uid).cmp(&(&b.name, &b.uid)));
                TagsOfProduct { product_uid: product_uid.clone(), tags }
            };
            let rows: Vec<TagsOfProduct> = products.iter().map(of_product).collect();
            *cursor += rows.len();
            Ok(Step { rows, end: *cursor >= self.0.len() })
        })
    }
}

/// The tags' uids of each of some products; `None` if there are more than [`MAX_LINKS`].
async fn links(
    reads: &Reads,
    products: &[String],
    deadline: Deadline,
) -> Result<Option<HashMap<String, Vec<String>>>, Error> {
    let sql = "select t.product_uid, t.tag_uid
  from records.link_product_tag as t
 where t.product_uid = any ($1)
 limit $2";
    let select =
        Statement::new(sql, MAX_LINKS + 1).bind(ArrayParameter::texts(products))?.bind(MAX_LINKS as i64 + 1)?;
    let rows = reads.fetch(&select, deadline).await?;
    if rows.len() > MAX_LINKS {
        return Ok(None);
    }
    let mut links: HashMap<String, Vec<String>> = HashMap::new();
    for row in &rows {
        links.entry(row.try_get(0)?).or_default().push(row.try_get(1)?);
    }
    Ok(Some(links))
}

/// Tags by uid.
async fn tags(reads: &Reads, uids: &[String], deadline: Deadline) -> Result<HashMap<String, Tag>, Error> {
    let fields = mask(&TAG, None, View::Full)?;
    let mut tags = HashMap::with_capacity(uids.len());
    for part in uids.chunks(MAX_PRODUCTS) {
        let keys = Keys::of_uids(part.to_vec());
        let found = point::batch_get(reads, &TAG, &fields, &keys, AnswerLimit::UNBOUNDED, deadline).await?;
        let found = BatchGetTagsResponse::decode(found.body).map_err(Error::internal)?;
        tags.extend(found.tags.into_iter().map(|tag| (tag.uid.clone(), tag)));
    }
    Ok(tags)
}
