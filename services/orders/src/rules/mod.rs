//! The rules of orders: phases, numbers and uids of lines, and sums. They apply to single and chunked writes alike.

mod lines;

use std::collections::HashMap;

use futures::future::BoxFuture;
use orrery_kit::error::{Error, Violation};
use orrery_kit::resource::Resource;
use orrery_kit::resource::batch::{Batch, NewPhase, Origin, Replacing, Store};
use orrery_kit::resource::key::Key;
use orrery_kit::resource::refusal::Refusal;
use orrery_kit::resource::row::{ChildRows, Children, Column, Phase, Text};
use orrery_kit::resource::rules::{CheckedRow, Rules};
use orrery_kit::write::stored::read_children;

use self::lines::LineNumbers;
use crate::lifecycle::LIFECYCLE;
use crate::summary::{Summaries, Sums};

/// The rules of orders.
#[derive(Debug)]
pub struct OrderRules {
    uid: Column<Text>,
    status: Column<Phase>,
    lines: Children,
    summary: Children,
    numbers: LineNumbers,
    summaries: Summaries,
}

/// The stored summary of an order.
#[derive(Default)]
struct StoredSummary {
    sums: Option<Result<Sums, Violation>>,
    shipping: Option<String>,
}

impl OrderRules {
    /// Creates the rules and finds the columns they need.
    ///
    /// # Errors
    /// A column is missing or has another type.
    pub fn of(order: &Resource) -> Result<Box<dyn Rules>, String> {
        let (lines, summary) = (order.children("line_items")?, order.children("summary")?);
        Ok(Box::new(Self {
            uid: order.column("uid")?,
            status: order.column("status")?,
            lines,
            summary,
            numbers: LineNumbers::new(lines)?,
            summaries: Summaries::new(lines, summary)?,
        }))
    }

    /// Numbers the lines and computes the sums.
    fn complete_lines(&self, row: &mut CheckedRow<'_>) -> Result<(), Vec<Violation>> {
        let order = row.row();
        let Some(lines) = order.children(self.lines) else { return Ok(()) };
        let numbered = self.numbers.complete(order.get(self.uid).unwrap_or_default(), lines.clone())?;
        let sums = self.summaries.over(lines).map_err(|violation| vec![violation])?;
        let summary = order.children(self.summary).and_then(|mut summaries| summaries.next());
        let shipping = summary.and_then(|summary| self.summaries.shipping(summary));
        sums.total(shipping).map_err(|violation| vec![violation])?;
        let summary = self.summaries.without_total(&sums, shipping);
        if let Some(numbered) = numbered {
            row.set_children(self.lines, &numbered);
        }
        row.set_children(self.summary, &summary);
        Ok(())
    }

    /// Refuses a single write that would move an order along its lifecycle, or create it in another phase than the
    /// first. A chunked write may set any phase, since it imports history.
    fn check_phase(&self, batch: &mut Batch<'_>, at: usize) {
        let to = match batch.new_phase(at, self.status) {
            NewPhase::Kept => return,
            NewPhase::Default => LIFECYCLE.initial.to_owned(),
            NewPhase::To(phase) => phase,
        };
        let stored = batch.stored(at).map(|stored| stored.row().get(self.status).unwrap_or_default());
        let from = stored.unwrap_or_else(|| LIFECYCLE.initial.to_owned());
        if from != to {
            let resource = batch.resource;
            let name = resource.name_of(batch.key(at).tuple());
            let error = Error::PhaseForbids { resource: resource.description.message, name, from, to };
            batch.refuse(at, Refusal::of_field("status.phase", error));
        }
    }

    /// The stored summaries of the orders at these positions. If another program stored an order without a summary, the
    /// sums are computed from its stored lines.
    async fn stored_summaries(
        &self,
        batch: &Batch<'_>,
        places: &[usize],
        lines_needed: impl Fn(usize) -> bool,
        store: &mut Store<'_, '_>,
    ) -> Result<HashMap<usize, StoredSummary>, Error> {
        let mut stored: HashMap<usize, StoredSummary> = HashMap::new();
        if places.is_empty() {
            return Ok(stored);
        }
        let keys: Vec<Key> = places.iter().map(|&at| batch.key(at)).collect();
        let place_of: HashMap<&[u8], usize> = keys.iter().map(Key::tuple).zip(places.iter().copied()).collect();
        let transaction = store.transaction();
        read_children(transaction, batch.resource, self.summary, &keys, |order, summary| {
            if let Some(&at) = place_of.get(order) {
                let sums = self.summaries.read(summary).transpose();
                let shipping = self.summaries.shipping(summary).map(str::to_owned);
                stored.insert(at, StoredSummary { sums, shipping });
            }
        })
        .await?;
        for (&at, key) in places.iter().zip(&keys) {
            if !lines_needed(at) || stored.get(&at).is_some_and(|stored| stored.sums.is_some()) {
                continue;
            }
            let mut lines = ChildRows::default();
            read_children(transaction, batch.resource, self.lines, std::slice::from_ref(key), |_, line| {
                lines.push_as_is(line);
            })
            .await?;
            stored.entry(at).or_default().sums = Some(self.summaries.over(lines.rows()));
        }
        Ok(stored)
    }

    async fn complete_summaries(&self, batch: &mut Batch<'_>, store: &mut Store<'_, '_>) -> Result<(), Error> {
        let (of_lines, of_summary) = (batch.replacing(self.lines), batch.replacing(self.summary));
        let replaces_lines = |batch: &Batch<'_>, at: usize| of_lines.applies(batch.children(at, self.lines).is_some());
        let concerned = |batch: &Batch<'_>, at: usize| {
            replaces_lines(batch, at) || of_summary.applies(batch.children(at, self.summary).is_some())
        };
        let existing: Vec<usize> =
            batch.places().into_iter().filter(|&at| batch.exists(at) && concerned(batch, at)).collect();
        let stored = self.stored_summaries(batch, &existing, |at| !replaces_lines(batch, at), store).await?;
        for at in batch.places() {
            if batch.exists(at) && !concerned(batch, at) {
                continue;
            }
            let before = stored.get(&at);
            let summary = batch.children(at, self.summary).and_then(|mut summaries| summaries.next());
            let sent_shipping = summary.and_then(|summary| self.summaries.shipping(summary));
            // A field that the mask names and the row leaves out is cleared, not kept.
            let kept = before.filter(|_| of_summary != Replacing::Named).and_then(|stored| stored.shipping.as_deref());
            let sums = if !batch.exists(at) || replaces_lines(batch, at) {
                let computed = summary.map(|summary| self.summaries.read(summary)).transpose();
                computed.map(|sums| sums.flatten().unwrap_or_else(Sums::none))
            } else {
                before.and_then(|stored| stored.sums.clone()).unwrap_or_else(|| Ok(Sums::none()))
            };
            match sums.and_then(|sums| self.summaries.with_total(&sums, sent_shipping.or(kept))) {
                Ok(summary) => batch.set_children(at, self.summary, summary),
                Err(violation) => batch.refuse(at, Refusal::invalid(violation)),
            }
        }
        Ok(())
    }
}

impl Rules for OrderRules {
    fn check(&self, row: &mut CheckedRow<'_>) {
        if let Some(phase) = row.row().get(self.status)
            && !LIFECYCLE.knows(&phase)
        {
            let why = format!("must be one of {}", LIFECYCLE.phases.join(", "));
            row.refuse(Violation::new("status.phase", why));
        }
        if let Err(violations) = self.complete_lines(row) {
            for violation in violations {
                row.refuse(violation);
            }
        }
    }

    fn reads_stored(&self, batch: &Batch<'_>, at: usize) -> bool {
        batch.origin == Origin::Single && batch.new_phase(at, self.status) != NewPhase::Kept
    }

    fn prepare<'a>(
        &'a self,
        batch: &'a mut Batch<'_>,
        store: &'a mut Store<'_, '_>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            if batch.origin == Origin::Single {
                for at in batch.places() {
                    self.check_phase(batch, at);
                }
            }
            self.complete_summaries(batch, store).await
        })
    }
}
