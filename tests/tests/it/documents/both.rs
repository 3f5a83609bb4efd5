//! What holds in a folder and in a bucket.

use futures::StreamExt as _;
use orrery_kit::error::Error;

use super::fixture::{Fixture, PART, begin, bytes, content, pieces, read, soon};

on_both!(
    content_of_any_size_comes_back,
    any_range_can_be_read,
    a_broken_upload_continues_on_another_replica,
    a_finished_upload_can_be_finished_again,
    bytes_that_are_there_are_skipped_and_a_gap_is_refused,
    a_stream_that_breaks_is_no_end,
    a_wrong_hash_leaves_nothing,
    content_beyond_the_limit_is_refused,
    an_upload_that_is_given_up_leaves_nothing,
    the_same_content_twice_at_once_is_stored_twice,
    the_newer_stream_of_an_upload_wins,
    an_upload_keeps_its_hash_and_the_size_of_its_parts,
    lost_content_is_said_to_be_lost,
);

async fn content_of_any_size_comes_back(fixture: Fixture) {
    let documents = fixture.open();
    for (seed, size) in (1..).zip([0, 1, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 77_777]) {
        let all = bytes(size, seed);
        let mut upload = begin(&documents, &format!("upload {size}"), &all).await.unwrap();
        assert_eq!(upload.position(), 0);
        upload.write_all(0, pieces(&all, 300_000)).await.unwrap();
        assert_eq!(upload.position(), size as u64);
        let stored = upload.finish().await.unwrap();
        assert_eq!((stored.bytes, fixture.rows().await), (size as u64, (1, 0)));
        fixture.adopt(&stored).await.unwrap();
        assert!(read(&documents, &stored, 0..size as u64).await.unwrap() == all, "{size} bytes differ");
        assert_eq!((fixture.objects().await, fixture.rows().await), (vec![stored.key.clone()], (0, 0)));
        fixture.lose(&stored.key).await;
    }
}

async fn any_range_can_be_read(fixture: Fixture) {
    let (all, documents) = (bytes(PART + 1_000, 1), fixture.open());
    let stored = fixture.store("upload", &all).await;
    let end = all.len() as u64;
    for range in [0..1, 0..end, 1..2, PART as u64 - 1..PART as u64 + 1, end - 1..end, 7..7, end..end] {
        let expected = &all[range.start as usize..range.end as usize];
        assert!(read(&documents, &stored, range.clone()).await.unwrap() == expected, "{range:?}");
    }
    #[expect(clippy::reversed_empty_ranges, reason = "it is refused")]
    for range in [0..end + 1, end + 1..end + 1, 2..1] {
        let refused = read(&documents, &stored, range.clone()).await.unwrap_err();
        assert!(matches!(&refused, Error::Invalid(_)), "{range:?}: {refused}");
    }
}

async fn a_broken_upload_continues_on_another_replica(fixture: Fixture) {
    let all = bytes(3 * PART + 1_234, 1);
    // The first replica is gone in the middle of a part, with nothing said.
    let mut upload = begin(&fixture.open(), "upload", &all).await.unwrap();
    upload.write_all(0, pieces(&all[..PART + PART / 2], 1_000_000)).await.unwrap();
    drop(upload);
    // The second one too, after another part.
    let mut upload = begin(&fixture.open(), "upload", &all).await.unwrap();
    assert_eq!(upload.position(), PART as u64);
    upload.write_all(PART as u64, pieces(&all[PART..2 * PART + 7], 1_000_000)).await.unwrap();
    drop(upload);
    let documents = fixture.open();
    let mut upload = begin(&documents, "upload", &all).await.unwrap();
    assert_eq!(upload.position(), 2 * PART as u64);
    upload.write_all(2 * PART as u64, pieces(&all[2 * PART..], 1_000_000)).await.unwrap();
    let stored = upload.finish().await.unwrap();
    fixture.adopt(&stored).await.unwrap();
    assert!(read(&documents, &stored, 0..all.len() as u64).await.unwrap() == all);
    assert_eq!((fixture.objects().await, fixture.rows().await), (vec![stored.key], (0, 0)));
}

async fn a_finished_upload_can_be_finished_again(fixture: Fixture) {
    for (name, size) in [("small", 1_000), ("large", PART + 5)] {
        let all = bytes(size, 1);
        let mut upload = begin(&fixture.open(), name, &all).await.unwrap();
        upload.write(0, &all).await.unwrap();
        let first = upload.finish().await.unwrap();
        // The transaction of the document failed; the caller tries again.
        let mut upload = begin(&fixture.open(), name, &all).await.unwrap();
        assert_eq!((upload.position(), upload.is_complete()), (size as u64, true));
        upload.write(0, &all).await.unwrap();
        let beyond = upload.write(size as u64, b"x").await.unwrap_err();
        assert!(matches!(beyond, Error::Invalid(_)), "{beyond}");
        let again = upload.finish().await.unwrap();
        assert_eq!((&again.key, again.bytes, again.hash), (&first.key, first.bytes, first.hash));
        // Only the newest stream may give it to a document, and only once.
        assert!(matches!(fixture.adopt(&first).await, Err(Error::WriteTakenOver)));
        fixture.adopt(&again).await.unwrap();
        assert!(matches!(fixture.adopt(&again).await, Err(Error::WriteTakenOver)));
        assert!(read(&fixture.open(), &again, 0..size as u64).await.unwrap() == all);
    }
}

async fn bytes_that_are_there_are_skipped_and_a_gap_is_refused(fixture: Fixture) {
    let all = bytes(PART + 100, 1);
    let mut upload = begin(&fixture.open(), "upload", &all).await.unwrap();
    upload.write(0, &all[..50]).await.unwrap();
    upload.write(10, &all[10..40]).await.unwrap();
    upload.write(0, &all[..60]).await.unwrap();
    assert_eq!(upload.position(), 60);
    let gap = upload.write(61, &all[61..70]).await.unwrap_err();
    assert!(matches!(gap, Error::OffsetGap { expected: 60 }), "{gap}");
    // Across the end of a part, from its middle.
    upload.write(30, &all[30..]).await.unwrap();
    upload.write(0, &all).await.unwrap();
    let stored = upload.finish().await.unwrap();
    assert!(read(&fixture.open(), &stored, 0..stored.bytes).await.unwrap() == all);
}

async fn a_stream_that_breaks_is_no_end(fixture: Fixture) {
    let all = bytes(PART + 100, 1);
    let mut upload = begin(&fixture.open(), "upload", &all).await.unwrap();
    let broken = futures::stream::iter([Err(Error::Draining)]);
    let refused = upload.write_all(0, pieces(&all, PART).chain(broken)).await.unwrap_err();
    assert!(matches!(refused, Error::Draining), "{refused}");
    drop(upload);
    assert_eq!(begin(&fixture.open(), "upload", &all).await.unwrap().position(), PART as u64);
}

async fn a_wrong_hash_leaves_nothing(fixture: Fixture) {
    let documents = fixture.open();
    for (name, size) in [("small", 1_000), ("one part", PART), ("large", 2 * PART + 5)] {
        let (all, other) = (bytes(size, 1), bytes(size, 2));
        let mut upload = begin(&documents, name, &all).await.unwrap();
        upload.write(0, &other).await.unwrap();
        let refused = upload.finish().await.unwrap_err();
        let Error::Invalid(violations) = &refused else { unreachable!("{refused}") };
        assert_eq!(violations[0].field, "start.content_hash");
        assert_eq!(fixture.objects().await, Vec::<String>::new(), "{name}");
        assert_eq!(fixture.rows().await.0, 0, "{name}");
        // The name is free for the right content.
        let mut upload = begin(&documents, name, &all).await.unwrap();
        assert_eq!(upload.position(), 0);
        upload.write(0, &all).await.unwrap();
        let stored = upload.finish().await.unwrap();
        fixture.adopt(&stored).await.unwrap();
        fixture.lose(&stored.key).await;
    }
}

async fn content_beyond_the_limit_is_refused(fixture: Fixture) {
    let documents = fixture.open_with(|config| config.max_bytes = PART + 10);
    assert_eq!(documents.max_bytes(), PART as u64 + 10);
    let all = bytes(PART + 11, 1);
    let mut upload = begin(&documents, "upload", &all).await.unwrap();
    upload.write(0, &all[..PART + 10]).await.unwrap();
    let refused = upload.write(PART as u64 + 10, &all[PART + 10..]).await.unwrap_err();
    let Error::Invalid(violations) = &refused else { unreachable!("{refused}") };
    assert!(violations[0].description.contains("5242890 bytes"), "{violations:?}");
}

async fn an_upload_that_is_given_up_leaves_nothing(fixture: Fixture) {
    let all = bytes(2 * PART, 1);
    for size in [0, 100, PART + 100] {
        let mut upload = begin(&fixture.open(), "upload", &all).await.unwrap();
        upload.write(0, &all[..size]).await.unwrap();
        upload.give_up().await.unwrap();
        assert_eq!((fixture.objects().await, fixture.rows().await.0), (vec![], 0), "{size}");
    }
}

async fn the_same_content_twice_at_once_is_stored_twice(fixture: Fixture) {
    let all = bytes(PART + 100, 1);
    let store = async |name: &str| {
        let mut upload = begin(&fixture.open(), name, &all).await.unwrap();
        upload.write_all(0, pieces(&all, 1_000_000)).await.unwrap();
        let stored = upload.finish().await.unwrap();
        fixture.adopt(&stored).await.unwrap();
        stored
    };
    let (one, other) = tokio::join!(store("one"), store("other"));
    assert_ne!(one.key, other.key);
    // One document is deleted; the other keeps its content.
    fixture.lose(&one.key).await;
    assert!(read(&fixture.open(), &other, 0..other.bytes).await.unwrap() == all);
}

async fn the_newer_stream_of_an_upload_wins(fixture: Fixture) {
    let all = bytes(2 * PART + 100, 1);
    let (first, second) = (fixture.open(), fixture.open());
    // Nothing is stored yet: the first that stores a part has the upload.
    let mut older = begin(&first, "upload", &all).await.unwrap();
    let mut newer = begin(&second, "upload", &all).await.unwrap();
    newer.write(0, &all[..PART]).await.unwrap();
    let refused = older.write(0, &all[..PART]).await.unwrap_err();
    assert!(matches!(refused, Error::WriteTakenOver), "{refused}");
    // From then on the newest stream has it.
    let mut newest = begin(&first, "upload", &all).await.unwrap();
    let refused = newer.write(PART as u64, &all[PART..2 * PART]).await.unwrap_err();
    assert!(matches!(refused, Error::WriteTakenOver), "{refused}");
    newest.write(PART as u64, &all[PART..]).await.unwrap();
    // Neither can the older one finish it or remove anything of it.
    newer.give_up().await.unwrap();
    let stored = newest.finish().await.unwrap();
    fixture.adopt(&stored).await.unwrap();
    assert!(read(&first, &stored, 0..stored.bytes).await.unwrap() == all);
}

async fn an_upload_keeps_its_hash_and_the_size_of_its_parts(fixture: Fixture) {
    let all = bytes(2 * PART + 100, 1);
    let mut upload = begin(&fixture.open(), "upload", &all).await.unwrap();
    upload.write(0, &all[..PART]).await.unwrap();
    let other = begin(&fixture.open(), "upload", b"other").await.unwrap_err();
    assert!(matches!(other, Error::WriteMismatch("start.upload_id", "content_hash")), "{other}");
    for name in ["", "a\0b", &"x".repeat(1_025)] {
        let refused = begin(&fixture.open(), name, &all).await.unwrap_err();
        assert!(matches!(refused, Error::Invalid(_)), "{refused}");
    }
    // A replica with another setting.
    let documents = fixture.open_with(|config| config.part_bytes = PART + 1);
    let mut upload = begin(&documents, "upload", &all).await.unwrap();
    assert_eq!(upload.position(), PART as u64);
    upload.write(PART as u64, &all[PART..]).await.unwrap();
    drop(upload);
    let mut upload = begin(&documents, "upload", &all).await.unwrap();
    assert_eq!(upload.position(), 2 * PART as u64);
    upload.write(0, &all).await.unwrap();
    let stored = upload.finish().await.unwrap();
    assert!(read(&documents, &stored, 0..stored.bytes).await.unwrap() == all);
}

async fn lost_content_is_said_to_be_lost(fixture: Fixture) {
    let (documents, all) = (fixture.open(), bytes(100_000, 1));
    let is_lost = |lost: &Error| match lost {
        Error::ContentLost { resource, name } => (*resource, name.as_str()) == ("orrery.records.v1.Artifact", "mda_a"),
        _ => false,
    };
    let stored = fixture.store("upload", &all).await;
    for key in ["documents/upl_nobody", "documents/../upload", "somewhere/else", ""] {
        let foreign = orrery_records::storage::Content { key: key.to_owned(), ..content(&stored) };
        let lost = documents.read(foreign, 0..1, soon()).await.err().unwrap();
        assert!(is_lost(&lost), "{key}: {lost}");
    }
    // Shorter than the row says, so that the range does not exist, or exists in part.
    fixture.overwrite(&stored.key, "short").await;
    for range in [0..3, 2..100, 50_000..100_000, 7..7] {
        let lost = read(&documents, &stored, range.clone()).await.unwrap_err();
        assert!(is_lost(&lost), "{range:?}: {lost:?}");
    }
    fixture.lose(&stored.key).await;
    for range in [0..100, 7..7] {
        let lost = read(&documents, &stored, range.clone()).await.unwrap_err();
        assert!(is_lost(&lost), "{range:?}: {lost:?}");
    }
}
