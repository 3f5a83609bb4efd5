//! MergeTags, and the part of DeleteTag that deletes links: a limited number of links in each transaction.

use std::collections::HashSet;
use std::sync::Arc;

use orrery_kit::context::{Call, Context, Writes};
use orrery_kit::db::retry::retried;
use orrery_kit::db::{Transaction, TransactionEnd};
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_kit::resource::decode::Precondition;
use orrery_kit::write::stored;
use orrery_proto::records::v1::{DeleteTagRequest, MergeTagsRequest, MergeTagsResponse};
use tonic::{Request, Response};

use super::check_uid;
use crate::store::tag::TAG;
use crate::store::tag_links::{self, MAX_AT_ONCE, MovedLinks};
use crate::store::tag_names;

/// Maximum number of sources of one request.
const MAX_SOURCES: usize = 100;

/// What one transaction of a merge did with a source.
enum Merged {
    /// It has moved links; more are left.
    Partly(MovedLinks),
    /// It has moved the last links and deleted the source.
    Whole(MovedLinks),
    /// There is no such source.
    Missing,
}

pub(super) async fn merge(
    context: &Context,
    request: Request<MergeTagsRequest>,
) -> Result<Response<MergeTagsResponse>, Error> {
    let call = Call::of(&request)?;
    let writes = context.writes(&call);
    let MergeTagsRequest { source_uids, target_uid, allow_missing } = request.into_inner();
    if source_uids.is_empty() || source_uids.len() > MAX_SOURCES {
        return Err(Error::invalid("source_uids", format!("must be 1 to {MAX_SOURCES} uids")));
    }
    check_uid("target_uid", &target_uid)?;
    let mut seen = HashSet::new();
    let mut sources = Vec::with_capacity(source_uids.len());
    for (nth, uid) in source_uids.into_iter().enumerate() {
        check_uid(&format!("source_uids[{nth}]"), &uid)?;
        if uid == target_uid {
            return Err(Error::invalid(format!("source_uids[{nth}]"), "is the target"));
        }
        if seen.insert(uid.clone()) {
            sources.push(uid);
        }
    }
    if !allow_missing {
        require(&writes, &sources, call.deadline).await?;
    }
    let mut answer = MergeTagsResponse::default();
    for source in sources {
        loop {
            let merged = merge_some(&writes, &source, &target_uid, call.deadline).await?;
            let (links, is_done) = match merged {
                Merged::Missing => break,
                Merged::Partly(links) => (links, false),
                Merged::Whole(links) => (links, true),
            };
            answer.moved_links += links.moved as i64;
            answer.dropped_links += links.dropped as i64;
            if is_done {
                answer.deleted_tags += 1;
                break;
            }
        }
    }
    call.rows.add(answer.moved_links.unsigned_abs());
    Ok(Response::new(answer))
}

/// Checks that all tags exist before anything is changed.
async fn require(writes: &Writes, uids: &[String], deadline: Deadline) -> Result<(), Error> {
    let uids: Arc<[String]> = uids.into();
    retried(deadline, || {
        let uids = Arc::clone(&uids);
        writes.transaction(deadline, move |transaction| {
            Box::pin(async move {
                for uid in uids.iter() {
                    lock(transaction, uid).await?;
                }
                Ok(TransactionEnd::RollBack(()))
            })
        })
    })
    .await
}

/// Locks a tag.
async fn lock(transaction: &mut Transaction<'_>, uid: &str) -> Result<(), Error> {
    match stored::lock(transaction, &TAG, &TAG.key([uid])?).await? {
        Some(_) => Ok(()),
        None => Err(Error::NotFound { resource: TAG.description.message, name: uid.to_owned() }),
    }
}

/// Moves some links of a source, and deletes the source after its last one. Two merges lock both tags in the same
/// order, so that they do not wait for each other.
async fn merge_some(writes: &Writes, source: &str, target: &str, deadline: Deadline) -> Result<Merged, Error> {
    let tags: Arc<(String, String)> = Arc::new((source.to_owned(), target.to_owned()));
    retried(deadline, || {
        let tags = Arc::clone(&tags);
        writes.transaction(deadline, move |transaction| {
            Box::pin(async move {
                let (source, target) = &*tags;
                if source > target {
                    lock(transaction, target).await?;
                }
                if stored::lock(transaction, &TAG, &TAG.key([source])?).await?.is_none() {
                    return Ok(TransactionEnd::RollBack(Merged::Missing));
                }
                if source < target {
                    lock(transaction, target).await?;
                }
                let links = tag_links::move_some(transaction, source, target).await?;
                if links.moved + links.dropped >= MAX_AT_ONCE.min(transaction.max_statement_rows()) {
                    return Ok(TransactionEnd::Commit(Merged::Partly(links)));
                }
                tag_links::leave_groups(transaction, source, Some(target)).await?;
                transaction.write(tag_names::unclassify(source)?).await?;
                transaction.write(tag_names::delete(source)?).await?;
                Ok(TransactionEnd::Commit(Merged::Whole(links)))
            })
        })
    })
    .await
}

/// Deletes links of a tag that is to be deleted until one transaction can delete the rest. The tag must be as the
/// request demands; if it is missing, the delete that follows says so.
pub(super) async fn delete_links(context: &Context, request: &Request<DeleteTagRequest>) -> Result<(), Error> {
    let call = Call::of(request)?;
    let writes = context.writes(&call);
    let DeleteTagRequest { uid, etag, .. } = request.get_ref();
    check_uid("uid", uid)?;
    let demanded = Arc::new((TAG.key([uid])?, Precondition { etag: etag.clone(), revision: 0 }));
    let uid: Arc<str> = uid.as_str().into();
    loop {
        let deleted = retried(call.deadline, || {
            let (uid, demanded) = (Arc::clone(&uid), Arc::clone(&demanded));
            writes.transaction(call.deadline, move |transaction| {
                Box::pin(async move {
                    let (key, precondition) = &*demanded;
                    let Some(row) = stored::lock(transaction, &TAG, key).await? else {
                        return Ok(TransactionEnd::RollBack(0));
                    };
                    stored::check(Some(&row), &TAG, key.tuple(), precondition)?;
                    let deleted = tag_links::delete_some(transaction, &uid).await?;
                    // What one transaction can delete is left to the one that deletes the tag.
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
