//! The rules that combo templates and combo reports have in common: their identifiers, which are made of what they
//! consist of, and numbered.

use std::collections::{BTreeMap, HashMap};

use orrery_kit::error::{Error, Violation};
use orrery_kit::resource::Resource;
use orrery_kit::resource::batch::{Batch, Store};
use orrery_kit::resource::refusal::Refusal;
use orrery_kit::resource::row::{Changes, Integer, PayloadColumn, Text, Texts};
use orrery_kit::resource::rules::CheckedRow;

use super::combo_name::{ComboName, MAX_NUMBER, check_code, identifier, sorted_codes};
use super::{ArtifactColumns, ArtifactRules, Fixed};
use crate::store::artifact::{COMBO_REPORT, COMBO_SUGGESTION, COMBO_TEMPLATE, FixedColumns, fixed_columns};
use crate::store::series::{self, Series};

/// The fields of a payload that are in its identifier.
#[derive(Clone, Copy, Debug)]
struct ComboColumns {
    kind: &'static str,
    combo_type: PayloadColumn<Text>,
    product_codes: PayloadColumn<Texts>,
    product_count: PayloadColumn<Integer>,
    audience: PayloadColumn<Text>,
}

/// The values of these fields, as far as they are set. Codes and audience are as in an identifier.
#[derive(Clone, Debug, Default)]
struct ComboParts {
    combo_type: Option<String>,
    product_codes: Option<Vec<String>>,
    product_count: Option<i32>,
    audience: Option<String>,
}

/// The rules of combo templates and combo reports.
#[derive(Debug)]
pub(super) struct ComboRules {
    columns: ArtifactColumns,
    combos: [ComboColumns; 2],
    /// The templates that suggestions and reports name.
    templates: [PayloadColumn<Text>; 2],
}

/// New rows whose identifiers are to be made, by series.
type Unnumbered = BTreeMap<Series, Vec<usize>>;

impl ComboColumns {
    fn of(artifact: &Resource, kind: &'static str) -> Result<Self, String> {
        Ok(Self {
            kind,
            combo_type: artifact.payload_column("body", kind, "type")?,
            product_codes: artifact.payload_column("body", kind, "product_codes")?,
            product_count: artifact.payload_column("body", kind, "product_count")?,
            audience: artifact.payload_column("body", kind, "audience")?,
        })
    }

    /// The fields of a row as they will be after the write.
    fn parts(&self, batch: &Batch<'_>, at: usize) -> ComboParts {
        let codes = batch.inner_after(at, self.product_codes).filter(|codes| !codes.is_empty());
        ComboParts {
            combo_type: batch.inner_after(at, self.combo_type),
            product_codes: codes.map(|codes| sorted_codes(&codes)),
            product_count: batch.inner_after(at, self.product_count).filter(|count| *count != 0),
            audience: batch.inner_after(at, self.audience).map(|audience| audience.to_ascii_uppercase()),
        }
    }

    /// The name that the fields make. What is unset is taken from `base`.
    fn name(&self, parts: ComboParts, base: Option<ComboName>) -> Result<ComboName, Violation> {
        let ComboParts { combo_type, product_codes, product_count, audience } = parts;
        let missing = |path: &str| Violation::new(path, "is required");
        // A count belongs to its codes.
        let own_count = product_codes.as_ref().and_then(|codes| i32::try_from(codes.len()).ok());
        let base_count = base.as_ref().map(|base| base.product_count);
        let (base_type, base_codes, base_audience) = match base {
            Some(base) => (Some(base.combo_type), Some(base.product_codes), Some(base.audience)),
            None => (None, None, None),
        };
        Ok(ComboName {
            combo_type: combo_type.or(base_type).ok_or_else(|| missing(self.combo_type.path()))?,
            product_codes: product_codes.or(base_codes).ok_or_else(|| missing(self.product_codes.path()))?,
            product_count: product_count.or(own_count).or(base_count).unwrap_or(1),
            audience: audience.or(base_audience).ok_or_else(|| missing(self.audience.path()))?,
        })
    }

    /// The first field that says something else than an identifier.
    fn disagreement(&self, parts: &ComboParts, name: &ComboName) -> Option<Violation> {
        let differs = |part: Option<bool>| part == Some(true);
        let path = if differs(parts.combo_type.as_ref().map(|own| *own != name.combo_type)) {
            self.combo_type.path()
        } else if differs(parts.product_codes.as_ref().map(|own| *own != name.product_codes)) {
            self.product_codes.path()
        } else if differs(parts.product_count.map(|own| own != name.product_count)) {
            self.product_count.path()
        } else if differs(parts.audience.as_ref().map(|own| *own != name.audience)) {
            self.audience.path()
        } else {
            return None;
        };
        Some(Violation::new(path, "disagrees with the identifier"))
    }

    /// Sets the fields that are unset to what the name says.
    fn complete(&self, parts: &ComboParts, name: &ComboName, changes: &mut Changes) {
        if parts.combo_type.is_none() {
            changes.set_inner(self.combo_type, &name.combo_type);
        }
        if parts.product_codes.is_none() {
            changes.set_inner(self.product_codes, name.product_codes.clone());
        }
        if parts.product_count.is_none() {
            changes.set_inner(self.product_count, name.product_count);
        }
        if parts.audience.is_none() {
            changes.set_inner(self.audience, &name.audience);
        }
    }
}

impl ComboRules {
    pub(super) fn of(artifact: &Resource, columns: ArtifactColumns) -> Result<Self, String> {
        let template = |kind| artifact.payload_column("body", kind, "template_uid");
        Ok(Self {
            columns,
            combos: [ComboColumns::of(artifact, COMBO_TEMPLATE)?, ComboColumns::of(artifact, COMBO_REPORT)?],
            templates: [template(COMBO_SUGGESTION)?, template(COMBO_REPORT)?],
        })
    }

    /// Checks product codes that were sent.
    pub(super) fn check(&self, row: &mut CheckedRow<'_>) {
        for combo in &self.combos {
            for (nth, code) in row.row().inner(combo.product_codes).unwrap_or_default().iter().enumerate() {
                if let Err(why) = check_code(code) {
                    return row.refuse(Violation::new(format!("{}[{nth}]", combo.product_codes.path()), why));
                }
            }
        }
    }

    /// Checks templates, and identifiers beside what they are made of; makes the identifiers of new rows.
    pub(super) async fn prepare(
        &self,
        batch: &mut Batch<'_>,
        store: &mut Store<'_, '_>,
        fixed: &Fixed,
        rules: &ArtifactRules,
    ) -> Result<(), Error> {
        let templates = self.check_templates(batch, store).await?;
        let (mut numbered, mut unnumbered) = (BTreeMap::new(), Unnumbered::new());
        for combo in &self.combos {
            for at in rules.payloads_of(batch, fixed, &[combo.kind]) {
                if batch.exists(at) {
                    let identifier = fixed.get(&at).map_or("", |fixed| fixed.identifier.as_str());
                    Self::check_stored(combo, batch, at, identifier);
                } else if let Err(violation) = self.name(combo, batch, at, &templates, (&mut numbered, &mut unnumbered))
                {
                    batch.refuse(at, Refusal::invalid(violation));
                }
            }
        }
        if !numbered.is_empty() {
            series::raise(store.transaction(), &numbered).await?;
        }
        self.number(batch, store, unnumbered).await
    }

    /// Refuses rows that name something else than a template. Returns the templates that are stored.
    async fn check_templates(
        &self,
        batch: &mut Batch<'_>,
        store: &mut Store<'_, '_>,
    ) -> Result<HashMap<String, FixedColumns>, Error> {
        let named = |at: usize| {
            let mut uids = self.templates.iter().filter_map(|column| Some((*column, batch.row(at).inner(*column)?)));
            uids.next().map(|(column, uid)| (at, column.path(), uid))
        };
        let named: Vec<(usize, &str, String)> = batch.places().into_iter().filter_map(named).collect();
        if named.is_empty() {
            return Ok(HashMap::new());
        }
        let mut uids: Vec<String> = named.iter().map(|(.., uid)| uid.clone()).collect();
        uids.sort_unstable();
        uids.dedup();
        let found = fixed_columns(store.transaction(), &uids).await?;
        for (at, path, uid) in named {
            if let Some(FixedColumns { kind, .. }) = found.get(&uid).filter(|found| found.kind != COMBO_TEMPLATE) {
                let kind = if kind.is_empty() { "an artifact without a kind" } else { kind };
                let why = format!("names {kind}, not a {COMBO_TEMPLATE}");
                batch.refuse(at, Refusal::invalid(Violation::new(path, why)));
            }
        }
        Ok(found)
    }

    /// Refuses a change of a stored row that disagrees with its identifier.
    fn check_stored(combo: &ComboColumns, batch: &mut Batch<'_>, at: usize, identifier: &str) {
        // What another program stored may have another form.
        let Ok((name, _)) = ComboName::parse(identifier) else { return };
        let parts = combo.parts(batch, at);
        let cleared = combo.name(parts.clone(), None).err();
        if let Some(violation) = cleared.or_else(|| combo.disagreement(&parts, &name)) {
            batch.refuse(at, Refusal::invalid(violation));
        }
    }

    /// Completes a new row from its identifier or its template, and notes its number, or that it needs one.
    fn name(
        &self,
        combo: &ComboColumns,
        batch: &mut Batch<'_>,
        at: usize,
        templates: &HashMap<String, FixedColumns>,
        (numbered, unnumbered): (&mut BTreeMap<Series, i32>, &mut Unnumbered),
    ) -> Result<(), Violation> {
        let parts = combo.parts(batch, at);
        let row = batch.row(at);
        let sent = row.get(self.columns.identifier).map(ComboName::parse).transpose();
        let sent = sent.map_err(|why| Violation::new("identifier", why))?;
        let (name, number) = if let Some((name, number)) = sent {
            (name, Some(number))
        } else {
            let template = self.templates.iter().find_map(|column| templates.get(&row.inner(*column)?));
            let base = template.and_then(|template| ComboName::parse(&template.identifier).ok());
            (combo.name(parts.clone(), base.map(|(base, _)| base))?, None)
        };
        if let Some(violation) = combo.disagreement(&parts, &name) {
            return Err(violation);
        }
        if !name.fits() {
            return Err(Violation::new(combo.product_codes.path(), "make an identifier that is too long"));
        }
        let catalog_uid = row.get(self.columns.catalog_uid).unwrap_or_default().to_owned();
        let series = Series { catalog_uid, kind: combo.kind, prefix: name.prefix() };
        match number {
            Some(number) => {
                let last = numbered.entry(series).or_insert(number);
                *last = number.max(*last);
            }
            None => unnumbered.entry(series).or_default().push(at),
        }
        let mut changes = Changes::default();
        combo.complete(&parts, &name, &mut changes);
        batch.set(at, &changes);
        Ok(())
    }

    /// Gives the rows of each series the next numbers.
    async fn number(
        &self,
        batch: &mut Batch<'_>,
        store: &mut Store<'_, '_>,
        unnumbered: Unnumbered,
    ) -> Result<(), Error> {
        if unnumbered.is_empty() {
            return Ok(());
        }
        let count = |places: &Vec<usize>| i32::try_from(places.len()).unwrap_or(i32::MAX);
        let counts = unnumbered.iter().map(|(series, places)| (series.clone(), count(places))).collect();
        let mut first = series::take(store.transaction(), &counts, !batch.is_direct()).await?;
        for (series, places) in unnumbered {
            let first = first.remove(&series).ok_or_else(|| Error::internal("a series gave no number"))?;
            for (number, at) in (first..).zip(places) {
                if number > MAX_NUMBER {
                    let why = "cannot be made: the numbers of this series are used up";
                    batch.refuse(at, Refusal::invalid(Violation::new("identifier", why)));
                    continue;
                }
                let mut changes = Changes::default();
                changes.set(self.columns.identifier, &identifier(&series.prefix, number));
                batch.set(at, &changes);
            }
        }
        Ok(())
    }
}
