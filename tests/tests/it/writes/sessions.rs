//! A named write belongs to one stream at a time, always with the same parameters.

use orrery_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use orrery_proto::catalog::v1::{CreateProductRequest, Product};
use orrery_proto::r#type::v1::{ReferenceCheck, RowErrorPolicy, WriteMode, WriteStart};
use tonic::Code;

use super::Fixture;
use super::stream::{METRICS, PRODUCTS, WriteStream, assert_status, mask, metric, named, products, violated};

#[tokio::test]
async fn the_newest_stream_of_a_write_goes_on_and_the_other_is_told() {
    let fixture = Fixture::new().await;
    let channel = || fixture.server.channel();
    let (mut first, _) = WriteStream::resume(channel(), PRODUCTS, named("shared")).await.unwrap();
    first.send(0, &products(0..5)).await;
    first.acknowledged(5).await.unwrap();
    let (mut second, offset) = WriteStream::resume(channel(), PRODUCTS, named("shared")).await.unwrap();
    assert_eq!(offset, 5);
    first.send(5, &products(5..10)).await;
    let status = first.answer().await.unwrap_err();
    assert_status(&status, Code::Aborted, "WRITE_SESSION_TAKEN_OVER");
    second.send(5, &products(5..10)).await;
    assert_eq!(second.acknowledged(10).await.unwrap().counts(), [5, 0, 0, 0, 0]);
    assert_eq!(fixture.count("catalog.product").await, 10);
}

/// Two writers start at once, repeatedly, and send the same rows as fast as they can; a writer stops when another one
/// took over. One of them finishes, and each row is written once.
#[tokio::test]
async fn of_two_writers_at_once_exactly_one_comes_through() {
    const ROWS: i64 = 400;
    let fixture = Fixture::new().await;
    for round in 0..6 {
        let write_id = format!("race{round}");
        let writer = || {
            let (channel, write_id) = (fixture.server.channel(), write_id.clone());
            async move {
                let (mut stream, mut offset) = WriteStream::resume(channel, PRODUCTS, named(&write_id)).await?;
                let mut created = 0;
                while offset < ROWS {
                    let end = (offset + 7).min(ROWS);
                    let base = round * ROWS;
                    stream.send(offset, &products(base + offset..base + end)).await;
                    let totals = stream.acknowledged(end).await?;
                    created += totals.created;
                    assert_eq!((totals.updated, totals.unchanged), (0, 0), "no row is written twice");
                    offset = end;
                }
                Ok::<i64, tonic::Status>(created)
            }
        };
        let outcomes = tokio::join!(writer(), writer());
        let (winners, losers): (Vec<_>, Vec<_>) = [outcomes.0, outcomes.1].into_iter().partition(Result::is_ok);
        assert_eq!(losers.len(), 1, "{winners:?}");
        assert_status(losers[0].as_ref().unwrap_err(), Code::Aborted, "WRITE_SESSION_TAKEN_OVER");
        assert!(*winners[0].as_ref().unwrap() > 0);
        assert_eq!(fixture.count("catalog.product").await, (round + 1) * ROWS);
    }
}

/// A stream takes a write over while a commit of the previous stream is running: it waits for the commit, and continues
/// after it.
#[tokio::test]
async fn a_commit_under_way_counts_for_whoever_takes_over() {
    let fixture = Fixture::new().await;
    let channel = || fixture.server.channel();
    let held = fixture.hold("catalog.product").await;
    let (first, _) = WriteStream::resume(channel(), PRODUCTS, named("late")).await.unwrap();
    first.send(0, &products(0..5)).await;
    fixture.until_blocked().await;
    // Nothing is stored of the write yet, so there is nothing to wait for until something is written.
    let (mut second, offset) = WriteStream::resume(channel(), PRODUCTS, named("late")).await.unwrap();
    assert_eq!(offset, 0);
    second.send(0, &products(0..3)).await;
    fixture.until_waiting(2).await;
    second.send(3, &products(3..8)).await;
    held.rollback().await.unwrap();
    assert_eq!(second.acknowledged(8).await.unwrap().counts(), [3, 0, 0, 0, 0]);
    drop(first);

    // For a stored write, the takeover waits.
    let held = fixture.hold("catalog.product").await;
    second.send(8, &products(8..10)).await;
    fixture.until_blocked().await;
    let third = tokio::spawn(WriteStream::resume(channel(), PRODUCTS, named("late")));
    fixture.until_waiting(2).await;
    held.rollback().await.unwrap();
    let (mut third, offset) = third.await.unwrap().unwrap();
    assert_eq!(offset, 10);
    third.send(0, &products(0..11)).await;
    assert_eq!(third.acknowledged(11).await.unwrap().counts(), [1, 0, 0, 0, 0]);
}

/// Clients that only start writes leave nothing behind.
#[tokio::test]
async fn a_write_is_stored_with_its_first_commit() {
    let fixture = Fixture::new().await;
    let channel = || fixture.server.channel();
    for write in 0..50 {
        let (_, offset) = WriteStream::resume(channel(), PRODUCTS, named(&format!("begun{write}"))).await.unwrap();
        assert_eq!(offset, 0);
    }
    assert_eq!(fixture.count("catalog.write_session").await, 0);
    let (refused, _) = WriteStream::resume(channel(), PRODUCTS, named("refused")).await.unwrap();
    refused.send(0, &[Product { uid: "wrong".to_owned(), ..Product::default() }]).await;
    assert_status(&refused.ended().await.1, Code::InvalidArgument, "ROW_REJECTED");
    assert_eq!(fixture.count("catalog.write_session").await, 0, "nothing was committed");
    let (mut stream, _) = WriteStream::resume(channel(), PRODUCTS, named("begun7")).await.unwrap();
    stream.send(0, &products(0..5)).await;
    stream.acknowledged(5).await.unwrap();
    assert_eq!(fixture.count("catalog.write_session where write_id = 'begun7' and committed_offset = 5").await, 1);
}

/// Of streams that started before the first commit, the newest holds the write.
#[tokio::test]
async fn of_streams_that_began_a_new_write_the_newest_holds_it() {
    let fixture = Fixture::new().await;
    let begin = |start: WriteStart| WriteStream::resume(fixture.server.channel(), PRODUCTS, start);
    let (mut first, _) = begin(named("new")).await.unwrap();
    let (mut second, _) = begin(named("new")).await.unwrap();
    let (mut third, offset) = begin(named("new")).await.unwrap();
    assert_eq!(offset, 0);

    // The second commits before the first: the first is older.
    second.send(0, &products(0..5)).await;
    second.acknowledged(5).await.unwrap();
    first.send(0, &products(0..5)).await;
    assert_status(&first.answer().await.unwrap_err(), Code::Aborted, "WRITE_SESSION_TAKEN_OVER");

    // The third continues after what the second committed, however it cuts its chunks, and the second gets an error.
    for (offset, rows) in [(0, 0..2), (2, 2..4), (4, 4..9), (9, 9..10)] {
        third.send(offset, &products(rows)).await;
    }
    assert_eq!(third.acknowledged(10).await.unwrap().counts(), [5, 0, 0, 0, 0]);
    second.send(5, &products(5..6)).await;
    assert_status(&second.answer().await.unwrap_err(), Code::Aborted, "WRITE_SESSION_TAKEN_OVER");
    assert_eq!(fixture.count("catalog.product").await, 10);
    third.send(10, &products(10..11)).await;
    assert_eq!(third.acknowledged(11).await.unwrap().counts(), [1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn of_streams_that_began_a_new_write_one_with_other_rows_or_parameters_is_refused() {
    let fixture = Fixture::new().await;
    let begin = |start: WriteStart| WriteStream::resume(fixture.server.channel(), PRODUCTS, start);
    let (mut first, _) = begin(named("new")).await.unwrap();
    let (mut other_rows, _) = begin(named("new")).await.unwrap();
    let create = WriteStart { mode: WriteMode::Create.into(), ..named("new") };
    let (mut other_mode, _) = begin(create).await.unwrap();
    first.send(0, &products(0..5)).await;
    first.acknowledged(5).await.unwrap();
    other_mode.send(0, &products(0..9)).await;
    let status = other_mode.answer().await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "WRITE_SESSION_MISMATCH");
    assert_eq!(violated(&status), "start.write_id");
    first.send(5, &products(5..6)).await;
    first.acknowledged(6).await.unwrap();
    other_rows.send(0, &products(3..8)).await;
    assert_status(&other_rows.answer().await.unwrap_err(), Code::Aborted, "OFFSET_CONFLICT");
    assert_eq!(fixture.count("catalog.product").await, 6);
}

/// Creates clean up the ledger too, because a service may have no streams.
#[tokio::test]
async fn what_is_forgotten_goes_where_there_are_creates_alone() {
    let fixture = Fixture::new().await;
    let old = "insert into catalog.write_session (resource, write_id, parameters, update_ts) \
               select 'create orrery.catalog.v1.Product', 'old ' || n, '{}', now() - interval '100 days' \
                 from generate_series(1, 250) n";
    sqlx::query(old).execute(&fixture.pool).await.unwrap();
    let mut client = CatalogServiceClient::new(fixture.server.channel());
    for call in 0..100 {
        let product = Some(Product { uid: format!("prd_{call}"), ..Product::default() });
        let request_id = format!("create-{call}");
        let request = CreateProductRequest { product, request_id, ..CreateProductRequest::default() };
        client.create_product(request).await.unwrap();
    }
    let cleared = async {
        while fixture.count("catalog.write_session").await > 100 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), cleared).await.unwrap();
    assert_eq!(fixture.count("catalog.write_session where write_id like 'create-%'").await, 100);
}

#[tokio::test]
async fn a_write_goes_on_with_the_parameters_that_it_was_begun_with() {
    let fixture = Fixture::new().await;
    let channel = || fixture.server.channel();
    let begun = WriteStart { update_mask: Some(mask(&["name", "labels"])), ..named("parameters") };
    let (mut stored, _) = WriteStream::resume(channel(), PRODUCTS, begun.clone()).await.unwrap();
    stored.send(0, &products(0..1)).await;
    stored.acknowledged(1).await.unwrap();
    let others = [
        WriteStart { mode: WriteMode::Create.into(), ..begun.clone() },
        WriteStart { on_row_error: RowErrorPolicy::Skip.into(), ..begun.clone() },
        WriteStart { reference_check: ReferenceCheck::Reject.into(), ..begun.clone() },
        WriteStart { update_mask: None, ..begun.clone() },
        WriteStart { update_mask: Some(mask(&["name"])), ..begun.clone() },
        WriteStart { keep_unset: true, ..begun.clone() },
    ];
    // This stream holds the write; a refused start does not take it over.
    let (mut stream, _) = WriteStream::resume(channel(), PRODUCTS, begun.clone()).await.unwrap();
    for other in others {
        let status = WriteStream::resume(channel(), PRODUCTS, other).await.err().unwrap();
        assert_status(&status, Code::InvalidArgument, "WRITE_SESSION_MISMATCH");
        assert_eq!(violated(&status), "start.write_id");
    }
    stream.send(1, &products(1..3)).await;
    stream.acknowledged(3).await.unwrap();
    // The same parameters in another form.
    let same = WriteStart {
        mode: WriteMode::Upsert.into(),
        on_row_error: RowErrorPolicy::Stop.into(),
        reference_check: ReferenceCheck::Accept.into(),
        update_mask: Some(mask(&["labels", "name"])),
        ..named("parameters")
    };
    let (_, offset) = WriteStream::resume(channel(), PRODUCTS, same).await.unwrap();
    assert_eq!(offset, 3);
}

#[tokio::test]
async fn one_write_id_on_two_resources_is_two_writes() {
    let fixture = Fixture::new().await;
    let channel = || fixture.server.channel();
    let (mut on_products, _) = WriteStream::resume(channel(), PRODUCTS, named("both")).await.unwrap();
    on_products.send(0, &products(0..5)).await;
    on_products.acknowledged(5).await.unwrap();
    let start = WriteStart { mode: WriteMode::Create.into(), ..named("both") };
    let (mut on_metrics, offset) = WriteStream::resume(channel(), METRICS, start).await.unwrap();
    assert_eq!(offset, 0);
    on_metrics.send(0, &[metric("a", "m", "1")]).await;
    on_metrics.acknowledged(1).await.unwrap();
    on_products.send(5, &products(5..6)).await;
    on_products.acknowledged(6).await.unwrap();
    assert_eq!((fixture.count("catalog.product").await, fixture.count("catalog.product_metric").await), (6, 1));
}

/// Writes that were not used for long are deleted by later ones; the contract promises seven days.
#[tokio::test]
async fn a_write_is_remembered_for_a_week_and_not_for_ever() {
    let fixture = Fixture::new().await;
    let channel = || fixture.server.channel();
    for write_id in ["week", "year"] {
        let (mut stream, _) = WriteStream::resume(channel(), PRODUCTS, named(write_id)).await.unwrap();
        stream.send(0, &products(0..5)).await;
        stream.acknowledged(5).await.unwrap();
    }
    for (write_id, days) in [("week", 8), ("year", 365)] {
        sqlx::query(
            "update catalog.write_session set update_ts = now() - make_interval(days => $2) where write_id = $1",
        )
        .bind(write_id)
        .bind(days)
        .execute(&fixture.pool)
        .await
        .unwrap();
    }
    WriteStream::resume(channel(), PRODUCTS, named("new")).await.unwrap();
    assert_eq!(fixture.count("catalog.write_commit where write_id = 'year'").await, 0);
    let (_, offset) = WriteStream::resume(channel(), PRODUCTS, named("year")).await.unwrap();
    assert_eq!(offset, 0);
    let (_, offset) = WriteStream::resume(channel(), PRODUCTS, named("week")).await.unwrap();
    assert_eq!(offset, 5);
}
