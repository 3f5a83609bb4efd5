//! The phases of suggestions and combo reports, and what a final report still allows. A chunked write may set any
//! phase, since it imports history; a single write archives and brings back.

use orrery_kit::error::{Error, Violation};
use orrery_kit::lifecycle::Lifecycle;
use orrery_kit::resource::batch::{Batch, NewPhase, Origin};
use orrery_kit::resource::refusal::Refusal;
use orrery_kit::resource::row::Changes;

use super::{ArtifactRules, Fixed, reports};
use crate::lifecycle::{self, ARCHIVED, FINAL};
use crate::store::artifact::{COMBO_REPORT, COMBO_SUGGESTION};

impl ArtifactRules {
    /// Refuses phases that a kind does not have or a row cannot get, and sets the initial phase where none is sent.
    pub(super) fn check_phases(&self, batch: &mut Batch<'_>, fixed: &Fixed) {
        for at in self.places_of(batch, fixed, &[COMBO_SUGGESTION, COMBO_REPORT]) {
            let Some(lifecycle) = lifecycle::of_kind(self.kind(batch, fixed, at)) else { continue };
            match self.phase_after(batch, at, lifecycle) {
                Err(refusal) => batch.refuse(at, *refusal),
                Ok(Some(phase)) => {
                    let mut changes = Changes::default();
                    changes.set_phase(self.columns.status, batch.row(at), phase);
                    batch.set(at, &changes);
                }
                Ok(None) => {}
            }
        }
    }

    /// The phase that is to be set, if it is not the one that was sent.
    fn phase_after(
        &self,
        batch: &Batch<'_>,
        at: usize,
        lifecycle: &Lifecycle,
    ) -> Result<Option<&'static str>, Box<Refusal>> {
        let stored = batch.stored(at).filter(|_| batch.exists(at)).map(|stored| stored.row());
        let (to, is_default) = match batch.new_phase(at, self.columns.status) {
            NewPhase::To(phase) => (phase, false),
            NewPhase::Kept if stored.is_some() || batch.exists(at) => {
                return self.check_frozen(batch, at, None).map(|()| None);
            }
            NewPhase::Kept | NewPhase::Default => (lifecycle.initial.to_owned(), true),
        };
        if !lifecycle.knows(&to) {
            let why = format!("must be one of {}", lifecycle.phases.join(", "));
            return Err(Box::new(Refusal::invalid(Violation::new("status.phase", why))));
        }
        self.check_frozen(batch, at, Some(&to))?;
        if batch.origin == Origin::Single {
            let from = match stored {
                Some(stored) => stored.get(self.columns.status).unwrap_or_default(),
                None => lifecycle.initial.to_owned(),
            };
            let is_decided =
                stored.is_some_and(|stored| self.suggestions.is_accepted(stored) || self.reports.is_frozen(stored));
            let may_move = || lifecycle.allows(&from, &to) && lifecycle::fits(&to, is_decided);
            if from != to && (stored.is_none() || !may_move()) {
                return Err(forbidden(batch, at, from, to));
            }
        }
        Ok(is_default.then_some(lifecycle.initial))
    }

    /// Refuses a write of a final report that changes more than its labels, annotations and details of its status, or
    /// moves it to another phase than `archived`, or `final` again.
    fn check_frozen(&self, batch: &Batch<'_>, at: usize, to: Option<&str>) -> Result<(), Box<Refusal>> {
        let Some(stored) = batch.stored(at).map(|stored| stored.row()) else { return Ok(()) };
        if !self.reports.is_frozen(stored) {
            return Ok(());
        }
        if let Some(to) = to.filter(|to| ![ARCHIVED, FINAL].contains(to)) {
            let from = stored.get(self.columns.status).unwrap_or_default();
            return Err(forbidden(batch, at, from, to.to_owned()));
        }
        let catalog_uid = self.columns.catalog_uid;
        let moves = batch.writes(at, catalog_uid) && batch.row(at).get(catalog_uid) != stored.get(catalog_uid);
        if moves || batch.changes_payload(at, self.columns.body) {
            let name = batch.resource.name_of(batch.key(at).tuple());
            return Err(Box::new(reports::is_final(batch.resource.description.message, name, "changed")));
        }
        Ok(())
    }
}

/// The refusal of a move to another phase.
fn forbidden(batch: &Batch<'_>, at: usize, from: String, to: String) -> Box<Refusal> {
    let resource = batch.resource;
    let name = resource.name_of(batch.key(at).tuple());
    let error = Error::PhaseForbids { resource: resource.description.message, name, from, to };
    Box::new(Refusal::of_field("status.phase", error))
}
