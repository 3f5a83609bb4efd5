//! `ListX`: one page, and the tokens by which pages are continued.

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

/// Rows of a page whose size the caller leaves to the service.
const DEFAULT_PAGE_SIZE: usize = 50;
/// Most rows of a page.
const MAX_PAGE_SIZE: usize = 1_000;
/// Marks, at the head of a sealed position, a scan that goes by windows.
const WINDOWED: &[u8] = b"w";
/// Marks any other scan.
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

    /// The cursor that a token stands for; an empty token stands for the beginning.
    ///
    /// # Errors
    /// [`Error::TokenInvalid`] or [`Error::TokenMismatch`] for `field`; what the database says when the key is read.
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
    /// What the database says when the key is read.
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
    /// What is wanted of each row.
    pub mask: Vec<MaskPath>,
    /// Which rows are wanted.
    pub filter: Filter,
    /// The filter's message, encoded; tokens are bound to it.
    pub encoded_filter: Vec<u8>,
    /// In which order.
    pub order: Order,
    /// The token to go on from; empty for the beginning.
    pub page_token: String,
    /// Most rows; 0 for the default.
    pub page_size: i32,
    /// Until when.
    pub deadline: Deadline,
    /// How large the answer may be.
    pub answers: AnswerLimit,
}

/// Reads one page.
///
/// # Errors
/// [`Error::Invalid`] for a negative page size; what [`PageToken::open`] and [`Scan::page`] say;
/// [`Error::AnswerTooLarge`] for a row that is too large by itself.
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
    let rows = match usize::try_from(page_size) {
        Err(_) => return Err(Error::invalid("page_size", "must not be negative")),
        Ok(0) => DEFAULT_PAGE_SIZE,
        Ok(rows) => rows.min(MAX_PAGE_SIZE),
    };
    let mut cursor = token.open(reads, &scan, "page_token", &page_token, deadline).await?;
    cursor.ask_for(rows);
    let before = cursor.clone();
    let page = scan.page(&mut cursor, rows, deadline).await?;
    let tail = if page.end { Bytes::new() } else { token.seal(reads, &cursor, deadline).await? };
    scan.message(page, tail, &before, answers, deadline).await
}
