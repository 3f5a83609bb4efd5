//! A resource as the common tests use it.

use std::fmt::Debug;

use orrery_proto::r#type::v1::{WriteMode, WriteStart};
use prost::Message;
use tonic::Status;
use tonic::transport::Channel;

use crate::writes::stream::{Totals, write};

/// A resource with its service on its own database. Its rows are numbered, and their keys sort like their numbers,
/// including negative ones.
pub(crate) trait Subject: Sized {
    /// The message type of its rows.
    type Row: Message + Default + Clone + PartialEq + Debug + Send + Sync + 'static;
    /// The path of its chunked write.
    const WRITE: &'static str;
    /// The path of the field that `with_text` sets.
    const TEXT: &'static str;

    async fn new() -> Self;
    fn channel(&self) -> Channel;
    /// Row `number`, with children if there are any.
    fn row(number: i32) -> Self::Row;
    /// The number of a row.
    fn number(row: &Self::Row) -> i32;
    fn with_text(row: Self::Row, text: &str) -> Self::Row;
    fn text(row: &Self::Row) -> &str;
    /// A page of the stream after a token, and the next token; `None` at the end.
    async fn stream(&self, page_size: i32, token: &str) -> Vec<(Vec<Self::Row>, String)>;
    /// Adds a row of a dependent resource, which is deleted with row `number`, if there is such a resource.
    async fn add_dependent(&self, number: i32);
    /// The number of children and dependents of this resource's rows.
    async fn belonging(&self) -> i64;

    /// The numbers and texts of all rows, in order.
    async fn all(&self) -> Vec<(i32, String)> {
        let pages = self.stream(0, "").await;
        let row = |row: &Self::Row| (Self::number(row), Self::text(row).to_owned());
        pages.iter().flat_map(|(rows, _)| rows.iter().map(row)).collect()
    }

    /// Writes rows in one chunk.
    async fn write(&self, start: WriteStart, rows: &[Self::Row]) -> (Totals, Result<(), Status>) {
        write(self.channel(), Self::WRITE, start, rows).await
    }

    /// Writes rows in one chunk, which must be committed.
    async fn written(&self, start: WriteStart, rows: &[Self::Row]) -> Totals {
        let (totals, end) = self.write(start, rows).await;
        end.unwrap();
        totals
    }
}

/// A resource that has every method.
pub(crate) trait Complete: Subject {
    /// Its full name.
    const MESSAGE: &'static str;
    /// The field of a batch's keys, and the path of its first entry in a violation.
    const KEYS: [&'static str; 2];

    fn etag(row: &Self::Row) -> &str;
    fn with_etag(row: Self::Row, etag: &str) -> Self::Row;
    /// The revision; 0 if the resource has none.
    fn revision(row: &Self::Row) -> i32;
    /// The key of a row, as error messages show it.
    fn name(number: i32) -> String;
    async fn get(&self, number: i32) -> Result<Self::Row, Status>;
    /// The existing rows, and the numbers of the missing ones.
    async fn batch_get(&self, numbers: &[i32]) -> Result<(Vec<Self::Row>, Vec<i32>), Status>;
    async fn create(&self, row: Self::Row, request_id: &str) -> Result<Self::Row, Status>;
    async fn update(&self, row: Self::Row, mask: &[&str], allow_missing: bool) -> Result<Self::Row, Status>;
    async fn delete(&self, number: i32, etag: &str, allow_missing: bool) -> Result<(), Status>;
    async fn list(&self, page_size: i32, order_by: &str, token: &str) -> Result<(Vec<Self::Row>, String), Status>;
    /// The number of keys, and the numbers of the missing rows.
    async fn check(&self, numbers: &[i32]) -> Result<(i64, Vec<i32>), Status>;
}

/// A start message with this mode and the policy SKIP.
pub(crate) fn skipping(mode: WriteMode) -> WriteStart {
    WriteStart { on_row_error: orrery_proto::r#type::v1::RowErrorPolicy::Skip.into(), ..in_mode(mode) }
}

/// A start message with this mode.
pub(crate) fn in_mode(mode: WriteMode) -> WriteStart {
    WriteStart { mode: mode.into(), ..WriteStart::default() }
}

/// The numbers of rows.
pub(crate) fn numbers<S: Subject>(rows: &[S::Row]) -> Vec<i32> {
    rows.iter().map(S::number).collect()
}

/// Rows of these numbers.
pub(crate) fn rows<S: Subject>(numbers: impl IntoIterator<Item = i32>) -> Vec<S::Row> {
    numbers.into_iter().map(S::row).collect()
}

/// Reads a stream to its end.
pub(crate) async fn pages<P, R>(
    mut stream: tonic::Streaming<P>,
    take: impl Fn(P) -> (Vec<R>, String),
) -> Vec<(Vec<R>, String)> {
    let mut pages = Vec::new();
    while let Some(page) = stream.message().await.unwrap() {
        pages.push(take(page));
    }
    pages
}
