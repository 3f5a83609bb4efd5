//! SQL for updates of jsonb columns. Other programs may have written the stored values: a column that is no object
//! counts as an empty one, and a value that is sent back unchanged stays as it is stored.

use super::{Assignment, JSONB_VERSION};
use crate::db::sql::{indented, literal_array};
use crate::resource::mask::{KeySet, Reach};

/// How the entries of an object are read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entries {
    /// As texts: a value that is no string as its JSON.
    Texts,
    /// As values of their types. A number that no double represents, and a value that nests too deep, is a text: its
    /// JSON, which is longer than 15 characters.
    Values,
}

/// The stored object.
pub(super) fn stored_object(name: &str) -> String {
    format!("(case when jsonb_typeof(t.{name}) = 'object' then t.{name} else '{{}}' end)")
}

/// The values sent under the keys, `n.key`, that meet a condition. A key keeps its stored value if that reads as the
/// value sent. The object that was sent may hold keys outside the mask, because it may also become a new row.
pub(super) fn as_stored(name: &str, entries: Entries, condition: Option<&str>) -> String {
    let (new_value, stored) = ("n.value #>> '{}'", format!("t.{name} -> n.key"));
    let reads_as_new = match entries {
        Entries::Texts => format!(
            "when t.{name} ->> n.key = {new_value} then {stored}\n          \
             when {stored} = 'null' and n.value = '\"null\"' then 'null'"
        ),
        Entries::Values => format!(
            "when {stored} = n.value then {stored}\n          \
             when jsonb_typeof(n.value) = 'string' and length({new_value}) > 15\n           \
              and t.{name} ->> n.key = {new_value} then {stored}"
        ),
    };
    let condition = condition.map_or(String::new(), |condition| format!("\n  where {condition}"));
    format!(
        "(select coalesce(jsonb_object_agg(n.key, case\n          \
             {reads_as_new}\n          \
             else n.value end), '{{}}')\n   \
            from jsonb_each(i.{name}) as n{condition})"
    )
}

/// The stored object without these keys.
pub(super) fn without(name: &str, keys: &KeySet) -> String {
    let object = stored_object(name);
    if keys.beginnings.is_empty() {
        return format!("({object} - {})", literal_array(&keys.names));
    }
    format!(
        "(select coalesce(jsonb_object_agg(p.key, p.value), '{{}}')\n   \
            from jsonb_each({object}) as p\n  \
           where not ({}))",
        keys.condition("p.key")
    )
}

/// An object that is replaced as a whole; with `if_set` only where the row has one.
pub(super) fn replaced(name: &str, if_set: bool, entries: Entries) -> Assignment {
    let unset = if if_set { format!("i.{name} is null or ") } else { String::new() };
    let new = indented(&as_stored(name, entries, None), 11);
    Assignment::new(name, format!("(case when {unset}i.{name} = t.{name} then t.{name}\n      else {new} end)"))
}

/// An object of which these keys are replaced.
pub(super) fn keys_replaced(name: &str, keys: &KeySet, entries: Entries) -> Assignment {
    let new = indented(&as_stored(name, entries, Some(&keys.condition("n.key"))), 4);
    Assignment::new(name, format!("({}\n || {new})", indented(&without(name, keys), 1)))
}

/// The SQL that selects the part of an object that a mask names; `None` if that is the whole object.
pub(super) fn selected_keys(column: &str, reach: &Reach) -> Option<String> {
    let Reach::Keys(keys) = reach else { return None };
    Some(format!(
        "(select coalesce(jsonb_object_agg(e.key, e.value), '{{}}') \
            from jsonb_each(case when jsonb_typeof({column}) = 'object' then {column} else '{{}}' end) as e \
           where {})",
        keys.condition("e.key")
    ))
}

/// An empty object in jsonb's binary format.
pub(super) const EMPTY_OBJECT: &[u8] = &[JSONB_VERSION, b'{', b'}'];
/// An empty array in jsonb's binary format.
pub(super) const EMPTY_ARRAY: &[u8] = &[JSONB_VERSION, b'[', b']'];
