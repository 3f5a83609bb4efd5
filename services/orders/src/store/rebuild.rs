//! The statements of `rebuild_order_summaries`.

use orrery_kit::db::array::ArrayParameter;
use orrery_kit::db::{Statement, Transaction};
use orrery_kit::decimal::Decimal;
use orrery_kit::error::Error;
use orrery_kit::write::change::touched;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::order::ORDER;
use crate::summary::Sums;

/// An order, as far as its summary is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its uid.
    pub uid: String,
    /// Its revision, which grows whenever a service changes the order, its lines or its summary.
    pub revision: i32,
}

/// The next orders after a uid, at most `most`.
///
/// # Errors
/// The errors of the database.
pub async fn headers(transaction: &mut Transaction<'_>, after: &str, most: usize) -> Result<Vec<Header>, Error> {
    let sql = "select t.uid, t.revision
  from orders.order_header as t
 where t.uid > $1
 order by t.uid
 limit $2";
    let rows = transaction.fetch(Statement::new(sql, most).bind(after)?.bind(most as i64)?).await?;
    rows.iter().map(|row| Ok(Header { uid: row.try_get(0)?, revision: row.try_get(1)? })).collect()
}

/// The next lines up to the order `last`, at most `most`: order, uid, quantity, unit price, discount and tax. They
/// follow the line `after` of the order `first`; without one they begin with the first line of that order.
///
/// # Errors
/// The errors of the database.
pub async fn lines(
    transaction: &mut Transaction<'_>,
    (first, after): (&str, Option<&str>),
    last: &str,
    most: usize,
) -> Result<Vec<PgRow>, Error> {
    let than = if after.is_some() { ">" } else { ">=" };
    let sql = format!(
        "select t.order_uid, t.uid, t.quantity, t.unit_price::text, t.discount::text, t.tax::text
  from orders.order_line_item as t
 where (t.order_uid, t.uid) {than} ($1, $2)
   and t.order_uid <= $3
 order by t.order_uid, t.uid
 limit $4"
    );
    let select = Statement::new(sql, most).bind(first)?.bind(after.unwrap_or_default())?;
    transaction.fetch(select.bind(last)?.bind(most as i64)?).await
}

/// A stored summary. A sum is `None` if it is no number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSummary {
    line_count: i32,
    quantity: i64,
    subtotal: Option<Decimal>,
    discount: Option<Decimal>,
    tax: Option<Decimal>,
    total: Option<Decimal>,
    /// The shipping, as text.
    pub shipping: String,
}

impl StoredSummary {
    /// Whether it has these sums and this total.
    pub fn has(&self, sums: &Sums, total: &Decimal) -> bool {
        let is = |stored: &Option<Decimal>, sum: &Decimal| stored.as_ref() == Some(sum);
        self.line_count == sums.line_count
            && self.quantity == sums.quantity
            && is(&self.subtotal, &sums.subtotal)
            && is(&self.discount, &sums.discount)
            && is(&self.tax, &sums.tax)
            && is(&self.total, total)
    }
}

/// The stored summaries of some orders, each with the uid of its order.
///
/// # Errors
/// The errors of the database.
pub async fn summaries(
    transaction: &mut Transaction<'_>,
    orders: &[Header],
) -> Result<Vec<(String, StoredSummary)>, Error> {
    let sql = "select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text,
       t.total::text, t.shipping::text
  from orders.order_summary as t
 where t.order_uid = any ($1)";
    let uids = ArrayParameter::texts(orders.iter().map(|order| &order.uid));
    let rows = transaction.fetch(Statement::new(sql, orders.len()).bind(uids)?).await?;
    let decimal = |row: &PgRow, at: usize| Ok::<_, Error>(row.try_get::<&str, _>(at)?.parse().ok());
    let summary = |row: &PgRow| {
        Ok::<_, Error>(StoredSummary {
            line_count: row.try_get(1)?,
            quantity: row.try_get(2)?,
            subtotal: decimal(row, 3)?,
            discount: decimal(row, 4)?,
            tax: decimal(row, 5)?,
            total: decimal(row, 6)?,
            shipping: row.try_get(7)?,
        })
    };
    rows.iter().map(|row| Ok((row.try_get(0)?, summary(row)?))).collect()
}

/// Makes the revision of an order one larger, as every change does, and locks it until the transaction ends. False if
/// the order has another revision than before, or is gone; then nothing is locked.
///
/// # Errors
/// The errors of the database.
pub async fn claim(transaction: &mut Transaction<'_>, order: &Header) -> Result<bool, Error> {
    let sql = format!(
        "update orders.order_header as t
   set {}
 where t.uid = $1
   and t.revision = $2
returning 1",
        touched(&ORDER).join(",\n       ")
    );
    let claim = Statement::new(sql, 1).bind(&order.uid)?.bind(order.revision)?;
    Ok(!transaction.write(claim).await?.is_empty())
}

/// Whether an order still has the revision that it had before.
///
/// # Errors
/// The errors of the database.
pub async fn is_unchanged(transaction: &mut Transaction<'_>, order: &Header) -> Result<bool, Error> {
    let sql = "select 1\n  from orders.order_header as t\n where t.uid = $1\n   and t.revision = $2";
    let select = Statement::new(sql, 1).bind(&order.uid)?.bind(order.revision)?;
    Ok(!transaction.fetch(select).await?.is_empty())
}

/// A summary that is to be stored.
#[derive(Clone, Debug)]
pub struct RightSummary {
    /// The order.
    pub order_uid: String,
    /// The sums over its lines.
    pub sums: Sums,
    /// The total, with the stored shipping.
    pub total: Decimal,
}

/// Stores summaries of orders that are locked. The stored shipping stays; a new summary has none.
///
/// # Errors
/// [`Error::Internal`] if a parameter cannot be encoded.
pub fn store(summaries: &[RightSummary]) -> Result<Statement, Error> {
    let sql = "insert into orders.order_summary as t
       (order_uid, line_count, quantity, subtotal, discount, tax, shipping, total)
select i.order_uid, i.line_count, i.quantity, i.subtotal, i.discount, i.tax, 0, i.total
  from unnest($1::text[], $2::integer[], $3::bigint[], $4::text[]::numeric[], $5::text[]::numeric[],
              $6::text[]::numeric[], $7::text[]::numeric[])
       as i (order_uid, line_count, quantity, subtotal, discount, tax, total)
    on conflict (order_uid) do update
   set line_count = excluded.line_count, quantity = excluded.quantity, subtotal = excluded.subtotal,
       discount = excluded.discount, tax = excluded.tax, total = excluded.total";
    let counts: Vec<i32> = summaries.iter().map(|summary| summary.sums.line_count).collect();
    let quantities: Vec<i64> = summaries.iter().map(|summary| summary.sums.quantity).collect();
    let decimals = |of: fn(&RightSummary) -> &Decimal| {
        let texts: Vec<String> = summaries.iter().map(|summary| of(summary).to_string()).collect();
        ArrayParameter::texts(texts)
    };
    Statement::new(sql, summaries.len())
        .bind(ArrayParameter::texts(summaries.iter().map(|summary| &summary.order_uid)))?
        .bind(counts)?
        .bind(quantities)?
        .bind(decimals(|summary| &summary.sums.subtotal))?
        .bind(decimals(|summary| &summary.sums.discount))?
        .bind(decimals(|summary| &summary.sums.tax))?
        .bind(decimals(|summary| &summary.total))
}
