//! Parts that are computed: an order's sums. What they become is known before anything of their owner is written, so that an owner whose
//! sums cannot be kept is left out whole.

use std::collections::{HashMap, HashSet};

use super::{PartStatements, Reaching, Rows, first_column};
use crate::db::Transaction;
use crate::error::{Error, Violation};
use crate::resource::mask::UpdateMask;
use crate::resource::part::{Derivation, children, said};
use crate::work;

/// What a computed part becomes.
pub(in crate::write) struct Derived {
    /// The rows that follow from what was sent and what is stored.
    pub(super) rows: Rows,
    /// The keys of those that are stored.
    pub(super) stored: HashSet<Vec<u8>>,
    /// The owners, by their place, of which nothing follows, and why.
    pub(in crate::write) broken: Vec<(usize, Violation)>,
}

impl PartStatements {
    /// What becomes of a part that is computed; nothing of any other.
    ///
    /// # Errors
    /// What the database says.
    pub(in crate::write) async fn derive(
        &self,
        transaction: &mut Transaction<'_>,
        owners: &[&[u8]],
    ) -> Result<Option<Derived>, Error> {
        let part = self.part();
        let Some(derivation) = part.derivation else { return Ok(None) };
        let source_of = |tuple| self.source.map(|(source, reaching)| (reaching, said(self.owner, source, tuple)));
        let concerned: Vec<(usize, &[u8])> = owners
            .iter()
            .enumerate()
            .filter(|(_, tuple)| {
                self.reaching.reaches(said(self.owner, self.nth, tuple))
                    || source_of(tuple).is_some_and(|(reaching, said)| reaching.reaches(said))
            })
            .map(|(place, tuple)| (place, *tuple))
            .collect();
        let keys: Vec<&[u8]> = concerned.iter().map(|(_, tuple)| first_column(tuple)).collect();
        let mut stored: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        let columns = part.resource.inputs().count();
        self.read(transaction, &self.stored, columns, &keys, |tuple| {
            let owner = first_column(tuple);
            stored.insert(owner.to_vec(), tuple[owner.len()..].to_vec());
        })
        .await?;
        let (mut rows, mut broken) = (Rows::default(), Vec::new());
        for (place, tuple) in concerned {
            let key = first_column(tuple);
            let before = stored.get(key).map(Vec::as_slice);
            let source = source_of(tuple).filter(|(reaching, said)| reaching.reaches(*said));
            let sums = match (source, before) {
                (Some((_, said)), _) => work::aside(tuple.len(), || sum(derivation, said.unwrap_or_default())).await,
                (None, Some(before)) => Ok(before.to_vec()),
                (None, None) => self.sum_of_stored(transaction, derivation, key).await?,
            };
            // A field that a mask names and the row leaves out is cleared, not kept.
            let kept = if self.reaching == Reaching::Named { None } else { before };
            let own = said(self.owner, self.nth, tuple).filter(|_| self.reaching != Reaching::Nothing);
            match sums.and_then(|sums| complete(derivation, &sums, own, kept)) {
                Ok(row) => rows.extend(part, place, key, &row),
                Err(violation) => broken.push((place, violation)),
            }
        }
        Ok(Some(Derived { rows, stored: stored.into_keys().collect(), broken }))
    }

    /// The sums over the source's stored rows: another program made the owner, and no sums.
    async fn sum_of_stored(
        &self,
        transaction: &mut Transaction<'_>,
        derivation: &dyn Derivation,
        owner: &[u8],
    ) -> Result<Result<Vec<u8>, Violation>, Error> {
        let Some((source, _)) = self.source else { return Err(Error::internal("a derived part without a source")) };
        let source = Self::new(self.owner, source, &UpdateMask::Populated);
        let columns = source.part().resource.inputs().count();
        let mut rows = Vec::new();
        source
            .read(transaction, &source.stored, columns, &[owner], |tuple| {
                rows.push(tuple[first_column(tuple).len()..].to_vec());
            })
            .await?;
        Ok(derivation.sum(&mut rows.iter().map(Vec::as_slice)))
    }
}

/// The sums over what was said of a part.
pub(super) fn sum(derivation: &dyn Derivation, rows: &[u8]) -> Result<Vec<u8>, Violation> {
    derivation.sum(&mut children(rows))
}

/// The one child of a derived part, as a part's value.
pub(super) fn complete(
    derivation: &dyn Derivation,
    sums: &[u8],
    said: Option<&[u8]>,
    stored: Option<&[u8]>,
) -> Result<Vec<u8>, Violation> {
    let said = said.and_then(|said| children(said).next());
    let child = derivation.complete(sums, said, stored)?;
    let mut value = (child.len() as i32).to_be_bytes().to_vec();
    value.extend_from_slice(&child);
    Ok(value)
}
