//! How a payload's column is selected and assigned. All functions of the assignments and of the whole selection are
//! immutable, so that a sharded database accepts them in updates and in `returning`.

use super::{Member, Payload};
use crate::db::sql::{indented, literal, literal_array};
use crate::resource::kind::sql::stored_object;
use crate::resource::kind::{Assignment, Change, UnsetPhase};
use crate::resource::mask::{KeySet, Reach};

/// Most names of keys in one line of SQL.
const NAMES_IN_LINE: usize = 4;

impl Payload {
    /// The column `t.name` under the name of its member: `{"circle": {...}}`.
    pub(super) fn selected(&self, column: &str) -> String {
        format!("jsonb_set('{{}}', array[coalesce({}, '')], {column})", self.beside(column))
    }

    /// The same of the members, and the fields of members, that a mask names; null for the other members.
    pub(super) fn selected_part(&self, column: &str, reach: &Reach) -> Option<String> {
        let Reach::Keys(keys) = reach else { return None };
        let kind = self.beside(column);
        let (mut kinds, mut conditions, mut is_whole) = (Vec::new(), Vec::new(), true);
        for (member, names) in self.reached(keys) {
            let field = literal(member.field);
            if keys.contain(member.field) {
                conditions.push(format!("{kind} = {field}"));
            } else {
                let names = names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ");
                conditions.push(format!("{kind} = {field} and e.key in ({names})"));
                is_whole = false;
            }
            kinds.push(field);
        }
        let object = if is_whole {
            column.to_owned()
        } else {
            format!(
                "(select coalesce(jsonb_object_agg(e.key, e.value), '{{}}') \
                    from jsonb_each(case when jsonb_typeof({column}) = 'object' then {column} else '{{}}' end) as e \
                   where {})",
                conditions.join(" or ")
            )
        };
        let kinds = kinds.join(", ");
        Some(format!("(case when {kind} in ({kinds}) then jsonb_set('{{}}', array[{kind}], {object}) end)"))
    }

    /// How an update changes the column `name`; `new_kind` is the SQL of the discriminator after the update.
    ///
    /// A member that is not the new kind changes nothing. If the kind stays, the keys of the member are overwritten:
    /// those that are set, or those that the mask names. If it changes, the keys of all members are removed first.
    /// Other keys stay. A stored value that is no object stays until a key is set.
    pub(crate) fn assign_beside(&self, name: &str, change: Change<'_>, new_kind: &str) -> Assignment {
        let branches = match change {
            Change::IfSet => self.set_keys(name, new_kind),
            Change::Keys(keys, unset) => self.masked(name, keys, unset == UnsetPhase::Default, new_kind),
            Change::Whole | Change::Details { .. } => self.masked(name, &self.every_member(), true, new_kind),
        };
        let value = format!(
            "(case when jsonb_typeof(t.{name}) <> 'object'\n       \
                    and coalesce(i.{name} -> {new_kind}, '{{}}') = '{{}}' then t.{name}\n      \
                   {}\n      \
                   else t.{name} end)",
            branches.join("\n      ")
        );
        Assignment::new(name, value)
    }

    /// The keys that were sent are overwritten.
    fn set_keys(&self, name: &str, new_kind: &str) -> Vec<String> {
        let sent = format!("i.{name} -> {new_kind}");
        let stored_kind = format!("t.{}", self.discriminator);
        let object = stored_object(name);
        let branch = |condition: &str, kept: &str| {
            let kept = indented(kept, 11);
            format!("when {sent} is not null{condition}\n      then {kept}\n        || ({sent})")
        };
        if new_kind == stored_kind {
            return vec![branch("", &object)];
        }
        vec![branch(&format!(" and {stored_kind} = {new_kind}"), &object), branch("", &self.without_any(&object))]
    }

    /// The keys that a mask names are overwritten. If `clears`, they are also removed if no member was sent.
    fn masked(&self, name: &str, keys: &KeySet, clears: bool, new_kind: &str) -> Vec<String> {
        let stored_kind = format!("t.{}", self.discriminator);
        let branch = |(member, mut named): (&Member, Vec<&str>)| {
            named.retain(|name| !is_computed(member, name));
            let field = literal(member.field);
            let mut sent = format!("coalesce(i.{name} -> {field}, '{{}}')");
            // The object that was sent may hold keys outside the mask, because it may also become a new row.
            let rest: Vec<&str> = fields(member).filter(|field| !named.contains(field)).collect();
            if !rest.is_empty() {
                sent = format!("({sent}\n - {})", indented(&names(&rest), 3));
            }
            let object = stored_object(name);
            let mut kept = format!("({object}\n - {})", indented(&names(&named), 3));
            if new_kind != stored_kind {
                kept = format!(
                    "(case when {stored_kind} = {field}\n      then {}\n      else {} end)",
                    indented(&kept, 11),
                    indented(&self.without_any(&object), 11)
                );
            }
            let is_sent = format!("i.{name} ? {field}");
            let condition = if clears { format!("(i.{name} is null or {is_sent})") } else { is_sent };
            let (kept, sent) = (indented(&kept, 11), indented(&sent, 11));
            format!("when {new_kind} = {field} and {condition}\n      then {kept}\n        || {sent}")
        };
        self.reached(keys).map(branch).collect()
    }

    /// What the column `name` holds after a write, if the row that is written has the alias `n` and the stored one,
    /// which may be missing, the alias `o`. It is assumed that the kind is that of the member that was sent.
    pub(crate) fn written(&self, name: &str) -> String {
        let sent: Vec<String> =
            self.members.iter().map(|member| format!("n.{name} -> {}", literal(member.field))).collect();
        let stored = format!("case when jsonb_typeof(o.{name}) = 'object' then o.{name} else '{{}}' end");
        format!(
            "case when n.{name} is null then o.{name} else \
               (case when n.{name} ? o.{kind} then ({stored}) else {without} end) || coalesce({sent}) end",
            kind = self.discriminator,
            without = self.without_any(&format!("({stored})")),
            sent = sent.join(", ")
        )
    }

    /// The discriminator of the column `t.name`.
    fn beside(&self, column: &str) -> String {
        let alias = column.split_once('.').map_or("t", |(alias, _)| alias);
        format!("{alias}.{}", self.discriminator)
    }

    /// An object without the keys of any member.
    fn without_any(&self, object: &str) -> String {
        let mut all: Vec<&str> = self.members.iter().flat_map(fields).collect();
        all.sort_unstable();
        all.dedup();
        format!("({object}\n - {})", indented(&names(&all), 3))
    }

    /// The members that a mask reaches, each with the fields that it names.
    fn reached(&self, keys: &KeySet) -> impl Iterator<Item = (&Member, Vec<&str>)> {
        self.members.iter().filter_map(|member| {
            let is_whole = keys.contain(member.field);
            let is_named = |field: &&str| is_whole || keys.contain(&format!("{}.{field}", member.field));
            let named: Vec<&str> = fields(member).filter(is_named).collect();
            (is_whole || !named.is_empty()).then_some((member, named))
        })
    }
}

/// Whether the service computes a field of a member. A mask that names the member leaves such a field as it is stored.
fn is_computed(member: &Member, name: &str) -> bool {
    member.fields.iter().any(|(field, kind)| *field == name && kind.is_computed())
}

/// The names of a member's fields.
fn fields(member: &Member) -> impl Iterator<Item = &'static str> + use<> {
    member.fields.iter().map(|(name, _)| *name)
}

/// Names of keys as an array, a few in each line.
fn names(names: &[&str]) -> String {
    let lines: Vec<String> = names
        .chunks(NAMES_IN_LINE)
        .map(|names| names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", "))
        .collect();
    if lines.is_empty() { literal_array::<&str>(&[]) } else { format!("array[{}]::text[]", lines.join(",\n      ")) }
}
