//! The products that artifacts denote: `records.link_product_macrodata_artifact`.

use std::sync::LazyLock;

use orrery_kit::db::array::ArrayParameter;
use orrery_kit::db::{Statement, Transaction};
use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_kit::resource::{DeclaredOrder, Description, Reference, ReferenceTarget, Resource, SortColumn, kind};
use orrery_proto::records::v1::ProductLinkFilter;
use sqlx::Row as _;

use super::uids::{ARTIFACT_UID, PRODUCT_UID};

/// How many links of artifacts one statement deletes.
pub const MAX_AT_ONCE: usize = 5_000;

/// `orrery.records.v1.ProductLink` in `records.link_product_macrodata_artifact`.
pub static PRODUCT_LINK: LazyLock<Resource> = LazyLock::new(|| Resource::compile(&DESCRIPTION, "product_links"));

static DESCRIPTION: Description = Description {
    key: &["product_uid", "artifact_uid"],
    fields: &[
        ("product_uid", &kind::uid_of(PRODUCT_UID)),
        ("artifact_uid", &kind::uid_of(ARTIFACT_UID)),
        ("create_ts", &kind::created_at()),
    ],
    references: &[
        Reference { column: "product_uid", target: ReferenceTarget::Elsewhere },
        Reference {
            column: "artifact_uid",
            target: ReferenceTarget::Table { table: "records.macrodata_artifact", column: "uid" },
        },
    ],
    orders: &[DeclaredOrder {
        index: "link_product_macrodata_artifact_artifact_uid_idx",
        columns: &[SortColumn::plain("artifact_uid")],
    }],
    ..Description::new("orrery.records.v1.ProductLink", "records.link_product_macrodata_artifact")
};

/// Compiles a filter.
///
/// # Errors
/// [`Error::Invalid`] with every violation, below `filter`.
pub fn filter(filter: Option<&ProductLinkFilter>) -> Result<Filter, Error> {
    let Some(filter) = filter else { return Ok(Filter::default()) };
    Filter::default()
        .uids("filter.product_uids", "product_uid", &filter.product_uids)
        .uids("filter.artifact_uids", "artifact_uid", &filter.artifact_uids)
        .time_range("filter.created", "create_ts", filter.created.as_ref())
        .checked()
}

/// Links an artifact to products, at most [`MAX_AT_ONCE`]. Returns how many were not linked before.
///
/// # Errors
/// The errors of the database.
pub async fn link(transaction: &mut Transaction<'_>, artifact_uid: &str, products: &[String]) -> Result<usize, Error> {
    let sql = "insert into records.link_product_macrodata_artifact as t (product_uid, artifact_uid)
select i.product_uid, $2
  from unnest($1::text[]) as i (product_uid)
 order by i.product_uid
    on conflict do nothing
returning 1";
    let insert = Statement::new(sql, products.len()).bind(ArrayParameter::texts(products))?.bind(artifact_uid)?;
    Ok(transaction.write(insert).await?.len())
}

/// Removes links of an artifact to products, at most [`MAX_AT_ONCE`]. Returns how many there were.
///
/// # Errors
/// The errors of the database.
pub async fn unlink(
    transaction: &mut Transaction<'_>,
    artifact_uid: &str,
    products: &[String],
) -> Result<usize, Error> {
    let sql = "delete from records.link_product_macrodata_artifact as t
 where t.product_uid = any ($1)
   and t.artifact_uid = $2
returning 1";
    let delete = Statement::new(sql, products.len()).bind(ArrayParameter::texts(products))?.bind(artifact_uid)?;
    Ok(transaction.write(delete).await?.len())
}

/// Deletes all links of some artifacts, which are locked. Returns the artifacts that have more than [`MAX_AT_ONCE`], of
/// which nothing is deleted.
///
/// # Errors
/// The errors of the database.
pub async fn delete_all(transaction: &mut Transaction<'_>, artifact_uids: &[String]) -> Result<Vec<String>, Error> {
    let counts = "select t.artifact_uid, count(*)
  from records.link_product_macrodata_artifact as t
 where t.artifact_uid = any ($1)
 group by t.artifact_uid";
    let mut counted: Vec<(String, usize)> = Vec::new();
    for uids in artifact_uids.chunks(transaction.max_statement_rows()) {
        let select = Statement::new(counts, uids.len()).bind(ArrayParameter::texts(uids))?;
        for row in transaction.fetch(select).await? {
            counted.push((row.try_get(0)?, usize::try_from(row.try_get::<i64, _>(1)?).unwrap_or(usize::MAX)));
        }
    }
    let (few, many): (Vec<_>, Vec<_>) = counted.into_iter().partition(|(_, count)| *count <= MAX_AT_ONCE);
    let most = transaction.max_statement_rows();
    let mut rest = few.as_slice();
    while !rest.is_empty() {
        let mut links = 0;
        let fits = |(_, count): &&(String, usize)| {
            links += count;
            links <= most
        };
        let (now, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        rest = later;
        let delete = "delete from records.link_product_macrodata_artifact as t\n where t.artifact_uid = any ($1)";
        let rows = now.iter().map(|(_, count)| count).sum();
        let delete = Statement::new(delete, rows).bind(ArrayParameter::texts(now.iter().map(|(uid, _)| uid)))?;
        transaction.write(delete).await?;
    }
    Ok(many.into_iter().map(|(uid, _)| uid).collect())
}

/// Deletes links of an artifact: at most [`MAX_AT_ONCE`]. Returns their number; if it is less, none is left.
///
/// # Errors
/// The errors of the database.
pub async fn delete_some(transaction: &mut Transaction<'_>, artifact_uid: &str) -> Result<usize, Error> {
    let limit = MAX_AT_ONCE.min(transaction.max_statement_rows());
    let sql = "select t.product_uid
  from records.link_product_macrodata_artifact as t
 where t.artifact_uid = $1
 order by t.product_uid
 limit $2";
    let rows = transaction.fetch(Statement::new(sql, limit).bind(artifact_uid)?.bind(limit as i64)?).await?;
    let products: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    if !products.is_empty() {
        unlink(transaction, artifact_uid, &products).await?;
    }
    Ok(products.len())
}
