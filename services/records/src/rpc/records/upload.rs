//! UploadDocument and QueryDocumentUpload: content arrives, is stored and checked, and becomes that of a document.

use std::sync::Arc;

use orrery_kit::answer::WrittenResource;
use orrery_kit::collection::view::asked_for;
use orrery_kit::context::{Call, Context, Reads, Writes};
use orrery_kit::db::Transaction;
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_kit::read::view::View;
use orrery_kit::resource::decode::Precondition;
use orrery_kit::resource::mask::MaskPath;
use orrery_kit::uid::check_key;
use orrery_kit::write::change::{ChangeRequest, ChangeStep, change};
use orrery_kit::write::request_id::{LedgerEntry, digest};
use orrery_kit::write::single::{self, Completion, CreateRequest, CreateStep};
use orrery_kit::write::start::check_id;
use orrery_proto::records::v1::artifact::Payload as ArtifactPayload;
use orrery_proto::records::v1::upload_document_request::start::Target;
use orrery_proto::records::v1::upload_document_request::{Chunk, Payload, Start};
use orrery_proto::records::v1::{QueryDocumentUploadRequest, QueryDocumentUploadResponse, UploadDocumentRequest};
use orrery_proto::r#type::v1::ReferenceCheck;
use orrery_proto::wire::Encoded;
use prost::Message as _;
use tonic::{Request, Response, Status, Streaming};

use super::Answer;
use crate::storage::{ContentHash, Documents, NewUpload, StoredContent, Upload};
use crate::store::artifact::{ARTIFACT, DOCUMENT};
use crate::store::document::{self, StoredDocument};
use crate::store::stored_artifact::StoredArtifact;
use crate::store::uids::ARTIFACT_UID;

/// How the method names itself in the ledger.
const VERB: &str = "upload";
/// Maximum size of a chunk in bytes.
const MAX_CHUNK_BYTES: usize = 1024 * 1024;

pub(super) async fn upload(
    context: &Context,
    documents: &Documents,
    request: Request<Streaming<UploadDocumentRequest>>,
) -> Answer<Encoded> {
    let call = Call::of(&request)?;
    let writes = context.writes(&call);
    let mut inbound = request.into_inner();
    let Some(UploadDocumentRequest { payload: Some(Payload::Start(start)) }) = call.next(&mut inbound).await? else {
        return Err(Error::invalid("start", "must be the first message").into());
    };
    let delivery = Delivery::of(&writes, start)?;
    let stored = if delivery.is_known(&writes, call.deadline).await? {
        // The answer of an earlier call was lost.
        None
    } else {
        delivery.check(&context.reads(&call), call.deadline).await?;
        let mut upload = documents.upload(delivery.upload.clone(), call.deadline).await?;
        receive(&call, &mut inbound, &mut upload).await?;
        Some(call.draining.step(upload.finish()).await?)
    };
    let written = delivery.commit(&call, &writes, stored.clone()).await?;
    if let Some(content) = &stored {
        documents.give_up_unused(content, call.deadline).await;
    }
    Ok(call.answer_written(written)?)
}

/// Writes what arrives, until the caller says that it is all. A stream that breaks is no end.
async fn receive(
    call: &Call,
    inbound: &mut Streaming<UploadDocumentRequest>,
    upload: &mut Upload,
) -> Result<(), Status> {
    loop {
        let patience = upload.patience();
        let message = tokio::select! {
            biased;
            message = call.next(inbound) => message?,
            () = patience.passed() => return Err(Error::DeadlineExceeded.into()),
        };
        let Some(UploadDocumentRequest { payload }) = message else { return Ok(()) };
        let Chunk { offset, data } = match payload {
            Some(Payload::Chunk(chunk)) => chunk,
            Some(Payload::Start(_)) => return Err(Error::invalid("start", "must be the first message alone").into()),
            None => return Err(Error::invalid("payload", "is required").into()),
        };
        let offset = u64::try_from(offset).map_err(|_| Error::invalid("chunk.offset", "must not be negative"))?;
        if data.len() > MAX_CHUNK_BYTES {
            return Err(Error::invalid("chunk.data", format!("must be at most {MAX_CHUNK_BYTES} bytes")).into());
        }
        call.draining.step(upload.write(offset, &data)).await?;
    }
}

/// An upload, and the document that its content is for.
struct Delivery {
    upload: NewUpload,
    target: Target,
    precondition: Precondition,
    references: i32,
    returned: Vec<MaskPath>,
    entry: LedgerEntry,
}

impl Delivery {
    fn of(writes: &Writes, start: Start) -> Result<Self, Error> {
        let Start { upload_id, content_hash, target, etag, revision, reference_check, read_mask } = start;
        let hash: ContentHash = content_hash.parse().map_err(|why| Error::invalid("start.content_hash", why))?;
        let mut target = target.ok_or_else(|| Error::invalid("start.target", "is required: artifact or uid"))?;
        if etag.contains('\0') {
            return Err(Error::invalid("start.etag", "must not hold NUL characters"));
        }
        if revision < 0 {
            return Err(Error::invalid("start.revision", "must not be negative"));
        }
        if ReferenceCheck::try_from(reference_check).is_err() {
            return Err(Error::invalid("start.reference_check", "is no ReferenceCheck"));
        }
        let stored_uid = match &mut target {
            Target::Uid(uid) => {
                check_key(uid).map_err(|why| Error::invalid("start.uid", why))?;
                uid.as_str()
            }
            Target::Artifact(artifact) => {
                if !matches!(artifact.payload, Some(ArtifactPayload::Document(_))) {
                    return Err(Error::invalid("start.artifact.payload", "must be a document"));
                }
                for (field, is_set) in [("start.etag", !etag.is_empty()), ("start.revision", revision != 0)] {
                    if is_set {
                        return Err(Error::invalid(field, "must be unset: a new document has none yet"));
                    }
                }
                if artifact.uid.is_empty() {
                    artifact.uid = ARTIFACT_UID.new_uid();
                }
                ""
            }
        };
        let entry = entry(writes, "start.upload_id", &upload_id, &[&content_hash, stored_uid].join("\0"))?;
        let returned = asked_for(&ARTIFACT, read_mask.as_ref(), 0, View::Full).map_err(|error| match error {
            Error::Invalid(all) => Error::Invalid(all.into_iter().map(|violation| violation.within("start")).collect()),
            error => error,
        })?;
        let upload = NewUpload { upload_id, content_hash: hash };
        let precondition = Precondition { etag, revision };
        Ok(Self { upload, target, precondition, references: reference_check, returned, entry })
    }

    /// Whether an earlier call has given this content to the document.
    async fn is_known(&self, writes: &Writes, deadline: Deadline) -> Result<bool, Error> {
        match self.entry.entered(writes, deadline).await? {
            None => Ok(false),
            Some(earlier) if earlier.is_same => Ok(true),
            Some(_) => Err(Error::WriteMismatch("start.upload_id", "content_hash or uid")),
        }
    }

    /// Checks the document before its content arrives.
    async fn check(&self, reads: &Reads, deadline: Deadline) -> Result<(), Error> {
        match &self.target {
            Target::Artifact(artifact) => {
                single::check_new(&ARTIFACT, artifact.encode_to_vec().into(), "start.artifact").await
            }
            Target::Uid(uid) => StoredDocument::read(reads, uid, "start.uid", deadline).await.map(drop),
        }
    }

    /// Gives the content to the document. Without content, returns the document that an earlier call gave it to.
    async fn commit(
        self,
        call: &Call,
        writes: &Writes,
        content: Option<StoredContent>,
    ) -> Result<WrittenResource, Error> {
        let Self { target, precondition, references, returned, entry, .. } = self;
        let content = Arc::new(content);
        match target {
            Target::Artifact(artifact) => {
                let uid: Arc<str> = artifact.uid.as_str().into();
                let step: CreateStep = Arc::new(move |transaction| {
                    let (uid, content) = (Arc::clone(&uid), Arc::clone(&content));
                    Box::pin(async move { give(transaction, &uid, (*content).as_ref(), true).await })
                });
                let create = CreateRequest {
                    message: Some(artifact.encode_to_vec().into()),
                    field: "start.artifact",
                    request_id: "",
                    references,
                    deadline: call.deadline,
                    answers: call.answers,
                    returned,
                    completion: Some(Completion { entry, step }),
                };
                single::create(writes, &ARTIFACT, create).await
            }
            Target::Uid(uid) => {
                let request = ChangeRequest {
                    key: ARTIFACT.key([&uid])?,
                    precondition,
                    mask: returned,
                    deadline: call.deadline,
                    answers: call.answers,
                    entry: Some(entry),
                };
                let uid: Arc<str> = uid.into();
                let step: ChangeStep = Arc::new(move |transaction, row| {
                    let (uid, content) = (Arc::clone(&uid), Arc::clone(&content));
                    Box::pin(async move {
                        let stored = StoredArtifact::of(&row)?;
                        stored.require(DOCUMENT)?;
                        if let Some(key) = &stored.bearer_key {
                            Documents::release(transaction, &[key]).await?;
                        }
                        give(transaction, &uid, (*content).as_ref(), false).await
                    })
                });
                change(writes, &ARTIFACT, request, step).await
            }
        }
    }
}

/// Ends the upload, and makes its content that of a document, in one transaction.
async fn give(
    transaction: &mut Transaction<'_>,
    uid: &str,
    content: Option<&StoredContent>,
    is_new: bool,
) -> Result<(), Error> {
    // The ledger had forgotten the earlier call in between.
    let content = content.ok_or(Error::WriteTakenOver)?;
    content.adopt(transaction).await?;
    transaction.write(document::set_content(uid, content, is_new)?).await?;
    Ok(())
}

/// The ledger's entry of an upload.
fn entry(writes: &Writes, field: &str, upload_id: &str, content: &str) -> Result<LedgerEntry, Error> {
    check_id(upload_id).map_err(|why| Error::invalid(field, why))?;
    let entry = LedgerEntry::of(writes, VERB, &ARTIFACT, upload_id, digest(content.as_bytes()));
    entry.ok_or_else(|| Error::invalid(field, "is required"))
}

pub(super) async fn query(
    context: &Context,
    documents: &Documents,
    request: Request<QueryDocumentUploadRequest>,
) -> Result<Response<QueryDocumentUploadResponse>, Error> {
    let call = Call::of(&request)?;
    let writes = context.writes(&call);
    let QueryDocumentUploadRequest { upload_id } = request.into_inner();
    let entry = entry(&writes, "upload_id", &upload_id, "")?;
    if let Some(earlier) = entry.entered(&writes, call.deadline).await? {
        let answer = QueryDocumentUploadResponse { committed_offset: 0, complete: true, uid: earlier.text };
        return Ok(Response::new(answer));
    }
    let progress = documents.progress(&upload_id, call.deadline).await?;
    let committed_offset = i64::try_from(progress.offset).map_err(Error::internal)?;
    Ok(Response::new(QueryDocumentUploadResponse {
        committed_offset,
        complete: progress.is_complete,
        uid: String::new(),
    }))
}
