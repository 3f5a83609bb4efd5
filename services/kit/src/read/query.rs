//! The common part of a scan's queries, independent of the page.

use std::ops::ControlFlow;
use std::time::Duration;

use super::filter::Filter;
use super::order::{Order, Position};
use crate::context::Reads;
use crate::db::{CopyEnd, CopyRequest};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::resource::Resource;
use crate::resource::select::Selection;

/// The common part of a scan's queries.
#[derive(Debug)]
pub(super) struct ScanQuery {
    /// The database to read from.
    pub(super) reads: Reads,
    /// The resource of the rows.
    pub(super) resource: &'static Resource,
    /// The fields that are selected of each.
    pub(super) selection: Selection,
    /// The filter that rows must pass.
    pub(super) filter: Filter,
    /// The order of the rows.
    pub(super) order: Order,
    /// A page ends before the row that would exceed this many bytes. A single row that is larger is a page of its own.
    pub(super) page_bytes: usize,
    /// A page ends after this time, even if it is empty.
    pub(super) progress_interval: Duration,
    /// Whether [`Page::keys`] is filled.
    pub(super) keep_keys: bool,
}

/// Encoded rows of a page message.
#[derive(Debug, Default)]
pub struct Page {
    /// Each row as field 1.
    pub body: Vec<u8>,
    /// The number of rows.
    pub rows: usize,
    /// Whether no rows follow.
    pub end: bool,
    /// Each row's key as a tuple, and the end of the row in `body`; empty unless the scan asks for it.
    pub keys: Vec<(Vec<u8>, usize)>,
}

impl ScanQuery {
    /// The conditions for rows after a position and up to another one.
    pub(super) fn conditions(&self, after: Option<&Position>, up_to: Option<&Position>) -> String {
        let mut conditions = vec![self.filter.sql()];
        conditions.extend(after.map(|position| self.order.after(self.resource, position)));
        conditions.extend(up_to.map(|position| self.order.up_to(self.resource, position)));
        conditions.join(" and ")
    }

    /// A select with its time limit.
    pub(super) fn request<'a>(&self, select: &'a str, deadline: Deadline) -> CopyRequest<'a> {
        CopyRequest { select, timeout: self.progress_interval, deadline }
    }

    /// The position `rows` rows after `position`, whether or not the rows pass the filter; `None` if there are fewer
    /// rows.
    pub(super) async fn window_end(
        &self,
        position: Option<&Position>,
        rows: usize,
        deadline: Deadline,
    ) -> Result<Option<Position>, Error> {
        let after = position.map(|position| self.order.after(self.resource, position));
        let select = format!(
            "select {} from {} as t where {} order by {} offset {} limit 1",
            self.order.column_list(self.resource),
            self.resource.description.table,
            after.as_deref().unwrap_or("true"),
            self.order.order_by(self.resource),
            rows - 1
        );
        let found = self.only_row(&select, deadline).await?;
        found.map(|tuple| self.order.position_of(self.resource, &tuple)).transpose()
    }

    /// The key of the first row after a position, for error messages.
    pub(super) async fn next_key(&self, after: Option<&Position>, deadline: Deadline) -> Option<String> {
        let select = format!(
            "select {} from {} as t where {} order by {} limit 1",
            self.resource.key_columns("t"),
            self.resource.description.table,
            self.conditions(after, None),
            self.order.order_by(self.resource),
        );
        let key = self.only_row(&select, deadline).await.ok()??;
        Some(self.resource.name_of(&key))
    }

    /// Runs a select of one row at most, and returns it as a tuple.
    ///
    /// # Errors
    /// The errors of the database.
    async fn only_row(&self, select: &str, deadline: Deadline) -> Result<Option<Vec<u8>>, Error> {
        let mut found = None;
        let end = self
            .reads
            .copy_out(self.request(select, deadline), |tuple| {
                found = Some(tuple.to_vec());
                Ok(ControlFlow::Continue(()))
            })
            .await?;
        match end {
            CopyEnd::Broken(error) => Err(error),
            CopyEnd::Whole | CopyEnd::Stopped => Ok(found),
        }
    }
}
