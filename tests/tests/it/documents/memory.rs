//! How much memory 100 MiB take on their way up and down. Alone in its process, since it measures the process:
//!
//! ```sh
//! cargo test --locked -p orrery-tests --test it -- --ignored documents::memory
//! ```

use std::fs;

use futures::TryStreamExt as _;
use orrery_records::storage::{ContentHash, NewUpload};

use super::fixture::{Fixture, Place, bytes, content, soon};
use crate::harness::s3::S3Server;

const MIB: usize = 1024 * 1024;
const SIZE: usize = 100 * MIB;

/// The most memory that the process has had since the last call, in bytes.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
    fs::write("/proc/self/clear_refs", "5").unwrap();
    kib * 1024
}

async fn measure(fixture: Fixture) {
    let documents = fixture.open_with(|config| {
        // The proxy of the tests holds whole answers in memory.
        if let Place::Bucket { .. } = &fixture.place {
            config.endpoint = Some(format!("http://{}", fixture.proxy().server()));
        }
    });
    let piece = bytes(MIB, 1);
    let whole = ContentHash::of_pieces(std::iter::repeat_n(piece.as_slice(), SIZE / MIB));
    peak();
    let before = peak();
    let new = NewUpload { upload_id: "upload".to_owned(), content_hash: whole };
    let mut upload = documents.upload(new, soon()).await.unwrap();
    for offset in (0..SIZE).step_by(MIB) {
        upload.write(offset as u64, &piece).await.unwrap();
    }
    let stored = upload.finish().await.unwrap();
    let up = peak();
    let mut stream = documents.read(content(&stored), 0..stored.bytes, soon()).await.unwrap();
    let mut read = 0;
    while let Some(piece) = stream.try_next().await.unwrap() {
        read += piece.len();
    }
    let down = peak();
    assert_eq!(read, SIZE);
    let grown = [up, down].map(|peak| peak.saturating_sub(before) / MIB);
    println!("at most {} MiB more on the way up, {} MiB on the way down", grown[0], grown[1]);
    assert!(grown.iter().all(|grown| *grown < 24), "{grown:?} MiB");
}

#[tokio::test]
#[ignore = "measures the whole process"]
async fn a_large_document_needs_little_memory_in_a_folder() {
    measure(Fixture::folder().await).await;
}

#[tokio::test]
#[ignore = "measures the whole process"]
async fn a_large_document_needs_little_memory_in_a_bucket() {
    if let Some(fixture) = Fixture::bucket().await {
        let _ = S3Server::shared().await;
        measure(fixture).await;
    }
}
