//! Enums, domains and sequences.

use super::table::{in_both, is_of_type};
use super::{Plan, Script};
use crate::schema::model::{Body, Domain, Key, Kind, Object, Sequence};
use crate::schema::quote::{identifier, literal};

/// Added to the name of a type while columns move to its successor.
const REPLACED: &str = "_replaced";

pub(super) fn create_enum(sql: &str, labels: &[String]) -> String {
    let labels: Vec<String> = labels.iter().map(|label| literal(label).trim_start().to_owned()).collect();
    format!("create type {sql} as enum ({})", labels.join(", "))
}

pub(super) fn create_domain(sql: &str, domain: &Domain) -> String {
    let collation = domain.collation.as_ref().map(|name| format!(" collate {name}")).unwrap_or_default();
    let default = domain.default.as_ref().map(|text| format!(" default {text}")).unwrap_or_default();
    let not_null = if domain.not_null { " not null" } else { "" };
    let checks = domain.checks.iter().map(|(name, check)| format!(" constraint {name} {}", validated(check)));
    let checks: Vec<String> = checks.collect();
    format!("create domain {sql} as {}{collation}{default}{not_null}{}", domain.base, checks.concat())
}

/// `create domain` has no check that is not valid; a new domain has no values to check.
fn validated(check: &str) -> &str {
    check.strip_suffix(" NOT VALID").unwrap_or(check)
}

/// The names of types that are replaced because they cannot be altered.
pub(super) fn replaced(plan: &Plan<'_>) -> Vec<String> {
    let types = plan.kept().filter(|(key, _, _)| key.kind == Kind::Type);
    types.filter(|(_, before, after)| cannot_be_altered(before, after)).map(|(_, _, after)| after.sql.clone()).collect()
}

fn cannot_be_altered(before: &Object, after: &Object) -> bool {
    match (&before.body, &after.body) {
        (Body::Enum(old), Body::Enum(new)) => !is_extended(old, new),
        (Body::Domain(old), Body::Domain(new)) => old.base != new.base || old.collation != new.collation,
        _ => true,
    }
}

/// Whether `new` has all labels of `old`, in their order.
fn is_extended(old: &[String], new: &[String]) -> bool {
    let mut rest = new.iter();
    old.iter().all(|label| rest.any(|other| other == label))
}

pub(super) fn alter_enum(
    plan: &Plan<'_>,
    key: &Key,
    after: &Object,
    (old, new): (&[String], &[String]),
    script: &mut Script,
) {
    if !is_extended(old, new) {
        replace(plan, key, after, &create_enum(&after.sql, new), script);
        return;
    }
    let mut previous: Option<&String> = None;
    for label in new {
        if !old.contains(label) {
            let place = match previous {
                Some(previous) => format!("after {}", literal(previous).trim_start()),
                None => old.first().map(|first| format!("before {}", literal(first).trim_start())).unwrap_or_default(),
            };
            let statement = format!("alter type {} add value {} {place}", after.sql, literal(label).trim_start());
            script.add(statement.trim_end());
        }
        previous = Some(label);
    }
}

pub(super) fn alter_domain(
    plan: &Plan<'_>,
    key: &Key,
    after: &Object,
    (old, new): (&Domain, &Domain),
    script: &mut Script,
) {
    let sql = &after.sql;
    if old.base != new.base || old.collation != new.collation {
        replace(plan, key, after, &create_domain(sql, new), script);
        return;
    }
    if old.default != new.default {
        let default =
            new.default.as_ref().map_or_else(|| "drop default".to_owned(), |text| format!("set default {text}"));
        script.add(format!("alter domain {sql} {default}"));
    }
    if old.not_null != new.not_null {
        script.add(format!("alter domain {sql} {} not null", if new.not_null { "set" } else { "drop" }));
    }
    for (name, check) in &old.checks {
        if new.checks.get(name) != Some(check) {
            script.add(format!("alter domain {sql} drop constraint {name}"));
        }
    }
    for (name, check) in &new.checks {
        if old.checks.get(name) != Some(check) {
            script.add(format!("alter domain {sql} add constraint {name} {check}"));
        }
    }
}

/// Creates a type anew and moves the columns that stay to it. The old one is dropped
/// [later](drop_replaced).
fn replace(plan: &Plan<'_>, key: &Key, after: &Object, creation: &str, script: &mut Script) {
    let sql = &after.sql;
    script.add(format!("alter type {sql} rename to {}", identifier(&format!("{}{REPLACED}", key.name))));
    script.add(creation);
    for (_, before, after) in plan.kept() {
        let (Body::Table(old), Body::Table(new)) = (&before.body, &after.body) else { continue };
        for (old, new) in in_both(old, new).filter(|(old, new)| is_of_type(old, sql) && is_of_type(new, sql)) {
            let start = format!("alter table {} alter column {}", after.sql, new.sql);
            let text = if new.data_type.ends_with("[]") { "text[]" } else { "text" };
            if old.default.is_some() {
                script.add(format!("{start} drop default"));
            }
            script.add(format!("{start} type {} using {}::{text}::{}", new.data_type, new.sql, new.data_type));
            if let Some(default) = &new.default {
                script.add(format!("{start} set default {default}"));
            }
        }
    }
}

pub(super) fn drop_replaced(plan: &Plan<'_>, script: &mut Script) {
    let types = plan.kept().filter(|(key, _, _)| key.kind == Kind::Type);
    for (key, before, after) in types {
        if cannot_be_altered(before, after) {
            let name = identifier(&format!("{}{REPLACED}", key.name));
            script.add(format!("drop type {}.{name}", identifier(&key.schema)));
        }
    }
}

pub(super) fn alter_sequence(sql: &str, old: &Sequence, new: &Sequence, script: &mut Script) {
    // The column of an identity changes its sequence.
    if !new.identity && old.options != new.options {
        script.add(format!("alter sequence {sql} {}", with_cycle(&new.options)));
    }
    if !new.identity && old.unlogged != new.unlogged {
        script.add(format!("alter sequence {sql} set {}", if new.unlogged { "unlogged" } else { "logged" }));
    }
}

/// The clauses of a sequence for `alter sequence`, which keeps what is not named.
pub(super) fn with_cycle(options: &str) -> String {
    if options.ends_with(" cycle") { options.to_owned() } else { format!("{options} no cycle") }
}
