//! Migrations: the slices are apart, up, down and up again keeps data, dbmate and `orrery migrate` share one ledger.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use crate::harness::{Role, TestDatabase};

#[tokio::test]
async fn a_copy_of_the_template_has_its_search_path() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect(Role::Catalog).await;
    let path: String = sqlx::query_scalar("show search_path").fetch_one(&mut connection).await.unwrap();
    assert_eq!(path, "catalog, orders, records, public");
}
