//! The write of a batch of rows: a look at which exist, then those that do not are created and those that do are updated where they
//! differ. Two transactions that create the same row at once are told apart by the key's index: the second gives way and is tried again.
//!
//! Rows that have parts are locked by the look, and so all their parts: whoever changes a part holds its owner.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use orrery_proto::r#type::v1::WriteMode;
use sqlx::Row as _;

use super::children::{Derived, PartStatements};
use super::rows::{Returning, RowStatements, arrays, same_key, unnested};
use crate::db::{Statement, Transaction};
use crate::error::{Error, Violation};
use crate::resource::Resource;
use crate::resource::mask::UpdateMask;

/// Most bytes of rows whose children are written at once: while they are, memory holds them, and the keys of those that are stored, a
/// second time. One larger row stands alone.
const PIECE_BYTES: usize = 1024 * 1024;

/// How rows of one resource are written, with their parts.
#[derive(Clone, Debug)]
pub struct WriteStatement {
    resource: &'static Resource,
    mode: WriteMode,
    /// Which of the keys exist, and what time it is.
    probe: Arc<str>,
    rows: RowStatements,
    parts: Arc<[PartStatements]>,
}

/// What became of a batch of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows that did not exist.
    pub created: usize,
    /// Rows that existed and differed, or whose parts did.
    pub updated: usize,
    /// Places in the batch of rows that the mode refuses: existing ones on create, missing ones on update.
    pub refused: Vec<usize>,
    /// Places in the batch of rows that break a rule together with what is stored, and which: sums, or a key that only
    /// a stored row may have.
    pub broken: Vec<(usize, Violation)>,
}

impl WriteStatement {
    /// The statements for a mode (never `UNSPECIFIED`) and a mask.
    pub fn new(resource: &'static Resource, mode: WriteMode, mask: &UpdateMask) -> Self {
        let parts = (0..resource.parts.len()).map(|part| PartStatements::new(resource, part, mask)).collect();
        let mask = (mode != WriteMode::Create).then_some(mask);
        let rows = RowStatements::new(resource, mask, Returning::Count);
        Self { resource, mode, probe: probe(resource).into(), rows, parts }
    }

    /// Writes the rows of these input tuples, whose keys must differ and be in order.
    ///
    /// # Errors
    /// [`Error::TransactionConflict`] if another transaction created one of the rows meanwhile, deleted one, or made one what it was to
    /// become; what the database says.
    pub async fn run(&self, transaction: &mut Transaction<'_>, tuples: &[&[u8]]) -> Result<Written, Error> {
        let keys = self.resource.inputs().take(self.resource.key_length());
        let mut probe = Statement::new(Arc::clone(&self.probe), tuples.len());
        for array in arrays(keys, tuples) {
            probe = probe.bind(array)?;
        }
        let rows = transaction.fetch(probe).await?;
        let row = rows.first().ok_or_else(|| Error::internal("a look at the keys returned nothing"))?;
        let now: i64 = row.try_get(0)?;
        let mut exists = vec![false; tuples.len()];
        for ordinal in row.try_get::<Option<Vec<i64>>, _>(1)?.unwrap_or_default() {
            if let Some(exists) = usize::try_from(ordinal - 1).ok().and_then(|at| exists.get_mut(at)) {
                *exists = true;
            }
        }
        let exists = &exists;
        let which = |wanted: bool| (0..tuples.len()).filter(move |&at| exists[at] == wanted);
        let mut written = Written::default();
        let refuses = match self.mode {
            WriteMode::Create => Some(true),
            WriteMode::Update => Some(false),
            WriteMode::Upsert | WriteMode::Unspecified => None,
        };
        written.refused = refuses.into_iter().flat_map(&which).collect();
        if refuses != Some(false) {
            let mut new: Vec<&[u8]> = Vec::with_capacity(tuples.len());
            for at in which(false) {
                match self.resource.check_new_keys(tuples[at]) {
                    Ok(()) => new.push(tuples[at]),
                    Err(violation) => written.broken.push((at, violation)),
                }
            }
            written.created = self.create(transaction, &new, now).await?;
        }
        if refuses != Some(true) {
            let mut existing: Vec<usize> = which(true).collect();
            written.updated = self.update(transaction, tuples, &mut existing, now, &mut written.broken).await?;
        }
        Ok(written)
    }

    async fn create(&self, transaction: &mut Transaction<'_>, tuples: &[&[u8]], now: i64) -> Result<usize, Error> {
        if tuples.is_empty() {
            return Ok(0);
        }
        self.rows.create(transaction, tuples, now).await?;
        for part in self.parts.iter() {
            for piece in pieces(tuples) {
                part.create(transaction, &tuples[piece], now).await?;
            }
        }
        Ok(tuples.len())
    }

    /// Updates those of the rows that stand at `places`. Those that break a rule together with what is stored are taken out, whole.
    async fn update(
        &self,
        transaction: &mut Transaction<'_>,
        tuples: &[&[u8]],
        places: &mut Vec<usize>,
        now: i64,
        broken: &mut Vec<(usize, Violation)>,
    ) -> Result<usize, Error> {
        if places.is_empty() {
            return Ok(0);
        }
        for part in self.parts.iter() {
            let foreign = part.foreign(transaction, tuples, places).await?;
            let out: HashSet<usize> = foreign.iter().map(|(place, _)| *place).collect();
            places.retain(|place| !out.contains(place));
            broken.extend(foreign);
        }
        let (existing, derived) = loop {
            let existing: Vec<&[u8]> = places.iter().map(|&at| tuples[at]).collect();
            let mut derived: Vec<Option<Derived>> = Vec::with_capacity(self.parts.len());
            let before = broken.len();
            for part in self.parts.iter() {
                let part = part.derive(transaction, &existing).await?;
                let of_part = part.iter().flat_map(|part| &part.broken);
                broken.extend(of_part.map(|(at, violation)| (places[*at], violation.clone())));
                derived.push(part);
            }
            if broken.len() == before {
                break (existing, derived);
            }
            let out: HashSet<usize> = broken.iter().map(|(place, _)| *place).collect();
            places.retain(|at| !out.contains(at));
        };
        let mut touched = vec![false; if self.parts.is_empty() { 0 } else { existing.len() }];
        for (part, derived) in self.parts.iter().zip(derived) {
            if derived.is_some() {
                part.replace(transaction, &existing, derived, now, &mut touched).await?;
                continue;
            }
            for piece in pieces(&existing) {
                let (owners, touched) = (&existing[piece.clone()], &mut touched[piece]);
                part.replace(transaction, owners, None, now, touched).await?;
            }
        }
        self.rows.update(transaction, &existing, &touched, |_| {}).await
    }
}

/// The places of the rows whose children are written at once.
fn pieces(tuples: &[&[u8]]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |tuple: &&&[u8]| {
            bytes += tuple.len();
            bytes <= PIECE_BYTES
        };
        let rest = &tuples[start..];
        let end = start + rest.iter().take_while(fits).count().max(1).min(rest.len());
        let piece = start..end;
        start = end;
        (!piece.is_empty()).then_some(piece)
    })
}

fn probe(resource: &Resource) -> String {
    let keys: Vec<_> = resource.inputs().take(resource.key_length()).collect();
    let list = |alias: &str| keys.iter().map(|key| format!("{alias}.{}", key.name)).collect::<Vec<_>>().join(", ");
    let lock =
        if resource.parts.is_empty() { String::new() } else { format!("order by {} for update of t", list("t")) };
    format!(
        "with found as (\n    \
             select i.ordinal from {} join {} as t on {} {lock}\n\
         )\nselect (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint, array_agg(ordinal) from found",
        unnested(keys.iter().copied(), false),
        resource.description.table,
        same_key(resource)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_bounded_and_leave_nothing_out() {
        let row = vec![0; PIECE_BYTES / 2];
        let large = vec![0; PIECE_BYTES + 1];
        let pieces = |rows: &[&[u8]]| pieces(rows).collect::<Vec<_>>();
        assert!(pieces(&[]).is_empty());
        assert_eq!(pieces(&[&row, &row, &row]), [0..2, 2..3]);
        assert_eq!(pieces(&[&large, &row, &large, &large]), [0..1, 1..2, 2..3, 3..4]);
    }
}
