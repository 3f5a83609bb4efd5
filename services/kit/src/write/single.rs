//! Create and update of one resource. They use the statements of the chunked write with a batch of one row, and read
//! back within the transaction what they return.

use bytes::Bytes;
use futures::future::BoxFuture;
use orrery_proto::r#type::v1::{ReferenceCheck, WriteMode};
use prost_types::FieldMask;
use xxhash_rust::xxh3::xxh3_64;

use super::locked::Locked;
use super::references::{Pointless, pointing_nowhere, points_elsewhere};
use super::request_id::Entry;
use super::returned::{Written, read_masked, returning};
use super::start::check_id;
use super::statement::WriteStatement;
use crate::answer::AnswerLimit;
use crate::context::Context;
use crate::db::{Ending, Transaction};
use crate::deadline::Deadline;
use crate::error::{Error, Violation};
use crate::read::extent::Extent;
use crate::resource::decode::{Decoded, Keys};
use crate::resource::document::phase;
use crate::resource::mask::{Reach, Reached, UpdateMask, update_mask};
use crate::resource::tuple::Columns;
use crate::resource::{Kind, Resource};
use crate::work;

/// A create.
#[derive(Debug)]
pub struct CreateRequest<'a> {
    /// The encoded message; `None` if the caller sent none.
    pub message: Option<Bytes>,
    /// The message's field in the request, for violations.
    pub field: &'static str,
    /// Makes a retry safe; may be empty.
    pub request_id: &'a str,
    /// Whether what it points at must exist; by default it must.
    pub references: i32,
    /// Until when.
    pub deadline: Deadline,
    /// How large the answer may be.
    pub answers: AnswerLimit,
    /// Which fields are returned.
    pub returned: Vec<Reached>,
}

/// An update.
#[derive(Debug)]
pub struct UpdateRequest<'a> {
    /// The encoded message; `None` if the caller sent none.
    pub message: Option<Bytes>,
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
    /// How large the answer may be.
    pub answers: AnswerLimit,
    /// Which fields are returned.
    pub returned: Vec<Reached>,
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

async fn decode(
    resource: &'static Resource,
    message: Option<Bytes>,
    field: &'static str,
    keys: Keys,
    update: Option<&UpdateMask>,
) -> Result<Incoming, Error> {
    let message = message.ok_or_else(|| Error::invalid(field, "is required"))?;
    let update = update.cloned();
    work::apart(message.len(), move || {
        let mut tuple = Vec::new();
        let decoded = resource.decode(&message, keys, update.as_ref(), &mut tuple).map_err(|violations| {
            Error::Invalid(violations.into_iter().map(|violation| violation.within(field)).collect())
        })?;
        let uid = Columns::new(&tuple).next().flatten().unwrap_or_default();
        let uid = String::from_utf8_lossy(uid).into_owned();
        Ok(Incoming { tuple, uid, decoded })
    })
    .await?
}

/// Creates one resource and returns it, as far as it fits. What an earlier call of the same request_id created is
/// returned instead, whatever became of what it points at.
///
/// # Errors
/// [`Error::Invalid`], [`Error::AlreadyExists`], [`Error::ReferenceMissing`]; [`Error::WriteMismatch`] for a request_id
/// that was used with other content, [`Error::CreatedAndDeleted`] for one whose resource is gone.
pub fn create<'a>(
    context: &'a Context,
    resource: &'static Resource,
    request: CreateRequest<'a>,
) -> BoxFuture<'a, Result<Written, Error>> {
    Box::pin(create_row(context, resource, request))
}

async fn create_row(
    context: &Context,
    resource: &'static Resource,
    request: CreateRequest<'_>,
) -> Result<Written, Error> {
    let CreateRequest { message, field, request_id, references, deadline, answers, returned } = request;
    check_id(request_id).map_err(|why| Error::invalid("request_id", why))?;
    let incoming = decode(resource, message, field, Keys::NewOrMade, None).await?;
    if !incoming.decoded.precondition.etag.is_empty() {
        return Err(Error::invalid(format!("{field}.etag"), "must be unset: what is new has none yet"));
    }
    if incoming.decoded.precondition.revision != 0 {
        return Err(Error::invalid(format!("{field}.revision"), "must be unset: what is new has none yet"));
    }
    let entry = Entry::of(context, "create", resource, request_id, incoming.digest());
    let Incoming { tuple, uid, .. } = incoming;
    let phase = phase_asked_for(resource, &tuple, &UpdateMask::Populated);
    check_phase(resource, &uid, phase.as_deref(), None)?;
    let creation = Creation { context, resource, entry, tuple, uid, deadline, answers, returned };
    let checks = checks_references(references)?;
    // A retry is recognised before it is judged by what others may have changed meanwhile.
    if checks && let Some(made) = creation.made_before().await? {
        return Ok(made);
    }
    if checks && let Err(refused) = check_references(context, resource, field, &creation.tuple, deadline).await {
        return creation.made_meanwhile(refused).await;
    }
    let uid = creation.uid.clone();
    creation.run().await.map_err(|error| error.of_refused_row(resource, &uid, field))
}

/// A create that is well-formed.
struct Creation<'a> {
    context: &'a Context,
    resource: &'static Resource,
    entry: Option<Entry>,
    tuple: Vec<u8>,
    uid: String,
    deadline: Deadline,
    answers: AnswerLimit,
    returned: Vec<Reached>,
}

impl Creation<'_> {
    /// What an earlier call of the same request_id made, if that call has ended and this one asks another slice before
    /// its transaction: in the transaction the ledger is looked at anyway.
    async fn made_before(&self) -> Result<Option<Written>, Error> {
        match &self.entry {
            Some(entry)
                if points_elsewhere(self.resource, &self.tuple)
                    && entry.is_known(self.context, self.deadline).await? =>
            {
                self.made().await
            }
            _ => Ok(None),
        }
    }

    /// What an earlier call of the same request_id has made while this one was being refused; else the refusal.
    async fn made_meanwhile(&self, refused: Error) -> Result<Written, Error> {
        if self.entry.is_none() {
            return Err(refused);
        }
        match self.made().await {
            Ok(Some(made)) => Ok(made),
            Err(error @ (Error::WriteMismatch(..) | Error::CreatedAndDeleted { .. })) => Err(error),
            Ok(None) | Err(_) => Err(refused),
        }
    }

    /// What an earlier call of the same request_id made. Waits for one that is at it.
    async fn made(&self) -> Result<Option<Written>, Error> {
        let (resource, deadline, answers) = (self.resource, self.deadline, self.answers);
        let made = returning(deadline, |extent| {
            let (entry, uid, returned) = (self.entry.clone(), self.uid.clone(), self.returned.clone());
            self.context.database.transaction(deadline, move |transaction| {
                Box::pin(async move {
                    let made = match entry {
                        Some(entry) => entry.enter(transaction, &uid).await?,
                        None => None,
                    };
                    let made = made.ok_or(Error::NotFound { resource: resource.description.message, name: uid })?;
                    Ok(Ending::RollBack(read_made(transaction, resource, &returned, &made, answers, extent).await?))
                })
            })
        });
        match made.await {
            Err(Error::NotFound { .. }) => Ok(None),
            made => made.map(Some),
        }
    }

    async fn run(self) -> Result<Written, Error> {
        let Self { context, resource, entry, tuple, uid, deadline, answers, returned } = self;
        let statement = WriteStatement::new(resource, WriteMode::Create, &UpdateMask::Populated);
        returning(deadline, |extent| {
            let (statement, tuple, uid, entry) = (statement.clone(), tuple.clone(), uid.clone(), entry.clone());
            let returned = returned.clone();
            context.database.transaction(deadline, move |transaction| {
                Box::pin(async move {
                    if let Some(entry) = entry
                        && let Some(made) = entry.enter(transaction, &uid).await?
                    {
                        return Ok(Ending::RollBack(
                            read_made(transaction, resource, &returned, &made, answers, extent).await?,
                        ));
                    }
                    let written = statement.run(transaction, &[&tuple]).await?;
                    if written.created == 0 {
                        return Err(Error::AlreadyExists { resource: resource.description.message, name: uid });
                    }
                    Ok(Ending::Commit(read_masked(transaction, resource, &returned, &uid, answers, extent).await?))
                })
            })
        })
        .await
    }
}

/// What an earlier call made, as it stands now.
async fn read_made(
    transaction: &mut Transaction<'_>,
    resource: &'static Resource,
    returned: &[Reached],
    uid: &str,
    answers: AnswerLimit,
    extent: Extent,
) -> Result<Written, Error> {
    read_masked(transaction, resource, returned, uid, answers, extent).await.map_err(|error| match error {
        Error::NotFound { resource, name } => Error::CreatedAndDeleted { resource, name },
        error => error,
    })
}

/// Whether a single write checks that what it points at exists.
fn checks_references(check: i32) -> Result<bool, Error> {
    match ReferenceCheck::try_from(check) {
        Err(_) => Err(Error::invalid("reference_check", "is no ReferenceCheck")),
        Ok(ReferenceCheck::Accept) => Ok(false),
        Ok(ReferenceCheck::Reject | ReferenceCheck::Unspecified) => Ok(true),
    }
}

/// Checks that what the resource points at in another slice exists.
async fn check_references(
    context: &Context,
    resource: &'static Resource,
    field: &str,
    tuple: &[u8],
    deadline: Deadline,
) -> Result<(), Error> {
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

/// Changes one resource and returns it, as far as it fits.
///
/// # Errors
/// [`Error::Invalid`], [`Error::NotFound`], [`Error::EtagMismatch`].
pub fn update<'a>(
    context: &'a Context,
    resource: &'static Resource,
    request: UpdateRequest<'a>,
) -> BoxFuture<'a, Result<Written, Error>> {
    Box::pin(update_row(context, resource, request))
}

async fn update_row(
    context: &Context,
    resource: &'static Resource,
    request: UpdateRequest<'_>,
) -> Result<Written, Error> {
    let UpdateRequest { message, field, mask, allow_missing, references, deadline, answers, returned } = request;
    let mask = update_mask(resource, mask, "update_mask").map_err(|violation| Error::Invalid(vec![violation]))?;
    let Incoming { tuple, uid, decoded: Decoded { precondition, .. } } =
        decode(resource, message, field, Keys::Any, (!allow_missing).then_some(&mask)).await?;
    if checks_references(references)? {
        check_references(context, resource, field, &tuple, deadline).await?;
    }
    let phase = phase_asked_for(resource, &tuple, &mask);
    let mode = if allow_missing { WriteMode::Upsert } else { WriteMode::Update };
    let statement = WriteStatement::new(resource, mode, &mask);
    let updated = returning(deadline, |extent| {
        let (statement, tuple, uid) = (statement.clone(), tuple.clone(), uid.clone());
        let (precondition, phase, returned) = (precondition.clone(), phase.clone(), returned.clone());
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
                Ok(Ending::Commit(read_masked(transaction, resource, &returned, &uid, answers, extent).await?))
            })
        })
    });
    updated.await.map_err(|error| error.of_refused_row(resource, &uid, field))
}
