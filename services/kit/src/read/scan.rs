//! Reads pages in order. Each page is a query of its own and holds a connection only while its rows arrive.
//!
//! The size of a page is limited in bytes, measured while the rows arrive. The number of rows to ask for follows from
//! the size of earlier rows. Surplus rows are skipped, and a result that is far too large is cut off. A filter that few
//! rows pass is first left to the planner, which may have an index for it. If that takes longer than the progress
//! interval, the scan continues in windows of a fixed number of rows of the key, and can report its position after each
//! window.

use std::time::{Duration, Instant};

use bytes::Bytes;
use orrery_proto::wire::Encoded;

use super::fetch::Fetched;
use super::filter::Filter;
use super::order::{Order, Position};
pub use super::query::Page;
use super::query::ScanQuery;
use crate::answer::AnswerLimit;
use crate::context::Reads;
use crate::db::CopyEnd;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::resource::Resource;
use crate::resource::mask::MaskPath;
use crate::resource::select::Selection;

/// Rows of the first page, when their size is not known yet.
const FIRST_LIMIT: usize = 500;
/// The maximum growth from one page to the next.
const GROWTH: usize = 4;
/// Rows of the first window.
const FIRST_WINDOW: usize = 20_000;
/// Windows grow while they take less than this, and shrink above four times of it.
const WINDOW_TIME: Duration = Duration::from_millis(250);
/// How often a page is requested again if there was no connection for it, or if the connection broke at a single row.
const BROKEN_ATTEMPTS: u32 = 3;

/// A paged read of one resource: its queries, one page after the other.
#[derive(Debug)]
pub struct Scan {
    /// The common part of its queries.
    pub(super) query: ScanQuery,
}

/// The state of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The last row that was passed; `None` at the beginning.
    pub position: Option<Position>,
    /// The number of rows in the next window, if the scan goes by windows.
    pub window: Option<usize>,
    /// How many rows to ask for.
    limit: usize,
    /// The bytes of rows to ask for, if fewer than a page: the server refused more.
    bytes: usize,
    /// Whether only a single row can be read at a time.
    lone: bool,
}

impl Cursor {
    /// At the beginning.
    pub fn start(filter: &Filter) -> Self {
        Self::at(None, filter.is_unindexed())
    }

    /// After a position.
    pub fn at(position: Option<Position>, windowed: bool) -> Self {
        Self { position, window: windowed.then_some(FIRST_WINDOW), limit: FIRST_LIMIT, bytes: usize::MAX, lone: false }
    }

    /// Asks for this many rows at once. For a read with only one page: no later page could adapt to the size of the
    /// rows.
    pub fn ask_for(&mut self, rows: usize) {
        self.limit = rows;
    }
}

impl Scan {
    /// A read of the rows that pass `filter`, in `order`, with the fields of `mask`, in pages that fit the caller's
    /// answers.
    pub fn new(
        reads: &Reads,
        resource: &'static Resource,
        mask: &[MaskPath],
        filter: Filter,
        order: Order,
        answers: AnswerLimit,
    ) -> Self {
        let mut scan = Self::internal(reads, resource, mask, filter, order);
        scan.query.page_bytes = answers.page_bytes(reads.stream.page_bytes);
        scan
    }

    /// The same for a read whose pages are not sent to a caller: they are as large as the configuration says.
    pub fn internal(
        reads: &Reads,
        resource: &'static Resource,
        mask: &[MaskPath],
        filter: Filter,
        order: Order,
    ) -> Self {
        let selection = Selection::new(resource, mask);
        let page_bytes = reads.stream.page_bytes;
        let progress_interval = reads.stream.progress_interval;
        let reads = reads.clone();
        let keep_keys = false;
        let query = ScanQuery { reads, resource, selection, filter, order, page_bytes, progress_interval, keep_keys };
        Self { query }
    }

    /// The same, with each row's key and end in the page.
    #[must_use]
    pub fn keeping_keys(mut self) -> Self {
        self.query.keep_keys = true;
        self
    }

    /// All rows at once, for reads that are known to be small.
    ///
    /// # Errors
    /// [`Error::TooManyRows`] beyond `max_rows` rows, [`Error::AnswerTooLarge`] beyond the limit of an answer; as
    /// [`Scan::page`].
    pub async fn whole(&self, max_rows: usize, answers: AnswerLimit, deadline: Deadline) -> Result<Page, Error> {
        let mut cursor = Cursor::start(&self.query.filter);
        let mut all = Page::default();
        while !all.end {
            let page = self.page(&mut cursor, max_rows, deadline).await?;
            all.end = page.end;
            all.rows += page.rows;
            let before = all.body.len();
            all.body.extend_from_slice(&page.body);
            all.keys.extend(page.keys.into_iter().map(|(key, end)| (key, before + end)));
            if all.rows > max_rows {
                return Err(Error::TooManyRows(max_rows));
            }
            answers.check(all.body.len())?;
        }
        Ok(all)
    }

    /// The next page of at most `max_rows` rows. The cursor moves to its end.
    ///
    /// # Errors
    /// [`Error::RowTooLarge`] if the database does not return the next row even alone; otherwise the errors of the
    /// database.
    pub async fn page(&self, cursor: &mut Cursor, max_rows: usize, deadline: Deadline) -> Result<Page, Error> {
        let before = cursor.clone();
        if let Some(outcome) = self.query.reads.attempt_read(self.read_page(cursor, max_rows, deadline)).await {
            return outcome;
        }
        *cursor = before;
        Box::pin(self.read_page(cursor, max_rows, deadline)).await
    }

    async fn read_page(&self, cursor: &mut Cursor, max_rows: usize, deadline: Deadline) -> Result<Page, Error> {
        let started = Instant::now();
        let mut page = Page::default();
        let mut broken = 0;
        loop {
            let limit = cursor.limit.min(max_rows - page.rows).min(self.query.reads.limits().max_query_rows - 1).max(1);
            let window_started = Instant::now();
            let before = page.rows;
            let window_end = match cursor.window {
                Some(rows) => self.query.window_end(cursor.position.as_ref(), rows, deadline).await,
                None => Ok(None),
            };
            let (window_end, fetched) = match window_end {
                Ok(end) => {
                    let (after, lone) = (cursor.position.as_ref(), cursor.lone);
                    let fetched = self.query.fetch(after, end.as_ref(), limit, lone, &mut page, deadline).await?;
                    (end, fetched)
                }
                Err(error) => (None, Fetched::not_begun(error)),
            };
            if let Some(rows) = fetched.fewer {
                cursor.limit = rows;
                if started.elapsed() >= self.query.progress_interval && page.rows > 0 {
                    return Ok(page);
                }
                continue;
            }
            let kept = page.rows - before;
            let mut growth = GROWTH;
            if let Some(last) = fetched.last {
                cursor.position = Some(last);
                cursor.lone = false;
            }
            match fetched.end {
                CopyEnd::Whole if !fetched.more => {
                    // Everything up to the end of the window, or of the table, was seen.
                    match (cursor.window, window_end) {
                        (Some(rows), Some(end)) => {
                            cursor.position = Some(end);
                            cursor.window = Some(next_window(rows, window_started.elapsed()));
                        }
                        _ => page.end = true,
                    }
                }
                CopyEnd::Whole | CopyEnd::Stopped => {}
                CopyEnd::Broken(error) if kept == 0 => {
                    let asked = fetched.began.then_some(limit);
                    self.learn_from(error, cursor, asked, &mut broken, deadline).await?;
                    if started.elapsed() >= self.query.progress_interval && page.rows > 0 {
                        return Ok(page);
                    }
                    continue;
                }
                // The rows that arrived are kept; the rest is requested again in smaller pages.
                CopyEnd::Broken(_) if deadline.expired() => return Err(Error::DeadlineExceeded),
                CopyEnd::Broken(_) => {
                    growth = 1;
                    cursor.limit = (limit / 2).max(1);
                    cursor.bytes = self.bytes(cursor) / 2;
                }
            }
            if kept > 0 {
                let fitting = self.bytes(cursor) * page.rows / page.body.len().max(1);
                cursor.limit = fitting.clamp(1, cursor.limit.saturating_mul(growth));
            }
            let full = fetched.full || page.rows >= max_rows || page.body.len() >= self.query.page_bytes;
            if page.end || full || cursor.window.is_none() || started.elapsed() >= self.query.progress_interval {
                return Ok(page);
            }
        }
    }

    /// The bytes of rows that a query asks for.
    fn bytes(&self, cursor: &Cursor) -> usize {
        self.query.page_bytes.min(cursor.bytes)
    }

    /// Adapts after a query that returned nothing: ask for less, use windows, or fail. `asked` is the number of rows
    /// that it asked for, if it was sent.
    async fn learn_from(
        &self,
        error: Error,
        cursor: &mut Cursor,
        asked: Option<usize>,
        broken: &mut u32,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let refused = matches!(error, Error::ResultRefused(_) | Error::ResultTooLarge(_));
        let lost = error.is_connection_loss();
        match asked {
            _ if matches!(error, Error::DeadlineExceeded) && !deadline.expired() => match cursor.window {
                None => cursor.window = Some(FIRST_WINDOW),
                Some(1) => return Err(Error::DeadlineExceeded),
                Some(rows) => cursor.window = Some((rows / 8).max(1)),
            },
            Some(rows) if error.may_be_too_large() && rows > 1 => {
                cursor.limit = rows / 2;
                cursor.bytes = self.bytes(cursor) / 2;
            }
            Some(_) if error.may_be_too_large() && !cursor.lone => cursor.lone = true,
            Some(_) if refused || (lost && *broken == BROKEN_ATTEMPTS) => {
                return match self.query.next_key(cursor.position.as_ref(), deadline).await {
                    None if lost => Err(error),
                    name => {
                        let (resource, name) = (self.query.resource.description.message, name.unwrap_or_default());
                        Err(Error::RowTooLarge { resource, name })
                    }
                };
            }
            _ if lost && *broken < BROKEN_ATTEMPTS => *broken += 1,
            _ => return Err(error),
        }
        Ok(())
    }

    /// The message of a page that begins at `before`, followed by its token.
    ///
    /// # Errors
    /// [`Error::AnswerTooLarge`] with the name of the single row that is too large.
    pub(super) async fn message(
        &self,
        page: Page,
        tail: Bytes,
        before: &Cursor,
        answers: AnswerLimit,
        deadline: Deadline,
    ) -> Result<Encoded, Error> {
        let message = Encoded { rows: page.rows as u64, body: page.body.into(), tail };
        match answers.check(message.len()) {
            Ok(()) => Ok(message),
            Err(error) => {
                let name = self.query.next_key(before.position.as_ref(), deadline).await.unwrap_or_default();
                Err(error.for_row(self.query.resource.description.message, name))
            }
        }
    }
}

fn next_window(rows: usize, took: Duration) -> usize {
    if took < WINDOW_TIME {
        rows.saturating_mul(2).min(1_000_000)
    } else if took > WINDOW_TIME * 4 {
        (rows / 2).max(1)
    } else {
        rows
    }
}
