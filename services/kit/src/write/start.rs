//! The first message of a chunked write: what holds for the whole stream.

use orrery_proto::r#type::v1::{ReferenceCheck, RowErrorPolicy, WriteMode, WriteStart};

use super::commit::{LOCKED_AT_ONCE, Writer};
use super::statement::WriteStatement;
use crate::context::Context;
use crate::db::PageRows;
use crate::error::{Error, Violation};
use crate::resource::Resource;
use crate::resource::mask::update_mask;

/// Most bytes of a write_id or request_id.
const MAX_ID_BYTES: usize = 128;

/// What writes the rows of a stream that begins so.
///
/// # Errors
/// [`Error::Invalid`] with every field that breaks a rule, below `start`.
pub(super) fn writer(context: &Context, resource: &'static Resource, start: &WriteStart) -> Result<Writer, Error> {
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
    let mask = update_mask(resource, start.update_mask.as_ref(), "start.update_mask");
    let mask = mask.map(|mask| if start.keep_unset { mask.keeping_unset() } else { mask });
    match mask {
        Ok(mask) if violations.is_empty() => {
            let mode = if mode == WriteMode::Unspecified { WriteMode::Upsert } else { mode };
            Ok(Writer {
                resource,
                mode,
                statement: WriteStatement::new(resource, mode, &mask),
                update: (mode == WriteMode::Update).then_some(mask),
                policy: if policy == RowErrorPolicy::Unspecified { RowErrorPolicy::Stop } else { policy },
                references: if references == ReferenceCheck::Unspecified { ReferenceCheck::Accept } else { references },
                validate_only: start.validate_only,
                statement_rows: context.stream.write_batch_rows,
                statement_bytes: context.stream.write_batch_bytes,
                locked_at_once: PageRows::new(LOCKED_AT_ONCE),
            })
        }
        Ok(_) => Err(Error::Invalid(violations)),
        Err(violation) => {
            violations.push(violation);
            Err(Error::Invalid(violations))
        }
    }
}

/// Whether a text names a write or a request; an empty one names none. Clients ask this before they send one.
///
/// # Errors
/// What it must be, in words that follow the field's name.
pub fn check_id(id: &str) -> Result<(), String> {
    if id.len() > MAX_ID_BYTES || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("must be at most {MAX_ID_BYTES} printable ASCII characters without spaces"));
    }
    Ok(())
}
