//! What a column of an existing row becomes, as SQL over `i`, what was sent, and `t`, what is stored.
//!
//! What is stored may have been written by other programs. A jsonb value that no text or double holds exactly reads as a text;
//! when that text comes back unchanged the stored value stays (`merged`), and a key that a mask does not reach is not touched.

use crate::db::sql::{literal, literal_array};
use crate::resource::mask::{Keys, Reach};
use crate::resource::{Field, Kind, TextRule, TimestampRule};

/// What an unset field is stored as; `None` for null.
fn default(field: &Field) -> Option<String> {
    match field.kind {
        Kind::Text(TextRule::Free { nullable: false, .. }) => Some("''".to_owned()),
        Kind::Timestamp(TimestampRule::Created | TimestampRule::Updated | TimestampRule::Measured) => {
            Some("now()".to_owned())
        }
        Kind::Map(_) => Some("'{}'".to_owned()),
        Kind::Status { default_phase, .. } => Some(phase_object(default_phase)),
        _ => None,
    }
}

fn phase_object(phase: &str) -> String {
    format!("jsonb_build_object('phase', {}::text)", literal(phase))
}

/// What every change of a row assigns to its revision. It begins again behind the largest number, which only another program can have
/// stored.
pub(super) fn next_revision(field: &Field) -> String {
    format!("{0} = case t.{0} when {1} then 1 else t.{0} + 1 end", field.name, i32::MAX)
}

/// A field's value on an existing row, and the condition that it differs from the stored one. Without a reach the field is
/// overwritten if it is set, and so it is with one that is all of it if `keeps_unset`.
pub(super) fn new_value(field: &Field, reach: Option<&Reach>, keeps_unset: bool) -> (String, String) {
    let name = field.name;
    let reach = reach.filter(|reach| !keeps_unset || **reach != Reach::Whole);
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
            let value = new_status(name, default_phase, reach, keeps_unset);
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
        (Kind::TextList { .. }, reach) => {
            let value = new_list(name, reach);
            (value.clone(), differing(&value))
        }
        (Kind::Text(_) | Kind::Timestamp(TimestampRule::Free) | Kind::Etag, None) => {
            let value = format!("coalesce(i.{name}, t.{name})");
            (value.clone(), differing(&value))
        }
        // Unset is null, or the empty text that another program stored: it reads the same.
        (
            Kind::Text(
                TextRule::Free { nullable: true, .. }
                | TextRule::Code { nullable: true, .. }
                | TextRule::OptionalUid(_),
            ),
            Some(_),
        ) => {
            let value = format!("coalesce(i.{name}, case t.{name} when '' then '' end)");
            (value.clone(), differing(&value))
        }
        (Kind::Text(_) | Kind::Timestamp(TimestampRule::Free) | Kind::Etag, Some(_)) => {
            let value = default(field).map_or(format!("i.{name}"), |default| format!("coalesce(i.{name}, {default})"));
            (value.clone(), differing(&value))
        }
    }
}

/// The new list; the stored value where it reads as that list.
fn new_list(name: &str, reach: Option<&Reach>) -> String {
    let reads_as = format!(
        "(select coalesce(jsonb_agg(coalesce(e.value #>> '{{}}', 'null') order by e.place), '[]') \
         from jsonb_array_elements(case jsonb_typeof(t.{name}) when 'array' then t.{name} else '[]' end) \
         with ordinality as e (value, place))"
    );
    let new = match reach {
        None => format!("i.{name}"),
        Some(_) => format!("coalesce(i.{name}, '[]')"),
    };
    format!("(case when {new} is null or {new} = {reads_as} then t.{name} else {new} end)")
}

fn new_status(name: &str, default_phase: &str, reach: Option<&Reach>, keeps_unset: bool) -> String {
    let stored_phase = || picked(&object(name), &Keys::one("phase"));
    let unset_phase = if keeps_unset { stored_phase() } else { phase_object(default_phase) };
    let whole = format!("({unset_phase} || coalesce(i.{name}, '{{}}'))");
    match reach {
        Some(Reach::Details { phase }) if keeps_unset => {
            let (without_details, with_details) = if *phase {
                (format!("{} || i.{name}", object(name)), kept_if_equal(name, &whole, Exact::Numbers))
            } else {
                (format!("t.{name}"), new_status(name, default_phase, reach, false))
            };
            format!(
                "case when i.{name} is null then t.{name} \
                 when i.{name} - 'phase' = '{{}}' then {without_details} \
                 else {with_details} end"
            )
        }
        Some(Reach::Keys(keys)) if keeps_unset && *keys == Keys::one("phase") => {
            let new = keys_replaced(name, keys, &whole, Exact::Numbers);
            format!("case when i.{name} -> 'phase' is null then t.{name} else {new} end")
        }
        None => format!(
            "case when i.{name} is null then t.{name} \
             when i.{name} - 'phase' = '{{}}' then {} || i.{name} \
             else {} end",
            object(name),
            kept_if_equal(name, &format!("({} || i.{name})", stored_phase()), Exact::Numbers)
        ),
        Some(Reach::Keys(keys)) => keys_replaced(name, keys, &whole, Exact::Numbers),
        Some(Reach::Details { phase: false }) => format!(
            "({} || {})",
            merged(name, &format!("(coalesce(i.{name}, '{{}}') - 'phase')"), Exact::Numbers),
            stored_phase()
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
fn keys_replaced(name: &str, keys: &Keys, new: &str, exact: Exact) -> String {
    let rest = if keys.beginnings.is_empty() {
        format!("({} - {})", object(name), literal_array(&keys.names))
    } else {
        filtered(&object(name), &format!("not ({})", keys.condition("p.key")))
    };
    format!("({rest} || {})", merged(name, &picked(new, keys), exact))
}

/// The part of an object that has these keys.
fn picked(object: &str, keys: &Keys) -> String {
    filtered(object, &keys.condition("p.key"))
}

/// The part of an object whose keys, `p.key`, meet a condition.
fn filtered(object: &str, condition: &str) -> String {
    format!(
        "(select coalesce(jsonb_object_agg(p.key, p.value), '{{}}') from jsonb_each({object}) as p where {condition})"
    )
}
