//! UpsertTagClassification: puts a tag, named by its uid or its name, into a category.

use std::sync::Arc;

use orrery_kit::context::{Call, Context};
use orrery_kit::db::TransactionEnd;
use orrery_kit::error::Error;
use orrery_kit::read::extent::Extent;
use orrery_kit::read::view::{View, mask};
use orrery_kit::write::returned::{read_masked, returning};
use orrery_proto::records::v1::UpsertTagClassificationRequest;
use orrery_proto::wire::Encoded;
use sqlx::Row as _;
use tonic::{Request, Response};

use super::{check_name, check_uid};
use crate::store::tag::TAG;
use crate::store::tag_classification::TAG_CLASSIFICATION;
use crate::store::tag_names;

pub(super) async fn upsert(
    context: &Context,
    request: Request<UpsertTagClassificationRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let writes = context.writes(&call);
    let request = request.into_inner();
    match (request.tag_uid.as_str(), request.tag_name.as_str()) {
        ("", "") => return Err(Error::invalid("tag_uid", "one of tag_uid and tag_name is required")),
        ("", name) => check_name("tag_name", name)?,
        (uid, "") => check_uid("tag_uid", uid)?,
        _ => return Err(Error::invalid("tag_name", "must be unset if tag_uid is set")),
    }
    check_name("category_name", &request.category_name)?;
    let (request, answers) = (Arc::new(request), call.answers);
    let fields = Arc::new(mask(&TAG_CLASSIFICATION, None, View::Full)?);
    let written = returning(call.deadline, |extent: Extent| {
        let (request, fields) = (Arc::clone(&request), Arc::clone(&fields));
        writes.transaction(call.deadline, move |transaction| {
            Box::pin(async move {
                let UpsertTagClassificationRequest { tag_uid, tag_name, category_name } = &*request;
                let uid = match tag_uid.as_str() {
                    "" => {
                        let found = transaction.fetch(tag_names::by_name(std::slice::from_ref(tag_name))?).await?;
                        found.first().map(|row| row.try_get(1)).transpose()?.unwrap_or_default()
                    }
                    uid => uid.to_owned(),
                };
                let locked = tag_names::lock(std::slice::from_ref(&uid), transaction.is_sharded())?;
                let found = transaction.fetch(locked).await?;
                let Some(tag) = found.first() else {
                    let named = if tag_uid.is_empty() { tag_name } else { tag_uid };
                    return Err(Error::NotFound { resource: TAG.description.message, name: named.clone() });
                };
                let name: String = tag.try_get(1)?;
                transaction.write(tag_names::classify(&uid, &name, category_name)?).await?;
                let key = TAG_CLASSIFICATION.key([&uid])?;
                let row = read_masked(transaction, &TAG_CLASSIFICATION, &fields, &key, answers, extent).await?;
                Ok(TransactionEnd::Commit(row))
            })
        })
    });
    call.answer_written(written.await?)
}
