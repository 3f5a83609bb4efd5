//! Owners, rights, and properties of tables that need objects which are created late.

use super::{Plan, Script, grants};
use crate::schema::model::{Body, Grants, Key, Kind, Object, Table};

impl Plan<'_> {
    pub(super) fn settle(&self, script: &mut Script) {
        for (key, after) in &self.to.objects {
            let before = self.before(key);
            match (&after.body, before.map(|before| &before.body)) {
                (Body::Table(new), Some(Body::Table(old))) => settle_table(&after.sql, Some(old), new, script),
                (Body::Table(new), _) => settle_table(&after.sql, None, new, script),
                (Body::Sequence(new), old) => {
                    let old = old.and_then(|old| if let Body::Sequence(old) = old { Some(old) } else { None });
                    let owned_by = old.and_then(|old| old.owned_by.as_ref());
                    if owned_by != new.owned_by.as_ref() {
                        let owner = new.owned_by.as_deref().unwrap_or("none");
                        script.add(format!("alter sequence {} owned by {owner}", after.sql));
                    }
                }
                _ => {}
            }
        }
        // The rights of the old owner become those of the new one, so owners come first.
        for (key, after) in &self.to.objects {
            let owner = after.owner.as_ref().filter(|_| !after.is_invalid());
            if let Some(owner) = owner
                && self.before(key).map_or(self.from.role.as_ref(), |before| before.owner.as_ref()) != Some(owner)
            {
                script.add(format!("alter {} {} owner to {owner}", key.kind.noun(), after.sql));
            }
        }
        for (key, after) in &self.to.objects {
            if key.kind != Kind::DefaultPrivileges {
                let before = self.before(key).map_or_else(|| self.given(key, after), |before| before.grants.clone());
                let before = without_dropped_columns(before, after);
                let object = format!("{} {}", key.kind.grant_noun(), after.sql);
                for statement in grants::changes("", &object, &before, &after.grants) {
                    script.add(statement);
                }
            }
        }
    }

    /// The object before, unless it is created anew.
    fn before(&self, key: &Key) -> Option<&Object> {
        self.from.objects.get(key).filter(|_| !self.replaced.contains(key))
    }

    /// The rights that a new object has, or may have if the role that creates it has default privileges. Those that it
    /// should have are granted in any case.
    fn given(&self, key: &Key, after: &Object) -> Grants {
        let mut given = grants::initial(key.kind);
        for other in self.from.objects.values() {
            if let Body::DefaultPrivileges(privileges) = &other.body
                && privileges.kinds.contains(&key.kind)
                && privileges.schema.as_ref().is_none_or(|schema| *schema == key.schema)
            {
                given.extend(other.grants.difference(&after.grants).cloned());
            }
        }
        given
    }

    pub(super) fn default_privileges(&self, script: &mut Script) {
        for (key, before) in &self.from.objects {
            if let Body::DefaultPrivileges(privileges) = &before.body {
                // Those of a schema that is dropped are dropped with it.
                let dropped = |schema: &String| self.gone.iter().any(|key| is_schema(key, schema));
                if !privileges.schema.as_ref().is_some_and(dropped) {
                    let after = self.to.objects.get(key).map_or(&privileges.initial, |after| &after.grants);
                    let start = format!("{} ", privileges.statement);
                    for statement in grants::changes(&start, &privileges.objects, &before.grants, after) {
                        script.add(statement);
                    }
                }
            }
        }
        for key in self.fresh.iter().filter(|key| key.kind == Kind::DefaultPrivileges) {
            let after = &self.to.objects[*key];
            if let Body::DefaultPrivileges(privileges) = &after.body {
                let start = format!("{} ", privileges.statement);
                for statement in grants::changes(&start, &privileges.objects, &privileges.initial, &after.grants) {
                    script.add(statement);
                }
            }
        }
    }
}

fn is_schema(key: &Key, schema: &str) -> bool {
    key.kind == Kind::Namespace && key.name == schema
}

/// Rights on a column are dropped with it.
fn without_dropped_columns(grants: Grants, after: &Object) -> Grants {
    let there = |column: &String| super::has_column(after, column);
    grants.into_iter().filter(|grant| grant.column.as_ref().is_none_or(there)).collect()
}

fn settle_table(sql: &str, before: Option<&Table>, after: &Table, script: &mut Script) {
    let identity = before.map_or("default", |before| before.replica_identity.as_str());
    if identity != after.replica_identity {
        script.add(format!("alter table {sql} replica identity {}", after.replica_identity));
    }
    match (before.and_then(|before| before.cluster.as_ref()), &after.cluster) {
        (before, Some(index)) if before != Some(index) => script.add(format!("alter table {sql} cluster on {index}")),
        (Some(_), None) => script.add(format!("alter table {sql} set without cluster")),
        _ => {}
    }
    let switches = [
        ("row level security", before.is_some_and(|before| before.row_security), after.row_security),
        ("force row level security", before.is_some_and(|before| before.force_row_security), after.force_row_security),
    ];
    for (what, before, after) in switches {
        if before != after {
            let words = match (what, after) {
                ("row level security", true) => "enable row level security",
                ("row level security", false) => "disable row level security",
                (_, true) => "force row level security",
                (_, false) => "no force row level security",
            };
            script.add(format!("alter table {sql} {words}"));
        }
    }
}
