//! The content of documents: in a folder, and in a bucket of a server with S3's interface.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

/// Makes two tests of each function: in a folder and in a bucket.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod folder {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Fixture::folder().await).await;
            })+
        }
        mod bucket {
            $(#[tokio::test]
            async fn $name() {
                if let Some(fixture) = super::Fixture::bucket().await {
                    super::$name(fixture).await;
                }
            })+
        }
    };
}

mod both;
mod bucket;
pub(crate) mod calls;
mod faults;
pub(crate) mod fixture;
mod folder;
mod memory;
mod removal;
