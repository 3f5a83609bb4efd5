//! Shared by kinds with a `google.protobuf.Struct` in a `jsonb` column: how a value is checked, and how masks name its
//! keys.

use orrery_proto::nesting::path_below;

use crate::error::Violation;
use crate::resource::mask::{KeySet, Reach};
use crate::resource::structure::{MAX_DEPTH_IN, ObjectValue, StructError, read_entries};

/// Most bytes of a key that a path names.
const MAX_KEY_BYTES: usize = 512;

/// The entries of an encoded Struct that is the value of `path`, sorted by key.
pub(super) fn struct_entries(
    path: impl FnOnce() -> String,
    bytes: &[u8],
) -> Result<Vec<(&str, ObjectValue<'_>)>, Violation> {
    read_entries(bytes).map_err(|error| refused(&path(), bytes, &error))
}

/// Why an encoded Struct that is the value of `path` cannot be stored.
pub(super) fn refused(path: &str, bytes: &[u8], error: &StructError) -> Violation {
    let below = if *error == StructError::TooDeep { path_below(bytes, MAX_DEPTH_IN) } else { None };
    let path = below.map_or_else(|| path.to_owned(), |below| format!("{path}.{below}"));
    Violation::new(path, error.description())
}

/// A key of a map or document in a path, or, with `*` at its end, every key with that prefix.
pub(super) fn key_reach(text: &str) -> Result<Reach, &'static str> {
    const NO_KEY: &str = "names no key";
    let Some(beginning) = text.strip_suffix('*') else {
        return Ok(Reach::Keys(KeySet::one(path_key(text).ok_or(NO_KEY)?)));
    };
    if beginning.ends_with('*') || beginning.contains('\0') {
        return Err(NO_KEY);
    }
    Ok(Reach::Keys(KeySet { names: Vec::new(), beginnings: vec![beginning.to_owned()] }))
}

/// A key in a path: as it is, or in backticks (AIP-161).
pub(super) fn path_key(text: &str) -> Option<String> {
    let key = text.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')).unwrap_or(text);
    let storable = !key.is_empty() && !key.contains('\0') && key.len() <= MAX_KEY_BYTES;
    storable.then(|| key.to_owned())
}
