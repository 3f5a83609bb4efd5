//! Tables and their columns.

use std::collections::{BTreeMap, BTreeSet};

use super::types::with_cycle;
use super::{Plan, Script, types};
use crate::schema::model::{Body, Column, Dependency, Identity, Key, Kind, Object, Table};

/// Columns that cannot change while others depend on them.
#[derive(Default)]
pub(super) struct ColumnsInTheWay {
    /// Their type changes. Postgres rebuilds indexes, constraints and statistics itself.
    retyped: BTreeSet<(Key, String)>,
    /// They are dropped and added again, with all that depends on them.
    added_again: BTreeSet<(Key, String)>,
}

impl ColumnsInTheWay {
    /// Whether an object of this kind has to be dropped because of a dependency.
    pub(super) fn are_in_the_way(&self, kind: Kind, dependency: &Dependency) -> bool {
        let Some(column) = &dependency.column else { return false };
        let column = (dependency.key.clone(), column.clone());
        let follows =
            matches!(kind, Kind::PrimaryKey | Kind::Constraint | Kind::ForeignKey | Kind::Index | Kind::Statistics);
        self.added_again.contains(&column) || (!follows && self.retyped.contains(&column))
    }
}

impl Plan<'_> {
    pub(super) fn columns_in_the_way(&self) -> ColumnsInTheWay {
        let mut found = ColumnsInTheWay::default();
        let replaced_types = types::replaced(self);
        for (key, before, after) in self.kept() {
            let (Body::Table(before), Body::Table(after)) = (&before.body, &after.body) else { continue };
            for (old, new) in in_both(before, after) {
                if is_added_again(old, new) {
                    found.added_again.insert((key.clone(), old.name.clone()));
                } else if is_retyped(old, new) || replaced_types.iter().any(|name| is_of_type(old, name)) {
                    found.retyped.insert((key.clone(), old.name.clone()));
                }
            }
        }
        found
    }
}

/// The columns that both tables have.
pub(super) fn in_both<'t>(before: &'t Table, after: &'t Table) -> impl Iterator<Item = (&'t Column, &'t Column)> {
    before.columns.iter().filter_map(|old| Some((old, find(after, &old.name)?)))
}

fn find<'t>(table: &'t Table, name: &str) -> Option<&'t Column> {
    table.columns.iter().find(|column| column.name == name)
}

/// Whether it is of the type `name`, or an array of that.
pub(super) fn is_of_type(column: &Column, name: &str) -> bool {
    column.data_type.strip_suffix("[]").unwrap_or(&column.data_type) == name
}

fn is_retyped(old: &Column, new: &Column) -> bool {
    old.data_type != new.data_type || old.collation != new.collation
}

/// Whether a column has to be dropped and added: an expression can be removed, but not be added or changed.
fn is_added_again(old: &Column, new: &Column) -> bool {
    let virtual_column = |column: &Column| column.generated.as_ref().is_some_and(|text| text.ends_with(" virtual"));
    old.generated != new.generated && (new.generated.is_some() || virtual_column(old))
}

pub(super) fn create(object: &Object, table: &Table, script: &mut Script) {
    let unlogged = if table.unlogged { "unlogged " } else { "" };
    let columns: Vec<String> = table.columns.iter().map(|column| format!("    {}", definition(column))).collect();
    let columns = if columns.is_empty() { String::new() } else { format!("\n{}\n", columns.join(",\n")) };
    let method = table.access_method.as_ref().map(|method| format!(" using {method}")).unwrap_or_default();
    let options = if table.options.is_empty() { String::new() } else { format!(" with ({})", list(&table.options)) };
    script.add(format!("create {unlogged}table {} ({columns}){method}{options}", object.sql));
    for column in &table.columns {
        column_settings(&object.sql, None, column, script);
    }
}

/// The column in `create table` and `add column`.
fn definition(column: &Column) -> String {
    let mut parts = vec![column.sql.clone(), column.data_type.clone()];
    if let Some(collation) = &column.collation {
        parts.push(format!("collate {collation}"));
    }
    parts.extend(column.generated.clone());
    if let Some(identity) = &column.identity {
        parts.push(identity_clause(identity));
    }
    if let Some(default) = &column.default {
        parts.push(format!("default {default}"));
    }
    if column.not_null {
        parts.push("not null".to_owned());
    }
    parts.join(" ")
}

fn identity_clause(identity: &Identity) -> String {
    let Identity { generated, sequence, options } = identity;
    format!("generated {generated} as identity (sequence name {sequence} {})", without_type(options))
}

/// The type of the sequence of an identity column is that of the column.
fn without_type(options: &str) -> &str {
    options.split_once(" increment ").map_or(options, |(kind, _)| options[kind.len()..].trim_start())
}

/// Drops columns, and defaults that may use what is dropped or that do not fit a new type.
pub(super) fn drop_columns(
    key: &Key,
    object: &Object,
    (before, after): (&Table, &Table),
    needs_dropped: bool,
    script: &mut Script,
) {
    let sql = &object.sql;
    for old in &before.columns {
        match find(after, &old.name).filter(|new| !is_added_again(old, new)) {
            None => script.drop_data(format!("alter table {sql} drop column {}", old.sql), key, Some(&old.name)),
            Some(new) if old.default.is_some() => {
                let changed = old.default != new.default;
                if new.default.is_none() || is_retyped(old, new) || (changed && needs_dropped) {
                    script.add(format!("alter table {sql} alter column {} drop default", old.sql));
                }
            }
            Some(_) => {}
        }
    }
}

/// Adds and alters columns, and changes properties of the table.
pub(super) fn alter(object: &Object, before: &Table, after: &Table, script: &mut Script) {
    let sql = &object.sql;
    for new in &after.columns {
        match find(before, &new.name).filter(|old| !is_added_again(old, new)) {
            None => {
                script.add(format!("alter table {sql} add column {}", definition(new)));
                column_settings(sql, None, new, script);
            }
            Some(old) => {
                alter_column(sql, old, new, script);
                column_settings(sql, Some(old), new, script);
            }
        }
    }
    if before.unlogged != after.unlogged {
        script.add(format!("alter table {sql} set {}", if after.unlogged { "unlogged" } else { "logged" }));
    }
    if before.access_method != after.access_method {
        let method = after.access_method.as_deref().unwrap_or("heap");
        script.add(format!("alter table {sql} set access method {method}"));
    }
    change_options(&format!("alter table {sql}"), &before.options, &after.options, script);
}

fn alter_column(sql: &str, old: &Column, new: &Column, script: &mut Script) {
    let start = format!("alter table {sql} alter column {}", new.sql);
    if old.identity.is_some() && new.identity.is_none() {
        script.add(format!("{start} drop identity"));
    }
    if old.generated.is_some() && new.generated.is_none() {
        script.add(format!("{start} drop expression"));
    }
    if is_retyped(old, new) {
        let collation = new.collation.as_ref().map(|name| format!(" collate {name}")).unwrap_or_default();
        let using = if new.generated.is_some() || old.data_type == new.data_type {
            String::new()
        } else {
            format!(" using {}::{}", new.sql, new.data_type)
        };
        script.add(format!("{start} type {}{collation}{using}", new.data_type));
    }
    // The old default was dropped if the type changes.
    if let Some(default) = new.default.as_ref().filter(|_| old.default != new.default || is_retyped(old, new)) {
        script.add(format!("{start} set default {default}"));
    }
    if old.not_null != new.not_null {
        script.add(format!("{start} {} not null", if new.not_null { "set" } else { "drop" }));
    }
    match (&old.identity, &new.identity) {
        (None, Some(identity)) => script.add(format!("{start} add {}", identity_clause(identity))),
        (Some(old), Some(new)) => {
            if old.generated != new.generated {
                script.add(format!("{start} set generated {}", new.generated));
            }
            if old.sequence != new.sequence {
                let name = new.sequence.rsplit_once('.').map_or(new.sequence.as_str(), |(_, name)| name);
                script.add(format!("alter sequence {} rename to {name}", old.sequence));
            }
            if old.options != new.options {
                script.add(format!("alter sequence {} {}", new.sequence, with_cycle(&new.options)));
            }
        }
        _ => {}
    }
}

/// Storage, compression, statistics and options. `old` is `None` for a new column.
fn column_settings(sql: &str, old: Option<&Column>, new: &Column, script: &mut Script) {
    let start = format!("alter table {sql} alter column {}", new.sql);
    // A new type brings its usual storage.
    let old_storage = old.filter(|old| !is_retyped(old, new)).map(|old| &old.storage);
    if old_storage.map_or(!new.usual_storage, |storage| *storage != new.storage) {
        script.add(format!("{start} set storage {}", new.storage));
    }
    if old.map_or("default", |old| &old.compression) != new.compression {
        script.add(format!("{start} set compression {}", new.compression));
    }
    if old.map_or(-1, |old| old.statistics) != new.statistics {
        script.add(format!("{start} set statistics {}", new.statistics));
    }
    let none = BTreeMap::new();
    change_options(&start, old.map_or(&none, |old| &old.options), &new.options, script);
}

fn change_options(
    start: &str,
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
    script: &mut Script,
) {
    let gone: Vec<&str> = before.keys().filter(|name| !after.contains_key(*name)).map(String::as_str).collect();
    if !gone.is_empty() {
        script.add(format!("{start} reset ({})", gone.join(", ")));
    }
    let set: BTreeMap<String, String> = after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if !set.is_empty() {
        script.add(format!("{start} set ({})", list(&set)));
    }
}

fn list(options: &BTreeMap<String, String>) -> String {
    let options: Vec<String> = options.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    options.join(", ")
}
