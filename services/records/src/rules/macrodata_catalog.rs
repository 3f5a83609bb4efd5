//! The rule of catalogs: one that has artifacts stays.

use futures::future::BoxFuture;
use orrery_kit::error::Error;
use orrery_kit::resource::Resource;
use orrery_kit::resource::batch::{Batch, Store};
use orrery_kit::resource::refusal::Refusal;
use orrery_kit::resource::row::{Column, Text};
use orrery_kit::resource::rules::Rules;

use crate::store::macrodata_catalog::any_artifact;

/// The rules of catalogs.
#[derive(Debug)]
pub struct MacrodataCatalogRules {
    uid: Column<Text>,
}

impl MacrodataCatalogRules {
    /// Creates the rules and finds the column they need.
    ///
    /// # Errors
    /// The column is missing or has another type.
    pub fn of(catalog: &Resource) -> Result<Box<dyn Rules>, String> {
        Ok(Box::new(Self { uid: catalog.column("uid")? }))
    }
}

impl Rules for MacrodataCatalogRules {
    fn prepare_delete<'a>(
        &'a self,
        batch: &'a mut Batch<'_>,
        store: &'a mut Store<'_, '_>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            for at in batch.places() {
                let uid = batch.row(at).get(self.uid).unwrap_or_default().to_owned();
                // The row is locked: an artifact that is written now waits, and finds no catalog then.
                if any_artifact(store.transaction(), &uid).await?.is_some() {
                    let resource = batch.resource.description.message;
                    let why = "an artifact belongs to it";
                    batch.refuse(at, Refusal::whole(Error::StillReferenced { resource, name: uid, why }));
                }
            }
            Ok(())
        })
    }
}
