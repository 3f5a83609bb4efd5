//! The SQL of a write. Of a batch of rows those that exist are updated where they differ, the others are created: by `COPY`, which
//! is the fastest way in. Two transactions that create the same row at once are told apart by the key's index: the second gives way and
//! is tried again.
//!
//! What is stored may have been written by other programs. A jsonb value that no text or double holds exactly reads as a text;
//! when that text comes back unchanged the stored value stays (`merged`), and a key that a mask does not reach is not touched.

use std::sync::Arc;

use orrery_proto::r#type::v1::WriteMode;
use sqlx::Row as _;

use crate::db::array::ArrayParameter;
use crate::db::sql::{literal, literal_array};
use crate::db::{Statement, Transaction};
use crate::error::Error;
use crate::resource::mask::{Reach, UpdateMask};
use crate::resource::select::Columns;
use crate::resource::{Field, Kind, Resource, TextRule, TimestampRule};

/// How rows of one resource are written: a look at which exist, a `COPY` of those that do not, an update of those that do.
#[derive(Clone, Debug)]
pub struct WriteStatement {
    resource: &'static Resource,
    mode: WriteMode,
    /// Which of the keys exist, and what time it is.
    probe: Arc<str>,
    /// New rows, in the binary format.
    copy: Arc<str>,
    /// Rows that exist and differ; `None` if nothing of them may be changed.
    update: Option<Arc<str>>,
    keep_prepared: bool,
}

/// What became of a batch of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows that did not exist.
    pub created: usize,
    /// Rows that existed and differed.
    pub updated: usize,
    /// Places in the batch of rows that the mode refuses: existing ones on create, missing ones on update.
    pub refused: Vec<usize>,
}

impl WriteStatement {
    /// The statements for a mode (never `UNSPECIFIED`) and a mask.
    pub fn new(resource: &'static Resource, mode: WriteMode, mask: &UpdateMask) -> Self {
        let names = resource.inputs().map(|field| field.name).collect::<Vec<_>>().join(", ");
        Self {
            resource,
            mode,
            probe: probe(resource).into(),
            copy: format!("copy {} ({names}) from stdin (format binary)", resource.description.table).into(),
            update: if mode == WriteMode::Create { None } else { update(resource, mask).map(Into::into) },
            // Masks come from callers: only the texts without one are sure to come again.
            keep_prepared: *mask == UpdateMask::Populated,
        }
    }

    /// Writes the rows of these input tuples, whose keys must differ and be in order.
    ///
    /// # Errors
    /// [`Error::TransactionConflict`] if another transaction created one of the rows meanwhile, deleted one, or made one what it was to
    /// become; what the database says.
    pub async fn run(&self, transaction: &mut Transaction<'_>, tuples: &[&[u8]]) -> Result<Written, Error> {
        let keys = self.resource.inputs().take(self.resource.key_length());
        let mut probe = Statement::new(Arc::clone(&self.probe), tuples.len());
        for array in arrays(keys, tuples) {
            probe = probe.bind(array)?;
        }
        let rows = transaction.fetch(probe).await?;
        let row = rows.first().ok_or_else(|| Error::internal("a look at the keys returned nothing"))?;
        let now: i64 = row.try_get(0)?;
        let mut exists = vec![false; tuples.len()];
        for ordinal in row.try_get::<Option<Vec<i64>>, _>(1)?.unwrap_or_default() {
            if let Some(exists) = usize::try_from(ordinal - 1).ok().and_then(|at| exists.get_mut(at)) {
                *exists = true;
            }
        }
        let which = |wanted: bool| {
            tuples.iter().zip(&exists).filter(move |(_, exists)| **exists == wanted).map(|(tuple, _)| *tuple)
        };
        let mut written = Written::default();
        let refuses = match self.mode {
            WriteMode::Create => Some(true),
            WriteMode::Update => Some(false),
            WriteMode::Upsert | WriteMode::Unspecified => None,
        };
        written.refused = (0..tuples.len()).filter(|&at| refuses == Some(exists[at])).collect();
        if refuses != Some(false) {
            let new: Vec<&[u8]> = which(false).collect();
            written.created = self.create(transaction, &new, now).await?;
        }
        if refuses != Some(true) {
            let existing: Vec<&[u8]> = which(true).collect();
            written.updated = self.update(transaction, &existing).await?;
        }
        Ok(written)
    }

    async fn create(&self, transaction: &mut Transaction<'_>, tuples: &[&[u8]], now: i64) -> Result<usize, Error> {
        if tuples.is_empty() {
            return Ok(0);
        }
        let mut next = tuples.iter();
        let put_next = |out: &mut Vec<u8>| {
            if let Some(tuple) = next.next() {
                self.resource.put_new_row(tuple, now, out);
            }
        };
        transaction.copy_in(&self.copy, tuples.len(), put_next).await?;
        Ok(tuples.len())
    }

    async fn update(&self, transaction: &mut Transaction<'_>, tuples: &[&[u8]]) -> Result<usize, Error> {
        let (Some(update), false) = (&self.update, tuples.is_empty()) else { return Ok(0) };
        let mut statement = Statement::new(Arc::clone(update), tuples.len());
        statement.keep_prepared = self.keep_prepared;
        for array in arrays(self.resource.inputs(), tuples) {
            statement = statement.bind(array)?;
        }
        let rows = transaction.fetch(statement).await?;
        let row = rows.first().ok_or_else(|| Error::internal("an update returned no count"))?;
        let count = |at: usize| -> Result<usize, Error> { Ok(row.try_get::<i64, _>(at)? as usize) };
        let (updated, stored, differing) = (count(0)?, count(1)?, count(2)?);
        if stored != tuples.len() || updated != differing {
            // A row that the look at the keys had found is gone, or is no longer what the update saw when it began.
            return Err(Error::TransactionConflict(sqlx::Error::RowNotFound));
        }
        Ok(updated)
    }
}

/// The columns of tuples that begin with these fields, as array parameters.
fn arrays<'a>(fields: impl Iterator<Item = &'a Field>, tuples: &[&[u8]]) -> Vec<ArrayParameter> {
    let mut arrays: Vec<ArrayParameter> =
        fields.map(|field| ArrayParameter::with_capacity(field.element_type(), tuples.len() * 32)).collect();
    for tuple in tuples {
        let mut rest = *tuple;
        for array in &mut arrays {
            let before = rest;
            let mut columns = Columns::new(rest);
            columns.next();
            rest = columns.rest();
            array.push_prefixed(&before[..before.len() - rest.len()]);
        }
    }
    arrays
}

fn same_key(resource: &Resource) -> String {
    resource.description.key.iter().map(|key| format!("t.{key} = i.{key}")).collect::<Vec<_>>().join(" and ")
}

/// `unnest($1::text[], ...) with ordinality as i (uid, ..., ordinal)`
fn unnested<'a>(fields: impl Iterator<Item = &'a Field> + Clone) -> String {
    let parameters = (1..)
        .zip(fields.clone())
        .map(|(number, field)| format!("${number}::{}", field.element_type().array_name()))
        .collect::<Vec<_>>()
        .join(", ");
    let names = fields.map(|field| field.name).collect::<Vec<_>>().join(", ");
    format!("unnest({parameters}) with ordinality as i ({names}, ordinal)")
}

fn probe(resource: &Resource) -> String {
    let keys = resource.inputs().take(resource.key_length());
    format!(
        "select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint, array_agg(i.ordinal)\n  \
           from {}\n  \
           join {} as t on {}",
        unnested(keys.collect::<Vec<_>>().into_iter()),
        resource.description.table,
        same_key(resource)
    )
}

/// What an unset field is stored as; `None` for null.
fn default(field: &Field) -> Option<String> {
    match field.kind {
        Kind::Text(TextRule::Free { nullable: false, .. }) => Some("''".to_owned()),
        Kind::Timestamp(TimestampRule::Created | TimestampRule::Updated | TimestampRule::Measured) => {
            Some("now()".to_owned())
        }
        Kind::Map(_) => Some("'{}'".to_owned()),
        Kind::TextList { .. } => Some("'[]'".to_owned()),
        Kind::Status { default_phase, .. } => Some(phase_object(default_phase)),
        _ => None,
    }
}

fn phase_object(phase: &str) -> String {
    format!("jsonb_build_object('phase', {}::text)", literal(phase))
}

/// Updates the rows that differ. Counts those that it updated, those that are stored, and those that differed when it began: a row that
/// another transaction holds is looked at once more when that one has ended, and may be gone then.
fn update(resource: &Resource, mask: &UpdateMask) -> Option<String> {
    let mut assignments = Vec::new();
    let mut differences = Vec::new();
    let mut reach = |field: &Field, reach: Option<&Reach>| {
        let (value, differs) = new_value(field, reach);
        assignments.push(format!("{} = {value}", field.name));
        differences.push(differs);
    };
    match mask {
        UpdateMask::Populated => resource.mutable().for_each(|field| reach(field, None)),
        UpdateMask::Paths(paths) => {
            for path in paths {
                reach(&resource.fields[path.field], Some(&path.reach));
            }
        }
    }
    if assignments.is_empty() {
        return None;
    }
    assignments.extend(
        resource
            .stored()
            .filter(|field| matches!(field.kind, Kind::Timestamp(TimestampRule::Updated)))
            .map(|field| format!("{} = now()", field.name)),
    );
    let mut differs = differences.join("\n        or ");
    if let Some(newest) = resource.description.newest_by {
        differs = format!("({differs}) and coalesce(i.{newest}, now()) >= t.{newest}");
    }
    let (table, same_key) = (resource.description.table, same_key(resource));
    Some(format!(
        "with stored as materialized (\n    \
             select i.*, ({differs}) as differing\n      \
               from {}\n      \
               join {table} as t on {same_key}\n\
         ), updated as (\n    \
             update {table} as t\n       \
                set {}\n      \
               from stored as i\n     \
              where i.differing and {same_key}\n       \
                and ({differs})\n    \
             returning 1\n\
         )\nselect (select count(*) from updated), count(*), count(*) filter (where differing) from stored",
        unnested(resource.inputs().collect::<Vec<_>>().into_iter()),
        assignments.join(",\n           "),
    ))
}

/// A field's value on an existing row, and the condition that it differs from the stored one. Without a reach the field is
/// overwritten if it is set.
fn new_value(field: &Field, reach: Option<&Reach>) -> (String, String) {
    let name = field.name;
    let differing = |value: &str| format!("{value} is distinct from t.{name}");
    match (field.kind, reach) {
        (Kind::Map(_), None) => {
            let value = kept_if_equal(name, &format!("i.{name}"), Exact::All);
            (format!("case when i.{name} is null then t.{name} else {value} end"), {
                format!("(i.{name} is not null and {})", differing(&value))
            })
        }
        (Kind::Map(_), Some(Reach::Keys(keys))) => {
            let value = keys_replaced(name, keys, &format!("coalesce(i.{name}, '{{}}')"), Exact::All);
            (value.clone(), differing(&value))
        }
        (Kind::Map(_), Some(_)) => {
            let value = kept_if_equal(name, &format!("coalesce(i.{name}, '{{}}')"), Exact::All);
            (value.clone(), differing(&value))
        }
        (Kind::Status { default_phase, .. }, reach) => {
            let value = new_status(name, default_phase, reach);
            (value.clone(), differing(&value))
        }
        // The digits count, not the number: 1.50 is not 1.5.
        (Kind::Decimal { .. }, _) => {
            (format!("i.{name}::numeric"), format!("i.{name} is distinct from t.{name}::text"))
        }
        (Kind::Integer(_) | Kind::Revision | Kind::Part(_), _) => {
            (format!("i.{name}"), format!("i.{name} is distinct from t.{name}"))
        }
        // An unset time of measurement is no change by itself.
        (Kind::Timestamp(TimestampRule::Created | TimestampRule::Updated | TimestampRule::Measured), _) => (
            format!("coalesce(i.{name}, now())"),
            format!("i.{name} is not null and i.{name} is distinct from t.{name}"),
        ),
        (Kind::Text(_) | Kind::Timestamp(TimestampRule::Free) | Kind::TextList { .. } | Kind::Etag, None) => {
            let value = format!("coalesce(i.{name}, t.{name})");
            (value.clone(), differing(&value))
        }
        // Unset is null, or the empty text that another program stored: it reads the same.
        (Kind::Text(TextRule::Free { nullable: true, .. }), Some(_)) => {
            let value = format!("coalesce(i.{name}, case t.{name} when '' then '' end)");
            (value.clone(), differing(&value))
        }
        (Kind::Text(_) | Kind::Timestamp(TimestampRule::Free) | Kind::TextList { .. } | Kind::Etag, Some(_)) => {
            let value = default(field).map_or(format!("i.{name}"), |default| format!("coalesce(i.{name}, {default})"));
            (value.clone(), differing(&value))
        }
    }
}

fn new_status(name: &str, default_phase: &str, reach: Option<&Reach>) -> String {
    let whole = format!("({} || coalesce(i.{name}, '{{}}'))", phase_object(default_phase));
    match reach {
        None => format!(
            "case when i.{name} is null then t.{name} \
             when i.{name} - 'phase' = '{{}}' then {} || i.{name} \
             else {} end",
            object(name),
            kept_if_equal(
                name,
                &format!("({} || i.{name})", picked(&object(name), &["phase".to_owned()])),
                Exact::Numbers
            )
        ),
        Some(Reach::Keys(keys)) => keys_replaced(name, keys, &whole, Exact::Numbers),
        Some(Reach::Details { phase: false }) => format!(
            "({} || {})",
            merged(name, &format!("(coalesce(i.{name}, '{{}}') - 'phase')"), Exact::Numbers),
            picked(&object(name), &["phase".to_owned()])
        ),
        Some(Reach::Whole | Reach::Details { phase: true }) => kept_if_equal(name, &whole, Exact::Numbers),
    }
}

/// Which stored values read as a text although they are none.
#[derive(Clone, Copy)]
enum Exact {
    /// All: the contract has texts only.
    All,
    /// Those that no double holds: long numbers, and what nests too deep.
    Numbers,
}

/// The stored object, or an empty one where other programs stored something else.
fn object(name: &str) -> String {
    format!("(case jsonb_typeof(t.{name}) when 'object' then t.{name} else '{{}}' end)")
}

/// The new object; the stored one where they are equal, which they mostly are.
fn kept_if_equal(name: &str, new: &str, exact: Exact) -> String {
    format!("(case when t.{name} = {new} then t.{name} else {} end)", merged(name, new, exact))
}

/// The new object, with the stored value of each key whose new value is what the stored one reads as.
fn merged(name: &str, new: &str, exact: Exact) -> String {
    let as_text = "jsonb_typeof(s.value) <> 'string' and coalesce(s.value #>> '{}', 'null') = n.value #>> '{}'";
    let same = match exact {
        Exact::All => as_text.to_owned(),
        Exact::Numbers => format!(
            "{as_text} and length(s.value #>> '{{}}') > 15 \
             or jsonb_typeof(s.value) in ('object', 'array') and jsonb_typeof(n.value) = jsonb_typeof(s.value) \
             and {} = {}",
            digits_as_numbers("n.value"),
            digits_as_numbers("s.value")
        ),
    };
    format!(
        "(select coalesce(jsonb_object_agg(n.key, case when s.value = n.value or {same} then s.value else n.value end), '{{}}') \
         from jsonb_each({new}) as n cross join lateral (select t.{name} -> n.key) as s (value))"
    )
}

/// A document in which every text that is a long number has become that number. Two that differ only in this become equal, and
/// so do numbers that differ only in zeros at their end.
///
/// In Postgres's print of a document a quote that is followed by digits and a quote begins a text, unless a backslash stands before
/// it, and that text is a key if a colon follows. The length is bounded where Postgres's numbers are not yet.
fn digits_as_numbers(document: &str) -> String {
    const LONG_NUMBER: &str = r#"(?<!\\)"(?=[^"]{16})(-?(?:0|[1-9][0-9]{0,254})(?:\.[0-9]{1,255})?)"(?!:)"#;
    format!("regexp_replace({document}::text, {}, {}, 'g')::jsonb", literal(LONG_NUMBER), literal(r"\1"))
}

/// The stored object with these keys taken from the new one, or away where the new one has none.
fn keys_replaced(name: &str, keys: &[String], new: &str, exact: Exact) -> String {
    let array = literal_array(keys);
    format!("(({} - {array}) || {})", object(name), merged(name, &picked(new, keys), exact))
}

/// The part of an object that has these keys.
fn picked(object: &str, keys: &[String]) -> String {
    let keys = keys.iter().map(|key| literal(key)).collect::<Vec<_>>().join(", ");
    format!(
        "(select coalesce(jsonb_object_agg(p.key, p.value), '{{}}') from jsonb_each({object}) as p where p.key in ({keys}))"
    )
}
