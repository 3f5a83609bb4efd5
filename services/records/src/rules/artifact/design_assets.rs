//! The rules of design assets: an asset is its content. A create whose content is there already uses the existing
//! asset.

use std::collections::HashMap;

use orrery_kit::error::{Error, Violation};
use orrery_kit::resource::Resource;
use orrery_kit::resource::batch::{Batch, Store};
use orrery_kit::resource::key::Key;
use orrery_kit::resource::row::{Changes, PayloadColumn, Text};
use orrery_kit::resource::rules::CheckedRow;

use super::ArtifactColumns;
use crate::store::artifact::{DESIGN_ASSET, FixedColumns, assets_of};

/// The rules of design assets.
#[derive(Debug)]
pub(super) struct DesignAssetRules {
    columns: ArtifactColumns,
    content_hash: PayloadColumn<Text>,
}

impl DesignAssetRules {
    pub(super) fn of(artifact: &Resource, columns: ArtifactColumns) -> Result<Self, String> {
        Ok(Self { columns, content_hash: artifact.payload_column("body", DESIGN_ASSET, "content_hash")? })
    }

    /// Sets the column of the hash, by which an asset is found.
    pub(super) fn check(&self, row: &mut CheckedRow<'_>) {
        if let Some(hash) = row.row().inner(self.content_hash) {
            let mut changes = Changes::default();
            changes.set(self.columns.content_hash, &hash);
            row.set(&changes);
        }
    }

    /// Whether a write would change the hash of a stored asset.
    pub(super) fn changed(&self, batch: &Batch<'_>, at: usize, fixed: &FixedColumns) -> Option<Violation> {
        let sent = batch.row(at).inner(self.content_hash)?;
        let is_other = !fixed.content_hash.is_empty() && sent != fixed.content_hash;
        let why = "is immutable: other content is another asset";
        is_other.then(|| Violation::new(self.content_hash.path(), why))
    }

    /// Uses the assets that have the content of new ones: stored ones, or the first of several in the batch.
    pub(super) async fn use_existing(&self, batch: &mut Batch<'_>, store: &mut Store<'_, '_>) -> Result<(), Error> {
        // The unique index finds the existing one.
        if batch.is_direct() {
            return Ok(());
        }
        let hash = |at: usize| Some((at, batch.row(at).inner(self.content_hash)?));
        let new: Vec<(usize, String)> =
            batch.places().into_iter().filter(|&at| !batch.exists(at)).filter_map(hash).collect();
        if new.is_empty() {
            return Ok(());
        }
        let hashes: Vec<String> = new.iter().map(|(_, hash)| hash.clone()).collect();
        let mut known: HashMap<String, Key> = HashMap::new();
        for (hash, uid) in assets_of(store.transaction(), &hashes).await? {
            known.insert(hash, batch.resource.key([&uid])?);
        }
        for (at, hash) in new {
            match known.get(&hash) {
                Some(key) => batch.use_existing(at, &key.clone()),
                None => drop(known.insert(hash, batch.key(at))),
            }
        }
        Ok(())
    }
}
