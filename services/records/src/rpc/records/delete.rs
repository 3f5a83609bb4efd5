//! DeleteArtifact: archives, or deletes with the links to products.

use std::sync::Arc;

use orrery_kit::collection::Collection;
use orrery_kit::context::{Call, Context};
use orrery_kit::db::TransactionEnd;
use orrery_kit::db::retry::retried;
use orrery_kit::error::Error;
use orrery_kit::resource::decode::Precondition;
use orrery_kit::uid::check_key;
use orrery_kit::write::single::{self, UpdateRequest};
use orrery_kit::write::stored;
use orrery_proto::records::v1::{Artifact, DeleteArtifactRequest};
use orrery_proto::r#type::v1::{ReferenceCheck, Status};
use prost::Message as _;
use prost_types::FieldMask;
use tonic::{Request, Response};

use super::Answer;
use crate::lifecycle::ARCHIVED;
use crate::store::artifact::ARTIFACT;
use crate::store::product_link::{self, MAX_AT_ONCE};
use crate::store::stored_artifact::StoredArtifact;

pub(super) async fn delete(
    context: &Context,
    artifacts: &Collection,
    request: Request<DeleteArtifactRequest>,
) -> Answer<()> {
    let DeleteArtifactRequest { uid, etag, revision, force, .. } = request.get_ref();
    check_key(uid).map_err(|why| Error::invalid("uid", why))?;
    if etag.contains('\0') {
        return Err(Error::invalid("etag", "must not hold NUL characters").into());
    }
    if *revision < 0 {
        return Err(Error::invalid("revision", "must not be negative").into());
    }
    if *force {
        delete_links(context, &request).await?;
        return artifacts.delete(request).await;
    }
    Ok(archive(context, request).await?)
}

/// Sets the phase, by the rules of every update.
async fn archive(context: &Context, request: Request<DeleteArtifactRequest>) -> Result<Response<()>, Error> {
    let call = Call::of(&request)?;
    let DeleteArtifactRequest { uid, etag, revision, allow_missing, .. } = request.into_inner();
    let status = Some(Status { phase: ARCHIVED.to_owned(), details: None });
    let archived = Artifact { uid, etag, revision, status, ..Artifact::default() };
    let mask = FieldMask { paths: vec!["status.phase".to_owned()] };
    let update = UpdateRequest {
        message: Some(archived.encode_to_vec().into()),
        field: "artifact",
        mask: Some(&mask),
        allow_missing: false,
        references: ReferenceCheck::Accept.into(),
        deadline: call.deadline,
        answers: call.answers,
        returned: Vec::new(),
    };
    match single::update(&context.writes(&call), &ARTIFACT, update).await {
        Err(Error::NotFound { .. }) if allow_missing => Ok(Response::new(())),
        updated => updated.map(|_| Response::new(())),
    }
}

/// Deletes links of an artifact that is to be deleted until one transaction can delete the rest. The artifact must be
/// as the request demands; if it is missing, the delete that follows says so.
async fn delete_links(context: &Context, request: &Request<DeleteArtifactRequest>) -> Result<(), Error> {
    let call = Call::of(request)?;
    let writes = context.writes(&call);
    let DeleteArtifactRequest { uid, etag, revision, .. } = request.get_ref();
    let demanded = Arc::new((ARTIFACT.key([uid])?, Precondition { etag: etag.clone(), revision: *revision }));
    let uid: Arc<str> = uid.as_str().into();
    loop {
        let deleted = retried(call.deadline, || {
            let (uid, demanded) = (Arc::clone(&uid), Arc::clone(&demanded));
            writes.transaction(call.deadline, move |transaction| {
                Box::pin(async move {
                    let (key, precondition) = &*demanded;
                    let Some(row) = stored::lock(transaction, &ARTIFACT, key).await? else {
                        return Ok(TransactionEnd::RollBack(0));
                    };
                    stored::check(Some(&row), &ARTIFACT, key.tuple(), precondition)?;
                    let stored = StoredArtifact::of(&row)?;
                    if stored.is_frozen {
                        return Err(stored.forbids(&uid, "deleted"));
                    }
                    let deleted = product_link::delete_some(transaction, &uid).await?;
                    // What one transaction can delete is left to the one that deletes the artifact.
                    let is_last = deleted < MAX_AT_ONCE.min(transaction.max_statement_rows());
                    Ok(if is_last { TransactionEnd::RollBack(0) } else { TransactionEnd::Commit(deleted) })
                })
            })
        });
        if deleted.await? == 0 {
            return Ok(());
        }
    }
}
