//! Paths of `google.protobuf.FieldMask`. A path names a field (`name`), a key of a map (`labels.season`), or a part of
//! a status (`status.phase`, `status.details`, `status.details.note`). Everything after the first dot is the key: it
//! may contain dots and slashes, or be enclosed in backticks. `labels.tag/*` names every key that begins with `tag/`. A
//! member of a payload is named like a field (`circle`), and its fields below it (`circle.radius`). A path that names
//! nothing is refused, never ignored.

use prost_types::FieldMask;

use super::{Field, Resource};
use crate::db::sql::literal;
use crate::error::Violation;

/// Most paths of one mask.
const MAX_PATHS: usize = 256;

/// Which part of a field a mask reaches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// All of it.
    Whole,
    /// These keys of a jsonb object, or these columns of an only child. Of a status, `phase` is one key and every
    /// detail is another. Of a payload, a key is a path: that of a member, or of one of its fields.
    Keys(KeySet),
    /// Every key of a status but its phase, and the phase too if `phase` is set.
    Details {
        /// Whether the phase is included.
        phase: bool,
    },
}

/// A set of keys of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeySet {
    /// Exact keys.
    pub names: Vec<String>,
    /// Prefixes: all keys that begin with one of them.
    pub beginnings: Vec<String>,
}

impl KeySet {
    /// The set of a single key.
    pub fn one(name: impl Into<String>) -> Self {
        Self { names: vec![name.into()], beginnings: Vec::new() }
    }

    /// Whether the set contains a key.
    pub fn contain(&self, key: &str) -> bool {
        self.names.iter().any(|name| name == key) || self.beginnings.iter().any(|beginning| key.starts_with(beginning))
    }

    /// The SQL condition that a column's value is in the set.
    pub fn condition(&self, column: &str) -> String {
        let names = self.names.iter().map(|key| literal(key)).collect::<Vec<_>>().join(", ");
        let names = (!names.is_empty()).then(|| format!("{column} in ({names})"));
        let beginnings =
            self.beginnings.iter().map(|beginning| format!("starts_with({column}, {})", literal(beginning)));
        names.into_iter().chain(beginnings).collect::<Vec<_>>().join(" or ")
    }

    fn join(&mut self, more: Self) {
        for (own, more) in [(&mut self.names, more.names), (&mut self.beginnings, more.beginnings)] {
            for key in more {
                if !own.contains(&key) {
                    own.push(key);
                }
            }
        }
    }
}

/// A field and the part of it that a mask reaches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MaskPath {
    /// The field's place in [`Resource::fields`].
    pub field: usize,
    /// The part of the field.
    pub reach: Reach,
}

impl MaskPath {
    /// Every field.
    pub fn all(resource: &Resource) -> Vec<Self> {
        (0..resource.fields.len()).map(|field| Self { field, reach: Reach::Whole }).collect()
    }

    /// These fields, whole.
    ///
    /// # Errors
    /// Which name is none of a field: a mistake in the program.
    pub fn of(resource: &Resource, names: &[&str]) -> Result<Vec<Self>, String> {
        let mut paths = Vec::with_capacity(names.len());
        for name in names {
            let field = resource.fields.iter().position(|field| field.name == *name);
            let field = field.ok_or_else(|| format!("{} has no field {name}", resource.description.message))?;
            paths.push(Self { field, reach: Reach::Whole });
        }
        paths.sort_by_key(|path| path.field);
        Ok(paths)
    }
}

/// Reads a read_mask. `None` and an empty mask mean every field; so does `*`.
///
/// # Errors
/// A path that names no field; its violation is for `argument`.
pub fn read_mask(resource: &Resource, mask: Option<&FieldMask>, argument: &str) -> Result<Vec<MaskPath>, Violation> {
    match mask {
        None => Ok(MaskPath::all(resource)),
        Some(mask) if mask.paths.is_empty() || mask.paths == ["*"] => Ok(MaskPath::all(resource)),
        Some(mask) => mask_paths(resource, &mask.paths, argument, |_| Ok(())),
    }
}

/// Which fields of existing rows a write overwrites.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UpdateMask {
    /// The fields that are set in the row.
    Populated,
    /// These paths. A field that is unset in the row is cleared.
    Paths(Vec<MaskPath>),
    /// These paths, if they are set in the row. A key of an object that a path names and the row leaves out is still
    /// removed, since the row states which keys the object has.
    Within(Vec<MaskPath>),
}

impl UpdateMask {
    /// Whether a field that is unset in a row stays as it is stored.
    pub fn keeps_unset(&self) -> bool {
        !matches!(self, Self::Paths(_))
    }

    /// The paths; `None` if the mask is the fields that are set.
    pub fn paths(&self) -> Option<&[MaskPath]> {
        match self {
            Self::Populated => None,
            Self::Paths(paths) | Self::Within(paths) => Some(paths),
        }
    }

    /// The same mask, but fields that are unset in a row keep their stored values.
    #[must_use]
    pub fn keeping_unset(self) -> Self {
        match self {
            Self::Paths(paths) => Self::Within(paths),
            other => other,
        }
    }
}

/// Reads an update_mask. `None` and an empty mask mean the fields that are set; `*` means every field.
///
/// # Errors
/// A path that names no field or one that cannot be written; its violation is for `argument`.
pub fn update_mask(resource: &Resource, mask: Option<&FieldMask>, argument: &str) -> Result<UpdateMask, Violation> {
    match mask {
        None => Ok(UpdateMask::Populated),
        Some(mask) if mask.paths.is_empty() => Ok(UpdateMask::Populated),
        Some(mask) if mask.paths == ["*"] => {
            let mutable = (0..resource.fields.len()).filter(|&field| resource.fields[field].is_mutable());
            let reach = |field: usize| match resource.fields[field].kind.payload() {
                Some(payload) => Reach::Keys(payload.every_member()),
                None => Reach::Whole,
            };
            Ok(UpdateMask::Paths(mutable.map(|field| MaskPath { field, reach: reach(field) }).collect()))
        }
        Some(mask) => mask_paths(resource, &mask.paths, argument, |field| {
            if field.is_mutable() {
                Ok(())
            } else if field.key {
                Err("names the resource and cannot be changed")
            } else {
                Err("is output only")
            }
        })
        .map(UpdateMask::Paths),
    }
}

fn mask_paths(
    resource: &Resource,
    paths: &[String],
    argument: &str,
    permitted: impl Fn(&Field) -> Result<(), &'static str>,
) -> Result<Vec<MaskPath>, Violation> {
    if paths.len() > MAX_PATHS {
        return Err(Violation::new(argument, format!("has more than {MAX_PATHS} paths")));
    }
    let mut found: Vec<MaskPath> = Vec::new();
    for path in paths {
        let refuse = |why: &str| Violation::new(argument, format!("path {path:?} {why}"));
        let (name, inner) = path.split_once('.').map_or((path.as_str(), None), |(name, inner)| (name, Some(inner)));
        let Some(field) = resource.fields.iter().position(|field| field.contract_names().any(|own| own == name)) else {
            let known = resource.contract_names().join(", ");
            return Err(refuse(&format!("names no field; there are {known}")));
        };
        permitted(&resource.fields[field]).map_err(refuse)?;
        let reach = match (inner, resource.fields[field].child_table()) {
            _ if let Some(members) = resource.fields[field].members() => {
                if let Some(field) = inner.and_then(|inner| members.inner(name, inner)) {
                    permitted(field).map_err(refuse)?;
                }
                members.reach(name, inner).map_err(|why| refuse(&why))?
            }
            (None, _) => Reach::Whole,
            (Some(inner), None) => resource.fields[field].kind.reach(inner).map_err(refuse)?,
            (Some(column), Some(nth)) if resource.child_tables[nth].single => {
                let child = resource.child_tables[nth].resource;
                let Some(field) = child.fields.iter().skip(1).find(|field| field.name == column) else {
                    let known: Vec<&str> = child.fields.iter().skip(1).map(|field| field.name).collect();
                    return Err(refuse(&format!("names no field of {name}; there are {}", known.join(", "))));
                };
                permitted(field).map_err(refuse)?;
                Reach::Keys(KeySet::one(field.name))
            }
            (Some(_), Some(_)) => return Err(refuse(&format!("goes into {name}, which is reached as a whole"))),
        };
        match found.iter_mut().find(|path| path.field == field) {
            Some(earlier) => earlier.reach = union(std::mem::replace(&mut earlier.reach, Reach::Whole), reach),
            None => found.push(MaskPath { field, reach }),
        }
    }
    found.sort_by_key(|path| path.field);
    Ok(found)
}

fn union(a: Reach, b: Reach) -> Reach {
    match (a, b) {
        (Reach::Keys(mut keys), Reach::Keys(more)) => {
            keys.join(more);
            Reach::Keys(keys)
        }
        (Reach::Details { phase }, Reach::Keys(keys)) | (Reach::Keys(keys), Reach::Details { phase }) => {
            Reach::Details { phase: phase || keys.contain("phase") }
        }
        (Reach::Details { phase: a }, Reach::Details { phase: b }) => Reach::Details { phase: a || b },
        (Reach::Whole, _) | (_, Reach::Whole) => Reach::Whole,
    }
}
