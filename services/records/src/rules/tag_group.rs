//! The rules of groups: each tag is in a group once, and exists.

use std::collections::HashSet;

use futures::future::BoxFuture;
use orrery_kit::error::{Error, Violation};
use orrery_kit::resource::Resource;
use orrery_kit::resource::batch::{Batch, Store};
use orrery_kit::resource::refusal::Refusal;
use orrery_kit::resource::row::{Changes, Column, Texts};
use orrery_kit::resource::rules::{CheckedRow, Rules};
use orrery_kit::uid::check_key;
use sqlx::Row as _;

use crate::store::tag_names;

/// The rules of groups.
#[derive(Debug)]
pub struct TagGroupRules {
    tag_uids: Column<Texts>,
}

impl TagGroupRules {
    /// Creates the rules and finds the columns they need.
    ///
    /// # Errors
    /// A column is missing or has another type.
    pub fn of(group: &Resource) -> Result<Box<dyn Rules>, String> {
        Ok(Box::new(Self { tag_uids: group.column("tag_uids")? }))
    }
}

impl Rules for TagGroupRules {
    fn check(&self, row: &mut CheckedRow<'_>) {
        for (nth, uid) in row.row().get(self.tag_uids).unwrap_or_default().iter().enumerate() {
            if let Err(why) = check_key(uid) {
                row.refuse(Violation::new(format!("tag_uids[{nth}]"), why));
            }
        }
    }

    fn prepare<'a>(
        &'a self,
        batch: &'a mut Batch<'_>,
        store: &'a mut Store<'_, '_>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let mut lists = Vec::new();
            for at in batch.places() {
                let Some(tag_uids) = batch.new_value(at, self.tag_uids) else { continue };
                let mut seen = HashSet::new();
                let distinct: Vec<String> =
                    tag_uids.iter().filter(|uid| seen.insert(uid.as_str())).map(Clone::clone).collect();
                if distinct.len() < tag_uids.len() {
                    let mut changes = Changes::default();
                    changes.set(self.tag_uids, distinct);
                    batch.set(at, &changes);
                }
                lists.push((at, tag_uids));
            }
            let all: HashSet<&String> = lists.iter().flat_map(|(_, uids)| uids).collect();
            if all.is_empty() {
                return Ok(());
            }
            let mut all: Vec<String> = all.into_iter().cloned().collect();
            all.sort_unstable();
            let transaction = store.transaction();
            let mut found = HashSet::with_capacity(all.len());
            for uids in all.chunks(transaction.max_statement_rows()) {
                for row in transaction.fetch(tag_names::lock(uids, transaction.is_sharded())?).await? {
                    found.insert(row.try_get::<String, _>(0)?);
                }
            }
            for (at, tag_uids) in lists {
                if let Some(nth) = tag_uids.iter().position(|uid| !found.contains(uid)) {
                    let violation =
                        Violation::new(format!("tag_uids[{nth}]"), format!("{} does not exist", tag_uids[nth]));
                    batch.refuse(at, Refusal { error: Error::ReferenceMissing(violation.clone()), violation });
                }
            }
            Ok(())
        })
    }
}
