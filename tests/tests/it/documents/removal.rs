//! Objects that belong to no document go, and no other.

use std::time::Duration;

use orrery_kit::db::TransactionEnd;
use orrery_records::storage::{Documents, Swept};
use tokio_util::sync::CancellationToken;

use super::fixture::{Fixture, PART, begin, bytes, read, soon};
use crate::harness::s3_proxy::Fault;
use crate::harness::{Role, until_waiting};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;

/// The database's time, and so much later.
async fn later(documents: &Documents, micros: i64) -> i64 {
    documents.now(soon()).await.unwrap() + micros
}

async fn sweep(documents: &Documents, micros: i64) -> Swept {
    documents.sweep(later(documents, micros).await, soon()).await.unwrap()
}

/// Releases the content of a document, as a handler does that deletes it.
async fn release(fixture: &Fixture, key: &str) {
    let key = key.to_owned();
    fixture
        .data_layer()
        .transaction(soon(), move |transaction| {
            Box::pin(async move {
                Documents::release(transaction, &[key]).await?;
                Ok(TransactionEnd::Commit(()))
            })
        })
        .await
        .unwrap();
}

on_both!(
    what_no_document_ever_had_is_gone_within_a_day,
    an_upload_that_goes_on_is_not_removed,
    content_that_a_document_released_is_removed_and_no_other,
    any_number_of_replicas_may_sweep_at_once,
);

async fn what_no_document_ever_had_is_gone_within_a_day(fixture: Fixture) {
    let documents = fixture.open();
    let kept = fixture.store("kept", &bytes(100, 1)).await;
    let all = bytes(PART + 100, 2);
    // One has a part, one is finished but in no row, and one is small and finished.
    begin(&documents, "begun", &all).await.unwrap().write(0, &all[..PART]).await.unwrap();
    for (name, size) in [("finished", PART + 100), ("small", 100)] {
        let mut upload = begin(&documents, name, &all[..size]).await.unwrap();
        upload.write(0, &all[..size]).await.unwrap();
        upload.finish().await.unwrap();
    }
    let before = fixture.objects().await;
    assert_eq!(sweep(&documents, 19 * HOUR).await, Swept::default());
    assert_eq!(fixture.objects().await, before);
    let swept = sweep(&documents, 21 * HOUR).await;
    assert_eq!(swept, Swept { expired: 3, removed: 3, failed: 0 });
    assert_eq!((fixture.objects().await, fixture.rows().await), (vec![kept.key.clone()], (0, 3)));
    // Once more for requests that were under way, counted from the time at which the rows were written.
    assert_eq!(sweep(&documents, 21 * HOUR + 1).await, Swept::default());
    assert_eq!(sweep(&documents, 22 * HOUR + MINUTE).await, Swept { expired: 0, removed: 3, failed: 0 });
    assert_eq!(fixture.rows().await, (0, 0));
    assert_eq!(read(&documents, &kept, 0..100).await.unwrap(), bytes(100, 1));
    // An upload of a name that was swept begins anew.
    let mut upload = begin(&documents, "begun", &all).await.unwrap();
    assert_eq!(upload.position(), 0);
    upload.write(0, &all).await.unwrap();
    fixture.adopt(&upload.finish().await.unwrap()).await.unwrap();
}

async fn an_upload_that_goes_on_is_not_removed(fixture: Fixture) {
    let (all, documents) = (bytes(2 * PART + 100, 1), fixture.open());
    let mut upload = begin(&documents, "upload", &all).await.unwrap();
    upload.write(0, &all[..PART]).await.unwrap();
    // It was nearly forgotten, but each part, each new stream and the end keep it.
    for step in 0..4 {
        let old = "update records.upload set expire_ts = now() - interval '1 hour'";
        sqlx::query(old).execute(&mut fixture.connect().await).await.unwrap();
        match step {
            0 => upload.write(PART as u64, &all[PART..2 * PART]).await.unwrap(),
            1 => {
                drop(upload);
                upload = begin(&documents, "upload", &all).await.unwrap();
                upload.write(2 * PART as u64, &all[2 * PART..]).await.unwrap();
            }
            2 => {
                let stored = upload.finish().await.unwrap();
                assert_eq!(sweep(&documents, 0).await, Swept::default());
                fixture.adopt(&stored).await.unwrap();
                assert_eq!(sweep(&documents, 30 * HOUR).await, Swept::default());
                assert!(read(&documents, &stored, 0..stored.bytes).await.unwrap() == all);
                return;
            }
            _ => unreachable!(),
        }
        assert_eq!(sweep(&documents, 0).await, Swept::default(), "{step}");
    }
}

async fn content_that_a_document_released_is_removed_and_no_other(fixture: Fixture) {
    let documents = fixture.open();
    let (old, new) = (fixture.store("old", &bytes(100, 1)).await, fixture.store("new", &bytes(100, 2)).await);
    // A rollback releases nothing.
    let key = old.key.clone();
    fixture
        .data_layer()
        .transaction(soon(), move |transaction| {
            Box::pin(async move {
                Documents::release(transaction, &[key]).await?;
                Ok(TransactionEnd::RollBack(()))
            })
        })
        .await
        .unwrap();
    assert_eq!(sweep(&documents, 30 * HOUR).await, Swept::default());
    release(&fixture, &old.key).await;
    // Keys that other programs wrote are not touched.
    release(&fixture, "documents/../uploads").await;
    release(&fixture, "").await;
    assert_eq!(fixture.rows().await, (0, 1));
    // At once after the commit, or, if the process did not get that far, by a sweep.
    documents.remove(&old.key, soon()).await;
    assert_eq!(fixture.objects().await, std::slice::from_ref(&new.key));
    assert_eq!(sweep(&documents, MINUTE).await, Swept { expired: 0, removed: 1, failed: 0 });
    assert_eq!(sweep(&documents, 2 * HOUR).await, Swept { expired: 0, removed: 1, failed: 0 });
    assert_eq!((fixture.objects().await, fixture.rows().await), (vec![new.key], (0, 0)));
}

async fn any_number_of_replicas_may_sweep_at_once(fixture: Fixture) {
    let all = bytes(100, 1);
    let kept = fixture.store("kept", &all).await;
    let documents = fixture.open();
    // More than one batch.
    for number in 0..3 {
        let mut upload = begin(&documents, &format!("upload {number}"), &all).await.unwrap();
        upload.write(0, &all).await.unwrap();
        upload.finish().await.unwrap();
    }
    let more = "insert into records.upload (upload_id, object_key, content_hash, part_bytes) \
                select 'more ' || n, 'documents/upl_more' || n, '', 1 from generate_series(1, 250) as n";
    sqlx::query(more).execute(&mut fixture.connect().await).await.unwrap();
    let time = later(&documents, 21 * HOUR).await;
    let replicas: Vec<Documents> = (0..4).map(|_| fixture.open()).collect();
    let sweeps = replicas.iter().map(|replica| replica.sweep(time, soon()));
    let swept = futures::future::try_join_all(sweeps).await.unwrap();
    assert_eq!(swept.iter().map(|swept| swept.expired).sum::<usize>(), 253);
    assert_eq!(swept.iter().map(|swept| swept.failed).sum::<usize>(), 0);
    // What the last one planned, if another one had already looked.
    documents.sweep(time, soon()).await.unwrap();
    assert_eq!((fixture.objects().await, fixture.rows().await), (vec![kept.key], (0, 253)));
    let last = documents.sweep(time + 2 * HOUR, soon()).await.unwrap();
    assert_eq!((last.removed, fixture.rows().await), (253, (0, 0)));
}

#[tokio::test]
async fn an_upload_that_goes_on_while_a_sweep_looks_at_it_is_kept() {
    let fixture = Fixture::folder().await;
    let (all, documents) = (bytes(PART + 100, 1), fixture.open());
    let mut upload = begin(&documents, "upload", &all).await.unwrap();
    upload.write(0, &all).await.unwrap();
    let time = later(&documents, 21 * HOUR).await;
    // The sweep finds it expired, and then waits for the statement of a part that arrives.
    let mut part = fixture.connect().await;
    let arrives = "begin; update records.upload set expire_ts = now() + interval '2 days'";
    sqlx::raw_sql(arrives).execute(&mut part).await.unwrap();
    let sweeping = tokio::spawn(async move { documents.sweep(time, soon()).await });
    let mut watching = fixture.database.connect(Role::Operator).await;
    until_waiting(&mut watching, Role::Records, 1).await;
    sqlx::raw_sql("commit").execute(&mut part).await.unwrap();
    assert_eq!(sweeping.await.unwrap().unwrap(), Swept::default());
    let stored = upload.finish().await.unwrap();
    fixture.adopt(&stored).await.unwrap();
    assert!(read(&fixture.open(), &stored, 0..stored.bytes).await.unwrap() == all);
}

#[tokio::test]
async fn a_removal_that_fails_is_tried_again_later() {
    let Some(fixture) = Fixture::bucket().await else { return };
    let documents = fixture.open_with(|config| config.retry_time = Duration::ZERO);
    let mut keys = Vec::new();
    for number in 0..5u8 {
        let stored = fixture.store(&number.to_string(), &[number]).await;
        release(&fixture, &stored.key).await;
        keys.push(stored.key);
    }
    // The storage is down: the sweep does not try all.
    fixture.proxy().fail("DELETE", Fault::Answer(500), usize::MAX / 8);
    assert_eq!(sweep(&documents, MINUTE).await, Swept { expired: 0, removed: 0, failed: 3 });
    fixture.proxy().heal();
    assert_eq!(fixture.objects().await, keys);
    // The other two now, those that failed later.
    assert_eq!(sweep(&documents, MINUTE).await, Swept { expired: 0, removed: 2, failed: 0 });
    assert_eq!(sweep(&documents, 20 * MINUTE).await, Swept { expired: 0, removed: 3, failed: 0 });
    assert_eq!(fixture.objects().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_service_sweeps_in_the_background_until_it_stops() {
    let fixture = Fixture::folder().await;
    let documents = fixture.open();
    let stored = fixture.store("upload", &bytes(100, 1)).await;
    release(&fixture, &stored.key).await;
    let shutdown = CancellationToken::new();
    let sweeping = tokio::spawn(documents.sweep_every(Duration::from_millis(20), shutdown.clone()));
    while !fixture.objects().await.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shutdown.cancel();
    sweeping.await.unwrap();
}
