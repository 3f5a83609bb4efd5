//! The uids of another slice, as far as this slice refers to them.

use std::collections::HashSet;
use std::fmt;

use futures::future::BoxFuture;

use crate::deadline::Deadline;
use crate::error::Error;

/// Knows which uids exist in a column of another slice, by asking the service that owns it.
pub trait ForeignUids: fmt::Debug + Send + Sync {
    /// The column, as references name it: `SCHEMA.TABLE.COLUMN`.
    fn target(&self) -> &'static str;

    /// Those of some distinct uids that do not exist.
    ///
    /// # Errors
    /// [`Error::DependencyUnavailable`] if the other service cannot be reached or does not answer in time;
    /// [`Error::DeadlineExceeded`] if `deadline` passes first.
    fn missing(&self, uids: Vec<String>, deadline: Deadline) -> BoxFuture<'_, Result<HashSet<String>, Error>>;

    /// How many uids there are.
    ///
    /// # Errors
    /// As [`missing`](Self::missing).
    fn count(&self, deadline: Deadline) -> BoxFuture<'_, Result<i64, Error>>;

    /// All uids in the order of their bytes, page by page, after the page that ended with this token; from the
    /// beginning if it is empty.
    fn all(&self, token: String) -> Box<dyn UidPages>;
}

/// Uids, page by page.
pub trait UidPages: Send {
    /// The next page, which may be empty; `None` after the last one.
    ///
    /// # Errors
    /// As [`ForeignUids::missing`]. [`Error::Internal`] if the other service refuses the token.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<UidPage>, Error>>;
}

/// Some uids in the order of their bytes.
#[derive(Clone, Debug, Default)]
pub struct UidPage {
    /// The uids.
    pub uids: Vec<String>,
    /// What continues after them.
    pub token: String,
}

/// The sorted uids of another slice, walked along with sorted references.
pub(super) struct OwnerUids {
    pages: Box<dyn UidPages>,
    /// What continues before the present page.
    token: String,
    page: UidPage,
    ended: bool,
}

impl OwnerUids {
    /// The uids after a token, of which none has been read.
    pub(super) fn after(owner: &dyn ForeignUids, token: &str) -> Self {
        let page = UidPage { uids: Vec::new(), token: token.to_owned() };
        Self { pages: owner.all(token.to_owned()), token: token.to_owned(), page, ended: false }
    }

    /// A token from which the next references can be walked along with.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Those of some references that are no uids. They are sorted, and come after all that were asked for before.
    ///
    /// # Errors
    /// As [`UidPages::next`]; [`Error::Internal`] if the uids are not sorted.
    pub(super) async fn missing(&mut self, references: &[String]) -> Result<Vec<String>, Error> {
        let mut missing = Vec::new();
        for reference in references {
            while !self.ended && self.page.uids.last().is_none_or(|last| last < reference) {
                self.turn().await?;
            }
            if self.page.uids.binary_search(reference).is_err() {
                missing.push(reference.clone());
            }
        }
        Ok(missing)
    }

    async fn turn(&mut self) -> Result<(), Error> {
        let Some(next) = self.pages.next().await? else {
            self.ended = true;
            return Ok(());
        };
        // A page without rows only moves the token.
        let follows = self.page.uids.last().is_none_or(|last| next.uids.first().is_none_or(|first| last < first));
        if !follows || !next.uids.is_sorted() {
            return Err(Error::internal("the uids of another slice do not come in the order of their bytes"));
        }
        self.token = std::mem::take(&mut self.page.token);
        self.page = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    /// Uids in pages of `size`, whose tokens are the number of uids before.
    #[derive(Clone, Debug)]
    struct Owner {
        uids: Arc<Vec<String>>,
        size: usize,
    }

    struct OwnerPages {
        owner: Owner,
        at: usize,
    }

    impl ForeignUids for Owner {
        fn target(&self) -> &'static str {
            "a.b.c"
        }

        fn missing(&self, uids: Vec<String>, _: Deadline) -> BoxFuture<'_, Result<HashSet<String>, Error>> {
            Box::pin(async move { Ok(uids.into_iter().filter(|uid| !self.uids.contains(uid)).collect()) })
        }

        fn count(&self, _: Deadline) -> BoxFuture<'_, Result<i64, Error>> {
            Box::pin(async { Ok(self.uids.len() as i64) })
        }

        fn all(&self, token: String) -> Box<dyn UidPages> {
            Box::new(OwnerPages { owner: self.clone(), at: token.parse().unwrap_or_default() })
        }
    }

    impl UidPages for OwnerPages {
        fn next(&mut self) -> BoxFuture<'_, Result<Option<UidPage>, Error>> {
            let to = (self.at + self.owner.size).min(self.owner.uids.len());
            let uids = self.owner.uids[self.at..to].to_vec();
            self.at = to;
            let page = (!uids.is_empty()).then(|| UidPage { uids, token: to.to_string() });
            Box::pin(async { Ok(page) })
        }
    }

    fn sorted(uids: Vec<u16>) -> Vec<String> {
        let mut uids: Vec<String> = uids.into_iter().map(|uid| format!("prd_{uid}")).collect();
        uids.sort();
        uids.dedup();
        uids
    }

    proptest! {
        // Whatever the pages and windows are, and wherever the walk is broken off and continued with its token.
        #[test]
        fn the_walk_finds_what_is_missing(
            uids in prop::collection::vec(0_u16..200, 0..120),
            references in prop::collection::vec(0_u16..200, 0..120),
            (size, window, broken) in (1_usize..20, 1_usize..20, 1_usize..5),
        ) {
            let (uids, references) = (sorted(uids), sorted(references));
            let owner = Owner { uids: Arc::new(uids.clone()), size };
            let expected: Vec<String> = references.iter().filter(|uid| !uids.contains(uid)).cloned().collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let found: Vec<String> = runtime.block_on(async {
                let mut walk = OwnerUids::after(&owner, "");
                let mut found = Vec::new();
                for (nth, window) in references.chunks(window).enumerate() {
                    if nth % broken == 0 {
                        walk = OwnerUids::after(&owner, walk.token());
                    }
                    found.extend(walk.missing(window).await.unwrap());
                }
                found
            });
            prop_assert_eq!(found, expected);
        }
    }

    #[tokio::test]
    async fn uids_out_of_order_are_refused() {
        let owner = Owner { uids: Arc::new(vec!["b".to_owned(), "a".to_owned()]), size: 1 };
        assert!(OwnerUids::after(&owner, "").missing(&["c".to_owned()]).await.is_err());
    }
}
