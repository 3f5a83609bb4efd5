//! The SQL of a write, one statement for a batch of rows: rows that exist are updated where they differ, the others are created.
//!
//! What is stored may have been written by other programs. A jsonb value that no text or double holds exactly reads as a text;
//! when that text comes back unchanged the stored value stays (`merged`), and a key that a mask does not reach is not touched.

use std::fmt::Write as _;
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

/// A statement that writes rows of one resource in one way.
#[derive(Clone, Debug)]
pub struct WriteStatement {
    resource: &'static Resource,
    mode: WriteMode,
    sql: Arc<str>,
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
    /// The statement for a mode (never `UNSPECIFIED`) and a mask.
    pub fn new(resource: &'static Resource, mode: WriteMode, mask: &UpdateMask) -> Self {
        let sql = sql(resource, mode, mask).into();
        // Masks come from callers: only the texts without one are sure to come again.
        Self { resource, mode, sql, keep_prepared: *mask == UpdateMask::Populated }
    }

    /// Writes the rows of these input tuples, whose keys must differ.
    ///
    /// # Errors
    /// [`Error::TransactionConflict`] if another transaction created one of the rows meanwhile; what the database says.
    pub async fn run(&self, transaction: &mut Transaction<'_>, tuples: &[&[u8]]) -> Result<Written, Error> {
        let mut arrays: Vec<ArrayParameter> = self
            .resource
            .inputs()
            .map(|field| ArrayParameter::with_capacity(field.element_type(), tuples.len() * 32))
            .collect();
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
        let mut statement = Statement::new(Arc::clone(&self.sql), tuples.len());
        statement.keep_prepared = self.keep_prepared;
        for array in arrays {
            statement = statement.bind(array)?;
        }
        let rows = transaction.fetch(&statement).await?;
        let row = rows.first().ok_or_else(|| Error::internal("a write returned no counts"))?;
        let count = |at: usize| -> Result<usize, Error> { Ok(row.try_get::<i64, _>(at)? as usize) };
        let (created, updated, stored) = (count(0)?, count(1)?, count(2)?);
        if self.mode != WriteMode::Update && created + stored != tuples.len() {
            // A row that was not there when the statement began was there when it was to be created.
            return Err(Error::TransactionConflict(sqlx::Error::RowNotFound));
        }
        let refused: Option<Vec<i64>> = row.try_get(3)?;
        let refused = refused.unwrap_or_default().into_iter().map(|ordinal| ordinal as usize - 1).collect();
        Ok(Written { created, updated, refused })
    }
}

fn sql(resource: &Resource, mode: WriteMode, mask: &UpdateMask) -> String {
    let table = resource.description.table;
    let inputs: Vec<&Field> = resource.inputs().collect();
    let names = inputs.iter().map(|field| field.name).collect::<Vec<_>>().join(", ");
    let parameters = (1..)
        .zip(&inputs)
        .map(|(number, field)| format!("${number}::{}", field.element_type().array_name()))
        .collect::<Vec<_>>()
        .join(", ");
    let values = inputs
        .iter()
        .map(|field| match field.kind {
            Kind::Decimal { .. } => format!("i.{0}::numeric as {0}", field.name),
            _ => format!("i.{}", field.name),
        })
        .collect::<Vec<_>>()
        .join(", ");
    let same_key =
        resource.description.key.iter().map(|key| format!("t.{key} = i.{key}")).collect::<Vec<_>>().join(" and ");
    let first_key = resource.description.key.first().copied().unwrap_or_default();
    let mut sql = format!(
        "with input as materialized (\n    \
           select {values}, i.ordinal, t.{first_key} is not null as stored\n      \
             from unnest({parameters}) with ordinality as i ({names}, ordinal)\n      \
             left join {table} as t on {same_key}\n)"
    );
    let updates = if mode == WriteMode::Create { None } else { update(resource, mask) };
    if let Some(Update { assignments, differs }) = &updates {
        let _ = write!(
            sql,
            ", updated as (\n    update {table} as t\n       set {assignments}\n      from input as i\n     \
             where i.stored and {same_key}\n       and ({differs})\n    returning 1\n)"
        );
    }
    if mode != WriteMode::Update {
        let given = inputs.iter().map(|field| given(field)).collect::<Vec<_>>().join(", ");
        let key = resource.description.key.join(", ");
        let _ = write!(
            sql,
            ", created as (\n    insert into {table} ({names})\n    select {given}\n      from input as i\n     \
             where not i.stored\n     order by i.ordinal\n    on conflict ({key}) do nothing\n    returning 1\n)"
        );
    }
    let count = |present: bool, name: &str| {
        if present { format!("(select count(*) from {name})") } else { "0::bigint".to_owned() }
    };
    let refused = match mode {
        WriteMode::Create => "array_agg(ordinal) filter (where stored)",
        WriteMode::Update => "array_agg(ordinal) filter (where not stored)",
        WriteMode::Upsert | WriteMode::Unspecified => "null::bigint[]",
    };
    let _ = write!(
        sql,
        "\nselect {}, {}, count(*) filter (where stored), {refused} from input",
        count(mode != WriteMode::Update, "created"),
        count(updates.is_some(), "updated"),
    );
    sql
}

/// A field's value on a new row.
fn given(field: &Field) -> String {
    let name = field.name;
    match field.kind {
        Kind::Status { default_phase } => format!("{} || coalesce(i.{name}, '{{}}')", phase_object(default_phase)),
        _ => match default(field) {
            Some(default) => format!("coalesce(i.{name}, {default})"),
            None => format!("i.{name}"),
        },
    }
}

/// What an unset field is stored as; `None` for null.
fn default(field: &Field) -> Option<String> {
    match field.kind {
        Kind::Text(TextRule::Free { nullable: false, .. }) => Some("''".to_owned()),
        Kind::Timestamp(_) => Some("now()".to_owned()),
        Kind::Map(_) => Some("'{}'".to_owned()),
        Kind::Status { default_phase } => Some(phase_object(default_phase)),
        Kind::Text(_) | Kind::Decimal { .. } | Kind::Etag => None,
    }
}

fn phase_object(phase: &str) -> String {
    format!("jsonb_build_object('phase', {}::text)", literal(phase))
}

/// The parts of an update.
struct Update {
    assignments: String,
    differs: String,
}

fn update(resource: &Resource, mask: &UpdateMask) -> Option<Update> {
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
    Some(Update { assignments: assignments.join(",\n           "), differs })
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
        (Kind::Status { default_phase }, reach) => {
            let value = new_status(name, default_phase, reach);
            (value.clone(), differing(&value))
        }
        // The digits count, not the number: 1.50 is not 1.5.
        (Kind::Decimal { .. }, _) => (format!("i.{name}"), format!("i.{name}::text is distinct from t.{name}::text")),
        // An unset time of measurement is no change by itself.
        (Kind::Timestamp(_), _) => (
            format!("coalesce(i.{name}, now())"),
            format!("i.{name} is not null and i.{name} is distinct from t.{name}"),
        ),
        (Kind::Text(_) | Kind::Etag, None) => {
            let value = format!("coalesce(i.{name}, t.{name})");
            (value.clone(), differing(&value))
        }
        (Kind::Text(_) | Kind::Etag, Some(_)) => {
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
    let long = match exact {
        Exact::All => "",
        Exact::Numbers => " and length(s.value #>> '{}') > 15",
    };
    format!(
        "(select coalesce(jsonb_object_agg(n.key, case when s.value = n.value or (jsonb_typeof(s.value) <> 'string'{long} \
         and coalesce(s.value #>> '{{}}', 'null') = n.value #>> '{{}}') then s.value else n.value end), '{{}}') \
         from jsonb_each({new}) as n cross join lateral (select t.{name} -> n.key) as s (value))"
    )
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
