//! Counts of tags and products: of categories, of tags without one, and of the tags of a category. First the tags or
//! categories of a page are read, then the products of these are counted.

use std::collections::HashMap;

use futures::future::BoxFuture;
use orrery_kit::context::Reads;
use orrery_kit::db::Statement;
use orrery_kit::db::array::ArrayParameter;
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_kit::read::computed::{Computed, Step};
use orrery_proto::records::v1::{TagCategory, UnclassifiedTag};
use sqlx::Row as _;

/// Maximum number of categories or tags whose products are counted by one statement.
const MAX_COUNTED: usize = 1_000;

/// The categories, by name, with their counts.
#[derive(Clone, Copy, Debug)]
pub struct Categories;

/// The tags that are in no category, by uid, with their counts.
#[derive(Clone, Copy, Debug)]
pub struct Unclassified;

/// The key of the last row of a page; `None` at the beginning.
type Last = Option<String>;

/// The cursor that a token's parts name.
fn resume(parts: Vec<String>) -> Option<Last> {
    let mut parts = parts.into_iter();
    match (parts.next(), parts.next()) {
        (last, None) => Some(last),
        _ => None,
    }
}

impl Computed for Categories {
    type Row = TagCategory;
    type Cursor = Last;

    fn start(&self) -> Last {
        None
    }

    fn resume(&self, parts: Vec<String>) -> Option<Last> {
        resume(parts)
    }

    fn parts(&self, cursor: &Last) -> Vec<String> {
        cursor.iter().cloned().collect()
    }

    fn after(&self, _: &Last, _: &Last, taken: &[TagCategory]) -> Last {
        taken.last().map(|row| row.name.clone())
    }

    fn step<'a>(
        &'a self,
        reads: &'a Reads,
        cursor: &'a mut Last,
        limit: usize,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Step<TagCategory>, Error>> {
        Box::pin(async move {
            let sql = "select t.category_name, count(*)
  from records.tag_classification as t
 where $1::text is null or t.category_name > $1
 group by t.category_name
 order by t.category_name
 limit $2";
            let limit = limit.min(MAX_COUNTED);
            let page = Statement::new(sql, limit).bind(cursor.clone())?.bind(limit as i64)?;
            let mut rows = Vec::new();
            for row in reads.fetch(&page, deadline).await? {
                rows.push(TagCategory { name: row.try_get(0)?, tag_count: row.try_get(1)?, product_count: 0 });
            }
            let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
            let mut counts = counted(reads, PRODUCTS_OF_CATEGORIES, &names, deadline).await?;
            for row in &mut rows {
                row.product_count = counts.remove(&row.name).unwrap_or_default();
            }
            let end = rows.len() < limit;
            *cursor = rows.last().map(|row| row.name.clone()).or(cursor.take());
            Ok(Step { rows, end })
        })
    }
}

impl Computed for Unclassified {
    type Row = UnclassifiedTag;
    type Cursor = Last;

    fn start(&self) -> Last {
        None
    }

    fn resume(&self, parts: Vec<String>) -> Option<Last> {
        resume(parts)
    }

    fn parts(&self, cursor: &Last) -> Vec<String> {
        cursor.iter().cloned().collect()
    }

    fn after(&self, _: &Last, _: &Last, taken: &[UnclassifiedTag]) -> Last {
        taken.last().map(|row| row.tag_uid.clone())
    }

    fn step<'a>(
        &'a self,
        reads: &'a Reads,
        cursor: &'a mut Last,
        limit: usize,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Step<UnclassifiedTag>, Error>> {
        Box::pin(async move {
            let sql = "select t.uid, t.name
  from records.tag as t
  left join records.tag_classification as c on c.tag_uid = t.uid
 where c.tag_uid is null
   and ($1::text is null or t.uid > $1)
 order by t.uid
 limit $2";
            let limit = limit.min(MAX_COUNTED);
            let page = Statement::new(sql, limit).bind(cursor.clone())?.bind(limit as i64)?;
            let mut rows = Vec::new();
            for row in reads.fetch(&page, deadline).await? {
                let (tag_uid, tag_name) = (row.try_get(0)?, row.try_get(1)?);
                rows.push(UnclassifiedTag { tag_uid, tag_name, product_count: 0 });
            }
            let uids: Vec<String> = rows.iter().map(|row| row.tag_uid.clone()).collect();
            let mut counts = counted(reads, PRODUCTS_OF_TAGS, &uids, deadline).await?;
            for row in &mut rows {
                row.product_count = counts.remove(&row.tag_uid).unwrap_or_default();
            }
            let end = rows.len() < limit;
            *cursor = rows.last().map(|row| row.tag_uid.clone()).or(cursor.take());
            Ok(Step { rows, end })
        })
    }
}

const PRODUCTS_OF_CATEGORIES: &str = "select c.category_name, count(distinct t.product_uid)
  from records.tag_classification as c
  join records.link_product_tag as t on t.tag_uid = c.tag_uid
 where c.category_name = any ($1)
 group by c.category_name";

const PRODUCTS_OF_TAGS: &str = "select t.tag_uid, count(*)
  from records.link_product_tag as t
 where t.tag_uid = any ($1)
 group by t.tag_uid";

/// The number of products of each of some categories or tags; those without products are left out.
async fn counted(
    reads: &Reads,
    sql: &'static str,
    keys: &[String],
    deadline: Deadline,
) -> Result<HashMap<String, i64>, Error> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let count = Statement::new(sql, keys.len()).bind(ArrayParameter::texts(keys))?;
    let rows = reads.fetch(&count, deadline).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// The products of each tag of a category, and of the category.
#[derive(Debug)]
pub struct Distribution {
    /// The uid, name and number of products of each tag.
    pub tags: Vec<(String, String, i64)>,
    /// The number of products that have at least one of the tags.
    pub covered: i64,
}

/// Counts the products of a category's tags. `None` if no tag is in the category.
///
/// # Errors
/// [`Error::TooManyRows`] if the category has more than `max_tags` tags; the errors of the database.
pub async fn distribution(
    reads: &Reads,
    category_name: &str,
    max_tags: usize,
    deadline: Deadline,
) -> Result<Option<Distribution>, Error> {
    let sql = "select t.tag_uid, coalesce(t.tag_name, '')
  from records.tag_classification as t
 where t.category_name = $1
 order by t.tag_uid
 limit $2";
    let limit = max_tags + 1;
    let select = Statement::new(sql, limit).bind(category_name)?.bind(limit as i64)?;
    let mut tags: Vec<(String, String, i64)> = Vec::new();
    for row in reads.fetch(&select, deadline).await? {
        tags.push((row.try_get(0)?, row.try_get(1)?, 0));
    }
    if tags.is_empty() {
        return Ok(None);
    }
    if tags.len() > max_tags {
        return Err(Error::TooManyRows(max_tags));
    }
    for part in tags.chunks_mut(MAX_COUNTED) {
        let uids: Vec<String> = part.iter().map(|(uid, ..)| uid.clone()).collect();
        let mut counts = counted(reads, PRODUCTS_OF_TAGS, &uids, deadline).await?;
        for (uid, _, count) in part {
            *count = counts.remove(uid).unwrap_or_default();
        }
    }
    let category = [category_name.to_owned()];
    let covered = counted(reads, PRODUCTS_OF_CATEGORIES, &category, deadline).await?.remove(category_name);
    Ok(Some(Distribution { tags, covered: covered.unwrap_or_default() }))
}
