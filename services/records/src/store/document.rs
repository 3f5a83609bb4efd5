//! Documents: what the methods that carry their content read and write of an artifact.

use bytes::Buf as _;
use orrery_kit::context::Reads;
use orrery_kit::db::array::ArrayParameter;
use orrery_kit::db::{Statement, Transaction};
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_kit::read::point;
use orrery_kit::read::view::{View, mask};
use orrery_kit::resource::select::Selection;
use orrery_kit::uid::check_key;
use orrery_kit::write::change::touched;
use orrery_proto::records::v1::artifact::Payload;
use orrery_proto::records::v1::{Artifact, ArtifactKind, Document};
use prost::Message as _;
use prost_types::FieldMask;
use serde_json::json;
use sqlx::Row as _;

use super::artifact::{ARTIFACT, DOCUMENT};
use crate::storage::StoredContent;

/// The message type of what is missing if a document has no content.
pub const DOCUMENT_MESSAGE: &str = "orrery.records.v1.Document";

/// A stored document. What another program stored in another form reads as unset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredDocument {
    /// What people call it.
    pub title: String,
    /// What the content is.
    pub media_type: String,
    /// The size of the content.
    pub bytes: u64,
    /// The SHA-256 of the content.
    pub content_hash: String,
    /// The key of the content; empty before there is any.
    pub bearer_key: String,
}

impl StoredDocument {
    /// Reads the document that `field` of a request names.
    ///
    /// # Errors
    /// [`Error::Invalid`] if no artifact can have this uid, or it is no document; [`Error::NotFound`]; errors of the
    /// database.
    pub async fn read(reads: &Reads, uid: &str, field: &'static str, deadline: Deadline) -> Result<Self, Error> {
        check_key(uid).map_err(|why| Error::invalid(field, why))?;
        let fields = FieldMask { paths: vec!["kind".to_owned(), DOCUMENT.to_owned()] };
        let selection = Selection::new(&ARTIFACT, &mask(&ARTIFACT, Some(&fields), View::Full)?);
        let stored = point::get(reads, &ARTIFACT, &selection, &ARTIFACT.key([uid])?, deadline).await?;
        let artifact = Artifact::decode(stored.body.chain(stored.tail)).map_err(Error::internal)?;
        if artifact.kind() != ArtifactKind::Document {
            return Err(Error::invalid(field, format!("names no {DOCUMENT}")));
        }
        let Some(Payload::Document(document)) = artifact.payload else { return Ok(Self::default()) };
        let Document { title, media_type, size_bytes, content_hash, bearer_key } = document;
        Ok(Self { title, media_type, bytes: u64::try_from(size_bytes).unwrap_or_default(), content_hash, bearer_key })
    }
}

/// Makes stored content that of a document, whose row is locked or was made in this transaction. Every other key of the
/// body stays.
///
/// # Errors
/// [`Error::Internal`] if a parameter cannot be encoded.
pub fn set_content(uid: &str, content: &StoredContent, is_new: bool) -> Result<Statement, Error> {
    let mut assignments = vec!["content_hash = $2".to_owned(), "body = changed.body".to_owned()];
    if !is_new {
        assignments.extend(touched(&ARTIFACT));
    }
    // As in `decision`: a sharded database takes the object from a part of its own.
    let sql = format!(
        "with changed as materialized (
    select t.uid, (case when jsonb_typeof(t.body) = 'object' then t.body else '{{}}' end) || $3::jsonb as body
      from records.macrodata_artifact as t
     where t.uid = $1
)
update records.macrodata_artifact as t
   set {}
  from changed
 where t.uid = $1 and changed.uid = t.uid",
        assignments.join(",\n       ")
    );
    let hash = content.hash.to_string();
    let body = json!({"size_bytes": content.bytes, "content_hash": hash, "bearer_key": content.key});
    Statement::new(sql, 1).bind(uid)?.bind(hash)?.bind(body.to_string())
}

/// The keys of the contents of those documents that are stored under some uids.
///
/// # Errors
/// The errors of the database.
pub async fn bearer_keys(transaction: &mut Transaction<'_>, uids: &[String]) -> Result<Vec<String>, Error> {
    let sql = "select t.body ->> 'bearer_key'
  from records.macrodata_artifact as t
 where t.uid = any ($1)
   and t.kind = 'document'
   and t.body ->> 'bearer_key' is not null";
    let mut keys = Vec::new();
    for uids in uids.chunks(transaction.max_statement_rows()) {
        let select = Statement::new(sql, uids.len()).bind(ArrayParameter::texts(uids))?;
        for row in transaction.fetch(select).await? {
            keys.push(row.try_get(0)?);
        }
    }
    Ok(keys)
}
