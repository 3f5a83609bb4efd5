//! Create and update of one resource. They use the statements of the chunked write with a batch of one row, and read
//! back within the transaction what they return.

use orrery_proto::r#type::v1::{ReferenceCheck, WriteMode};
use orrery_proto::wire::Encoded;
use prost_types::FieldMask;
use sqlx::Row as _;
use xxhash_rust::xxh3::xxh3_64;

use super::attempts::retried;
use super::locked::{Locked, read_back};
use super::references::{Pointless, pointing_nowhere};
use super::start::check_id;
use super::statement::WriteStatement;
use crate::context::Context;
use crate::db::{Ending, Statement, Transaction};
use crate::deadline::Deadline;
use crate::error::{Error, Violation};
use crate::resource::decode::{Decoded, EmptyUid};
use crate::resource::document::phase;
use crate::resource::mask::{Reach, UpdateMask, update_mask};
use crate::resource::tuple::Columns;
use crate::resource::{Kind, Resource};

/// A create.
#[derive(Debug)]
pub struct CreateRequest<'a> {
    /// The encoded message; `None` if the caller sent none.
    pub message: Option<Vec<u8>>,
    /// The message's field in the request, for violations.
    pub field: &'static str,
    /// Makes a retry safe; may be empty.
    pub request_id: &'a str,
    /// Whether what it points at must exist; by default it must.
    pub references: i32,
    /// Until when.
    pub deadline: Deadline,
}

/// An update.
#[derive(Debug)]
pub struct UpdateRequest<'a> {
    /// The encoded message; `None` if the caller sent none.
    pub message: Option<Vec<u8>>,
    /// The message's field in the request, for violations.
    pub field: &'static str,
    /// Which fields to change.
    pub mask: Option<&'a FieldMask>,
    /// Whether a missing one is created.
    pub allow_missing: bool,
    /// Whether what it points at must exist; by default it must.
    pub references: i32,
    /// Until when.
    pub deadline: Deadline,
}

/// One row on its way in.
struct Incoming {
    tuple: Vec<u8>,
    uid: String,
    decoded: Decoded,
}

impl Incoming {
    /// A hash of what the caller said, however it was encoded and without a uid that was made for it.
    fn digest(&self) -> String {
        let mut said = Columns::new(&self.tuple);
        if self.decoded.made_uid {
            said.next();
        }
        format!("{:016x}", xxh3_64(said.rest()))
    }
}

fn decode(
    resource: &Resource,
    message: Option<&[u8]>,
    field: &'static str,
    empty_uid: EmptyUid,
    update: Option<&UpdateMask>,
) -> Result<Incoming, Error> {
    let message = message.ok_or_else(|| Error::invalid(field, "is required"))?;
    let mut tuple = Vec::new();
    let decoded = resource.decode(message, empty_uid, update, &mut tuple).map_err(|violations| {
        Error::Invalid(violations.into_iter().map(|violation| violation.within(field)).collect())
    })?;
    let uid = Columns::new(&tuple).next().flatten().unwrap_or_default();
    let uid = String::from_utf8_lossy(uid).into_owned();
    Ok(Incoming { tuple, uid, decoded })
}

/// Creates one resource and returns it.
///
/// # Errors
/// [`Error::Invalid`], [`Error::AlreadyExists`], [`Error::WriteMismatch`] for a request_id that was used with other content.
pub async fn create(
    context: &Context,
    resource: &'static Resource,
    request: CreateRequest<'_>,
) -> Result<Encoded, Error> {
    let CreateRequest { message, field, request_id, deadline, .. } = request;
    check_id(request_id).map_err(|why| Error::invalid("request_id", why))?;
    let incoming = decode(resource, message.as_deref(), field, EmptyUid::Make, None)?;
    if !incoming.decoded.precondition.etag.is_empty() {
        return Err(Error::invalid(format!("{field}.etag"), "must be unset: what is new has none yet"));
    }
    if incoming.decoded.precondition.revision != 0 {
        return Err(Error::invalid(format!("{field}.revision"), "must be unset: what is new has none yet"));
    }
    let digest = incoming.digest();
    let Incoming { tuple, uid, .. } = incoming;
    let phase = phase_asked_for(resource, &tuple, &UpdateMask::Populated);
    check_phase(resource, &uid, phase.as_deref(), None)?;
    check_references(context, resource, field, request.references, &tuple, deadline).await?;
    let statement = WriteStatement::new(resource, WriteMode::Create, &UpdateMask::Populated);
    retried(deadline, || {
        let (statement, tuple, uid) = (statement.clone(), tuple.clone(), uid.clone());
        let (schema, request_id, digest) = (context.schema, request_id.to_owned(), digest.clone());
        context.database.transaction(deadline, move |transaction| {
            Box::pin(async move {
                if !request_id.is_empty()
                    && let Some(made) = made_before(transaction, schema, resource, &request_id, &digest, &uid).await?
                {
                    return Ok(Ending::RollBack(read_back(transaction, resource, &made).await?));
                }
                let written = statement.run(transaction, &[&tuple]).await?;
                if written.created == 0 {
                    return Err(Error::AlreadyExists { resource: resource.description.message, name: uid });
                }
                Ok(Ending::Commit(read_back(transaction, resource, &uid).await?))
            })
        })
    })
    .await
}

/// Enters a request into the ledger, or returns the uid that an earlier one of the same id and content made.
async fn made_before(
    transaction: &mut Transaction<'_>,
    schema: &str,
    resource: &Resource,
    request_id: &str,
    content: &str,
    uid: &str,
) -> Result<Option<String>, Error> {
    let name = format!("create {}", resource.description.message);
    let enter = Statement::new(
        format!(
            "insert into {schema}.write_session (resource, write_id, parameters) \
             values ($1, $2, jsonb_build_object('content', $3::text, 'uid', $4::text)) \
             on conflict (resource, write_id) do nothing returning 1"
        ),
        1,
    )
    .bind(&name)?
    .bind(request_id)?
    .bind(content)?
    .bind(uid)?;
    if !transaction.fetch(enter).await?.is_empty() {
        return Ok(None);
    }
    let select = Statement::new(
        format!(
            "select parameters ->> 'content', parameters ->> 'uid' from {schema}.write_session \
             where resource = $1 and write_id = $2"
        ),
        1,
    )
    .bind(&name)?
    .bind(request_id)?;
    let rows = transaction.fetch(select).await?;
    let row = rows.first().ok_or(Error::TransactionConflict(sqlx::Error::RowNotFound))?;
    if row.try_get::<String, _>(0)? != content {
        return Err(Error::WriteMismatch("request_id", "content"));
    }
    Ok(Some(row.try_get(1)?))
}

/// Checks that what the resource points at in another slice exists.
async fn check_references(
    context: &Context,
    resource: &'static Resource,
    field: &str,
    check: i32,
    tuple: &[u8],
    deadline: Deadline,
) -> Result<(), Error> {
    match ReferenceCheck::try_from(check) {
        Err(_) => return Err(Error::invalid("reference_check", "is no ReferenceCheck")),
        Ok(ReferenceCheck::Accept) => return Ok(()),
        Ok(ReferenceCheck::Reject | ReferenceCheck::Unspecified) => {}
    }
    let pointless = pointing_nowhere(context, resource, &[tuple], deadline).await?;
    pointless.into_iter().next().map_or(Ok(()), |Pointless { path, target, .. }| {
        let violation = Violation::new(format!("{field}.{path}"), format!("{target} does not exist"));
        Err(Error::ReferenceMissing(violation))
    })
}

/// The phase that a write of a resource with a lifecycle would give to the stored row; `None` if it leaves it.
fn phase_asked_for(resource: &Resource, tuple: &[u8], mask: &UpdateMask) -> Option<String> {
    let lifecycle = resource.lifecycle()?;
    let field = resource.fields.iter().position(|field| matches!(field.kind, Kind::Status { .. }))?;
    let said = resource
        .input_position(resource.fields[field].name)
        .and_then(|place| Columns::new(tuple).nth(place).flatten())
        .and_then(phase);
    let reached = match mask.paths() {
        None => true,
        Some(paths) => match paths.iter().find(|path| path.field == field).map(|path| &path.reach)? {
            Reach::Whole => true,
            Reach::Details { phase } => *phase,
            Reach::Keys(keys) => keys.contain("phase"),
        },
    };
    let cleared = reached && !mask.keeps_unset();
    said.or_else(|| cleared.then(|| lifecycle.initial.to_owned()))
}

/// Refuses a single write that would move a resource along its lifecycle, or create it elsewhere than at the beginning.
fn check_phase(resource: &Resource, uid: &str, asked: Option<&str>, stored: Option<&str>) -> Result<(), Error> {
    let (Some(lifecycle), Some(asked)) = (resource.lifecycle(), asked) else { return Ok(()) };
    let present = stored.unwrap_or(lifecycle.initial);
    if asked == present {
        return Ok(());
    }
    let (name, from, to) = (uid.to_owned(), present.to_owned(), asked.to_owned());
    Err(Error::PhaseForbids { resource: resource.description.message, name, from, to })
}

/// Changes one resource and returns it.
///
/// # Errors
/// [`Error::Invalid`], [`Error::NotFound`], [`Error::EtagMismatch`].
pub async fn update(
    context: &Context,
    resource: &'static Resource,
    request: UpdateRequest<'_>,
) -> Result<Encoded, Error> {
    let UpdateRequest { message, field, mask, allow_missing, references, deadline } = request;
    let mask = update_mask(resource, mask, "update_mask").map_err(|violation| Error::Invalid(vec![violation]))?;
    let Incoming { tuple, uid, decoded: Decoded { precondition, .. } } =
        decode(resource, message.as_deref(), field, EmptyUid::Refuse, (!allow_missing).then_some(&mask))?;
    check_references(context, resource, field, references, &tuple, deadline).await?;
    let phase = phase_asked_for(resource, &tuple, &mask);
    let mode = if allow_missing { WriteMode::Upsert } else { WriteMode::Update };
    let statement = WriteStatement::new(resource, mode, &mask);
    retried(deadline, || {
        let (statement, tuple, uid) = (statement.clone(), tuple.clone(), uid.clone());
        let (precondition, phase) = (precondition.clone(), phase.clone());
        context.database.transaction(deadline, move |transaction| {
            Box::pin(async move {
                if !precondition.is_none() || phase.is_some() {
                    match Locked::of(transaction, resource, &uid).await? {
                        Some(stored) => {
                            stored.check(resource, &uid, &precondition)?;
                            check_phase(resource, &uid, phase.as_deref(), Some(&stored.phase))?;
                        }
                        None if !allow_missing => {
                            return Err(Error::NotFound { resource: resource.description.message, name: uid });
                        }
                        None => {
                            Locked::default().check(resource, &uid, &precondition)?;
                            check_phase(resource, &uid, phase.as_deref(), None)?;
                        }
                    }
                }
                let written = statement.run(transaction, &[&tuple]).await?;
                if let Some((_, violation)) = written.broken.into_iter().next() {
                    return Err(Error::Invalid(vec![violation.within(field)]));
                }
                if !written.refused.is_empty() {
                    return Err(Error::NotFound { resource: resource.description.message, name: uid });
                }
                Ok(Ending::Commit(read_back(transaction, resource, &uid).await?))
            })
        })
    })
    .await
}
