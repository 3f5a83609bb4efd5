//! Creates and updates one row: a batch of one row, with the same checks as a chunked write. The answer is read within
//! the transaction.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::future::BoxFuture;
use orrery_proto::r#type::v1::{ReferenceCheck, WriteMode};
use orrery_proto::wire::Encoded;
use prost_types::FieldMask;
use xxhash_rust::xxh3::xxh3_64;

use super::references::{DanglingReference, missing_elsewhere, refers_elsewhere};
use super::request_id::LedgerEntry;
use super::returned::{read_masked, returning};
use super::start::check_id;
use super::statement::{BatchWriter, Incoming, Presence};
use super::unique::is_breach;
use crate::answer::{AnswerLimit, WrittenResource};
use crate::context::Writes;
use crate::db::{Begins, Transaction, TransactionEnd};
use crate::deadline::Deadline;
use crate::error::{Error, Violation};
use crate::read::extent::Extent;
use crate::resource::Resource;
use crate::resource::decode::{KeyPolicy, Precondition, RowExtras};
use crate::resource::key::Key;
use crate::resource::mask::{MaskPath, UpdateMask, update_mask};
use crate::resource::row::rows;
use crate::resource::select::{Selection, put_child};
use crate::resource::tuple::Columns;
use crate::resource::tuple::prefix;
use crate::work;

/// A request to create a row.
#[derive(Debug)]
pub struct CreateRequest<'a> {
    /// The encoded message; `None` if the caller sent none.
    pub message: Option<Bytes>,
    /// The message's field in the request, for violations.
    pub field: &'static str,
    /// Makes a retry safe; may be empty.
    pub request_id: &'a str,
    /// Whether the targets of its references must exist. By default they must.
    pub references: i32,
    /// The deadline.
    pub deadline: Deadline,
    /// The size limit of the answer.
    pub answers: AnswerLimit,
    /// The fields of the resource that are returned.
    pub returned: Vec<MaskPath>,
    /// What else the transaction does.
    pub completion: Option<Completion>,
}

/// A step that ends a create: it runs in the transaction, after the row is created. It may be called several times,
/// because the transaction is tried again after a conflict.
pub type CreateStep = Arc<dyn for<'t> Fn(&'t mut Transaction<'_>) -> BoxFuture<'t, Result<(), Error>> + Send + Sync>;

/// What a create does once the row is there.
pub struct Completion {
    /// The ledger entry that recognises a retry of the whole call, in place of a request_id.
    pub entry: LedgerEntry,
    /// The step. It is not called if the ledger has the entry already.
    pub step: CreateStep,
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").field("entry", &self.entry).finish_non_exhaustive()
    }
}

/// A request to update a row.
#[derive(Debug)]
pub struct UpdateRequest<'a> {
    /// The encoded message; `None` if the caller sent none.
    pub message: Option<Bytes>,
    /// The message's field in the request, for violations.
    pub field: &'static str,
    /// Which fields to change.
    pub mask: Option<&'a FieldMask>,
    /// Whether a missing resource is created.
    pub allow_missing: bool,
    /// Whether the targets of its references must exist. By default they must.
    pub references: i32,
    /// The deadline.
    pub deadline: Deadline,
    /// The size limit of the answer.
    pub answers: AnswerLimit,
    /// The fields of the resource that are returned.
    pub returned: Vec<MaskPath>,
}

/// A decoded row.
struct DecodedRow {
    tuple: Vec<u8>,
    key: Key,
    decoded: RowExtras,
    /// A hash of the row that the caller sent. It does not depend on the encoding, nor on a uid that was made for the
    /// row.
    digest: String,
}

async fn decode(
    resource: &'static Resource,
    message: Option<Bytes>,
    field: &'static str,
    keys: KeyPolicy,
    update: Option<&UpdateMask>,
) -> Result<DecodedRow, Error> {
    let message = message.ok_or_else(|| Error::invalid(field, "is required"))?;
    let update = update.cloned();
    work::offload(message.len(), move || {
        let invalid = |violations: Vec<Violation>| {
            Error::Invalid(violations.into_iter().map(|violation| violation.within(field)).collect())
        };
        let mut tuple = Vec::new();
        let decoded = resource.decode(&message, keys, update.as_ref(), &mut tuple).map_err(invalid)?;
        let mut sent = Columns::new(&tuple);
        if decoded.made_uid {
            sent.next();
        }
        let digest = format!("{:016x}", xxh3_64(sent.rest()));
        resource.check(&mut tuple, 0, update.as_ref()).map_err(invalid)?;
        let key = Key::of(resource, &tuple);
        Ok(DecodedRow { tuple, key, decoded, digest })
    })
    .await?
}

/// Checks a message that is to be created later, as far as that is possible without the database.
///
/// # Errors
/// [`Error::Invalid`] with the field, within `field`.
pub async fn check_new(resource: &'static Resource, message: Bytes, field: &'static str) -> Result<(), Error> {
    decode_new(resource, Some(message), field).await.map(drop)
}

async fn decode_new(
    resource: &'static Resource,
    message: Option<Bytes>,
    field: &'static str,
) -> Result<DecodedRow, Error> {
    let row = decode(resource, message, field, KeyPolicy::NewOrMade, None).await?;
    if !row.decoded.precondition.etag.is_empty() {
        return Err(Error::invalid(format!("{field}.etag"), "must be unset: what is new has none yet"));
    }
    if row.decoded.precondition.revision != 0 {
        return Err(Error::invalid(format!("{field}.revision"), "must be unset: what is new has none yet"));
    }
    Ok(row)
}

/// Creates one row and returns it, with as many fields as fit. If an earlier call had the same request_id, returns the
/// row that it created, even if the targets of its references are gone now.
///
/// # Errors [`Error::Invalid`], [`Error::AlreadyExists`], [`Error::ValueTaken`], [`Error::ReferenceMissing`];
/// [`Error::WriteMismatch`] for a request_id that was used with other content, [`Error::CreatedAndDeleted`] for one
/// whose resource is gone; what the resource's rules say.
pub fn create<'a>(
    context: &'a Writes,
    resource: &'static Resource,
    request: CreateRequest<'a>,
) -> BoxFuture<'a, Result<WrittenResource, Error>> {
    Box::pin(create_row(context, resource, request))
}

async fn create_row(
    context: &Writes,
    resource: &'static Resource,
    request: CreateRequest<'_>,
) -> Result<WrittenResource, Error> {
    let CreateRequest { message, field, request_id, references, deadline, answers, returned, completion } = request;
    check_id(request_id).map_err(|why| Error::invalid("request_id", why))?;
    let references = reference_check(references)?;
    let row = decode_new(resource, message, field).await?;
    let (entry, step) = match completion {
        Some(Completion { entry, step }) => (Some(entry), Some(step)),
        None => (LedgerEntry::of(context, "create", resource, request_id, row.digest), None),
    };
    let name = resource.name_of(row.key.tuple());
    let writer = context.writers.of(resource, WriteMode::Create, UpdateMask::Populated, references);
    let write = Arc::new(RowWrite {
        resource,
        field,
        writer,
        tuple: row.tuple,
        key: row.key,
        precondition: Precondition::default(),
        dangling: Vec::new(),
        answers,
        returned,
        at_once: AtomicBool::new(true),
    });
    let creation = Creation { context, entry, step, write, deadline };
    // A retry is recognised before the row is checked, because others may have changed data in the meantime.
    if references == ReferenceCheck::Reject
        && let Some(made) = creation.made_before().await?
    {
        return Ok(made);
    }
    creation.run(references).await.map_err(|error| error.of_refused_row(resource, &name, field))
}

/// A valid row, and how it is written.
struct RowWrite {
    resource: &'static Resource,
    /// The message's field in the request.
    field: &'static str,
    writer: Arc<BatchWriter>,
    tuple: Vec<u8>,
    key: Key,
    precondition: Precondition,
    /// Its references to missing rows of another slice.
    dangling: Vec<DanglingReference>,
    answers: AnswerLimit,
    returned: Vec<MaskPath>,
    /// Whether a single statement is tried: it was not tried yet, or did not fail.
    at_once: AtomicBool,
}

impl RowWrite {
    /// Writes the row and reads it back. The key is that of an existing row, if a rule put one in its place.
    async fn run(
        &self,
        transaction: &mut Transaction<'_>,
        extent: Extent,
    ) -> Result<(WrittenResource, Option<Key>), Error> {
        let incoming = Incoming { tuple: &self.tuple, precondition: &self.precondition, offset: 0, was_stored: false };
        if self.at_once.load(Ordering::Relaxed) && self.dangling.is_empty() {
            match self.write_at_once(transaction, &incoming, extent).await {
                Ok(Some(written)) => return Ok((written, None)),
                Ok(None) => {}
                Err(error) => {
                    // The next try uses separate statements, which return the precise error.
                    self.at_once.store(false, Ordering::Relaxed);
                    return Err(conflict(error));
                }
            }
        }
        let outcome = self.writer.run(transaction, &[incoming], &self.dangling, Presence::Unknown).await;
        let written = outcome.map_err(|error| {
            // Another transaction just took the value: the next try finds its row.
            if is_breach(&error, self.resource) { conflict(error) } else { error }
        })?;
        if let Some((_, refusal)) = written.refused.into_iter().next() {
            return Err(refusal.into_error(self.field));
        }
        let existing = written.existing.into_iter().next().map(|(_, key)| Key::of(self.resource, &key));
        let key = existing.as_ref().unwrap_or(&self.key);
        let mut returned = read_masked(transaction, self.resource, &self.returned, key, self.answers, extent).await?;
        returned.existing = existing.is_some();
        Ok((returned, existing))
    }
}

impl RowWrite {
    /// Writes the row in one statement, and makes the answer from its result.
    async fn write_at_once(
        &self,
        transaction: &mut Transaction<'_>,
        incoming: &Incoming<'_>,
        extent: Extent,
    ) -> Result<Option<WrittenResource>, Error> {
        if !self.writer.updates_at_once() {
            return self.create_at_once(transaction, incoming, extent).await;
        }
        let selection = Selection::new(self.resource, &self.returned);
        let of_columns = extent == Extent::Whole && selection.children.is_empty();
        let of_columns = of_columns && selection.has_all_columns(self.resource);
        if let Some(updated) = self.writer.update_at_once(transaction, incoming, of_columns).await? {
            let answer = if of_columns { self.answer_of(&selection, &updated).await } else { None };
            if answer.is_some() {
                return Ok(answer);
            }
            let read = read_masked(transaction, self.resource, &self.returned, &self.key, self.answers, extent);
            return read.await.map(Some);
        }
        self.create_at_once(transaction, incoming, extent).await
    }

    /// The answer from the stored columns of a row, if it fits.
    async fn answer_of(&self, selection: &Selection, stored: &[u8]) -> Option<WrittenResource> {
        let mut body = Vec::with_capacity(stored.len() + 64);
        work::run_in_place(stored.len(), || selection.put_message(stored, &mut body)).await;
        (body.len() <= self.answers.bytes()).then(|| WrittenResource {
            message: Encoded { body: body.into(), tail: Bytes::new(), rows: 1 },
            omitted: Vec::new(),
            existing: false,
        })
    }

    /// Creates the row in one statement, and makes the answer from the values that were sent and the result.
    async fn create_at_once(
        &self,
        transaction: &mut Transaction<'_>,
        incoming: &Incoming<'_>,
        extent: Extent,
    ) -> Result<Option<WrittenResource>, Error> {
        let selection = Selection::new(self.resource, &self.returned);
        let of_inputs = selection.has_all_columns(self.resource)
            && selection.children.iter().all(|children| children.selection.is_of_inputs())
            && extent == Extent::Whole;
        // Nothing may fail after a statement that ran alone. Rules add little to a row.
        let alone = of_inputs && self.surely_fits(2 * self.tuple.len());
        let created = self.writer.create_at_once(transaction, incoming, alone).await?;
        let Some((batch, created)) = created else { return Ok(None) };
        let Some(entry) = batch.entries().first().filter(|entry| of_inputs && self.surely_fits(entry.bytes())) else {
            let read = read_masked(transaction, self.resource, &self.returned, &self.key, self.answers, extent);
            return read.await.map(Some);
        };
        let (mut body, mut scratch) = (Vec::with_capacity(2 * entry.bytes() + 256), Vec::new());
        selection.put_message(&created.stored, &mut body);
        for children in &selection.children {
            let nth = self.resource.child_tables.iter().position(|table| table.number == children.number);
            let (Some(nth), Some(now)) = (nth, created.now) else { continue };
            let (mut tuple, mut message) = (Vec::new(), Vec::new());
            for child in rows(entry.children(self.resource, nth).unwrap_or_default()) {
                tuple.clear();
                tuple.extend_from_slice(prefix(entry.tuple(), children.owner_columns));
                tuple.extend_from_slice(child.tuple());
                message.clear();
                children.selection.put_created(children.resource, &tuple, now, &mut scratch, &mut message);
                put_child(children.number, &message, &mut body);
            }
        }
        let message = Encoded { body: body.into(), tail: Bytes::new(), rows: 1 };
        Ok(Some(WrittenResource { message, omitted: Vec::new(), existing: false }))
    }

    /// Whether the answer with a row of so many bytes fits in any case. The limit of an answer is at least 64 KiB.
    fn surely_fits(&self, bytes: usize) -> bool {
        2 * bytes + 4096 <= self.answers.bytes()
    }
}

/// Turns an error into one after which the transaction is tried again, if another way may succeed.
fn conflict(error: Error) -> Error {
    match error {
        Error::RowRefused(refusal) => Error::TransactionConflict(refusal.cause),
        // A statement that also returns the row may exceed a limit that another one does not.
        Error::ResultTooLarge(_) | Error::ResultRefused(_) => {
            Error::TransactionConflict(sqlx::Error::Protocol(error.to_string()))
        }
        error => error,
    }
}

/// A valid create.
struct Creation<'a> {
    context: &'a Writes,
    entry: Option<LedgerEntry>,
    step: Option<CreateStep>,
    write: Arc<RowWrite>,
    deadline: Deadline,
}

impl Creation<'_> {
    /// The row that an earlier call with the same request_id made. Only looked up if this call asks another slice
    /// before its transaction; otherwise the transaction looks it up. Does not wait for a call that still runs.
    async fn made_before(&self) -> Result<Option<WrittenResource>, Error> {
        match &self.entry {
            Some(entry)
                if refers_elsewhere(self.write.resource, &self.write.tuple)
                    && entry.is_known(self.context, self.deadline).await? =>
            {
                self.made().await
            }
            _ => Ok(None),
        }
    }

    /// The row that an earlier call with the same request_id has made while this one was being refused; otherwise the
    /// refusal.
    async fn made_meanwhile(&self, refused: Error) -> Result<WrittenResource, Error> {
        if self.entry.is_none() {
            return Err(refused);
        }
        match self.made().await {
            Ok(Some(made)) => Ok(made),
            Err(error @ (Error::WriteMismatch(..) | Error::CreatedAndDeleted { .. })) => Err(error),
            Ok(None) | Err(_) => Err(refused),
        }
    }

    /// The row that an earlier call with the same request_id made. Waits for a call that still runs.
    async fn made(&self) -> Result<Option<WrittenResource>, Error> {
        let made = returning(self.deadline, |extent| {
            let (entry, write) = (self.entry.clone(), Arc::clone(&self.write));
            self.context.transaction(self.deadline, move |transaction| {
                Box::pin(async move {
                    let made = match entry {
                        Some(entry) => entry.enter(transaction, &write.key).await?,
                        None => None,
                    };
                    let made = made.ok_or_else(|| Error::NotFound {
                        resource: write.resource.description.message,
                        name: write.resource.name_of(write.key.tuple()),
                    })?;
                    Ok(TransactionEnd::RollBack(read_made(transaction, &write, &made, extent).await?))
                })
            })
        });
        match made.await {
            Err(Error::NotFound { .. }) => Ok(None),
            made => made.map(Some),
        }
    }

    async fn run(mut self, references: ReferenceCheck) -> Result<WrittenResource, Error> {
        if references == ReferenceCheck::Reject {
            let write = &self.write;
            let tuples = [write.tuple.as_slice()];
            let dangling = match missing_elsewhere(self.context, write.resource, &tuples, self.deadline).await {
                Ok(dangling) => dangling,
                Err(refused) => return self.made_meanwhile(refused).await,
            };
            if let Some(reference) = dangling.into_iter().next() {
                let refused = reference.refusal().into_error(write.field);
                return self.made_meanwhile(refused).await;
            }
        }
        let entry = self.entry.take();
        returning(self.deadline, |extent| {
            let (write, entry, step) = (Arc::clone(&self.write), entry.clone(), self.step.clone());
            let begins = if entry.is_some() { Begins::AtOnce } else { Begins::WhenNeeded };
            self.context.transaction_that(begins, self.deadline, move |transaction| {
                Box::pin(async move {
                    if let Some(entry) = &entry
                        && let Some(made) = entry.enter(transaction, &write.key).await?
                    {
                        return Ok(TransactionEnd::RollBack(read_made(transaction, &write, &made, extent).await?));
                    }
                    let (returned, existing) = write.run(transaction, extent).await?;
                    if let (Some(entry), Some(key)) = (&entry, &existing) {
                        entry.enter_existing(transaction, key).await?;
                    }
                    let Some(step) = step else { return Ok(TransactionEnd::Commit(returned)) };
                    step(transaction).await?;
                    let RowWrite { resource, returned: mask, answers, .. } = &*write;
                    let key = existing.as_ref().unwrap_or(&write.key);
                    let returned = read_masked(transaction, resource, mask, key, *answers, extent).await?;
                    Ok(TransactionEnd::Commit(returned))
                })
            })
        })
        .await
    }
}

/// The row that an earlier call made, as it is now.
async fn read_made(
    transaction: &mut Transaction<'_>,
    write: &RowWrite,
    key: &Key,
    extent: Extent,
) -> Result<WrittenResource, Error> {
    read_masked(transaction, write.resource, &write.returned, key, write.answers, extent).await.map_err(|error| {
        match error {
            Error::NotFound { resource, name } => Error::CreatedAndDeleted { resource, name },
            error => error,
        }
    })
}

/// The `reference_check` of a single write: by default rows with missing targets are refused.
fn reference_check(check: i32) -> Result<ReferenceCheck, Error> {
    match ReferenceCheck::try_from(check) {
        Err(_) => Err(Error::invalid("reference_check", "is no ReferenceCheck")),
        Ok(ReferenceCheck::Unspecified) => Ok(ReferenceCheck::Reject),
        Ok(check) => Ok(check),
    }
}

/// Updates one row and returns it, with as many fields as fit.
///
/// # Errors
/// [`Error::Invalid`], [`Error::NotFound`], [`Error::EtagMismatch`], [`Error::RevisionMismatch`],
/// [`Error::ValueTaken`], [`Error::ReferenceMissing`]; what the resource's rules say.
pub fn update<'a>(
    context: &'a Writes,
    resource: &'static Resource,
    request: UpdateRequest<'a>,
) -> BoxFuture<'a, Result<WrittenResource, Error>> {
    Box::pin(update_row(context, resource, request))
}

async fn update_row(
    context: &Writes,
    resource: &'static Resource,
    request: UpdateRequest<'_>,
) -> Result<WrittenResource, Error> {
    let UpdateRequest { message, field, mask, allow_missing, references, deadline, answers, returned } = request;
    let mask = update_mask(resource, mask, "update_mask").map_err(|violation| Error::Invalid(vec![violation]))?;
    let row = decode(resource, message, field, KeyPolicy::Any, (!allow_missing).then_some(&mask)).await?;
    let references = reference_check(references)?;
    let mut dangling = Vec::new();
    if references == ReferenceCheck::Reject {
        dangling = missing_elsewhere(context, resource, &[row.tuple.as_slice()], deadline).await?;
    }
    let mode = if allow_missing { WriteMode::Upsert } else { WriteMode::Update };
    let writer = context.writers.of(resource, mode, mask, references);
    let name = resource.name_of(row.key.tuple());
    let precondition = row.decoded.precondition;
    let (tuple, key) = (row.tuple, row.key);
    let write = Arc::new(RowWrite {
        resource,
        field,
        writer,
        tuple,
        key,
        precondition,
        dangling,
        answers,
        returned,
        at_once: AtomicBool::new(true),
    });
    let updated = returning(deadline, |extent| {
        let write = Arc::clone(&write);
        context.lazy_transaction(deadline, move |transaction| {
            Box::pin(async move { Ok(TransactionEnd::Commit(write.run(transaction, extent).await?.0)) })
        })
    });
    updated.await.map_err(|error| error.of_refused_row(resource, &name, field))
}
