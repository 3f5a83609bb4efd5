//! Who holds a named write: one stream at a time, with the same parameters each time.

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

/// Two writers begin at once, again and again, and send the same rows as fast as they can; whoever is told that another one
/// took over gives up. One of them comes through, and every row is there once.
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

/// A stream takes a write over while a commit of the stream before is under way: it waits for it, and goes on behind it.
#[tokio::test]
async fn a_commit_under_way_counts_for_whoever_takes_over() {
    let fixture = Fixture::new().await;
    let channel = || fixture.server.channel();
    let held = fixture.hold("catalog.product").await;
    let (first, _) = WriteStream::resume(channel(), PRODUCTS, named("late")).await.unwrap();
    first.send(0, &products(0..5)).await;
    fixture.until_blocked().await;
    let second = tokio::spawn(WriteStream::resume(channel(), PRODUCTS, named("late")));
    fixture.until_waiting(2).await;
    held.rollback().await.unwrap();
    let (mut second, offset) = second.await.unwrap().unwrap();
    assert_eq!(offset, 5);
    second.send(0, &products(0..8)).await;
    assert_eq!(second.acknowledged(8).await.unwrap().counts(), [3, 0, 0, 0, 0]);
    drop(first);
}

#[tokio::test]
async fn a_write_goes_on_with_the_parameters_that_it_was_begun_with() {
    let fixture = Fixture::new().await;
    let channel = || fixture.server.channel();
    let begun = WriteStart { update_mask: Some(mask(&["name", "labels"])), ..named("parameters") };
    WriteStream::resume(channel(), PRODUCTS, begun.clone()).await.unwrap();
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
    stream.send(0, &products(0..3)).await;
    stream.acknowledged(3).await.unwrap();
    // The same in other words.
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

/// Writes that nobody has touched for long are cleared away by those that come; the contract promises seven days.
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
