//! Create, update and delete of one resource. They use the statements of the chunked write with a batch of one row, and read
//! back within the transaction what they return.

use orrery_proto::r#type::v1::WriteMode;
use orrery_proto::wire::Encoded;
use prost_types::FieldMask;
use sqlx::Row as _;
use xxhash_rust::xxh3::xxh3_64;

use super::start::check_id;
use super::statement::WriteStatement;
use crate::context::Context;
use crate::db::{Ending, Statement, Transaction};
use crate::deadline::Deadline;
use crate::error::{Error, Violation};
use crate::read::point::put_tuple;
use crate::resource::decode::{Decoded, EmptyUid, Precondition};
use crate::resource::mask::{UpdateMask, update_mask};
use crate::resource::select::{Columns, Selection, etag};
use crate::resource::{Kind, Resource, TextRule};
use crate::uid::UidKind;

/// How often a write that gave way to another transaction is tried.
const ATTEMPTS: u32 = 4;

/// A create.
#[derive(Debug)]
pub struct CreateRequest<'a> {
    /// The encoded message; `None` if the caller sent none.
    pub message: Option<Vec<u8>>,
    /// The message's field in the request, for violations.
    pub field: &'static str,
    /// Makes a retry safe; may be empty.
    pub request_id: &'a str,
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
    /// Until when.
    pub deadline: Deadline,
}

/// A delete.
#[derive(Clone, Debug)]
pub struct DeleteRequest {
    /// Which.
    pub uid: String,
    /// The etag that it must have; empty if any will do.
    pub etag: String,
    /// Whether a missing one is no error.
    pub allow_missing: bool,
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

/// Runs `work` again when it gave way to another transaction.
async fn retried<T, F>(deadline: Deadline, mut work: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    for _ in 1..ATTEMPTS {
        match work().await {
            Err(Error::TransactionConflict(_)) if !deadline.expired() => {}
            outcome => return outcome,
        }
    }
    work().await
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
    let CreateRequest { message, field, request_id, deadline } = request;
    check_id(request_id).map_err(|why| Error::invalid("request_id", why))?;
    let incoming = decode(resource, message.as_deref(), field, EmptyUid::Make, None)?;
    if !incoming.decoded.precondition.etag.is_empty() {
        return Err(Error::invalid(format!("{field}.etag"), "must be unset: what is new has none yet"));
    }
    let digest = incoming.digest();
    let Incoming { tuple, uid, .. } = incoming;
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

async fn read_back(
    transaction: &mut Transaction<'_>,
    resource: &'static Resource,
    uid: &str,
) -> Result<Encoded, Error> {
    match stored(transaction, resource, uid, "").await? {
        Some((body, _)) => Ok(Encoded { body: body.into(), rows: 1, ..Encoded::default() }),
        None => Err(Error::NotFound { resource: resource.description.message, name: uid.to_owned() }),
    }
}

/// A row as a message, and its etag. `lock` is appended to the select.
async fn stored(
    transaction: &mut Transaction<'_>,
    resource: &'static Resource,
    uid: &str,
    lock: &str,
) -> Result<Option<(Vec<u8>, String)>, Error> {
    let selection = Selection::whole(resource);
    let table = resource.description.table;
    let select =
        Statement::new(format!("select {} from {table} as t where t.uid = $1{lock}", selection.sql), 1).bind(uid)?;
    let rows = transaction.fetch(select).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut tuple = Vec::new();
    put_tuple(row, selection.columns, &mut tuple)?;
    let mut body = Vec::new();
    selection.put_message(&tuple, &mut body);
    Ok(Some((body, etag(&tuple))))
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
    let UpdateRequest { message, field, mask, allow_missing, deadline } = request;
    let mask = update_mask(resource, mask, "update_mask").map_err(|violation| Error::Invalid(vec![violation]))?;
    let Incoming { tuple, uid, decoded: Decoded { precondition: Precondition { etag, .. }, .. } } =
        decode(resource, message.as_deref(), field, EmptyUid::Refuse, (!allow_missing).then_some(&mask))?;
    let mode = if allow_missing { WriteMode::Upsert } else { WriteMode::Update };
    let statement = WriteStatement::new(resource, mode, &mask);
    retried(deadline, || {
        let (statement, tuple, uid, etag) = (statement.clone(), tuple.clone(), uid.clone(), etag.clone());
        context.database.transaction(deadline, move |transaction| {
            Box::pin(async move {
                if !etag.is_empty() {
                    match stored(transaction, resource, &uid, " for update").await? {
                        Some((_, stored)) if stored == etag => {}
                        None if !allow_missing => {
                            return Err(Error::NotFound { resource: resource.description.message, name: uid });
                        }
                        _ => return Err(Error::EtagMismatch { resource: resource.description.message, name: uid }),
                    }
                }
                let written = statement.run(transaction, &[&tuple]).await?;
                if !written.refused.is_empty() {
                    return Err(Error::NotFound { resource: resource.description.message, name: uid });
                }
                Ok(Ending::Commit(read_back(transaction, resource, &uid).await?))
            })
        })
    })
    .await
}

/// Deletes one resource, after what the service says must go with it.
///
/// # Errors
/// [`Error::Invalid`] for `uid`, [`Error::NotFound`], [`Error::EtagMismatch`].
pub async fn delete(
    context: &Context,
    resource: &'static Resource,
    request: DeleteRequest,
    dependents: &'static [Dependent],
) -> Result<(), Error> {
    let kind = own_kind(resource).ok_or_else(|| Error::internal("the resource has no uid"))?;
    kind.check(&request.uid).map_err(|why| Error::invalid("uid", why))?;
    if request.etag.contains('\0') {
        return Err(Error::Invalid(vec![Violation::new("etag", "must not hold NUL characters")]));
    }
    let deadline = request.deadline;
    retried(deadline, || {
        let DeleteRequest { uid, etag, allow_missing, .. } = request.clone();
        context.database.transaction(deadline, move |transaction| {
            Box::pin(async move {
                let Some((_, stored)) = stored(transaction, resource, &uid, " for update").await? else {
                    let missing = Error::NotFound { resource: resource.description.message, name: uid };
                    return if allow_missing { Ok(Ending::RollBack(())) } else { Err(missing) };
                };
                if !etag.is_empty() && stored != etag {
                    return Err(Error::EtagMismatch { resource: resource.description.message, name: uid });
                }
                for dependent in dependents {
                    dependent.delete(transaction, &uid).await?;
                }
                let table = resource.description.table;
                let delete = Statement::new(format!("delete from {table} where uid = $1"), 1).bind(&uid)?;
                transaction.fetch(delete).await?;
                Ok(Ending::Commit(()))
            })
        })
    })
    .await
}

fn own_kind(resource: &Resource) -> Option<UidKind> {
    resource.fields.iter().find_map(|field| match field.kind {
        Kind::Text(TextRule::Uid(kind, true)) => Some(kind),
        _ => None,
    })
}

/// Rows of another table of the slice that go when the resource they belong to goes.
#[derive(Debug)]
pub struct Dependent {
    /// The table.
    pub table: &'static str,
    /// Its column that names the owner, the first of its key.
    pub owner: &'static str,
}

impl Dependent {
    /// Deletes an owner's rows, a bounded number at a time.
    async fn delete(&self, transaction: &mut Transaction<'_>, uid: &str) -> Result<(), Error> {
        const BATCH: usize = 1_000;
        let (table, owner) = (self.table, self.owner);
        loop {
            let delete = Statement::new(
                format!(
                    "with gone as (delete from {table} where ctid = any (array(\
                     select ctid from {table} where {owner} = $1 limit {BATCH} for update)) returning 1) \
                     select count(*) from gone"
                ),
                BATCH,
            )
            .bind(uid)?;
            let rows = transaction.fetch(delete).await?;
            let deleted: i64 = rows.first().ok_or_else(|| Error::internal("a delete returned no count"))?.try_get(0)?;
            if deleted < BATCH as i64 {
                return Ok(());
            }
        }
    }
}
