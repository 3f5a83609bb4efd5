//! What is special about folders.

use std::os::unix::fs::PermissionsExt as _;

use orrery_kit::error::Error;

use super::fixture::{Fixture, PART, begin, bytes, files, read, soon};

#[tokio::test]
async fn a_folder_is_made_for_the_first_document_and_closed_to_others() {
    let fixture = Fixture::folder().await;
    let documents = fixture.open();
    assert!(!fixture.path().exists());
    let stored = fixture.store("upload", &bytes(10, 1)).await;
    let mode = std::fs::metadata(fixture.path()).unwrap().permissions().mode();
    assert_eq!((mode & 0o777, files(&fixture.path())), (0o700, vec![stored.key.clone()]));
    assert_eq!(read(&documents, &stored, 0..10).await.unwrap(), bytes(10, 1));
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_unavailable_and_its_content_not_lost() {
    let fixture = Fixture::folder().await;
    let stored = fixture.store("upload", &bytes(10, 1)).await;
    std::fs::remove_dir_all(fixture.path()).unwrap();
    std::fs::write(fixture.path(), "a file in its place").unwrap();
    let documents = fixture.open();
    let mut upload = begin(&documents, "another", b"another").await.unwrap();
    upload.write(0, b"another").await.unwrap();
    for refused in [upload.finish().await.unwrap_err(), read(&documents, &stored, 0..10).await.unwrap_err()] {
        assert!(matches!(&refused, Error::DependencyUnavailable { service: "document storage", .. }), "{refused:?}");
    }
}

#[tokio::test]
async fn what_a_killed_process_left_unfinished_goes_with_its_upload() {
    let fixture = Fixture::folder().await;
    let all = bytes(PART + 100, 1);
    for (name, adopted) in [("finished", true), ("given up", false)] {
        let mut upload = begin(&fixture.open(), name, &all).await.unwrap();
        upload.write(0, &all).await.unwrap();
        // A part and a whole that were being written.
        let parts = std::fs::read_dir(fixture.path().join("uploads")).unwrap().next().unwrap().unwrap().path();
        std::fs::write(parts.join("00001-0123456789abcdef#1"), "half a part").unwrap();
        std::fs::write(parts.join("whole-0123456789abcdef"), "half a document").unwrap();
        let mut left = Vec::new();
        if adopted {
            let stored = upload.finish().await.unwrap();
            fixture.adopt(&stored).await.unwrap();
            assert!(read(&fixture.open(), &stored, 0..stored.bytes).await.unwrap() == all);
            left.push(stored.key);
        } else {
            upload.give_up().await.unwrap();
            left = files(&fixture.path()).into_iter().filter(|name| name.starts_with("documents/")).collect();
        }
        assert_eq!(files(&fixture.path()), left, "{name}");
    }
}

#[tokio::test]
async fn a_part_that_an_older_stream_stores_late_does_no_harm() {
    let fixture = Fixture::folder().await;
    let all = bytes(PART + 100, 1);
    let mut upload = begin(&fixture.open(), "upload", &all).await.unwrap();
    upload.write(0, &all[..PART]).await.unwrap();
    let parts = std::fs::read_dir(fixture.path().join("uploads")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(parts.join("00000-ffffffffffffffff"), "not what was hashed").unwrap();
    upload.write(PART as u64, &all[PART..]).await.unwrap();
    let stored = upload.finish().await.unwrap();
    assert!(read(&fixture.open(), &stored, 0..stored.bytes).await.unwrap() == all);
    fixture.open().remove(&stored.key, soon()).await;
    assert_eq!(files(&fixture.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_copy_that_outlives_its_call_leaves_nothing_behind() {
    let fixture = Fixture::folder().await;
    let all = bytes(PART + 100, 1);
    let mut upload = begin(&fixture.open(), "upload", &all).await.unwrap();
    upload.write(0, &all).await.unwrap();
    // The object was completed and its parts removed, but nobody noted it.
    let parts = std::fs::read_dir(fixture.path().join("uploads")).unwrap().next().unwrap().unwrap().path();
    let object = fixture.path().join("documents").join(parts.file_name().unwrap());
    std::fs::create_dir(fixture.path().join("documents")).unwrap();
    std::fs::write(object, &all).unwrap();
    std::fs::remove_dir_all(parts).unwrap();
    let stored = upload.finish().await.unwrap();
    fixture.adopt(&stored).await.unwrap();
    assert!(read(&fixture.open(), &stored, 0..stored.bytes).await.unwrap() == all);
    assert_eq!(files(&fixture.path()), [stored.key]);
}
