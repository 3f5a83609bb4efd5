//! `grant` and `revoke`.

use std::collections::BTreeMap;

use crate::schema::model::{Grant, Grants, Kind};

/// The rights that a new object of a kind has.
pub(super) fn initial(kind: Kind) -> Grants {
    match kind {
        Kind::Function => [Grant::to_public("execute")].into(),
        Kind::Type => [Grant::to_public("usage")].into(),
        _ => Grants::new(),
    }
}

/// The statements that turn the rights `before` into `after`. `start` comes before `grant`; `object` is its kind and
/// name.
pub(crate) fn changes(start: &str, object: &str, before: &Grants, after: &Grants) -> Vec<String> {
    let revokes = collect(before.difference(after)).into_iter().map(|(right, privileges)| {
        format!("{start}revoke {} on {object} from {}", listed(right, &privileges), right.grantee)
    });
    let grants = collect(after.difference(before)).into_iter().map(|(right, privileges)| {
        let option = if right.grantable { " with grant option" } else { "" };
        format!("{start}grant {} on {object} to {}{option}", listed(right, &privileges), right.grantee)
    });
    revokes.chain(grants).collect()
}

/// What several rights have in common.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Common<'g> {
    grantee: &'g str,
    column: Option<&'g str>,
    grantable: bool,
}

fn collect<'g>(rights: impl Iterator<Item = &'g Grant>) -> BTreeMap<Common<'g>, Vec<&'g str>> {
    let mut collected: BTreeMap<Common<'_>, Vec<&str>> = BTreeMap::new();
    for right in rights {
        let common = Common { grantee: &right.grantee, column: right.column.as_deref(), grantable: right.grantable };
        collected.entry(common).or_default().push(&right.privilege);
    }
    collected
}

fn listed(common: Common<'_>, privileges: &[&str]) -> String {
    let column = common.column.map(|column| format!(" ({column})")).unwrap_or_default();
    let privileges: Vec<String> = privileges.iter().map(|privilege| format!("{privilege}{column}")).collect();
    privileges.join(", ")
}
