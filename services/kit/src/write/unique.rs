//! Columns that are unique besides the key. Rows with a value that another row has are refused before they are written.
//! So only these rows are refused and not their chunk, and the error names the row that has the value.
//!
//! The index still decides: if two transactions take the same value at once, the second one fails on it. It is tried
//! again, and then finds the other row here.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::Row as _;

use super::rows::lists;
use crate::db::array::{ArrayParameter, ElementType};
use crate::db::{Statement, Transaction};
use crate::error::Error;
use crate::error::refused::{RefusalKind, constraint, database_error};
use crate::read::point::put_column;
use crate::resource::batch::{Batch, Overwriting};
use crate::resource::key::Key;
use crate::resource::refusal::Refusal;
use crate::resource::tuple::Columns;
use crate::resource::{Field, Resource, Unique};

/// The values of a row in the columns of a unique key after the write.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NewValue {
    /// This value.
    Sent(Vec<u8>),
    /// Null.
    Null,
    /// The stored value.
    Stored,
}

/// The compared values of a row, and the key of the stored row that has them.
type Found = (Vec<String>, Option<Vec<u8>>);

/// A unique key, the results for the rows by their places, and the values that rows of the batch have taken.
type Looked = (&'static Unique, HashMap<usize, Found>, HashMap<Vec<String>, Key>);

/// Refuses rows of a batch with unique values that another row has, stored or earlier in the batch. `order` tells which
/// of two rows of the batch was sent earlier. A value that a row of the batch gives up is free only after the batch.
///
/// # Errors
/// [`Error::TransactionConflict`] if a row has such a value by now for which rules would have used that row; the errors
/// of the database.
pub(super) async fn refuse_taken(
    transaction: &mut Transaction<'_>,
    batch: &mut Batch<'_>,
    order: impl Fn(usize) -> i64,
) -> Result<(), Error> {
    let resource = batch.resource;
    let mut found: Vec<Looked> = Vec::new();
    for unique in resource.description.unique {
        found.push((unique, look(transaction, batch, unique).await?, HashMap::new()));
    }
    if found.is_empty() {
        return Ok(());
    }
    let mut places = batch.places();
    places.sort_by_key(|&at| order(at));
    for at in places {
        let own = batch.key(at);
        let is_overtaken = |(unique, found, _): &Looked| {
            let is_held = || matches!(found.get(&at), Some((_, Some(holder))) if holder != own.tuple());
            resource.rules.replaces_by_holder(unique.index) && is_held()
        };
        if !batch.exists(at) && found.iter().any(is_overtaken) {
            return Err(Error::TransactionConflict(sqlx::Error::RowNotFound));
        }
        let taken = found.iter().find_map(|(unique, found, earlier)| {
            let (values, holder) = found.get(&at)?;
            let holder = holder.as_deref().filter(|holder| *holder != own.tuple());
            let holder = holder.or_else(|| earlier.get(values).map(Key::tuple))?;
            Some(refusal(resource, unique, holder))
        });
        match taken {
            Some(refusal) => batch.refuse(at, refusal),
            // Only rows that are written take their values.
            None => {
                for (_, found, earlier) in &mut found {
                    if let Some((values, _)) = found.get(&at) {
                        earlier.insert(values.clone(), own.clone());
                    }
                }
            }
        }
    }
    Ok(())
}

/// Finds the stored rows that have the values of a batch's rows. Rows without such values, and rows that keep theirs,
/// are not looked up.
async fn look(
    transaction: &mut Transaction<'_>,
    batch: &Batch<'_>,
    unique: &'static Unique,
) -> Result<HashMap<usize, Found>, Error> {
    let resource = batch.resource;
    let fields = fields(resource, unique);
    let values = |at: usize| Some((at, new_values(batch, unique, &fields, at)?));
    let rows: Vec<(usize, Vec<NewValue>)> = batch.places().into_iter().filter_map(values).collect();
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    let types = parameters(resource, unique).into_iter().map(|(_, element)| element);
    let mut arrays: Vec<ArrayParameter> =
        types.map(|element| ArrayParameter::with_capacity(element, rows.len() * 32)).collect();
    let compared_nulls = compared_nulls(resource, unique);
    for (at, values) in &rows {
        let (of_key, of_values) = arrays.split_at_mut(resource.key_length());
        let (of_values, of_nulls) = of_values.split_at_mut(fields.len());
        ArrayParameter::push_columns(of_key, batch.row(*at).tuple());
        for (array, value) in of_values.iter_mut().zip(values) {
            match value {
                NewValue::Sent(value) => array.push(value),
                NewValue::Null | NewValue::Stored => array.push_prefixed(&(-1_i32).to_be_bytes()),
            }
        }
        for (array, nth) in of_nulls.iter_mut().zip(&compared_nulls) {
            array.push(&[u8::from(values[*nth] == NewValue::Null)]);
        }
    }
    let mut select = Statement::new(holders(resource, unique), rows.len());
    for array in arrays {
        select = select.bind(array)?;
    }
    let mut found = HashMap::with_capacity(rows.len());
    for row in transaction.fetch(select).await? {
        let ordinal: i64 = row.try_get(0)?;
        let Some((at, _)) = usize::try_from(ordinal - 1).ok().and_then(|nth| rows.get(nth)) else { continue };
        let values = (1..=unique.expressions.len()).map(|column| row.try_get(column));
        let values: Vec<Option<String>> = values.collect::<Result<_, _>>()?;
        // Nulls are not compared, also if an expression results in null.
        let Some(values) = values.into_iter().collect::<Option<Vec<String>>>() else { continue };
        let mut key = Vec::new();
        for column in 0..resource.key_length() {
            put_column(&row, 1 + unique.expressions.len() + column, &mut key)?;
        }
        let is_held = Columns::new(&key).all(|column| column.is_some());
        found.insert(*at, (values, is_held.then_some(key)));
    }
    Ok(found)
}

/// The values that a row will have in these columns; `None` if they cannot be compared, or if the row keeps all of
/// them.
fn new_values(
    batch: &Batch<'_>,
    unique: &'static Unique,
    fields: &[&'static Field],
    at: usize,
) -> Option<Vec<NewValue>> {
    let exists = batch.exists(at);
    let compared_nulls = compared_nulls(batch.resource, unique);
    let value = |(nth, field): (usize, &&'static Field)| {
        let overwriting = if exists { batch.overwriting(field) } else { Overwriting::All };
        let sent = || {
            let place = batch.resource.input_position(field.name)?;
            Columns::new(batch.row(at).tuple()).nth(place).flatten()
        };
        match (overwriting, sent()) {
            (Overwriting::Nothing, _) | (Overwriting::Set, None) => Some(NewValue::Stored),
            (_, Some(value)) => Some(NewValue::Sent(value.to_vec())),
            // An empty text that is stored as such is compared like any other value.
            (Overwriting::All, None) => match field.kind.default_value() {
                Some(value) => Some(NewValue::Sent(value.to_vec())),
                None => compared_nulls.contains(&nth).then_some(NewValue::Null),
            },
        }
    };
    let values: Vec<NewValue> = fields.iter().enumerate().map(value).collect::<Option<_>>()?;
    if values.iter().all(|value| *value == NewValue::Stored) { None } else { Some(values) }
}

/// The places of the columns whose nulls an expression may turn into a value.
fn compared_nulls(resource: &Resource, unique: &Unique) -> Vec<usize> {
    if unique.expressions == unique.columns {
        return Vec::new();
    }
    let is_nullable = |column: &str| {
        resource.field(column).and_then(|field| field.kind.column()).is_some_and(|column| column.nullable)
    };
    (1..unique.columns.len()).filter(|&nth| is_nullable(unique.columns[nth])).collect()
}

fn refusal(resource: &'static Resource, unique: &'static Unique, holder: &[u8]) -> Refusal {
    let field = fields(resource, unique).first().map_or("", |field| field.contract_name());
    let holder = resource.name_of(holder);
    Refusal::of_field(
        field,
        Error::ValueTaken { resource: resource.description.message, field: field.to_owned(), holder },
    )
}

/// Whether an error means that the index of a declared unique key refused a row. The next try finds the row that has
/// the value.
pub(super) fn is_breach(error: &Error, resource: &Resource) -> bool {
    let Error::RowRefused(refusal) = error else { return false };
    let Some(name) = database_error(&refusal.cause).and_then(constraint) else { return false };
    // The index of a shard has the shard's number at the end of its name.
    let is_of_shard = |rest: &str| {
        rest.strip_prefix('_').is_some_and(|number| !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit()))
    };
    let is_of = |index: &str| name.strip_prefix(index).is_some_and(|rest| rest.is_empty() || is_of_shard(rest));
    refusal.kind == RefusalKind::Duplicate && resource.description.unique.iter().any(|unique| is_of(unique.index))
}

fn fields(resource: &'static Resource, unique: &Unique) -> Vec<&'static Field> {
    unique.columns.iter().filter_map(|column| resource.field(column)).collect()
}

/// The parameters of the statement that finds holders: the key's columns, the unique ones, and which of them are null.
fn parameters(resource: &'static Resource, unique: &Unique) -> Vec<(String, ElementType)> {
    let fields = fields(resource, unique);
    let key = resource.key_fields().map(|field| (format!("own_{}", field.name), field.element_type()));
    let values = fields.iter().map(|field| (field.name.to_owned(), field.element_type()));
    let nulls = compared_nulls(resource, unique).into_iter();
    let nulls = nulls.filter_map(|nth| Some((format!("no_{}", fields.get(nth)?.name), ElementType::Boolean)));
    key.chain(values).chain(nulls).collect()
}

/// The statement that finds the rows that have unique values, with each value as it is compared. A parameter that is
/// null is replaced by the stored value.
pub(super) fn holders(resource: &'static Resource, unique: &'static Unique) -> Arc<str> {
    let parameters = parameters(resource, unique);
    let columns: Vec<(&str, ElementType)> =
        parameters.iter().map(|(name, element)| (name.as_str(), *element)).collect();
    let (arrays, names) = lists(&columns, 1);
    let table = resource.description.table;
    let fields = fields(resource, unique);
    let compared_nulls = compared_nulls(resource, unique);
    let new_value = |(nth, field): (usize, &&Field)| {
        let name = field.name;
        let sent = match (field.kind.payload(), field.stored_type()) {
            (Some(payload), _) => return format!("{} as {name}", payload.written(name)),
            // Decimals travel as text.
            (None, ElementType::Numeric) => format!("n.{name}::numeric"),
            (None, _) => format!("n.{name}"),
        };
        if compared_nulls.contains(&nth) {
            format!("case when not n.no_{name} then coalesce({sent}, o.{name}) end as {name}")
        } else {
            format!("coalesce({sent}, o.{name}) as {name}")
        }
    };
    let new_values: Vec<String> = fields.iter().enumerate().map(new_value).collect();
    let own: Vec<String> = resource.key_fields().map(|field| format!("o.{0} = n.own_{0}", field.name)).collect();
    let values: Vec<String> =
        unique.expressions.iter().zip(1..).map(|(value, nth)| format!("{value} as value_{nth}")).collect();
    let values = values.join(", ");
    let numbers = 1..=unique.expressions.len();
    let texts: Vec<String> = numbers.clone().map(|nth| format!("s.value_{nth}::text")).collect();
    let same: Vec<String> = numbers.map(|nth| format!("t.value_{nth} = s.value_{nth}")).collect();
    format!(
        "select s.ordinal, {}, {}\n  \
           from (select ordinal, {values}\n          \
                   from (select n.ordinal, {}\n                  \
                           from unnest({arrays}) with ordinality as n ({names}, ordinal)\n                  \
                           left join {table} as o on {}) as i) as s\n  \
           left join (select {}, {values} from {table}) as t on {}",
        texts.join(", "),
        resource.key_columns("t"),
        new_values.join(", "),
        own.join(" and "),
        resource.description.key.join(", "),
        same.join(" and ")
    )
    .into()
}
