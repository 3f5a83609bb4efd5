//! RenameTag and ResolveTags.

use std::collections::HashMap;
use std::sync::Arc;

use orrery_kit::context::{Call, Context};
use orrery_kit::db::retry::retried;
use orrery_kit::db::{Statement, Transaction, TransactionEnd};
use orrery_kit::error::Error;
use orrery_kit::read::view::{View, mask};
use orrery_kit::resource::decode::Precondition;
use orrery_kit::write::change::{ChangeRequest, ChangeStep, change};
use orrery_proto::records::v1::{RenameTagRequest, ResolveTagsRequest, ResolveTagsResponse};
use orrery_proto::wire::Encoded;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tonic::{Request, Response};

use super::{check_name, check_uid};
use crate::store::tag::TAG;
use crate::store::tag_names;
use crate::store::uids::TAG_UID;

/// Maximum number of names of one request.
const MAX_NAMES: usize = 1_000;

pub(super) async fn rename(context: &Context, request: Request<RenameTagRequest>) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let writes = context.writes(&call);
    let RenameTagRequest { uid, new_name, etag } = request.into_inner();
    check_uid("uid", &uid)?;
    check_name("new_name", &new_name)?;
    let change_request = ChangeRequest {
        key: TAG.key([&uid])?,
        precondition: Precondition { etag, revision: 0 },
        mask: mask(&TAG, None, View::Full)?,
        deadline: call.deadline,
        answers: call.answers,
        entry: None,
    };
    let renamed: Arc<(String, String)> = Arc::new((uid, new_name));
    let step: ChangeStep = Arc::new(move |transaction, _| {
        let renamed = Arc::clone(&renamed);
        Box::pin(async move {
            let (uid, name) = &*renamed;
            if let Some(holder) = holder(transaction, name).await?
                && holder != *uid
            {
                let (resource, field) = (TAG.description.message, "new_name".to_owned());
                return Err(Error::ValueTaken { resource, field, holder });
            }
            transaction.write(tag_names::rename(uid, name)?).await?;
            let (uids, names) = ([uid.clone()], [name.clone()]);
            transaction.write(tag_names::rename_classified(&uids, &names)?).await?;
            Ok(())
        })
    });
    call.answer_written(change(&writes, &TAG, change_request, step).await?)
}

/// The tag that has a name.
async fn holder(transaction: &mut Transaction<'_>, name: &str) -> Result<Option<String>, Error> {
    let found = transaction.fetch(tag_names::by_name(&[name.to_owned()])?).await?;
    Ok(found.first().map(|row| row.try_get(1)).transpose()?)
}

pub(super) async fn resolve(
    context: &Context,
    request: Request<ResolveTagsRequest>,
) -> Result<Response<ResolveTagsResponse>, Error> {
    let call = Call::of(&request)?;
    let writes = context.writes(&call);
    let ResolveTagsRequest { names, create_missing } = request.into_inner();
    if names.is_empty() || names.len() > MAX_NAMES {
        return Err(Error::invalid("names", format!("must be 1 to {MAX_NAMES} names")));
    }
    for (nth, name) in names.iter().enumerate() {
        check_name(&format!("names[{nth}]"), name)?;
    }
    let (tag_uids, created) = if create_missing {
        let names = Arc::new(names);
        let resolved = retried(call.deadline, || {
            let names = Arc::clone(&names);
            writes.transaction(call.deadline, move |transaction| {
                Box::pin(async move { Ok(TransactionEnd::Commit(find_or_create(transaction, &names).await?)) })
            })
        });
        resolved.await?
    } else {
        (uids_of(&writes.fetch(&tag_names::by_name(&names)?, call.deadline).await?, names.len())?, 0)
    };
    call.rows.add(tag_uids.len() as u64);
    Ok(Response::new(ResolveTagsResponse { tag_uids, created }))
}

/// Finds tags, and creates those that are missing. A tag that another transaction is creating is waited for.
async fn find_or_create(transaction: &mut Transaction<'_>, names: &[String]) -> Result<(Vec<String>, i64), Error> {
    let found = uids_of(&transaction.fetch(tag_names::by_name(names)?).await?, names.len())?;
    if !found.iter().any(String::is_empty) {
        return Ok((found, 0));
    }
    let uids: Vec<String> = names.iter().map(|_| TAG_UID.new_uid()).collect();
    let created = transaction.write(create_statement(&uids, names)?).await?.len();
    let found = uids_of(&transaction.fetch(tag_names::by_name(names)?).await?, names.len())?;
    Ok((found, created as i64))
}

fn create_statement(uids: &[String], names: &[String]) -> Result<Statement, Error> {
    // Of names that differ only in their letter case, the first one is created.
    let mut first: HashMap<String, usize> = HashMap::new();
    for (nth, name) in names.iter().enumerate() {
        first.entry(name.to_lowercase()).or_insert(nth);
    }
    let mut places: Vec<usize> = first.into_values().collect();
    places.sort_unstable();
    let pick = |texts: &[String]| places.iter().filter_map(|&nth| texts.get(nth).cloned()).collect::<Vec<_>>();
    tag_names::create(&pick(uids), &pick(names))
}

/// The uids that were found, at the places of their names; empty texts at the others.
fn uids_of(found: &[PgRow], names: usize) -> Result<Vec<String>, Error> {
    let mut tag_uids = vec![String::new(); names];
    for row in found {
        let place = usize::try_from(row.try_get::<i64, _>(0)? - 1).unwrap_or(usize::MAX);
        if let Some(uid) = tag_uids.get_mut(place) {
            *uid = row.try_get(1)?;
        }
    }
    Ok(tag_uids)
}
