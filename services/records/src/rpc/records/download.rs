//! DownloadDocument: the content of a document, or a range of it, in pieces.

use futures::StreamExt as _;
use orrery_kit::collection::Messages;
use orrery_kit::consistency::{Consistency, ServedBy};
use orrery_kit::context::{Call, Context};
use orrery_kit::error::Error;
use orrery_proto::records::v1::download_document_response::{Chunk, Payload, Start};
use orrery_proto::records::v1::{DownloadDocumentRequest, DownloadDocumentResponse};
use tonic::{Request, Response};

use crate::storage::{Content, ContentHash, ContentStream, Documents};
use crate::store::artifact::ARTIFACT;
use crate::store::document::{DOCUMENT_MESSAGE, StoredDocument};

/// How often a document is read again whose content is replaced at the same time.
const MAX_TRIES: u32 = 3;

/// The range that a caller asks for.
struct Asked {
    offset: u64,
    /// 0 for all that is left.
    length: u64,
    /// The hash that the content must have; empty for any.
    content_hash: String,
}

impl Asked {
    fn of(offset: i64, length: i64, content_hash: String) -> Result<Self, Error> {
        let size = |field, bytes: i64| u64::try_from(bytes).map_err(|_| Error::invalid(field, "must not be negative"));
        if !content_hash.is_empty() {
            content_hash.parse::<ContentHash>().map_err(|why| Error::invalid("content_hash", why))?;
        }
        Ok(Self { offset: size("offset", offset)?, length: size("length", length)?, content_hash })
    }

    /// Where the range ends.
    fn end(&self, size: u64) -> Result<u64, Error> {
        if self.offset > size {
            let rule = format!("must be at most {size}, the size of the content in bytes");
            return Err(Error::invalid("offset", rule));
        }
        let length = if self.length == 0 { u64::MAX } else { self.length };
        Ok(self.offset.saturating_add(length).min(size))
    }
}

pub(super) async fn download(
    context: &Context,
    documents: &Documents,
    request: Request<DownloadDocumentRequest>,
) -> Result<Response<Messages<DownloadDocumentResponse>>, Error> {
    let call = Call::of(&request)?;
    let DownloadDocumentRequest { uid, offset, length, content_hash } = request.into_inner();
    let asked = Asked::of(offset, length, content_hash)?;
    let (document, pieces) = open(context, documents, call.clone(), &uid, &asked).await?;
    Ok(Response::new(messages(call, document, asked.offset, pieces)))
}

/// Opens the content. Its object may be gone because the document just got other content, or because a replica does not
/// know of it yet: then the primary is asked.
async fn open(
    context: &Context,
    documents: &Documents,
    mut call: Call,
    uid: &str,
    asked: &Asked,
) -> Result<(StoredDocument, ContentStream), Error> {
    let mut document = StoredDocument::read(&context.reads(&call), uid, "uid", call.deadline).await?;
    let mut tries = 1;
    loop {
        let opened = read(documents, &call, uid, &document, asked).await;
        let Err(lost @ Error::ContentLost { .. }) = opened else { return Ok((document, opened?)) };
        if call.consistency != Consistency::Strong {
            call.consistency = Consistency::Strong;
            call.provenance.served_by(ServedBy::Primary);
        }
        let now = StoredDocument::read(&context.reads(&call), uid, "uid", call.deadline).await?;
        if now.bearer_key == document.bearer_key || tries == MAX_TRIES {
            return Err(lost);
        }
        document = now;
        tries += 1;
    }
}

/// Begins to read the content of a document.
async fn read(
    documents: &Documents,
    call: &Call,
    uid: &str,
    document: &StoredDocument,
    asked: &Asked,
) -> Result<ContentStream, Error> {
    if document.bearer_key.is_empty() {
        return Err(Error::NotFound { resource: DOCUMENT_MESSAGE, name: uid.to_owned() });
    }
    if !asked.content_hash.is_empty() && asked.content_hash != document.content_hash {
        return Err(Error::EtagMismatch { resource: ARTIFACT.description.message, name: uid.to_owned() });
    }
    let range = asked.offset..asked.end(document.bytes)?;
    let content = Content { document: uid.to_owned(), key: document.bearer_key.clone(), bytes: document.bytes };
    call.draining.step(documents.read(content, range, call.deadline)).await
}

/// The answer: what the document is, and its content.
fn messages(
    call: Call,
    document: StoredDocument,
    mut offset: u64,
    mut pieces: ContentStream,
) -> Messages<DownloadDocumentResponse> {
    let message = |payload| DownloadDocumentResponse { payload: Some(payload) };
    Box::pin(async_stream::try_stream! {
        let StoredDocument { title, media_type, content_hash, bytes, .. } = document;
        let size_bytes = i64::try_from(bytes).map_err(Error::internal)?;
        yield message(Payload::Start(Start { title, media_type, size_bytes, content_hash }));
        loop {
            if call.draining.has_begun() {
                Err(Error::Draining)?;
            }
            if call.deadline.expired() {
                Err(Error::DeadlineExceeded)?;
            }
            let piece = call.draining.unless_draining(&mut pieces.next()).await.ok_or(Error::Draining)?;
            let Some(data) = piece.transpose()? else { break };
            let begin = i64::try_from(offset).map_err(Error::internal)?;
            offset += data.len() as u64;
            yield message(Payload::Chunk(Chunk { offset: begin, data }));
        }
    })
}
