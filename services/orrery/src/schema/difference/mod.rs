//! The statements that turn one schema into another.
//!
//! They come in four parts, each ordered by the dependencies of its objects:
//!
//! 1. drop what is gone or has to be created anew, dependents first;
//! 2. create and alter, dependents last; comments follow their object;
//! 3. owners, grants, and what needs objects that are created late;
//! 4. drop schemas, types, functions and sequences that nothing uses any more.

pub(super) mod grants;
mod order;
mod settle;
mod table;
mod types;

use std::collections::BTreeSet;

use self::order::ordered;
use super::model::{Body, Key, Kind, Object, Schema};
use super::quote::literal;

/// A statement that changes a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// One statement, without a semicolon at its end.
    pub sql: String,
    /// The table or column whose rows or values are lost.
    pub drops: Option<Dropped>,
    /// Whether a copy with rows runs it after the rows.
    pub after_rows: bool,
}

/// A table or column that is dropped. The names are as in the catalog, not quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The schema.
    pub schema: String,
    /// The table.
    pub table: String,
    /// The column. `None` if the table is dropped.
    pub column: Option<String>,
}

/// The statements that turn `from` into `to`, in order. Empty if there is no difference.
///
/// Columns are compared by name, so their order is no difference. An index on a table of `from` is built concurrently,
/// so the statements cannot run in one transaction. An index that is invalid in `to` is not created.
pub fn difference(from: &Schema, to: &Schema) -> Vec<Change> {
    let plan = Plan::new(from, to);
    let mut script = Script::default();
    plan.drop_early(&mut script);
    plan.create_and_alter(&mut script);
    script.after_rows = true;
    plan.settle(&mut script);
    plan.drop_late(&mut script);
    plan.default_privileges(&mut script);
    script.changes
}

/// The statements so far.
#[derive(Default)]
pub(super) struct Script {
    changes: Vec<Change>,
    after_rows: bool,
}

impl Script {
    pub(super) fn add(&mut self, sql: impl Into<String>) {
        self.changes.push(Change { sql: sql.into(), drops: None, after_rows: self.after_rows });
    }

    fn drop_data(&mut self, sql: String, key: &Key, column: Option<&str>) {
        let dropped =
            Dropped { schema: key.schema.clone(), table: key.name.clone(), column: column.map(str::to_owned) };
        self.changes.push(Change { sql, drops: Some(dropped), after_rows: self.after_rows });
    }
}

/// What happens to each object.
struct Plan<'s> {
    from: &'s Schema,
    to: &'s Schema,
    /// Only in `from`.
    gone: BTreeSet<&'s Key>,
    /// Only in `to`.
    fresh: BTreeSet<&'s Key>,
    /// In both, but dropped and created anew.
    replaced: BTreeSet<&'s Key>,
}

impl<'s> Plan<'s> {
    fn new(from: &'s Schema, to: &'s Schema) -> Self {
        let mut plan = Self { from, to, gone: BTreeSet::new(), fresh: BTreeSet::new(), replaced: BTreeSet::new() };
        for (key, object) in &from.objects {
            match to.objects.get(key) {
                None => _ = plan.gone.insert(key),
                Some(other) if other.is_invalid() && object.is_invalid() => {}
                Some(other) if other.is_invalid() => _ = plan.gone.insert(key),
                Some(other) if must_be_replaced(object, other) => _ = plan.replaced.insert(key),
                Some(_) => {}
            }
        }
        plan.fresh.extend(
            to.objects
                .iter()
                .filter(|(key, object)| !object.is_invalid() && !from.objects.contains_key(*key))
                .map(|(key, _)| key),
        );
        plan.replace_dependents();
        plan
    }

    /// Objects that depend on something that is dropped or changes its type, and exist in both schemas, are replaced.
    fn replace_dependents(&mut self) {
        let columns = self.columns_in_the_way();
        loop {
            let found: Vec<&Key> = self
                .kept()
                .filter(|(key, _, _)| can_be_replaced(key.kind))
                .filter(|(key, object, _)| {
                    object.depends.iter().any(|dependency| {
                        self.replaced.contains(&dependency.key)
                            || self.gone.contains(&dependency.key)
                            || columns.are_in_the_way(key.kind, dependency)
                    })
                })
                .map(|(key, _, _)| key)
                .collect();
            if found.is_empty() {
                return;
            }
            self.replaced.extend(found);
        }
    }

    /// Objects that stay: the key, and the object before and after.
    fn kept(&self) -> impl Iterator<Item = (&'s Key, &'s Object, &'s Object)> {
        let (to, gone, replaced) = (self.to, &self.gone, &self.replaced);
        self.from.objects.iter().filter_map(move |(key, before)| {
            let after = to.objects.get(key)?;
            (!gone.contains(key) && !replaced.contains(key)).then_some((key, before, after))
        })
    }

    /// What is dropped before anything is created: all that is replaced; all that is gone, except what may still be in
    /// use.
    fn dropped_early(&self) -> BTreeSet<&'s Key> {
        let mut early: BTreeSet<&Key> = self.replaced.clone();
        early.extend(self.gone.iter().filter(|key| !key.kind.is_dropped_late()));
        // Such as a function with a parameter of the type of a table that is dropped.
        loop {
            let more: Vec<&Key> = (self.gone.iter().copied())
                .filter(|key| !early.contains(key))
                .filter(|key| self.from.objects[*key].depends.iter().any(|needed| early.contains(&needed.key)))
                .filter(|key| key.kind != Kind::Sequence)
                .collect();
            if more.is_empty() {
                return early;
            }
            early.extend(more);
        }
    }

    fn drop_early(&self, script: &mut Script) {
        let early = self.dropped_early();
        for key in ordered(self.from).into_iter().rev() {
            let before = &self.from.objects[key];
            if early.contains(key) {
                self.drop(key, before, script);
            } else if let (Body::Table(before_table), Some(after)) = (&before.body, self.to.objects.get(key))
                && let Body::Table(after_table) = &after.body
            {
                let needs_dropped = before.depends.iter().any(|needed| self.gone.contains(&needed.key));
                table::drop_columns(key, before, (before_table, after_table), needs_dropped, script);
            }
        }
    }

    fn drop_late(&self, script: &mut Script) {
        types::drop_replaced(self, script);
        let early = self.dropped_early();
        for key in ordered(self.from).into_iter().rev() {
            if self.gone.contains(key) && !early.contains(key) {
                self.drop(key, &self.from.objects[key], script);
            }
        }
    }

    fn drop(&self, key: &Key, object: &Object, script: &mut Script) {
        // A foreign key stands in the way of dropping the table to which it refers.
        if !key.table.is_empty() && key.kind != Kind::ForeignKey && self.is_dropped_with_its_table(key) {
            return;
        }
        match &object.body {
            Body::Table(_) => script.drop_data(format!("drop table {}", object.sql), key, None),
            // One that a column owns is dropped with that.
            Body::Sequence(sequence) if sequence.identity => {}
            Body::Sequence(_) => script.add(format!("drop sequence if exists {}", object.sql)),
            Body::Text(text) if text.removal.is_some() => script.add(text.removal.clone().unwrap_or_default()),
            Body::DefaultPrivileges(_) => {}
            _ => script.add(format!("drop {} {}", key.kind.noun(), object.sql)),
        }
    }

    fn is_dropped_with_its_table(&self, key: &Key) -> bool {
        [Kind::Table, Kind::View, Kind::MaterializedView].into_iter().any(|kind| {
            let owner = Key { kind, schema: key.schema.clone(), table: String::new(), name: key.table.clone() };
            self.gone.contains(&owner) || self.replaced.contains(&owner)
        })
    }

    fn create_and_alter(&self, script: &mut Script) {
        for key in ordered(self.to) {
            let after = &self.to.objects[key];
            script.after_rows |= key.kind.follows_rows();
            let is_new = self.fresh.contains(key) || self.replaced.contains(key);
            let before = self.from.objects.get(key).filter(|_| !is_new);
            match before {
                None if is_new => self.create(key, after, script),
                Some(before) if !after.is_invalid() => self.alter(key, before, after, script),
                _ => continue,
            }
            comments(key, before, after, script);
        }
    }

    fn create(&self, key: &Key, object: &Object, script: &mut Script) {
        match &object.body {
            Body::Text(text) => {
                if key.kind == Kind::Index && self.was_there(key) {
                    script.add(text.creation.replacen("INDEX", "INDEX CONCURRENTLY", 1));
                } else if !text.creation.is_empty() {
                    script.add(text.creation.clone());
                }
                for statement in &text.afterwards {
                    script.add(statement.clone());
                }
            }
            Body::Enum(labels) => script.add(types::create_enum(&object.sql, labels)),
            Body::Domain(domain) => script.add(types::create_domain(&object.sql, domain)),
            Body::Function(function) => script.add(function.definition.clone()),
            Body::Sequence(sequence) if sequence.identity => {}
            Body::Sequence(sequence) => {
                let unlogged = if sequence.unlogged { "unlogged " } else { "" };
                script.add(format!("create {unlogged}sequence {} {}", object.sql, sequence.options));
            }
            Body::Table(table) => table::create(object, table, script),
            Body::DefaultPrivileges(_) => {}
        }
    }

    /// Whether the table of the index was there before, so that it may be in use.
    fn was_there(&self, index: &Key) -> bool {
        let table = |kind| Key { kind, schema: index.schema.clone(), table: String::new(), name: index.table.clone() };
        self.from.objects.contains_key(&table(Kind::Table))
    }

    fn alter(&self, key: &Key, before: &Object, after: &Object, script: &mut Script) {
        match (&before.body, &after.body) {
            (Body::Table(old), Body::Table(new)) => table::alter(after, old, new, script),
            (Body::Function(old), Body::Function(new)) if old != new => script.add(new.definition.clone()),
            (Body::Enum(old), Body::Enum(new)) if old != new => types::alter_enum(self, key, after, (old, new), script),
            (Body::Domain(old), Body::Domain(new)) => types::alter_domain(self, key, after, (old, new), script),
            (Body::Sequence(old), Body::Sequence(new)) => types::alter_sequence(&after.sql, old, new, script),
            (Body::Text(old), Body::Text(new)) if old.creation != new.creation => {
                // Only a constraint that is validated is altered; others are replaced.
                let removal = new.removal.as_deref().unwrap_or_default();
                script.add(removal.replacen(" drop constraint ", " validate constraint ", 1));
            }
            _ => {}
        }
    }
}

/// Whether `after` can only be had by dropping `before`.
fn must_be_replaced(before: &Object, after: &Object) -> bool {
    match (&before.body, &after.body) {
        (Body::Text(old), Body::Text(new)) => {
            let validated = new.removal.is_some() && old.creation == format!("{} NOT VALID", new.creation);
            (old.creation != new.creation && !validated) || old.afterwards != new.afterwards || old.invalid
        }
        (Body::Function(old), Body::Function(new)) => old.signature != new.signature,
        _ => false,
    }
}

/// Whether an object may be dropped and created anew, because it holds nothing that is lost.
const fn can_be_replaced(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::Namespace | Kind::Extension | Kind::Type | Kind::Sequence | Kind::Table | Kind::DefaultPrivileges
    )
}

fn comments(key: &Key, before: Option<&Object>, after: &Object, script: &mut Script) {
    let text = |comment: Option<&String>| comment.map_or_else(|| "null".to_owned(), |text| literal(text));
    if before.and_then(|before| before.comment.as_ref()) != after.comment.as_ref() {
        let comment = text(after.comment.as_ref());
        script.add(format!("comment on {} {} is {comment}", key.kind.noun(), after.sql));
    }
    let no_comments = std::collections::BTreeMap::new();
    let old = before.map_or(&no_comments, |before| &before.column_comments);
    let columns: BTreeSet<&String> = old.keys().chain(after.column_comments.keys()).collect();
    for column in columns {
        let comment = after.column_comments.get(column);
        // A comment is dropped with its column.
        if old.get(column) != comment && (comment.is_some() || has_column(after, column)) {
            script.add(format!("comment on column {}.{column} is {}", after.sql, text(comment)));
        }
    }
}

fn has_column(object: &Object, column: &str) -> bool {
    match &object.body {
        Body::Table(table) => table.columns.iter().any(|other| other.sql == column),
        _ => true,
    }
}
