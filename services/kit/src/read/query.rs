//! The queries of a scan: what they ask for, whichever page it is.

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

/// What all queries of a scan have in common.
#[derive(Debug)]
pub(super) struct ScanQuery {
    /// What reads the rows.
    pub(super) reads: Reads,
    /// What they are.
    pub(super) resource: &'static Resource,
    /// What is wanted of each.
    pub(super) selection: Selection,
    /// Which are wanted.
    pub(super) filter: Filter,
    /// In which order.
    pub(super) order: Order,
    /// A page is closed before the row that would take it beyond this many bytes; only a row that is larger by itself
    /// makes a larger page, alone.
    pub(super) page_bytes: usize,
    /// A page is closed after this time, even empty.
    pub(super) progress_interval: Duration,
    /// Whether [`Page::keys`] is wanted.
    pub(super) keep_keys: bool,
}

/// Rows as they stand in a page message.
#[derive(Debug, Default)]
pub struct Page {
    /// Each row as field 1.
    pub body: Vec<u8>,
    /// How many.
    pub rows: usize,
    /// Whether there is nothing after them.
    pub end: bool,
    /// Each row's key, as a tuple, and where it ends in `body`; kept if the scan wants them.
    pub keys: Vec<(Vec<u8>, usize)>,
}

impl ScanQuery {
    /// The conditions for rows after a place, and up to another one.
    pub(super) fn conditions(&self, after: Option<&Position>, up_to: Option<&Position>) -> String {
        let mut conditions = vec![self.filter.sql()];
        conditions.extend(after.map(|position| self.order.after(self.resource, position)));
        conditions.extend(up_to.map(|position| self.order.up_to(self.resource, position)));
        conditions.join(" and ")
    }

    /// A select, with the time that it may take.
    pub(super) fn request<'a>(&self, select: &'a str, deadline: Deadline) -> CopyRequest<'a> {
        CopyRequest { select, timeout: self.progress_interval, deadline }
    }

    /// The place `rows` rows of the order after `position`, whether they pass the filter or not; `None` if there are fewer.
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

    /// The key of the first row after a place, for people.
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
    /// What the database says.
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
