//! `StreamX`: every row that matches, as pages with resume tokens.
//!
//! The next page is read while the last one is sent. A stream has at most two pages in memory, and a connection only
//! while a page is read: a caller that stops reading holds none. A row that is too large for the caller ends the
//! stream. The last token leads to that row, and past it for a caller that accepts more or asks for fewer fields.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use orrery_proto::wire::Encoded;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;

use super::filter::Filter;
use super::list::PageToken;
use super::order::Order;
use super::scan::{Cursor, Page, Scan};
use crate::context::{Call, Reads};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::resource::Resource;
use crate::resource::mask::MaskPath;

/// Most rows in one message.
const MAX_PAGE_ROWS: usize = 10_000;
/// The time that the page read ahead has left once nobody reads the stream any more. Most pages have arrived by then.
/// Cancelling one closes its connection, and the next stream has to open another.
const AFTERWARDS: Duration = Duration::from_millis(100);

/// A streamed read.
#[derive(Debug)]
pub struct StreamRequest {
    /// The method's name, for its tokens.
    pub method: &'static str,
    /// The fields that are returned of each row.
    pub mask: Vec<MaskPath>,
    /// The filter that rows must pass.
    pub filter: Filter,
    /// The filter's message, encoded; tokens are bound to it.
    pub encoded_filter: Vec<u8>,
    /// The order of the rows.
    pub order: Order,
    /// The token to continue from; empty for the beginning.
    pub resume_token: String,
    /// Most rows in a message; 0 for as many as fit.
    pub page_size: i32,
    /// The call.
    pub call: Call,
}

/// Messages of pages.
pub type PageStream = BoxStream<'static, Result<Encoded, Status>>;

/// Starts a stream. Invalid arguments are returned as an error; later errors end the stream.
///
/// # Errors
/// [`Error::Invalid`] for a negative page size, and what [`PageToken::open`] says.
pub fn stream<'a>(
    reads: &'a Reads,
    resource: &'static Resource,
    request: StreamRequest,
) -> BoxFuture<'a, Result<PageStream, Error>> {
    Box::pin(async move {
        let pages: PageStream = Box::pin(open(reads, resource, request).await?);
        Ok(pages)
    })
}

async fn open(
    reads: &Reads,
    resource: &'static Resource,
    request: StreamRequest,
) -> Result<impl Stream<Item = Result<Encoded, Status>> + Send + 'static, Error> {
    let StreamRequest { method, mask, filter, encoded_filter, order, resume_token, page_size, call } = request;
    let (deadline, answers) = (call.deadline, call.answers);
    let scan = Scan::new(reads, resource, &mask, filter, order, answers);
    let token = PageToken::new(method, &encoded_filter, &scan);
    let rows = page_rows(page_size)?;
    let mut cursor = token.open(reads, &scan, "resume_token", &resume_token, deadline).await?;
    let reads = reads.clone();
    let scan = Arc::new(scan);
    Ok(async_stream::try_stream! {
        let mut next = Some(read_ahead(&scan, cursor.clone(), rows, deadline));
        while let Some(mut reading) = next.take() {
            let Some(read) = call.draining.unless_draining(&mut reading.page).await else {
                // The reason for the delay does not matter: the caller continues from here, perhaps elsewhere.
                reading.page.abort();
                let tail = token.seal(&reads, &cursor, deadline).await?;
                yield Encoded { rows: 0, body: Bytes::new(), tail };
                Err(Error::Draining)?;
                return;
            };
            let (page, passed) = read.unwrap_or_else(|panic| Err(Error::internal(panic)))?;
            let before = std::mem::replace(&mut cursor, passed);
            if !page.end {
                next = Some(read_ahead(&scan, cursor.clone(), rows, deadline));
            }
            if page.rows > 0 || next.is_some() {
                let tail = token.seal(&reads, &cursor, deadline).await?;
                let message = scan.message(page, tail, &before, answers, deadline).await?;
                call.rows.add(message.rows);
                yield message;
            }
            if next.is_some() && call.draining.has_begun() {
                Err(Error::Draining)?;
            }
        }
    })
}

/// Most rows in a message of a stream.
///
/// # Errors
/// [`Error::Invalid`] for a negative `page_size`.
pub fn page_rows(page_size: i32) -> Result<usize, Error> {
    match usize::try_from(page_size) {
        Err(_) => Err(Error::invalid("page_size", "must not be negative")),
        Ok(0) => Ok(MAX_PAGE_ROWS),
        Ok(rows) => Ok(rows.min(MAX_PAGE_ROWS)),
    }
}

/// The next page, which is being read.
struct ReadAhead {
    page: JoinHandle<Result<(Page, Cursor), Error>>,
    /// Signals that nobody waits for it.
    _wanted: DropGuard,
}

/// Reads the next page in its own task. The task ends soon after the stream, because nobody needs its result then.
fn read_ahead(scan: &Arc<Scan>, mut cursor: Cursor, rows: usize, deadline: Deadline) -> ReadAhead {
    let scan = Arc::clone(scan);
    let unwanted = CancellationToken::new();
    let wanted = unwanted.clone().drop_guard();
    let page = tokio::spawn(async move {
        let read = async {
            let page = scan.page(&mut cursor, rows, deadline).await?;
            Ok((page, cursor))
        };
        tokio::select! {
            biased;
            read = read => read,
            () = async { unwanted.cancelled().await; tokio::time::sleep(AFTERWARDS).await } => {
                Err(Error::internal("nobody waits for the page"))
            }
        }
    });
    ReadAhead { page, _wanted: wanted }
}
