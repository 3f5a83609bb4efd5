//! The first message of a chunked write: the settings of the whole stream.

use orrery_proto::r#type::v1::{ReferenceCheck, RowErrorPolicy, WriteMode, WriteStart};

use super::commit::ChunkWriter;
use super::new_rows::NewRows;
use super::replace::OwnerReplacement;
use super::statement::BatchWriter;
use crate::context::Writes;
use crate::error::{Error, Violation};
use crate::resource::Resource;
use crate::resource::batch::Origin;
use crate::resource::mask::{UpdateMask, update_mask};

/// Most bytes of a write_id or request_id.
pub const MAX_ID_BYTES: usize = 128;

/// The settings of a stream with this first message.
///
/// # Errors
/// [`Error::Invalid`] with every field that breaks a rule, below `start`.
pub(super) fn writer(context: &Writes, resource: &'static Resource, start: &WriteStart) -> Result<ChunkWriter, Error> {
    let mut violations = Vec::new();
    let mode = WriteMode::try_from(start.mode).unwrap_or_else(|_| {
        violations.push(Violation::new("start.mode", "is no WriteMode"));
        WriteMode::Unspecified
    });
    let policy = RowErrorPolicy::try_from(start.on_row_error).unwrap_or_else(|_| {
        violations.push(Violation::new("start.on_row_error", "is no RowErrorPolicy"));
        RowErrorPolicy::Unspecified
    });
    let references = ReferenceCheck::try_from(start.reference_check).unwrap_or_else(|_| {
        violations.push(Violation::new("start.reference_check", "is no ReferenceCheck"));
        ReferenceCheck::Unspecified
    });
    if let Err(why) = check_id(&start.write_id) {
        violations.push(Violation::new("start.write_id", why));
    }
    if mode == WriteMode::Replace && resource.owner_length() == 0 {
        let why = format!("must not be WRITE_MODE_REPLACE: the rows of {} have no owner", resource.description.message);
        violations.push(Violation::new("start.mode", why));
    }
    let deletes = mode == WriteMode::Delete;
    if deletes && start.update_mask.as_ref().is_some_and(|mask| !mask.paths.is_empty()) {
        violations.push(Violation::new("start.update_mask", "must be unset: a delete takes whole rows"));
    }
    let mask = update_mask(resource, start.update_mask.as_ref(), "start.update_mask");
    // If rows are deleted, only their keys are read.
    let mask = mask.map(|mask| match mask {
        _ if deletes => UpdateMask::Paths(Vec::new()),
        mask if start.keep_unset => mask.keeping_unset(),
        mask => mask,
    });
    match mask {
        Ok(mask) if violations.is_empty() => {
            let mode = if mode == WriteMode::Unspecified { WriteMode::Upsert } else { mode };
            let references =
                if references == ReferenceCheck::Unspecified { ReferenceCheck::Accept } else { references };
            Ok(ChunkWriter {
                resource,
                mode,
                update: (mode == WriteMode::Update || deletes).then(|| mask.clone()),
                batches: BatchWriter::new(resource, Origin::Chunked, mode, mask, references),
                replacement: (mode == WriteMode::Replace).then(|| OwnerReplacement::new(resource)),
                policy: if policy == RowErrorPolicy::Unspecified { RowErrorPolicy::Stop } else { policy },
                references,
                validate_only: start.validate_only,
                statement_rows: context.stream.write_batch_rows,
                statement_bytes: context.stream.write_batch_bytes,
                new_rows: NewRows::default(),
            })
        }
        Ok(_) => Err(Error::Invalid(violations)),
        Err(violation) => {
            violations.push(violation);
            Err(Error::Invalid(violations))
        }
    }
}

/// Whether a text may be a write_id or a request_id: at most [`MAX_ID_BYTES`] characters, each from `!` (0x21) to `~`
/// (0x7E). The services check every one with this; a client that checks before it calls uses this too.
///
/// An empty text passes: in a request it stands for no id.
///
/// # Errors
/// The reason if not: the end of a sentence that begins with the field's name.
pub fn check_id(id: &str) -> Result<(), String> {
    if id.len() > MAX_ID_BYTES || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("must be 1 to {MAX_ID_BYTES} ASCII characters from \"!\" to \"~\", without spaces"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MAX_ID_BYTES, check_id};

    #[test]
    fn ids_are_visible_ascii_up_to_their_length() {
        let (longest, longer) = ("x".repeat(MAX_ID_BYTES), "x".repeat(MAX_ID_BYTES + 1));
        for id in ["", "!", "~", "nightly", "2026-11-28T06:30:00+01:00/products#1", "{\"a\"}", &longest] {
            assert_eq!(check_id(id), Ok(()), "{id}");
        }
        for id in [" ", "a b", "a ", "\t", "line\n", "\0", "\u{7f}", "é", "a\u{a0}b", &longer] {
            assert!(check_id(id).is_err(), "{id:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(id in "[!-~]{0,130}|\\PC{0,40}") {
            let plain = id.chars().count() <= MAX_ID_BYTES && id.chars().all(|c| ('!'..='~').contains(&c));
            prop_assert_eq!(check_id(&id).is_ok(), plain);
        }
    }
}
