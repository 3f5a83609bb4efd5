//! The rules of classifications: each has the name of its tag.

use std::collections::HashMap;

use futures::future::BoxFuture;
use orrery_kit::error::Error;
use orrery_kit::resource::Resource;
use orrery_kit::resource::batch::{Batch, Store};
use orrery_kit::resource::row::{Changes, Column, Text};
use orrery_kit::resource::rules::Rules;
use sqlx::Row as _;

use crate::store::tag_names;

/// The rules of classifications.
#[derive(Debug)]
pub struct TagClassificationRules {
    tag_uid: Column<Text>,
    tag_name: Column<Text>,
}

impl TagClassificationRules {
    /// Creates the rules and finds the columns they need.
    ///
    /// # Errors
    /// A column is missing or has another type.
    pub fn of(classification: &Resource) -> Result<Box<dyn Rules>, String> {
        Ok(Box::new(Self { tag_uid: classification.column("tag_uid")?, tag_name: classification.column("tag_name")? }))
    }
}

impl Rules for TagClassificationRules {
    fn prepare<'a>(
        &'a self,
        batch: &'a mut Batch<'_>,
        store: &'a mut Store<'_, '_>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let places = batch.places();
            let uid = |at: &usize| batch.row(*at).get(self.tag_uid).unwrap_or_default().to_owned();
            let uids: Vec<String> = places.iter().map(uid).collect();
            if uids.is_empty() {
                return Ok(());
            }
            let transaction = store.transaction();
            let mut names: HashMap<String, String> = HashMap::with_capacity(uids.len());
            for row in transaction.fetch(tag_names::lock(&uids, transaction.is_sharded())?).await? {
                names.insert(row.try_get(0)?, row.try_get(1)?);
            }
            for (at, uid) in places.into_iter().zip(uids) {
                let mut changes = Changes::default();
                match names.get(&uid) {
                    Some(name) => changes.set(self.tag_name, name),
                    None => changes.unset(self.tag_name),
                }
                batch.set(at, &changes);
            }
            Ok(())
        })
    }
}
