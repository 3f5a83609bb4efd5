//! The SQL that deletes a tag's links and memberships, or moves them to another tag, a limited number at a time.

use orrery_kit::db::array::ArrayParameter;
use orrery_kit::db::{Statement, Transaction};
use orrery_kit::error::Error;
use sqlx::Row as _;

/// How many links or groups of a tag one statement changes.
pub const MAX_AT_ONCE: usize = 5_000;

/// Links that were moved to another tag.
#[derive(Clone, Copy, Debug, Default)]
pub struct MovedLinks {
    /// Products that had the source and not the target.
    pub moved: usize,
    /// Products that had both.
    pub dropped: usize,
}

/// The products of the first links of a tag, at most [`MAX_AT_ONCE`].
async fn first_products(transaction: &mut Transaction<'_>, tag_uid: &str) -> Result<Vec<String>, Error> {
    let limit = MAX_AT_ONCE.min(transaction.max_statement_rows());
    let sql = "select t.product_uid
  from records.link_product_tag as t
 where t.tag_uid = $1
 order by t.product_uid
 limit $2";
    let rows = transaction.fetch(Statement::new(sql, limit).bind(tag_uid)?.bind(limit as i64)?).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// Deletes the links of a tag to these products.
async fn delete_of(transaction: &mut Transaction<'_>, tag_uid: &str, products: &[String]) -> Result<(), Error> {
    let sql = "delete from records.link_product_tag as t\n where t.product_uid = any ($1)\n   and t.tag_uid = $2";
    let delete = Statement::new(sql, products.len()).bind(ArrayParameter::texts(products))?.bind(tag_uid)?;
    transaction.write(delete).await?;
    Ok(())
}

/// Deletes links of a tag: at most [`MAX_AT_ONCE`]. Returns their number; if it is less, none is left.
///
/// # Errors
/// The errors of the database.
pub async fn delete_some(transaction: &mut Transaction<'_>, tag_uid: &str) -> Result<usize, Error> {
    let products = first_products(transaction, tag_uid).await?;
    if !products.is_empty() {
        delete_of(transaction, tag_uid, &products).await?;
    }
    Ok(products.len())
}

/// Deletes all links of a tag if they are fewer than [`MAX_AT_ONCE`]; otherwise deletes none. Returns whether it did.
///
/// # Errors
/// The errors of the database.
pub async fn delete_all_if_few(transaction: &mut Transaction<'_>, tag_uid: &str) -> Result<bool, Error> {
    let products = first_products(transaction, tag_uid).await?;
    if products.len() >= MAX_AT_ONCE.min(transaction.max_statement_rows()) {
        return Ok(false);
    }
    if !products.is_empty() {
        delete_of(transaction, tag_uid, &products).await?;
    }
    Ok(true)
}

/// Moves links from one tag to another: at most [`MAX_AT_ONCE`]. If fewer were moved and dropped, none is left.
///
/// # Errors
/// The errors of the database.
pub async fn move_some(transaction: &mut Transaction<'_>, from: &str, to: &str) -> Result<MovedLinks, Error> {
    let products = first_products(transaction, from).await?;
    if products.is_empty() {
        return Ok(MovedLinks::default());
    }
    let insert = "insert into records.link_product_tag as t (product_uid, tag_uid, create_ts)
select p.product_uid, $2, p.create_ts
  from records.link_product_tag as p
 where p.product_uid = any ($1)
   and p.tag_uid = $3
 order by p.product_uid
    on conflict do nothing
returning 1";
    let insert = Statement::new(insert, products.len()).bind(ArrayParameter::texts(&products))?.bind(to)?.bind(from)?;
    let moved = transaction.write(insert).await?.len();
    delete_of(transaction, from, &products).await?;
    Ok(MovedLinks { moved, dropped: products.len() - moved })
}

/// Takes a tag out of the groups that hold it. With `to`, another tag takes its place, unless the group holds that
/// already.
///
/// # Errors
/// The errors of the database.
pub async fn leave_groups(transaction: &mut Transaction<'_>, tag_uid: &str, to: Option<&str>) -> Result<(), Error> {
    // Each list is computed beside the update: a sharded database does not take jsonb_agg in an update of many rows. A
    // group that another transaction changes meanwhile is found again.
    let sql = "with changed as materialized (
    select g.uid, g.tag_uids as before,
                  (select coalesce(jsonb_agg(e.tag_uid order by e.place), '[]')
                     from (select i.tag_uid, min(i.place) as place
                             from (select case when e.tag_uid = $1 then $2 else e.tag_uid end as tag_uid, e.place
                                     from jsonb_array_elements_text(g.tag_uids) with ordinality as e (tag_uid, place)
                                  ) as i
                            where i.tag_uid is not null
                            group by i.tag_uid) as e) as after
      from records.tag_group as g
     where jsonb_typeof(g.tag_uids) = 'array'
       and g.tag_uids ? $1
     order by g.uid
     limit $3
), updated as (
    update records.tag_group as t
       set tag_uids = changed.after, update_ts = now()
      from changed
     where t.uid = changed.uid
       and t.tag_uids = changed.before
    returning 1
)
select count(*) as written from changed";
    let limit = MAX_AT_ONCE.min(transaction.max_statement_rows());
    loop {
        let update = Statement::new(sql, limit).bind(tag_uid)?.bind(to)?.bind(limit as i64)?;
        let found = transaction.write(update).await?.first().map(|row| row.try_get::<i64, _>(0)).transpose()?;
        if found.unwrap_or_default() == 0 {
            return Ok(());
        }
    }
}
