//! LinkProducts and UnlinkProducts.

use std::sync::Arc;

use orrery_kit::context::{Call, Context};
use orrery_kit::db::retry::retried;
use orrery_kit::db::{Statement, Transaction, TransactionEnd};
use orrery_kit::error::{Error, Violation};
use orrery_kit::uid::check_key;
use orrery_proto::records::v1::{
    LinkProductsRequest, LinkProductsResponse, UnlinkProductsRequest, UnlinkProductsResponse,
};
use orrery_proto::r#type::v1::ReferenceCheck;
use tonic::{Request, Response};

use crate::store::artifact::ARTIFACT;
use crate::store::product_link;
use crate::store::uids::PRODUCT_UID;

/// Maximum number of products of one request.
const MAX_PRODUCTS: usize = 1_000;

/// Checks an artifact and products, and returns the different products, sorted.
fn checked(
    artifact_uid: &str,
    product_uids: &[String],
    check: fn(&str) -> Result<(), String>,
) -> Result<Vec<String>, Error> {
    check_key(artifact_uid).map_err(|why| Error::invalid("artifact_uid", why))?;
    if product_uids.is_empty() || product_uids.len() > MAX_PRODUCTS {
        return Err(Error::invalid("product_uids", format!("must be 1 to {MAX_PRODUCTS} uids")));
    }
    let violation = |(nth, uid): (usize, &String)| {
        let why = check(uid).err()?;
        Some(Violation::new(format!("product_uids[{nth}]"), why))
    };
    let violations: Vec<Violation> = product_uids.iter().enumerate().filter_map(violation).take(32).collect();
    if !violations.is_empty() {
        return Err(Error::Invalid(violations));
    }
    let mut products = product_uids.to_vec();
    products.sort_unstable();
    products.dedup();
    Ok(products)
}

/// Locks an artifact, so that it stays.
async fn lock(transaction: &mut Transaction<'_>, uid: &str) -> Result<(), Error> {
    // Transactions that share locks of one reference table of a sharded database deadlock.
    let strength = if transaction.is_sharded() { "update" } else { "key share" };
    let sql = format!("select t.uid\n  from records.macrodata_artifact as t\n where t.uid = $1\n   for {strength}");
    if transaction.fetch(Statement::new(sql, 1).bind(uid)?).await?.is_empty() {
        return Err(Error::NotFound { resource: ARTIFACT.description.message, name: uid.to_owned() });
    }
    Ok(())
}

pub(super) async fn link(
    context: &Context,
    request: Request<LinkProductsRequest>,
) -> Result<Response<LinkProductsResponse>, Error> {
    let call = Call::of(&request)?;
    let writes = context.writes(&call);
    let LinkProductsRequest { artifact_uid, product_uids, reference_check } = request.into_inner();
    let products = checked(&artifact_uid, &product_uids, |uid| PRODUCT_UID.check(uid))?;
    match ReferenceCheck::try_from(reference_check) {
        Err(_) => return Err(Error::invalid("reference_check", "is no ReferenceCheck")),
        Ok(ReferenceCheck::Accept) => {}
        Ok(ReferenceCheck::Unspecified | ReferenceCheck::Reject) => {
            let foreign = writes.foreign.as_ref().ok_or_else(|| Error::internal("nothing knows the products"))?;
            let missing = foreign.missing(products.clone(), call.deadline).await?;
            if let Some((nth, uid)) = product_uids.iter().enumerate().find(|(_, uid)| missing.contains(*uid)) {
                let why = format!("{uid} does not exist");
                return Err(Error::ReferenceMissing(Violation::new(format!("product_uids[{nth}]"), why)));
            }
        }
    }
    let links = Arc::new((artifact_uid, products));
    let linked = retried(call.deadline, || {
        let links = Arc::clone(&links);
        writes.transaction(call.deadline, move |transaction| {
            Box::pin(async move {
                let (artifact_uid, products) = &*links;
                lock(transaction, artifact_uid).await?;
                let linked = product_link::link(transaction, artifact_uid, products).await?;
                Ok(TransactionEnd::Commit(linked))
            })
        })
    })
    .await?;
    call.rows.add(linked as u64);
    Ok(Response::new(LinkProductsResponse { linked: linked as i32 }))
}

pub(super) async fn unlink(
    context: &Context,
    request: Request<UnlinkProductsRequest>,
) -> Result<Response<UnlinkProductsResponse>, Error> {
    let call = Call::of(&request)?;
    let writes = context.writes(&call);
    let UnlinkProductsRequest { artifact_uid, product_uids } = request.into_inner();
    // Links that another program stored may hold any texts.
    let products = checked(&artifact_uid, &product_uids, check_key)?;
    let links = Arc::new((artifact_uid, products));
    let unlinked = retried(call.deadline, || {
        let links = Arc::clone(&links);
        writes.transaction(call.deadline, move |transaction| {
            Box::pin(async move {
                let (artifact_uid, products) = &*links;
                Ok(TransactionEnd::Commit(product_link::unlink(transaction, artifact_uid, products).await?))
            })
        })
    })
    .await?;
    call.rows.add(unlinked as u64);
    Ok(Response::new(UnlinkProductsResponse { unlinked: unlinked as i32 }))
}
