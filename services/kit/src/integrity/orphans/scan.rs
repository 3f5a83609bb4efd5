//! The scan of one relation, window by window.

use std::collections::BTreeMap;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::integrity::Documented;

use super::owner::OwnerUids;
use super::{Detection, WINDOW, relation};

/// How many uids of another slice can be streamed in the time in which one is asked for.
const STREAMED_PER_ASKED: i64 = 2;
/// Most rows of a window where rows are read instead of values: a row may have a list of references.
const ROWS_WINDOW: usize = 1_000;

/// The scan of a relation in this process.
pub(super) struct Scan {
    relation: String,
    /// After which value or row it continues.
    place: String,
    /// The sorted uids of another slice, if they are walked along with.
    owner: Option<OwnerUids>,
    /// Most references or rows of a window. Less after a window was too large or the connection broke.
    rows: usize,
    /// What `rows` grows to again.
    most: usize,
}

/// A window of references.
pub(super) struct Window {
    /// How many there were.
    pub(super) references: usize,
    /// The uids that nothing has, each with a row that refers to it.
    pub(super) orphans: Vec<(String, String)>,
    /// Whether the relation has no more.
    pub(super) is_last: bool,
}

impl Scan {
    /// Begins a scan, or continues after `place`. With a `token` the uids of another slice are walked along with.
    pub(super) async fn begin(
        detection: &Detection,
        documented: &Documented,
        place: &str,
        token: &str,
        deadline: Deadline,
    ) -> Result<Self, Error> {
        let database = detection.context.database();
        let most = if documented.indexed { WINDOW } else { ROWS_WINDOW };
        let most = relation::rows_at_once(database, most);
        let mut scan =
            Self { relation: documented.reference.name(), place: place.to_owned(), owner: None, rows: most, most };
        if documented.indexed && !detection.is_here(documented) {
            let owner = detection.owner(documented)?;
            // Few references are asked for, many are compared with all uids, in whichever order costs less.
            let walks = !token.is_empty() || {
                let estimate = relation::estimate(&detection.context, documented, deadline).await?;
                estimate > WINDOW as i64 && estimate.saturating_mul(STREAMED_PER_ASKED) > owner.count(deadline).await?
            };
            scan.owner = walks.then(|| OwnerUids::after(&**owner, token));
        }
        Ok(scan)
    }

    /// Whether it is the scan of this relation, at this place.
    pub(super) fn continues(&self, relation: &str, place: &str) -> bool {
        self.relation == relation && self.place == place
    }

    /// After which value or row it continues.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Where the uids of another slice continue; empty if they are not walked along with.
    pub(super) fn token(&self) -> &str {
        self.owner.as_ref().map_or("", OwnerUids::token)
    }

    /// The next window.
    ///
    /// # Errors
    /// Errors of the database and of the other slice.
    pub(super) async fn next(
        &mut self,
        detection: &Detection,
        documented: &Documented,
        deadline: Deadline,
    ) -> Result<Window, Error> {
        let token = self.token().to_owned();
        loop {
            let window = if documented.indexed {
                self.by_value(detection, documented, deadline).await
            } else {
                self.by_row(detection, documented, deadline).await
            };
            match window {
                Err(error) if error.may_be_too_large() && self.rows > 1 => {
                    self.rows = self.rows.div_ceil(4);
                    // The walk may have passed references of this window already.
                    if self.owner.is_some() {
                        self.owner = Some(OwnerUids::after(&**detection.owner(documented)?, &token));
                    }
                }
                window => {
                    self.rows = self.rows.saturating_mul(2).min(self.most);
                    return window;
                }
            }
        }
    }

    async fn by_value(
        &mut self,
        detection: &Detection,
        documented: &Documented,
        deadline: Deadline,
    ) -> Result<Window, Error> {
        let context = &detection.context;
        let target = detection.is_here(documented).then_some(&documented.reference.target);
        let window = relation::by_value(context, documented, target, &self.place, self.rows, deadline).await?;
        let is_last = window.values.len() < self.rows;
        let (references, last) = (window.values.len(), window.values.last().cloned());
        let missing = match (window.missing, &mut self.owner) {
            (Some(missing), _) => missing,
            (None, Some(owner)) => match owner.missing(&window.values).await {
                // The other service no longer takes the token: walk from the first uid.
                Err(Error::Internal(cause)) if !owner.token().is_empty() => {
                    tracing::warn!(relation = self.relation, %cause, "the uids of another slice are read anew");
                    let mut anew = OwnerUids::after(&**detection.owner(documented)?, "");
                    let missing = anew.missing(&window.values).await?;
                    *owner = anew;
                    missing
                }
                missing => missing?,
            },
            (None, None) => detection.missing(documented, window.values, deadline).await?,
        };
        let children = if missing.is_empty() {
            BTreeMap::new()
        } else {
            relation::children(context, documented, &missing, deadline).await?
        };
        if let Some(last) = last {
            self.place = last;
        }
        Ok(Window { references, orphans: children.into_iter().collect(), is_last })
    }

    async fn by_row(
        &mut self,
        detection: &Detection,
        documented: &Documented,
        deadline: Deadline,
    ) -> Result<Window, Error> {
        let after: Vec<String> = match &*self.place {
            "" => Vec::new(),
            place => serde_json::from_str(place).map_err(Error::internal)?,
        };
        let mut window = relation::by_row(&detection.context, documented, &after, self.rows, deadline).await?;
        let uids: Vec<String> = window.children.keys().cloned().collect();
        let (references, is_last) = (uids.len(), window.rows < self.rows);
        let missing = detection.missing(documented, uids, deadline).await?;
        let orphans = missing.into_iter().filter_map(|uid| window.children.remove_entry(&uid)).collect();
        if let Some(last) = window.last {
            self.place = serde_json::to_string(&last).map_err(Error::internal)?;
        }
        Ok(Window { references, orphans, is_last })
    }
}
