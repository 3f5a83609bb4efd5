//! A referenced row that was found still exists when the write is committed.

use orrery_proto::catalog::v1::DeleteProductRequest;
use orrery_proto::r#type::v1::{ErrorReason, ReferenceCheck, RowErrorPolicy, WriteStart};
use tonic::Code;

use super::{begin, commit};
use crate::harness::{Role, until_waiting, until_waiting_or, waiting};
use crate::writes::Fixture;
use crate::writes::stream::{METRICS, WriteStream, metric};

const DANGLING: &str =
    "catalog.product_metric as m where not exists (select from catalog.product as p where p.uid = m.product_uid)";

fn rejecting() -> WriteStart {
    WriteStart {
        reference_check: ReferenceCheck::Reject.into(),
        on_row_error: RowErrorPolicy::Skip.into(),
        ..WriteStart::default()
    }
}

#[tokio::test]
async fn a_product_stays_until_the_metrics_that_were_found_to_point_at_it_are_committed() {
    let fixture = Fixture::new().await;
    let mut watcher = fixture.database.connect(Role::Operator).await;
    commit(&fixture.pool, "insert into catalog.product (uid) values ('prd_a')").await;
    // The metric's product was already found when the write waits for this.
    let metric_row = "insert into catalog.product_metric (product_uid, name, value) values ('prd_a', 'sales', 1)";
    let holding = begin(&fixture.pool, metric_row).await;
    let stream = WriteStream::open(fixture.server.channel(), METRICS, rejecting()).await.unwrap();
    stream.send(0, &[metric("a", "sales", "2")]).await;
    until_waiting(&mut watcher, Role::Catalog, 1).await;
    let mut client = fixture.server.client();
    let delete = DeleteProductRequest { uid: "prd_a".to_owned(), ..DeleteProductRequest::default() };
    let delete = tokio::spawn(async move { client.delete_product(delete).await });
    until_waiting_or(&mut watcher, Role::Catalog, 2, || delete.is_finished()).await;
    holding.rollback().await.unwrap();
    let (totals, end) = stream.finish().await;
    end.unwrap();
    assert_eq!(totals.counts(), [1, 0, 0, 0, 0], "{:?}", totals.errors);
    delete.await.unwrap().unwrap();
    assert_eq!(fixture.count(DANGLING).await, 0, "a metric of a product that is gone");
    assert_eq!(fixture.count("catalog.product_metric").await, 0, "it went with its product");
}

#[tokio::test]
async fn a_product_that_is_being_deleted_is_waited_for_and_missed() {
    let fixture = Fixture::new().await;
    let mut watcher = fixture.database.connect(Role::Operator).await;
    commit(&fixture.pool, "insert into catalog.product (uid) values ('prd_a'), ('prd_b')").await;
    let deleting = begin(&fixture.pool, "delete from catalog.product where uid = 'prd_a'").await;
    let stream = WriteStream::open(fixture.server.channel(), METRICS, rejecting()).await.unwrap();
    stream.send(0, &[metric("a", "sales", "2"), metric("b", "sales", "2")]).await;
    until_waiting(&mut watcher, Role::Catalog, 1).await;
    deleting.commit().await.unwrap();
    let (totals, end) = stream.finish().await;
    end.unwrap();
    assert_eq!(totals.counts(), [1, 0, 0, 1, 0]);
    let [error] = totals.errors.as_slice() else { unreachable!("{:?}", totals.errors) };
    assert_eq!((error.offset, error.code), (0, Code::FailedPrecondition as i32));
    assert_eq!(error.reason, i32::from(ErrorReason::ReferenceMissing));
    assert_eq!(fixture.count(DANGLING).await, 0);
}

/// The lock is not stronger than necessary: an update of a product does not block its metrics.
#[tokio::test]
async fn a_product_that_is_being_changed_does_not_hold_up_its_metrics() {
    let fixture = Fixture::new().await;
    let mut watcher = fixture.database.connect(Role::Operator).await;
    commit(&fixture.pool, "insert into catalog.product (uid) values ('prd_a')").await;
    let changing = begin(&fixture.pool, "update catalog.product set name = 'theirs'").await;
    let mut stream = WriteStream::open(fixture.server.channel(), METRICS, rejecting()).await.unwrap();
    stream.send(0, &[metric("a", "sales", "2")]).await;
    assert_eq!(stream.acknowledged(1).await.unwrap().counts(), [1, 0, 0, 0, 0]);
    assert_eq!(waiting(&mut watcher, Role::Catalog).await, 0);
    changing.rollback().await.unwrap();
}
