//! Pages of rows that a slice computes, for example sums: the rows of a list or stream that are not rows of a table.
//!
//! The slice says how the next rows are found ([`Computed`]). Page sizes, tokens, progress and drain are here.

use std::fmt::Debug;
use std::time::Instant;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use orrery_proto::requests::{List, Stream};
use orrery_proto::wire::Encoded;
use prost::Message;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::list::list_rows;
use super::stream::page_rows;
use crate::context::{Call, Reads};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::page_token::Scope;

/// Rows that a slice computes, in an order of its own.
pub trait Computed: Clone + Debug + Send + Sync + 'static {
    /// A row of the answer.
    type Row: Message + Send + Sync + 'static;
    /// The state of a read between two steps.
    type Cursor: Clone + Send + Sync + 'static;

    /// The cursor at the beginning.
    fn start(&self) -> Self::Cursor;

    /// The cursor whose [`parts`](Self::parts) are these; `None` if no cursor has them.
    fn resume(&self, parts: Vec<String>) -> Option<Self::Cursor>;

    /// What a token keeps of a cursor.
    fn parts(&self, cursor: &Self::Cursor) -> Vec<String>;

    /// A cursor that continues after `taken`, the first rows of a step that began at `before` and ended at `passed`.
    /// There is at least one.
    fn after(&self, before: &Self::Cursor, passed: &Self::Cursor, taken: &[Self::Row]) -> Self::Cursor;

    /// Computes the next rows, about `limit` of them if there are so many, and moves the cursor after them. A step may
    /// find no rows although there are more.
    ///
    /// # Errors
    /// The errors of the database.
    fn step<'a>(
        &'a self,
        reads: &'a Reads,
        cursor: &'a mut Self::Cursor,
        limit: usize,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Step<Self::Row>, Error>>;
}

/// The result of one step.
#[derive(Debug)]
pub struct Step<R> {
    /// The rows, in order.
    pub rows: Vec<R>,
    /// Whether these are the last rows.
    pub end: bool,
}

impl<R> Default for Step<R> {
    fn default() -> Self {
        Self { rows: Vec::new(), end: false }
    }
}

/// A read of computed rows, and the tokens that continue it.
#[derive(Clone, Debug)]
struct Pages<C> {
    reads: Reads,
    computed: C,
    scope: Scope,
    deadline: Deadline,
}

/// One page of a list of computed rows.
///
/// # Errors
/// [`Error::Invalid`] for the page size, [`Error::TokenInvalid`] or [`Error::TokenMismatch`] for the token,
/// [`Error::AnswerTooLarge`] for a single row; the errors of the steps.
pub fn list<'a, C: Computed, F: Send + 'a>(
    reads: &'a Reads,
    call: &'a Call,
    request: List<F>,
    computed: C,
) -> BoxFuture<'a, Result<Encoded, Error>> {
    Box::pin(async move {
        let scope = Scope::new(request.method, &request.filter.encoded, &request.order_by);
        let rows = list_rows(request.page_size)?;
        let pages = Pages { reads: reads.clone(), computed, scope, deadline: call.deadline };
        let mut cursor = pages.open("page_token", &request.page_token).await?;
        let page_bytes = call.answers.page_bytes(reads.stream.page_bytes);
        let started = Instant::now();
        loop {
            let (step, passed) = pages.step(cursor.clone(), rows).await?;
            let fitting = fitting(&step.rows, rows, page_bytes);
            let now = step.rows.get(..fitting).unwrap_or_default();
            let is_cut = now.len() < step.rows.len();
            cursor = if is_cut { pages.computed.after(&cursor, &passed, now) } else { passed };
            let is_last = step.end && !is_cut;
            if !now.is_empty() || is_last || started.elapsed() >= reads.stream.progress_interval {
                return call.answers.checked(pages.message(now, (!is_last).then_some(&cursor)).await?);
            }
        }
    })
}

/// All computed rows, page by page.
///
/// # Errors
/// As [`list`]; later errors end the stream.
pub fn stream<'a, C: Computed, F: Send + 'a>(
    reads: &'a Reads,
    call: Call,
    request: Stream<F>,
    computed: C,
) -> BoxFuture<'a, Result<BoxStream<'static, Result<Encoded, Status>>, Error>> {
    Box::pin(async move {
        let scope = Scope::new(request.method, &request.filter.encoded, &request.order_by);
        let rows = page_rows(request.page_size)?;
        let pages = Pages { reads: reads.clone(), computed, scope, deadline: call.deadline };
        let cursor = pages.open("resume_token", &request.resume_token).await?;
        Ok(pages.messages(cursor, rows, call))
    })
}

/// How many rows fit into a message: at least one, if there is one.
fn fitting<R: Message>(rows: &[R], max_rows: usize, max_bytes: usize) -> usize {
    let mut bytes = 0;
    let fits = |row: &&R| {
        let length = row.encoded_len();
        bytes += 1 + prost::encoding::encoded_len_varint(length as u64) + length;
        bytes <= max_bytes
    };
    rows.iter().take(max_rows).take_while(fits).count().max(1).min(rows.len())
}

impl<C: Computed> Pages<C> {
    /// The cursor in a token. An empty token means the beginning.
    async fn open(&self, field: &'static str, token: &str) -> Result<C::Cursor, Error> {
        if token.is_empty() {
            return Ok(self.computed.start());
        }
        let parts = self.reads.tokens.open(&self.scope, field, token, self.deadline).await?;
        let parts: Result<Vec<String>, _> = parts.into_iter().map(String::from_utf8).collect();
        parts.ok().and_then(|parts| self.computed.resume(parts)).ok_or(Error::TokenInvalid(field))
    }

    /// The next step, and the cursor after it.
    async fn step(&self, cursor: C::Cursor, limit: usize) -> Result<(Step<C::Row>, C::Cursor), Error> {
        if self.deadline.expired() {
            return Err(Error::DeadlineExceeded);
        }
        let mut passed = cursor.clone();
        let step = self.computed.step(&self.reads, &mut passed, limit, self.deadline);
        if let Some(outcome) = self.reads.attempt_read(step).await {
            return Ok((outcome?, passed));
        }
        passed = cursor;
        let step = self.computed.step(&self.reads, &mut passed, limit, self.deadline).await?;
        Ok((step, passed))
    }

    /// The message of some rows, with the token to continue from; without one if the read ends here.
    async fn message(&self, rows: &[C::Row], cursor: Option<&C::Cursor>) -> Result<Encoded, Error> {
        let mut body = Vec::new();
        for row in rows {
            prost::encoding::message::encode(1, row, &mut body);
        }
        let tail = match cursor {
            Some(cursor) => {
                let parts = self.computed.parts(cursor);
                let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
                self.reads.tokens.seal(&self.scope, &parts, self.deadline).await?
            }
            None => Bytes::new(),
        };
        Ok(Encoded { rows: rows.len() as u64, body: body.into(), tail })
    }

    fn messages(
        self,
        mut cursor: C::Cursor,
        max_rows: usize,
        call: Call,
    ) -> BoxStream<'static, Result<Encoded, Status>> {
        Box::pin(async_stream::try_stream! {
            let interval = self.reads.stream.progress_interval;
            let page_bytes = call.answers.page_bytes(self.reads.stream.page_bytes);
            let mut silent_since = Instant::now();
            let begin = |cursor: &C::Cursor| {
                let (pages, cursor) = (self.clone(), cursor.clone());
                AbortOnDropHandle::new(tokio::spawn(async move { pages.step(cursor, max_rows).await }))
            };
            let mut reading = begin(&cursor);
            loop {
                // One step may take long, or many steps may find nothing. Meanwhile the caller is told the position of
                // the stream.
                let (Step { rows, end }, passed) = loop {
                    let left = interval.saturating_sub(silent_since.elapsed());
                    let read = tokio::time::timeout(left, call.draining.unless_draining(&mut reading)).await;
                    if let Ok(Some(read)) = read {
                        break read.unwrap_or_else(|panic| Err(Error::internal(panic)))?;
                    }
                    yield call.answers.checked(self.message(&[], Some(&cursor)).await?)?;
                    if call.draining.has_begun() {
                        reading.abort();
                        Err(Error::Draining)?;
                    }
                    silent_since = Instant::now();
                };
                if rows.is_empty() && !end && call.draining.has_begun() {
                    yield call.answers.checked(self.message(&[], Some(&passed)).await?)?;
                    Err(Error::Draining)?;
                }
                let mut messages = Vec::new();
                let mut sent = 0;
                while sent < rows.len() {
                    let now = fitting(&rows[sent..], max_rows, page_bytes);
                    let now = &rows[sent..sent + now];
                    sent += now.len();
                    let is_last = sent == rows.len();
                    let reached =
                        if is_last { passed.clone() } else { self.computed.after(&cursor, &passed, &rows[..sent]) };
                    messages.push((now.len(), call.answers.checked(self.message(now, Some(&reached)).await?)?));
                }
                // The next step runs while the caller takes the rows of this one. Encoded they take the least memory,
                // should the caller be slow.
                drop(rows);
                if !end {
                    reading = begin(&passed);
                }
                let mut messages = messages.into_iter().peekable();
                while let Some((count, message)) = messages.next() {
                    call.rows.add(count as u64);
                    yield message;
                    silent_since = Instant::now();
                    if call.draining.has_begun() && !(end && messages.peek().is_none()) {
                        Err(Error::Draining)?;
                    }
                }
                if end {
                    return;
                }
                cursor = passed;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_as_many_rows_as_fit_and_never_none() {
        let rows = vec!["x".repeat(96); 10];
        assert_eq!(fitting(&rows, 3, 10_000), 3);
        assert_eq!(fitting(&rows, 100, 10_000), 10);
        assert_eq!(fitting(&rows, 100, 300), 3);
        assert_eq!(fitting(&rows, 100, 299), 2);
        assert_eq!(fitting(&rows, 100, 1), 1);
        assert_eq!(fitting(&rows[..0], 100, 1), 0);
    }
}
