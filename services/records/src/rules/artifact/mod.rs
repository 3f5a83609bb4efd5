//! The rules of artifacts. What holds for every kind is here, what holds for some kinds has a file of its own.

pub mod combo_name;
mod combos;
mod design_assets;
mod phases;
mod reports;
mod specs;
mod suggestions;

use std::collections::{HashMap, HashSet};

use futures::future::BoxFuture;
use orrery_kit::error::{Error, Violation};
use orrery_kit::resource::Resource;
use orrery_kit::resource::batch::{Batch, Store};
use orrery_kit::resource::refusal::Refusal;
use orrery_kit::resource::row::{Changes, Column, PayloadMember, Phase, Row, Text};
use orrery_kit::resource::rules::{CheckedRow, Rules};

use self::combos::ComboRules;
use self::design_assets::DesignAssetRules;
use self::reports::ReportRules;
use self::specs::SpecRules;
use self::suggestions::SuggestionRules;
use crate::storage::Documents;
use crate::store::artifact::{
    CLASSIFICATION_SPEC, COMBO_REPORT, COMBO_TEMPLATE, DESIGN_ASSET, DESIGN_ASSET_INDEX, DOCUMENT, FixedColumns,
    final_reports, fixed_columns,
};
use crate::store::{document, product_link};

/// The columns of artifacts that rules need.
#[derive(Clone, Copy, Debug)]
struct ArtifactColumns {
    uid: Column<Text>,
    catalog_uid: Column<Text>,
    kind: Column<Text>,
    identifier: Column<Text>,
    content_hash: Column<Text>,
    status: Column<Phase>,
    body: PayloadMember,
}

/// The rules of artifacts.
#[derive(Debug)]
pub struct ArtifactRules {
    columns: ArtifactColumns,
    assets: DesignAssetRules,
    combos: ComboRules,
    suggestions: SuggestionRules,
    reports: ReportRules,
    specs: SpecRules,
}

/// What never changes of the stored rows of a batch, by their places. Rows of which only labels, annotations or details
/// of the status change are not in it.
type Fixed = HashMap<usize, FixedColumns>;

impl ArtifactRules {
    /// Creates the rules and finds the columns they need.
    ///
    /// # Errors
    /// A column is missing or has another type.
    pub fn of(artifact: &Resource) -> Result<Box<dyn Rules>, String> {
        let columns = ArtifactColumns {
            uid: artifact.column("uid")?,
            catalog_uid: artifact.column("catalog_uid")?,
            kind: artifact.column("kind")?,
            identifier: artifact.column("identifier")?,
            content_hash: artifact.column("content_hash")?,
            status: artifact.column("status")?,
            body: artifact.payload("body")?,
        };
        Ok(Box::new(Self {
            columns,
            assets: DesignAssetRules::of(artifact, columns)?,
            combos: ComboRules::of(artifact, columns)?,
            suggestions: SuggestionRules::of(artifact, columns)?,
            reports: ReportRules::of(artifact, columns)?,
            specs: SpecRules::of(artifact, columns)?,
        }))
    }

    /// Sets the kind from the payload, or compares the two.
    fn agree(&self, row: &mut CheckedRow<'_>) {
        let Some(member) = row.row().member(self.columns.body) else { return };
        match row.row().get(self.columns.kind) {
            Some(kind) if kind == member => {}
            Some(kind) => {
                let why = format!("is {kind}, but the payload is {member}");
                row.refuse(Violation::new("kind", why));
            }
            None => {
                let mut changes = Changes::default();
                changes.set(self.columns.kind, member);
                row.set(&changes);
            }
        }
    }

    /// Whether a write changes more of a stored row than labels and annotations.
    fn touches(&self, batch: &Batch<'_>, at: usize) -> bool {
        let ArtifactColumns { catalog_uid, kind, identifier, status, body, .. } = self.columns;
        [catalog_uid, kind, identifier].into_iter().any(|column| batch.writes(at, column))
            || batch.writes(at, status)
            || batch.writes_payload(at, body)
    }

    /// Reads what never changes of the stored rows.
    async fn fixed(&self, batch: &Batch<'_>, store: &mut Store<'_, '_>) -> Result<Fixed, Error> {
        let mut fixed = Fixed::new();
        let (mut places, mut uids) = (Vec::new(), Vec::new());
        for at in batch.places().into_iter().filter(|&at| batch.exists(at) && self.touches(batch, at)) {
            if let Some(stored) = batch.stored(at) {
                fixed.insert(at, self.fixed_of(stored.row()));
            } else {
                places.push(at);
                uids.push(batch.row(at).get(self.columns.uid).unwrap_or_default().to_owned());
            }
        }
        if !uids.is_empty() {
            let mut found = fixed_columns(store.transaction(), &uids).await?;
            fixed.extend(places.into_iter().zip(uids).filter_map(|(at, uid)| Some((at, found.remove(&uid)?))));
        }
        Ok(fixed)
    }

    fn fixed_of(&self, stored: Row<'_>) -> FixedColumns {
        let text = |column: Column<Text>| stored.get(column).unwrap_or_default().to_owned();
        FixedColumns {
            kind: text(self.columns.kind),
            identifier: text(self.columns.identifier),
            content_hash: text(self.columns.content_hash),
        }
    }

    /// Refuses new rows without a payload, and changes of what never changes.
    fn check_kinds(&self, batch: &mut Batch<'_>, fixed: &Fixed) {
        for at in batch.places() {
            let violation = if batch.exists(at) {
                fixed.get(&at).and_then(|fixed| self.changed(batch, at, fixed))
            } else if batch.row(at).member(self.columns.body).is_none() {
                Some(Violation::new("payload", "is required"))
            } else {
                None
            };
            if let Some(violation) = violation {
                batch.refuse(at, Refusal::invalid(violation));
            }
        }
    }

    /// The first column of a stored row that a write would change and must not.
    fn changed(&self, batch: &Batch<'_>, at: usize, fixed: &FixedColumns) -> Option<Violation> {
        let ArtifactColumns { kind, identifier, body, .. } = self.columns;
        let row = batch.row(at);
        match row.get(kind) {
            Some(sent) if !fixed.kind.is_empty() && sent != fixed.kind => {
                return Some(Violation::new("kind", format!("is immutable: the artifact is a {}", fixed.kind)));
            }
            None if batch.writes(at, kind) => return Some(Violation::new("kind", "is immutable")),
            _ => {}
        }
        if batch.writes_payload(at, body) && row.member(body).is_none() {
            return Some(Violation::new("payload", "is required: update_mask names fields of it"));
        }
        let is_combo = [COMBO_TEMPLATE, COMBO_REPORT].contains(&fixed.kind.as_str());
        if is_combo && !fixed.identifier.is_empty() && batch.writes(at, identifier) {
            let sent = row.get(identifier).unwrap_or_default();
            if sent != fixed.identifier {
                return Some(Violation::new("identifier", format!("is immutable: it is {}", fixed.identifier)));
            }
        }
        self.assets.changed(batch, at, fixed)
    }

    /// The kind of a row, sent or stored; empty if it is not known.
    fn kind<'k>(&self, batch: &'k Batch<'_>, fixed: &'k Fixed, at: usize) -> &'k str {
        let stored = || fixed.get(&at).map(|fixed| fixed.kind.as_str());
        batch.row(at).get(self.columns.kind).or_else(stored).unwrap_or_default()
    }

    /// The places of the rows of some kinds whose payloads are to be written.
    fn payloads_of(&self, batch: &Batch<'_>, fixed: &Fixed, kinds: &[&str]) -> Vec<usize> {
        let mut places = self.places_of(batch, fixed, kinds);
        places.retain(|&at| !batch.exists(at) || batch.writes_payload(at, self.columns.body));
        places
    }

    /// The places of the rows of some kinds that are to be written, and of which more than labels and annotations
    /// changes.
    fn places_of(&self, batch: &Batch<'_>, fixed: &Fixed, kinds: &[&str]) -> Vec<usize> {
        let is_known = |at: &usize| !batch.exists(*at) || fixed.contains_key(at);
        let is_of = |at: &usize| is_known(at) && kinds.contains(&self.kind(batch, fixed, *at));
        batch.places().into_iter().filter(is_of).collect()
    }
}

impl Rules for ArtifactRules {
    fn check(&self, row: &mut CheckedRow<'_>) {
        self.agree(row);
        self.assets.check(row);
        self.combos.check(row);
        self.suggestions.check(row);
        self.reports.check(row);
        self.specs.check(row);
    }

    fn reads_stored(&self, batch: &Batch<'_>, at: usize) -> bool {
        // Of these kinds only what never changes is needed, which `fixed` reads for many rows at once.
        let is_plain = [DESIGN_ASSET, DOCUMENT].map(Some).contains(&batch.row(at).get(self.columns.kind));
        !is_plain && self.touches(batch, at)
    }

    fn prepare<'a>(
        &'a self,
        batch: &'a mut Batch<'_>,
        store: &'a mut Store<'_, '_>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let fixed = self.fixed(batch, store).await?;
            self.check_kinds(batch, &fixed);
            self.check_phases(batch, &fixed);
            for at in self.payloads_of(batch, &fixed, &[COMBO_REPORT]) {
                self.reports.prepare(batch, at);
            }
            for at in self.payloads_of(batch, &fixed, &[CLASSIFICATION_SPEC]) {
                self.specs.prepare(batch, at);
            }
            self.assets.use_existing(batch, store).await?;
            self.combos.prepare(batch, store, &fixed, self).await
        })
    }

    fn replaces_by_holder(&self, index: &str) -> bool {
        index == DESIGN_ASSET_INDEX
    }

    fn prepare_delete<'a>(
        &'a self,
        batch: &'a mut Batch<'_>,
        store: &'a mut Store<'_, '_>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let uid = |batch: &Batch<'_>, at| batch.row(at).get(self.columns.uid).unwrap_or_default().to_owned();
            let places: Vec<usize> = batch.places().into_iter().filter(|&at| batch.exists(at)).collect();
            let uids: Vec<String> = places.iter().map(|&at| uid(batch, at)).collect();
            if uids.is_empty() {
                return Ok(());
            }
            let resource = batch.resource.description.message;
            let frozen: HashSet<String> = final_reports(store.transaction(), &uids).await?.into_iter().collect();
            let deleted: Vec<String> = uids.iter().filter(|uid| !frozen.contains(*uid)).cloned().collect();
            let linked = product_link::delete_all(store.transaction(), &deleted).await?;
            let gone: Vec<String> = deleted.into_iter().filter(|uid| !linked.contains(uid)).collect();
            let keys = document::bearer_keys(store.transaction(), &gone).await?;
            Documents::release(store.transaction(), &keys).await?;
            for (at, name) in places.into_iter().zip(uids) {
                if frozen.contains(&name) {
                    batch.refuse(at, reports::is_final(resource, name, "deleted"));
                } else if linked.contains(&name) {
                    let why = "it denotes more products than one transaction deletes links; DeleteArtifact deletes it";
                    batch.refuse(at, Refusal::whole(Error::StillReferenced { resource, name, why }));
                }
            }
            Ok(())
        })
    }
}
