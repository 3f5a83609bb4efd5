//! `ResolveProducts`: products by what other systems call them.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod input;
mod matches;
mod pages;

use orrery_proto::catalog::v1::{MatchKind, ResolveProductsRequest, ResolvedProduct};
use sqlx::PgConnection;

use crate::harness::{CatalogServer, Role, TestDatabase};

/// A catalog of products with these uids and names, without the service.
async fn insert(connection: &mut PgConnection, products: &[(&str, Option<&str>)]) {
    let (uids, names): (Vec<&str>, Vec<Option<&str>>) = products.iter().copied().unzip();
    sqlx::query("insert into catalog.product (uid, name) select * from unnest($1::text[], $2::text[])")
        .bind(uids)
        .bind(names)
        .execute(connection)
        .await
        .unwrap();
}

/// A service and its database, with these products.
async fn shop(products: &[(&str, &str)]) -> (TestDatabase, PgConnection, CatalogServer) {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    insert(&mut operator, &products.iter().map(|&(uid, name)| (uid, Some(name))).collect::<Vec<_>>()).await;
    let server = CatalogServer::start(&database).await;
    (database, operator, server)
}

fn request(names: &[&str]) -> ResolveProductsRequest {
    ResolveProductsRequest { names: names.iter().map(|&name| name.to_owned()).collect(), ..Default::default() }
}

async fn resolve(server: &CatalogServer, request: ResolveProductsRequest) -> Vec<ResolvedProduct> {
    server.client().resolve_products(request).await.unwrap().into_inner().resolutions
}

/// The kind and the product of a resolution, and the uids of its candidates.
fn outcome(resolution: &ResolvedProduct) -> (MatchKind, &str, Vec<&str>) {
    let candidates = resolution.candidates.iter().map(|candidate| candidate.product_uid.as_str()).collect();
    (resolution.r#match(), &resolution.product_uid, candidates)
}

/// The resolution of a single name.
async fn only(server: &CatalogServer, name: &str) -> ResolvedProduct {
    let mut all = resolve(server, request(&[name])).await;
    assert_eq!(all.len(), 1);
    all.remove(0)
}
