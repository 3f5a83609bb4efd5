//! The numbers of identifiers: `records.identifier_series`, and the identifiers that are stored already.
//!
//! A series has a row with its last number. The row is the lock: numbers are given by one transaction at a time, in the
//! transaction that stores what they are for. If that is rolled back, so are its numbers.

use std::collections::{BTreeMap, HashMap, HashSet};

use orrery_kit::db::array::ArrayParameter;
use orrery_kit::db::{Statement, Transaction};
use orrery_kit::error::Error;
use sqlx::Row as _;

use crate::rules::artifact::combo_name::{MAX_NUMBER, identifier};

/// How often numbers are taken again because another program has stored identifiers with them.
const ATTEMPTS: usize = 4;

/// A series: the identifiers of one kind in one catalog that begin in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Series {
    /// The catalog; empty for artifacts without one.
    pub catalog_uid: String,
    /// The kind of the artifacts.
    pub kind: &'static str,
    /// How the identifiers begin, without the hyphen before the number.
    pub prefix: String,
}

impl Series {
    /// Its name in the table.
    fn name(&self) -> String {
        let Self { catalog_uid, kind, prefix } = self;
        format!("{catalog_uid}/{kind}/{prefix}")
    }
}

/// Takes the next numbers of some series, so many of each. Returns the first number of each. With `look`, numbers are
/// passed over whose identifiers another program has stored; without it, the unique index refuses those.
///
/// # Errors
/// The errors of the database.
pub async fn take(
    transaction: &mut Transaction<'_>,
    counts: &BTreeMap<Series, i32>,
    look: bool,
) -> Result<HashMap<Series, i32>, Error> {
    let mut first = take_unchecked(transaction, counts).await?;
    if !look {
        return Ok(first);
    }
    // The row of a series may be new, or behind, if other programs store identifiers too.
    for _ in 0..ATTEMPTS {
        let used = used(transaction, counts, &first).await?;
        if used.is_empty() {
            return Ok(first);
        }
        let mut again = BTreeMap::new();
        for series in used {
            let last = last_stored(transaction, &series).await?;
            raise(transaction, &BTreeMap::from([(series.clone(), last)])).await?;
            again.insert(series.clone(), counts.get(&series).copied().unwrap_or_default());
        }
        first.extend(take_unchecked(transaction, &again).await?);
    }
    Err(Error::TransactionConflict(sqlx::Error::RowNotFound))
}

async fn take_unchecked(
    transaction: &mut Transaction<'_>,
    counts: &BTreeMap<Series, i32>,
) -> Result<HashMap<Series, i32>, Error> {
    // Sorted, so that two transactions lock the rows of series in the same order.
    let sql = "insert into records.identifier_series as t (name, last)
select i.name, i.count
  from unnest($1::text[], $2::integer[]) as i (name, count)
 order by i.name
    on conflict (name) do update set last = t.last + excluded.last
returning name, last";
    let by_name: HashMap<String, (&Series, i32)> =
        counts.iter().map(|(series, count)| (series.name(), (series, *count))).collect();
    let mut first = HashMap::with_capacity(counts.len());
    for row in write(transaction, sql, counts).await? {
        let (name, last): (String, i32) = (row.try_get(0)?, row.try_get(1)?);
        if let Some((series, count)) = by_name.get(&name) {
            first.insert((*series).clone(), last - count + 1);
        }
    }
    Ok(first)
}

/// Raises the last numbers of some series to at least these.
///
/// # Errors
/// The errors of the database.
pub async fn raise(transaction: &mut Transaction<'_>, numbers: &BTreeMap<Series, i32>) -> Result<(), Error> {
    let sql = "insert into records.identifier_series as t (name, last)
select i.name, i.last
  from unnest($1::text[], $2::integer[]) as i (name, last)
 order by i.name
    on conflict (name) do update set last = greatest(t.last, excluded.last)
returning 1";
    write(transaction, sql, numbers).await?;
    Ok(())
}

async fn write(
    transaction: &mut Transaction<'_>,
    sql: &'static str,
    numbers: &BTreeMap<Series, i32>,
) -> Result<Vec<sqlx::postgres::PgRow>, Error> {
    let numbers: Vec<(&Series, i32)> = numbers.iter().map(|(series, number)| (series, *number)).collect();
    let mut rows = Vec::new();
    for numbers in numbers.chunks(transaction.max_statement_rows()) {
        let names: Vec<String> = numbers.iter().map(|(series, _)| series.name()).collect();
        let values: Vec<i32> = numbers.iter().map(|(_, number)| *number).collect();
        let statement = Statement::new(sql, numbers.len()).bind(ArrayParameter::texts(&names))?.bind(values)?;
        rows.extend(transaction.write(statement).await?);
    }
    Ok(rows)
}

/// The series of which one of the numbers taken is in a stored identifier.
async fn used(
    transaction: &mut Transaction<'_>,
    counts: &BTreeMap<Series, i32>,
    first: &HashMap<Series, i32>,
) -> Result<HashSet<Series>, Error> {
    let mut taken: Vec<(&Series, i32)> = Vec::new();
    for (series, count) in counts {
        let from = first.get(series).copied().unwrap_or(1);
        taken.extend((from..from.saturating_add(*count)).map(|number| (series, number)));
    }
    let sql = "select i.ordinal
  from unnest($1::text[], $2::text[], $3::text[]) with ordinality as i (identifier, kind, catalog_uid, ordinal)
  join records.macrodata_artifact as t
    on t.identifier = i.identifier and t.kind = i.kind and coalesce(t.catalog_uid, '') = i.catalog_uid";
    let mut used = HashSet::new();
    for taken in taken.chunks(transaction.max_statement_rows()) {
        let identifiers = taken.iter().map(|(series, number)| identifier(&series.prefix, *number));
        let select = Statement::new(sql, taken.len())
            .bind(ArrayParameter::texts(identifiers))?
            .bind(ArrayParameter::texts(taken.iter().map(|(series, _)| series.kind)))?
            .bind(ArrayParameter::texts(taken.iter().map(|(series, _)| &series.catalog_uid)))?;
        for row in transaction.fetch(select).await? {
            let ordinal: i64 = row.try_get(0)?;
            let series = usize::try_from(ordinal - 1).ok().and_then(|nth| taken.get(nth));
            used.extend(series.map(|(series, _)| (*series).clone()));
        }
    }
    Ok(used)
}

/// The largest number in the stored identifiers of a series; 0 if there is none.
async fn last_stored(transaction: &mut Transaction<'_>, series: &Series) -> Result<i32, Error> {
    // The identifiers between the two bounds are those that begin with the prefix and a hyphen: `.` follows on `-`. A
    // number without leading zeros is larger if it is longer.
    let sql = "select t.identifier
  from records.macrodata_artifact as t
 where t.identifier >= $1 || '-'
   and t.identifier < $1 || '.'
   and t.kind = $2
   and coalesce(t.catalog_uid, '') = $3
   and t.identifier ~ '-([0-9]{3}|[1-9][0-9]{3,8})$'
 order by length(t.identifier) desc, t.identifier desc
 limit 1";
    let select = Statement::new(sql, 1).bind(&series.prefix)?.bind(series.kind)?.bind(&series.catalog_uid)?;
    let rows = transaction.fetch(select).await?;
    let Some(row) = rows.first() else { return Ok(0) };
    let found: String = row.try_get(0)?;
    let number = found.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or_default();
    Ok(MAX_NUMBER.min(number))
}
