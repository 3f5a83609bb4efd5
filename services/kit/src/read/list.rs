//! `ListX`: one page, and the tokens that continue it.

use bytes::Bytes;
use futures::future::BoxFuture;
use orrery_proto::wire::Encoded;

use super::filter::Filter;
use super::order::{Order, Position};
use super::scan::{Cursor, Scan};
use crate::answer::AnswerLimit;
use crate::context::Reads;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::page_token::Scope;
use crate::resource::Resource;
use crate::resource::mask::MaskPath;

/// Rows of a page if the caller does not set a size.
const DEFAULT_PAGE_SIZE: usize = 50;
/// Most rows of a page.
const MAX_PAGE_SIZE: usize = 1_000;
/// The first part of a sealed position: the scan goes by windows.
const WINDOWED: &[u8] = b"w";
/// The first part of a sealed position: the scan does not go by windows.
const PLAIN: &[u8] = b"p";

/// Seals and opens the tokens of one request: they are bound to its method, filter and order.
#[derive(Debug)]
pub struct PageToken {
    scope: Scope,
}

impl PageToken {
    /// Tokens of a request. `filter` is the filter's message, encoded.
    pub fn new(method: &str, filter: &[u8], scan: &Scan) -> Self {
        Self { scope: Scope::new(method, filter, &scan.query.order.canonical()) }
    }

    /// The cursor of a token; an empty token means the beginning.
    ///
    /// # Errors [`Error::TokenInvalid`] or [`Error::TokenMismatch`] for `field`; the errors of the database when the
    /// key is read.
    pub async fn open(
        &self,
        reads: &Reads,
        scan: &Scan,
        field: &'static str,
        token: &str,
        deadline: Deadline,
    ) -> Result<Cursor, Error> {
        if token.is_empty() {
            return Ok(Cursor::start(&scan.query.filter));
        }
        let mut parts = reads.tokens.open(&self.scope, field, token, deadline).await?;
        if parts.is_empty() {
            return Err(Error::TokenInvalid(field));
        }
        let windowed = parts.remove(0) == WINDOWED;
        if parts.is_empty() {
            return Ok(Cursor::at(None, windowed));
        }
        let position = scan.query.order.position(scan.query.resource, parts).ok_or(Error::TokenInvalid(field))?;
        Ok(Cursor::at(Some(position), windowed))
    }

    /// The token's field of a page message.
    ///
    /// # Errors
    /// The errors of the database when the key is read.
    pub async fn seal(&self, reads: &Reads, cursor: &Cursor, deadline: Deadline) -> Result<Bytes, Error> {
        let mut parts = vec![if cursor.window.is_some() { WINDOWED } else { PLAIN }];
        parts.extend(cursor.position.iter().flat_map(Position::values));
        reads.tokens.seal(&self.scope, &parts, deadline).await
    }
}

/// One page of a list.
#[derive(Debug)]
pub struct ListRequest {
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
    pub page_token: String,
    /// Most rows; 0 for the default.
    pub page_size: i32,
    /// The deadline.
    pub deadline: Deadline,
    /// The size limit of the answer.
    pub answers: AnswerLimit,
}

/// Reads one page.
///
/// # Errors
/// [`Error::Invalid`] for a negative page size; the errors of [`PageToken::open`] and [`Scan::page`];
/// [`Error::AnswerTooLarge`] for a single row that is too large.
pub fn list<'a>(
    reads: &'a Reads,
    resource: &'static Resource,
    request: ListRequest,
) -> BoxFuture<'a, Result<Encoded, Error>> {
    Box::pin(read_page(reads, resource, request))
}

async fn read_page(reads: &Reads, resource: &'static Resource, request: ListRequest) -> Result<Encoded, Error> {
    let ListRequest { method, mask, filter, encoded_filter, order, page_token, page_size, deadline, answers } = request;
    let scan = Scan::new(reads, resource, &mask, filter, order, answers);
    let token = PageToken::new(method, &encoded_filter, &scan);
    let rows = list_rows(page_size)?;
    let mut cursor = token.open(reads, &scan, "page_token", &page_token, deadline).await?;
    cursor.ask_for(rows);
    let before = cursor.clone();
    let page = scan.page(&mut cursor, rows, deadline).await?;
    let tail = if page.end { Bytes::new() } else { token.seal(reads, &cursor, deadline).await? };
    scan.message(page, tail, &before, answers, deadline).await
}

/// Most rows of a page of a list.
///
/// # Errors
/// [`Error::Invalid`] for a negative `page_size`.
pub(super) fn list_rows(page_size: i32) -> Result<usize, Error> {
    match usize::try_from(page_size) {
        Err(_) => Err(Error::invalid("page_size", "must not be negative")),
        Ok(0) => Ok(DEFAULT_PAGE_SIZE),
        Ok(rows) => Ok(rows.min(MAX_PAGE_SIZE)),
    }
}
