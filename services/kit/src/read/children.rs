//! The children of rows that were read: one query for each child table, from the same source. They are appended to
//! their owners' messages.
//!
//! The size of an owner's children is known only when they arrive. Owners are therefore taken in the order of their
//! keys, in which the children arrive too, until the budget is used up. The other owners are dropped, and rows that
//! still arrive for them are skipped. If the first owner is taken however large its children are, they may use up the
//! whole budget.

use super::collector::{ChildCollector, EncodedChildren, PendingOwners, ReadBudget};
use super::order::{Order, Position};
use crate::db::{CopyEnd, CopySource};
use crate::error::Error;
use crate::resource::Resource;
use crate::resource::key::compare;
use crate::resource::select::{SelectedChildren, Selection, row_length};

/// Most rows of one query for several owners, unless the caller has a reason for another number.
pub(super) const MAX_ROWS: usize = 20_000;

/// Rows whose own fields were read.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// Their messages so far, one after the other.
    messages: Vec<u8>,
    rows: Vec<Owner>,
    bytes: usize,
}

#[derive(Debug)]
struct Owner {
    /// The key, as a tuple.
    key: Vec<u8>,
    /// Where its message ends.
    end: usize,
    /// The columns selected after its own.
    rest: Vec<u8>,
}

impl Owners {
    /// Adds a row, from a tuple of `selection`.
    pub(super) fn push(&mut self, selection: &Selection, tuple: &[u8]) {
        let start = self.messages.len();
        selection.put_message(tuple, &mut self.messages);
        self.bytes += row_length(self.messages.len() - start);
        let key = selection.key(tuple).to_vec();
        self.rows.push(Owner { key, end: self.messages.len(), rest: selection.rest(tuple).to_vec() });
    }

    /// Removes the last owner.
    pub(super) fn pop(&mut self) {
        if self.rows.pop().is_some() {
            let start = self.rows.last().map_or(0, |row| row.end);
            self.bytes -= row_length(self.messages.len() - start);
            self.messages.truncate(start);
        }
    }

    /// The number of owners.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The bytes that they take as rows of a page, so far.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The key of an owner, as a tuple.
    pub(super) fn key(&self, at: usize) -> &[u8] {
        &self.rows[at].key
    }

    /// The columns selected after an owner's own.
    pub(super) fn rest(&self, at: usize) -> &[u8] {
        &self.rows[at].rest
    }

    /// The message of an owner, so far.
    pub(super) fn message(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.rows[before].end);
        &self.messages[start..self.rows[at].end]
    }
}

/// The result of reading children.
#[derive(Debug)]
pub(super) enum ReadChildren {
    /// The children of the owners that were taken.
    Read(ChildrenByOwner),
    /// The children were too large together. Try again with this number of owners. The source cannot be used any more.
    Fewer(usize),
    /// The server refused a page of a single owner's children with this error. Later pages are smaller. The source
    /// cannot be used any more.
    SmallerPages(Error),
}

/// The children of owners.
#[derive(Debug)]
pub(super) struct ChildrenByOwner {
    read: Vec<EncodedChildren>,
    /// Each owner's place in the order of keys.
    ranks: Vec<usize>,
    taken: usize,
}

impl ChildrenByOwner {
    /// The number of owners that were taken: the first ones.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// The children of an owner, as fields of its message.
    pub(super) fn of(&self, owner: usize) -> impl Iterator<Item = &[u8]> + Clone {
        let rank = self.ranks[owner];
        self.read.iter().map(move |children| children.of(rank))
    }
}

/// Reads the children of `owners`, rows of `resource`. `adjacent` says that the owners are all rows from the first key
/// to the last; then their children can be read as a range.
///
/// # Errors
/// [`Error::RowTooLarge`] if the first owner's children exceed the limit of a result; the errors of the database. The
/// source cannot be used any more then.
pub(super) async fn read(
    source: &mut impl CopySource,
    resource: &'static Resource,
    selected: &[SelectedChildren],
    owners: &Owners,
    adjacent: bool,
    budget: ReadBudget,
) -> Result<ReadChildren, Error> {
    let mut by_key: Vec<usize> = (0..owners.len()).collect();
    by_key.sort_by(|&a, &b| compare(resource, owners.key(a), owners.key(b)));
    let mut ranks = vec![0; owners.len()];
    for (rank, &at) in by_key.iter().enumerate() {
        ranks[at] = rank;
    }
    let mut pending = PendingOwners {
        resource,
        sizes: by_key.iter().map(|&at| row_length(owners.message(at).len())).collect(),
        in_order: by_key.is_sorted(),
        keys: by_key.iter().map(|&at| owners.key(at).to_vec()).collect(),
        budget,
        first_bytes: 0,
    };
    let mut read = Vec::with_capacity(selected.len());
    for (nth, table) in selected.iter().enumerate() {
        let taken = pending.keys.len();
        if taken == 0 {
            break;
        }
        let is_last = nth + 1 == selected.len();
        match pending.read_table(source, table, adjacent, is_last).await {
            Ok(TableRead::All(children)) => read.push(children),
            Ok(TableRead::TooMuch(fewer)) => return Ok(ReadChildren::Fewer(fewer)),
            Ok(TableRead::Refused(error)) => return Ok(ReadChildren::SmallerPages(error)),
            // The server took too long, so fewer owners are tried. If the caller's own deadline passed, the next query
            // fails.
            Err(Error::DeadlineExceeded) if taken > 1 => return Ok(ReadChildren::Fewer(taken / 2)),
            Err(Error::ResultTooLarge(_) | Error::ResultRefused(_)) if taken == 1 => {
                return Err(pending.too_large());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(ReadChildren::Read(ChildrenByOwner { read, ranks, taken: pending.keys.len() }))
}

enum TableRead {
    All(EncodedChildren),
    /// Try again with this number of owners.
    TooMuch(usize),
    /// The server refused a page of a single owner's children; smaller pages are possible.
    Refused(Error),
}

impl PendingOwners {
    /// Reads the children of one table. Owners may be dropped on the way.
    async fn read_table(
        &mut self,
        source: &mut impl CopySource,
        table: &SelectedChildren,
        adjacent: bool,
        is_last: bool,
    ) -> Result<TableRead, Error> {
        let limit = self.budget.rows.min(source.limits().max_query_rows);
        let mut collector = ChildCollector::new(self, table, source.limits().max_result_bytes);
        let mut position: Option<Position> = None;
        let single = self.keys.len() == 1;
        let asked = if single { source.page_rows().now() } else { limit };
        let end = loop {
            let select = select(self.resource, table, &self.keys, adjacent, position.as_ref(), asked);
            let before = collector.seen();
            let end = source.copy_out(&select, |tuple| collector.take(tuple)).await;
            let seen = collector.seen() - before;
            let end = match end {
                // The limit of a result also holds for all pages together.
                Err(error) | Ok(CopyEnd::Broken(error))
                    if single
                        && error.may_be_too_large()
                        && !matches!(error, Error::ResultTooLarge(_))
                        && source.page_rows().refused(asked, seen) =>
                {
                    return Ok(TableRead::Refused(error));
                }
                Err(error) | Ok(CopyEnd::Broken(error)) => return Err(error),
                Ok(end) => end,
            };
            if seen < asked {
                break end;
            }
            // There may be more rows.
            if !single {
                collector.drop_owners_from_here();
                break end;
            }
            if collector.has_dropped_owners() {
                break end;
            }
            position = Some(collector.place()?);
        };
        if position.is_some() {
            source.page_rows().succeeded(asked);
        }
        let children = match collector.finish() {
            Ok((children, first_bytes)) => {
                self.first_bytes = first_bytes;
                children
            }
            Err(fewer) => return Ok(TableRead::TooMuch(fewer)),
        };
        let taken = children.owners();
        if matches!(end, CopyEnd::Stopped) && !is_last && taken > 0 {
            // The query was cut off, so the other tables cannot be read from this source.
            return Ok(TableRead::TooMuch(taken));
        }
        self.keys.truncate(taken);
        self.sizes.truncate(taken);
        for (rank, size) in self.sizes.iter_mut().enumerate() {
            *size += children.of(rank).len();
        }
        Ok(TableRead::All(children))
    }
}

/// The query for the children in one table, at most `limit` rows. A single owner's children may be read in pages: those
/// after a position.
fn select(
    owner: &Resource,
    table: &SelectedChildren,
    keys: &[Vec<u8>],
    adjacent: bool,
    after: Option<&Position>,
    limit: usize,
) -> String {
    let (child, order) = (table.resource, Order::NATURAL);
    let columns: Vec<&str> = child.description.key.iter().take(table.owner_columns).copied().collect();
    let condition = match keys {
        // A range is one scan; single keys are looked up one by one.
        [first, .., last] if adjacent => owner.key_between_literals(&columns, first, last),
        keys => owner.key_in_literals(&columns, keys.iter().map(Vec::as_slice)),
    };
    let place = if keys.len() == 1 { order.columns_beside_key(child) } else { String::new() };
    let after = after.map(|position| format!(" and {}", order.after(child, position)));
    format!(
        "select {}{place} from {} as t where {condition}{} order by {} limit {limit}",
        table.selection.sql,
        child.description.table,
        after.unwrap_or_default(),
        order.order_by(child),
    )
}
