//! Columns that are unique beside the key: rows that would take what another row has are refused before they are
//! written, so that each costs itself and not its chunk, and the error names the holder.
//!
//! The index stays the judge: of two transactions that take the same value at once, the second one fails on it, is tried
//! again, and then finds the holder here.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::Row as _;

use super::rows::lists;
use crate::db::array::ArrayParameter;
use crate::db::{Statement, Transaction};
use crate::error::Error;
use crate::error::refused::{RefusalKind, database_error};
use crate::read::point::put_column;
use crate::resource::batch::{Batch, Entry};
use crate::resource::rules::{Refusal, prefix};
use crate::resource::tuple::Columns;
use crate::resource::{Field, Resource, Unique};

/// Refuses rows of a batch whose unique columns another row has, stored or earlier in the batch. `order` tells which of
/// two rows of the batch was sent earlier.
///
/// # Errors
/// What the database says.
pub(super) async fn refuse_taken(
    transaction: &mut Transaction<'_>,
    batch: &mut Batch<'_>,
    order: impl Fn(usize) -> i64,
) -> Result<(), Error> {
    let resource = batch.resource;
    for unique in resource.description.unique {
        let fields = fields(resource, unique);
        let mut places = batch.places();
        places.retain(|&at| values(resource, &fields, &batch.entries()[at]).iter().all(Option::is_some));
        if places.is_empty() {
            continue;
        }
        places.sort_by_key(|&at| order(at));
        let mut arrays: Vec<ArrayParameter> =
            fields.iter().map(|field| ArrayParameter::with_capacity(field.element_type(), places.len() * 32)).collect();
        for &at in &places {
            for (array, value) in arrays.iter_mut().zip(values(resource, &fields, &batch.entries()[at])) {
                array.push(value.unwrap_or_default());
            }
        }
        let mut select = Statement::new(holders(resource, unique), places.len());
        for array in arrays {
            select = select.bind(array)?;
        }
        let mut found: Vec<(usize, Vec<String>, Option<Vec<u8>>)> = Vec::with_capacity(places.len());
        for row in transaction.fetch(select).await? {
            let ordinal: i64 = row.try_get(0)?;
            let Some(&at) = usize::try_from(ordinal - 1).ok().and_then(|nth| places.get(nth)) else { continue };
            let values = (1..=unique.expressions.len()).map(|column| row.try_get(column));
            let values: Vec<String> = values.collect::<Result<_, _>>()?;
            let mut key = Vec::new();
            for column in 0..resource.key_length() {
                put_column(&row, 1 + unique.expressions.len() + column, &mut key)?;
            }
            let is_held = Columns::new(&key).all(|column| column.is_some());
            found.push((at, values, is_held.then_some(key)));
        }
        found.sort_by_key(|(at, ..)| order(*at));
        let mut first: HashMap<Vec<String>, usize> = HashMap::new();
        for (at, values, holder) in found {
            let own = prefix(batch.entries()[at].tuple(), resource.key_length()).to_vec();
            let stored = holder.filter(|holder| *holder != own);
            let holder = match (stored, first.get(&values)) {
                (Some(holder), _) => holder,
                (None, Some(&earlier)) if earlier != at => {
                    prefix(batch.entries()[earlier].tuple(), resource.key_length()).to_vec()
                }
                (None, _) => {
                    first.insert(values, at);
                    continue;
                }
            };
            batch.refuse(at, refusal(resource, unique, &holder));
        }
    }
    Ok(())
}

fn refusal(resource: &'static Resource, unique: &'static Unique, holder: &[u8]) -> Refusal {
    let field = unique.columns.first().copied().unwrap_or_default();
    let holder = resource.name_of(holder);
    Refusal::of_field(
        field,
        Error::ValueTaken { resource: resource.description.message, field: field.to_owned(), holder },
    )
}

/// Whether an error says that the index of a declared unique key refused a row. Tried again, the write finds the holder.
pub(super) fn is_breach(error: &Error, resource: &Resource) -> bool {
    let Error::RowRefused(refusal) = error else { return false };
    let index = database_error(&refusal.cause).and_then(|error| error.constraint());
    refusal.kind == RefusalKind::Duplicate
        && resource.description.unique.iter().any(|unique| index == Some(unique.index))
}

fn fields(resource: &'static Resource, unique: &Unique) -> Vec<&'static Field> {
    unique.columns.iter().filter_map(|column| resource.field(column)).collect()
}

fn values<'e>(resource: &Resource, fields: &[&Field], entry: &'e Entry<'_>) -> Vec<Option<&'e [u8]>> {
    let value = |field: &&Field| {
        let place = resource.input_position(field.name)?;
        Columns::new(entry.tuple()).nth(place).flatten()
    };
    fields.iter().map(value).collect()
}

/// The statement that finds the holders of unique values, with each value as it is compared.
pub(super) fn holders(resource: &'static Resource, unique: &'static Unique) -> Arc<str> {
    let columns: Vec<_> = fields(resource, unique).iter().map(|field| (field.name, field.element_type())).collect();
    let (arrays, names) = lists(&columns, 1);
    let values: Vec<String> =
        unique.expressions.iter().zip(1..).map(|(value, nth)| format!("{value} as value_{nth}")).collect();
    let values = values.join(", ");
    let numbers = 1..=unique.expressions.len();
    let texts: Vec<String> = numbers.clone().map(|nth| format!("s.value_{nth}::text")).collect();
    let same: Vec<String> = numbers.map(|nth| format!("t.value_{nth} = s.value_{nth}")).collect();
    format!(
        "select s.ordinal, {}, {}\n  \
           from (select ordinal, {values}\n          from unnest({arrays}) with ordinality as i ({names}, ordinal)) as s\n  \
           left join (select {}, {values} from {}) as t on {}",
        texts.join(", "),
        resource.key_columns("t"),
        resource.description.key.join(", "),
        resource.description.table,
        same.join(" and ")
    )
    .into()
}
