//! The rules of tags: a classification has the name of its tag, and a tag that is deleted takes its links along.

use futures::future::BoxFuture;
use orrery_kit::error::Error;
use orrery_kit::resource::Resource;
use orrery_kit::resource::batch::{Batch, Store};
use orrery_kit::resource::refusal::Refusal;
use orrery_kit::resource::row::{Column, Text};
use orrery_kit::resource::rules::Rules;

use crate::store::{tag_links, tag_names};

/// The rules of tags.
#[derive(Debug)]
pub struct TagRules {
    uid: Column<Text>,
    name: Column<Text>,
}

impl TagRules {
    /// Creates the rules and finds the columns they need.
    ///
    /// # Errors
    /// A column is missing or has another type.
    pub fn of(tag: &Resource) -> Result<Box<dyn Rules>, String> {
        Ok(Box::new(Self { uid: tag.column("uid")?, name: tag.column("name")? }))
    }

    fn uid(&self, batch: &Batch<'_>, at: usize) -> String {
        batch.row(at).get(self.uid).unwrap_or_default().to_owned()
    }
}

impl Rules for TagRules {
    fn prepare<'a>(
        &'a self,
        batch: &'a mut Batch<'_>,
        store: &'a mut Store<'_, '_>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let renamed = |at: &usize| Some((self.uid(batch, *at), batch.new_value(*at, self.name)?.to_owned()));
            let (uids, names): (Vec<String>, Vec<String>) = batch.places().iter().filter_map(renamed).unzip();
            if uids.is_empty() {
                return Ok(());
            }
            let exist = batch.places().into_iter().any(|at| batch.exists(at));
            let transaction = store.transaction();
            if exist {
                transaction.fetch(tag_names::lock_to_rename(&uids, transaction.is_sharded())?).await?;
            }
            transaction.write(tag_names::rename_classified(&uids, &names)?).await?;
            Ok(())
        })
    }

    fn prepare_delete<'a>(
        &'a self,
        batch: &'a mut Batch<'_>,
        store: &'a mut Store<'_, '_>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let transaction = store.transaction();
            for at in batch.places().into_iter().filter(|&at| batch.exists(at)).collect::<Vec<_>>() {
                let uid = self.uid(batch, at);
                if !tag_links::delete_all_if_few(transaction, &uid).await? {
                    let why = "more products have it than one transaction deletes links; DeleteTag deletes it";
                    let resource = batch.resource.description.message;
                    batch.refuse(at, Refusal::whole(Error::StillReferenced { resource, name: uid, why }));
                    continue;
                }
                tag_links::leave_groups(transaction, &uid, None).await?;
                transaction.write(tag_names::unclassify(&uid)?).await?;
            }
            Ok(())
        })
    }
}
