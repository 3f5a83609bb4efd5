//! One query of a scan, and one for each child table: rows on their way into a page.

use std::iter::once;
use std::ops::ControlFlow;

use super::children::{MAX_ROWS, Owners, ReadChildren, read};
use super::collector::ReadBudget;
use super::order::Position;
use super::query::{Page, ScanQuery};
use crate::db::{CopyEnd, CopySource as _};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::resource::select::put_row_of;

/// Surplus rows are skipped up to this many page sizes. Then the result is cut off, which closes the connection.
const SURPLUS_PAGES: usize = 4;

/// The result of a query.
pub(super) struct Fetched {
    /// How it ended; [`CopyEnd::Whole`] if nothing was left out.
    pub(super) end: CopyEnd,
    /// Whether the query was sent: there was a connection for it.
    pub(super) began: bool,
    /// Whether there were more rows than are in the page.
    pub(super) more: bool,
    /// Whether that is because they do not fit into the page.
    pub(super) full: bool,
    /// The position of the last row in the page.
    pub(super) last: Option<Position>,
    /// If the page was too large and nothing was kept: the number of rows to ask for next.
    pub(super) fewer: Option<usize>,
}

impl Fetched {
    fn nothing(end: CopyEnd) -> Self {
        Self { end, began: true, more: false, full: false, last: None, fewer: None }
    }

    /// The result of a query that failed.
    fn broken(error: Error) -> Self {
        Self::nothing(CopyEnd::Broken(error))
    }

    /// The result of a query that could not be sent.
    pub(super) fn not_begun(error: Error) -> Self {
        Self { began: false, ..Self::broken(error) }
    }

    fn fewer(rows: usize) -> Self {
        Self { fewer: Some(rows), ..Self::nothing(CopyEnd::Stopped) }
    }
}

impl ScanQuery {
    /// Adds at most `limit` rows to the page. A `lone` row is read alone, so it is not known whether there are more.
    ///
    /// # Errors
    /// As [`Order::position_of`](super::order::Order::position_of). Errors of the database are in the result, because
    /// rows may have arrived before them.
    pub(super) async fn fetch(
        &self,
        after: Option<&Position>,
        up_to: Option<&Position>,
        limit: usize,
        lone: bool,
        page: &mut Page,
        deadline: Deadline,
    ) -> Result<Fetched, Error> {
        // One row beyond the limit tells whether there is more.
        let asked = if lone { 1 } else { limit + 1 };
        let select = format!(
            "select {}{} from {} as t where {} order by {} limit {}",
            self.selection.sql,
            self.order.columns_beside_key(self.resource),
            self.resource.description.table,
            self.conditions(after, up_to),
            self.order.order_by(self.resource),
            asked
        );
        let mut fetched = if self.selection.children.is_empty() {
            self.fetch_rows(&select, limit, page, deadline).await?
        } else {
            self.fetch_rows_with_children(&select, limit, page, deadline).await?
        };
        fetched.more |= lone && fetched.last.is_some();
        Ok(fetched)
    }

    async fn fetch_rows(
        &self,
        select: &str,
        limit: usize,
        page: &mut Page,
        deadline: Deadline,
    ) -> Result<Fetched, Error> {
        let mut scratch = Vec::new();
        let (mut last_key, mut last_beside) = (Vec::new(), Vec::new());
        let (mut kept, mut surplus, mut more, mut full) = (0, 0, false, false);
        let outcome = self
            .reads
            .copy_out(self.request(select, deadline), |tuple| {
                if !more && kept < limit {
                    let before = page.body.len();
                    self.selection.put_row(tuple, &mut scratch, &mut page.body);
                    full = page.rows > 0 && page.body.len() > self.page_bytes;
                    if full {
                        page.body.truncate(before);
                    }
                }
                if more || kept == limit || full {
                    more = true;
                    surplus += tuple.len();
                    let enough = surplus > SURPLUS_PAGES * self.page_bytes;
                    return Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) });
                }
                let key = self.selection.key(tuple);
                self.count(page, key);
                kept += 1;
                last_key.clear();
                last_key.extend_from_slice(key);
                last_beside.clear();
                last_beside.extend_from_slice(self.selection.rest(tuple));
                Ok(ControlFlow::Continue(()))
            })
            .await;
        let position = || self.order.position_of_row(self.resource, &last_key, &last_beside);
        let last = (kept > 0).then(position).transpose()?;
        Ok(match outcome {
            Ok(end) => Fetched { more, full, last, ..Fetched::nothing(end) },
            Err(error) => Fetched { more, full, last, ..Fetched::not_begun(error) },
        })
    }

    /// Rows with their children, as of one snapshot: either all of a row or nothing.
    async fn fetch_rows_with_children(
        &self,
        select: &str,
        limit: usize,
        page: &mut Page,
        deadline: Deadline,
    ) -> Result<Fetched, Error> {
        let mut snapshot = match self.reads.snapshot(self.progress_interval, deadline).await {
            Ok(snapshot) => snapshot,
            Err(error) => return Ok(Fetched::not_begun(error)),
        };
        let surplus_bytes = SURPLUS_PAGES * self.page_bytes;
        let mut owners = Owners::default();
        let (mut seen, mut surplus, mut full) = (0, 0, false);
        let outcome = snapshot
            .copy_out(select, |tuple| {
                seen += 1;
                if seen <= limit && !full {
                    owners.push(&self.selection, tuple);
                    let bytes = page.body.len() + owners.bytes();
                    full = page.rows + owners.len() > 1 && bytes > self.page_bytes;
                    if !full {
                        return Ok(ControlFlow::Continue(()));
                    }
                    owners.pop();
                }
                surplus += tuple.len();
                // The row beyond the limit is the last one.
                let enough = surplus > surplus_bytes && seen <= limit;
                Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })
            .await;
        match outcome {
            Ok(CopyEnd::Whole) => {}
            Ok(CopyEnd::Stopped) if owners.len() > 0 => return Ok(Fetched::fewer(owners.len())),
            Ok(end) => return Ok(Fetched { more: seen > 0, full, ..Fetched::nothing(end) }),
            Err(error) => return Ok(Fetched::broken(error)),
        }
        let budget = ReadBudget {
            bytes: self.page_bytes.saturating_sub(page.body.len()),
            first_anyway: page.rows == 0,
            surplus: surplus_bytes,
            cut_off: true,
            rows: MAX_ROWS,
        };
        let adjacent = self.filter.is_empty() && self.order.is_by_key(self.resource);
        let children =
            match read(&mut snapshot, self.resource, &self.selection.children, &owners, adjacent, budget).await {
                Ok(ReadChildren::Read(children)) => children,
                Ok(ReadChildren::Fewer(rows)) => return Ok(Fetched::fewer(rows)),
                Ok(ReadChildren::SmallerPages(_)) => return Ok(Fetched::fewer(1)),
                Err(error) => return Ok(Fetched::broken(error)),
            };
        snapshot.release().await;
        let mut kept = 0_usize;
        for owner in 0..children.taken() {
            let before = page.body.len();
            put_row_of(once(owners.message(owner)).chain(children.of(owner)), &mut page.body);
            if page.rows > 0 && page.body.len() > self.page_bytes {
                page.body.truncate(before);
                break;
            }
            self.count(page, owners.key(owner));
            kept += 1;
        }
        let position = |at| self.order.position_of_row(self.resource, owners.key(at), owners.rest(at));
        let last = kept.checked_sub(1).map(position).transpose()?;
        let full = full || kept < owners.len();
        Ok(Fetched { more: seen > kept, full, last, ..Fetched::nothing(CopyEnd::Whole) })
    }

    /// Counts the row that was just added to a page.
    fn count(&self, page: &mut Page, key: &[u8]) {
        if self.keep_keys {
            page.keys.push((key.to_vec(), page.body.len()));
        }
        page.rows += 1;
    }
}
