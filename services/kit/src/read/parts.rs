//! What belongs to rows: after the rows' own fields the rows of their parts are read, from the same source, a query per part, and
//! put behind them.
//!
//! How much belongs to a row is known only when it comes. So the owners are taken in the order of their uids, which is the order in which
//! the rows of a part arrive, until the room is used up; the others are given up, and what comes for them is let go by. The first owner
//! may be taken however much belongs to it: then no other has room.

use super::gathering::{Children, Gathering, Reading, Room};
use super::order::{Order, Position};
use crate::db::{CopyEnd, CopySource};
use crate::error::Error;
use crate::resource::Resource;
use crate::resource::key::compare;
use crate::resource::select::{SelectedPart, Selection, row_length};

/// Most rows of one query of several owners, where there is no reason for another number.
pub(super) const MAX_ROWS: usize = 20_000;

/// Rows whose own fields were read.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// Their messages so far, one behind the other.
    messages: Vec<u8>,
    rows: Vec<Owner>,
    bytes: usize,
}

#[derive(Debug)]
struct Owner {
    /// As a tuple.
    key: Vec<u8>,
    /// Where its message ends.
    end: usize,
    /// What was selected behind its own columns.
    rest: Vec<u8>,
}

impl Owners {
    /// Adds the row of a tuple that `selection` brought.
    pub(super) fn push(&mut self, selection: &Selection, tuple: &[u8]) {
        let start = self.messages.len();
        selection.put_message(tuple, &mut self.messages);
        self.bytes += row_length(self.messages.len() - start);
        let key = selection.key(tuple).to_vec();
        self.rows.push(Owner { key, end: self.messages.len(), rest: selection.rest(tuple).to_vec() });
    }

    /// Takes the last one away.
    pub(super) fn pop(&mut self) {
        if self.rows.pop().is_some() {
            let start = self.rows.last().map_or(0, |row| row.end);
            self.bytes -= row_length(self.messages.len() - start);
            self.messages.truncate(start);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many bytes they take as rows of a page, so far.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The key of one, as a tuple.
    pub(super) fn key(&self, at: usize) -> &[u8] {
        &self.rows[at].key
    }

    /// What was selected of one behind its own columns.
    pub(super) fn rest(&self, at: usize) -> &[u8] {
        &self.rows[at].rest
    }

    /// The message of one, so far.
    pub(super) fn message(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.rows[before].end);
        &self.messages[start..self.rows[at].end]
    }
}

/// What came of reading.
#[derive(Debug)]
pub(super) enum Outcome {
    /// What belongs to the owners that were taken.
    Read(Parts),
    /// Nothing: it was too much. Of so many of the owners it may be read. The source is of no use any more.
    Fewer(usize),
    /// Nothing: the server refused, by this error, a page of what belongs to a lone owner. From now on smaller ones are asked for. The source
    /// is of no use any more.
    SmallerPages(Error),
}

/// What belongs to owners.
#[derive(Debug)]
pub(super) struct Parts {
    read: Vec<Children>,
    /// Each owner's place in the order of uids.
    ranks: Vec<usize>,
    taken: usize,
}

impl Parts {
    /// How many owners were taken: the first ones.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// What belongs to an owner, as fields of its message.
    pub(super) fn of(&self, owner: usize) -> impl Iterator<Item = &[u8]> + Clone {
        let rank = self.ranks[owner];
        self.read.iter().map(move |children| children.of(rank))
    }
}

/// Reads what belongs to `owners`, rows of `resource`. If they are `adjacent`, all rows from the first uid to the last, their parts are
/// adjacent too.
///
/// # Errors
/// [`Error::RowTooLarge`] if what belongs to the first owner exceeds the limit of a result; what the database says. The source is of no
/// use any more then.
pub(super) async fn read(
    source: &mut impl CopySource,
    resource: &'static Resource,
    parts: &[SelectedPart],
    owners: &Owners,
    adjacent: bool,
    room: Room,
) -> Result<Outcome, Error> {
    let mut by_key: Vec<usize> = (0..owners.len()).collect();
    by_key.sort_by(|&a, &b| compare(resource, owners.key(a), owners.key(b)));
    let mut ranks = vec![0; owners.len()];
    for (rank, &at) in by_key.iter().enumerate() {
        ranks[at] = rank;
    }
    let mut reading = Reading {
        resource,
        sizes: by_key.iter().map(|&at| row_length(owners.message(at).len())).collect(),
        in_order: by_key.is_sorted(),
        keys: by_key.iter().map(|&at| owners.key(at).to_vec()).collect(),
        room,
        first_bytes: 0,
    };
    let mut read = Vec::with_capacity(parts.len());
    for (nth, part) in parts.iter().enumerate() {
        let taken = reading.keys.len();
        if taken == 0 {
            break;
        }
        let is_last = nth + 1 == parts.len();
        match reading.read_part(source, part, adjacent, is_last).await {
            Ok(Gathered::All(children)) => read.push(children),
            Ok(Gathered::TooMuch(fewer)) => return Ok(Outcome::Fewer(fewer)),
            Ok(Gathered::Refused(error)) => return Ok(Outcome::SmallerPages(error)),
            // The server took too long; less is done sooner. If it was the caller's own deadline, the next query says so.
            Err(Error::DeadlineExceeded) if taken > 1 => return Ok(Outcome::Fewer(taken / 2)),
            Err(Error::ResultTooLarge(_) | Error::ResultRefused(_)) if taken == 1 => {
                return Err(reading.too_large());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Outcome::Read(Parts { read, ranks, taken: reading.keys.len() }))
}

enum Gathered {
    All(Children),
    /// Of so many owners it may be read.
    TooMuch(usize),
    /// A page of a lone owner's was refused, and there are smaller ones.
    Refused(Error),
}

impl Reading {
    /// Reads one part. Owners may be given up on the way.
    async fn read_part(
        &mut self,
        source: &mut impl CopySource,
        part: &SelectedPart,
        adjacent: bool,
        is_last: bool,
    ) -> Result<Gathered, Error> {
        let limit = self.room.rows.min(source.limits().max_query_rows);
        let mut gathering = Gathering::new(self, part, source.limits().max_result_bytes);
        let mut position: Option<Position> = None;
        let lone = self.keys.len() == 1;
        let asked = if lone { source.page_rows().now() } else { limit };
        let end = loop {
            let select = select(self.resource, part, &self.keys, adjacent, position.as_ref(), asked);
            let before = gathering.seen();
            let end = source.copy_out(&select, |tuple| gathering.take(tuple)).await;
            let seen = gathering.seen() - before;
            let end = match end {
                // The limit of a result is that of all pages together as well.
                Err(error) | Ok(CopyEnd::Broken(error))
                    if lone
                        && error.may_be_too_large()
                        && !matches!(error, Error::ResultTooLarge(_))
                        && source.page_rows().refused(asked, seen) =>
                {
                    return Ok(Gathered::Refused(error));
                }
                Err(error) | Ok(CopyEnd::Broken(error)) => return Err(error),
                Ok(end) => end,
            };
            if seen < asked {
                break end;
            }
            // There may be more.
            if !lone {
                gathering.give_up_from_here();
                break end;
            }
            if gathering.has_given_up() {
                break end;
            }
            position = Some(gathering.place()?);
        };
        if position.is_some() {
            source.page_rows().succeeded(asked);
        }
        let children = match gathering.finish() {
            Ok((children, first_bytes)) => {
                self.first_bytes = first_bytes;
                children
            }
            Err(fewer) => return Ok(Gathered::TooMuch(fewer)),
        };
        let taken = children.owners();
        if matches!(end, CopyEnd::Stopped) && !is_last && taken > 0 {
            // There is nothing left to read the other parts from.
            return Ok(Gathered::TooMuch(taken));
        }
        self.keys.truncate(taken);
        self.sizes.truncate(taken);
        for (rank, size) in self.sizes.iter_mut().enumerate() {
            *size += children.of(rank).len();
        }
        Ok(Gathered::All(children))
    }
}

/// The rows of a part that belong to owners, at most `limit`. Of a lone owner they may come in pages, each after a place.
fn select(
    owner: &Resource,
    part: &SelectedPart,
    keys: &[Vec<u8>],
    adjacent: bool,
    after: Option<&Position>,
    limit: usize,
) -> String {
    let (child, order) = (part.resource, Order::NATURAL);
    let columns: Vec<&str> = child.description.key.iter().take(part.owner_columns).copied().collect();
    let whose = match keys {
        // A range is read in one go; many keys are looked for one by one.
        [first, .., last] if adjacent => owner.key_between_literals(&columns, first, last),
        keys => owner.key_in_literals(&columns, keys.iter().map(Vec::as_slice)),
    };
    let place = if keys.len() == 1 { format!(", {}", order.column_list(child)) } else { String::new() };
    let after = after.map(|position| format!(" and {}", order.after(child, position)));
    format!(
        "select {}{place} from {} as t where {whose}{} order by {} limit {limit}",
        part.selection.sql,
        child.description.table,
        after.unwrap_or_default(),
        order.order_by(child),
    )
}
