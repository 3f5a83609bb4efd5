//! The rules of shelves: one for a single row, one that queries the database, one that uses an existing row instead of
//! a new one, one that numbers rows, and one for deletes.

use std::collections::{BTreeMap, HashMap};

use futures::future::BoxFuture;
use orrery_kit::db::array::ArrayParameter;
use orrery_kit::db::{Statement, Transaction};
use orrery_kit::error::{Error, Violation};
use orrery_kit::resource::Resource;
use orrery_kit::resource::batch::{Batch, Store};
use orrery_kit::resource::key::{Key, KeyPart};
use orrery_kit::resource::refusal::Refusal;
use orrery_kit::resource::row::{
    BigInteger, Changes, Children, Column, Integer, PayloadColumn, PayloadMember, Text, Texts,
};
use orrery_kit::resource::rules::{CheckedRow, Rules};
use sqlx::Row as _;

#[derive(Debug)]
pub(crate) struct ShelfRules {
    warehouse: Column<Text>,
    kind: Column<Text>,
    content_hash: Column<Text>,
    series: Column<Text>,
    number: Column<Integer>,
    moved: Column<BigInteger>,
    boxes: Children,
    tags: Column<Texts>,
    load_kind: Column<Text>,
    load: PayloadMember,
    pallet_codes: PayloadColumn<Texts>,
    code_count: PayloadColumn<Integer>,
    tank_codes: PayloadColumn<Texts>,
    liquid: PayloadColumn<Text>,
    pallet_note: PayloadColumn<Text>,
}

impl ShelfRules {
    pub(crate) fn of(shelf: &Resource) -> Result<Box<dyn Rules>, String> {
        Ok(Box::new(Self {
            warehouse: shelf.column("warehouse")?,
            kind: shelf.column("kind")?,
            content_hash: shelf.column("content_hash")?,
            series: shelf.column("series")?,
            number: shelf.column("number")?,
            moved: shelf.column("moved")?,
            boxes: shelf.children("boxes")?,
            tags: shelf.column("tags")?,
            load_kind: shelf.column("load_kind")?,
            load: shelf.payload("body")?,
            pallet_codes: shelf.payload_column("body", "pallet", "codes")?,
            code_count: shelf.payload_column("body", "pallet", "code_count")?,
            tank_codes: shelf.payload_column("body", "tank", "codes")?,
            liquid: shelf.payload_column("body", "tank", "liquid")?,
            pallet_note: shelf.payload_column("body", "pallet", "note")?,
        }))
    }

    /// The new rows with a value in a column.
    fn new_with(batch: &Batch<'_>, column: Column<Text>) -> Vec<(usize, String)> {
        let value = |at: usize| Some((at, batch.row(at).get(column)?.to_owned()));
        batch.places().into_iter().filter(|&at| !batch.exists(at)).filter_map(value).collect()
    }

    /// Uses the existing shelf if another shelf has the same content.
    async fn use_equal_ones(&self, batch: &mut Batch<'_>, transaction: &mut Transaction<'_>) -> Result<(), Error> {
        let new = Self::new_with(batch, self.content_hash);
        if new.is_empty() {
            return Ok(());
        }
        let select = Statement::new(
            "select content_hash, warehouse, aisle, slot from warehouse.shelf where content_hash = any ($1)",
            new.len(),
        );
        let hashes = ArrayParameter::texts(new.iter().map(|(_, hash)| hash));
        let mut known: HashMap<String, Key> = HashMap::new();
        for row in transaction.fetch(select.bind(hashes)?).await? {
            let (warehouse, aisle): (String, String) = (row.try_get(1)?, row.try_get(2)?);
            let parts = [KeyPart::from(&warehouse), KeyPart::from(&aisle), KeyPart::from(row.try_get::<i32, _>(3)?)];
            known.insert(row.try_get(0)?, batch.resource.key(parts)?);
        }
        for (at, hash) in new {
            match known.get(&hash) {
                Some(key) => batch.use_existing(at, &key.clone()),
                None => {
                    known.insert(hash, batch.key(at));
                }
            }
        }
        Ok(())
    }

    /// The kind of a load is that of the member that was sent. Codes of pallets are counted, those of tanks sorted.
    fn check_load(&self, row: &mut CheckedRow<'_>) {
        let sent = row.row();
        let Some(member) = sent.member(self.load) else { return };
        let mut changes = Changes::default();
        match sent.get(self.load_kind) {
            None => changes.set(self.load_kind, member),
            Some(kind) if kind == member => {}
            Some(kind) => {
                let why = format!("is {kind}, but a {member} was sent");
                return row.refuse(Violation::new("load_kind", why));
            }
        }
        if let Some(codes) = sent.inner(self.pallet_codes) {
            changes.set_inner(self.code_count, i32::try_from(codes.len()).unwrap_or(i32::MAX));
        }
        if let Some(mut codes) = sent.inner(self.tank_codes) {
            codes.sort_unstable();
            changes.set_inner(self.tank_codes, codes);
        }
        match sent.inner(self.liquid).as_deref() {
            Some("unnamed") => changes.unset_inner(self.liquid),
            Some("H2O") => changes.set_inner(self.liquid, "water"),
            _ => {}
        }
        row.set(&changes);
    }

    /// Only cooled sites may have cold shelves.
    async fn check_sites(&self, batch: &mut Batch<'_>, transaction: &mut Transaction<'_>) -> Result<(), Error> {
        let is_cold = |&at: &usize| batch.row(at).get(self.kind) == Some("cold");
        let cold: Vec<usize> = batch.places().into_iter().filter(is_cold).collect();
        if cold.is_empty() {
            return Ok(());
        }
        let select = Statement::new("select name from warehouse.site where is_cooled", 1_000);
        let rows = transaction.fetch(select).await?;
        let cooled: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        for at in cold {
            if !cooled.iter().any(|name| Some(name.as_str()) == batch.row(at).get(self.warehouse)) {
                batch.refuse(at, Refusal::invalid(Violation::new("kind", "is for cooled sites")));
            }
        }
        Ok(())
    }

    /// Numbers the new rows of each series. The row of the series is the lock, so numbering is done by one transaction
    /// at a time.
    async fn number(&self, batch: &mut Batch<'_>, transaction: &mut Transaction<'_>) -> Result<(), Error> {
        let mut by_series: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, series) in Self::new_with(batch, self.series) {
            by_series.entry(series).or_default().push(at);
        }
        for (series, places) in by_series {
            let count = i32::try_from(places.len()).unwrap_or(i32::MAX);
            let take = Statement::new(
                "insert into warehouse.series as s (name, last) values ($1, $2) \
                 on conflict (name) do update set last = s.last + excluded.last returning last",
                1,
            );
            let rows = transaction.write(take.bind(series)?.bind(count)?).await?;
            let last: i32 = rows.first().ok_or_else(|| Error::internal("no number"))?.try_get(0)?;
            for (number, at) in (last - count + 1..).zip(places) {
                let mut changes = Changes::default();
                changes.set(self.number, number);
                batch.set(at, &changes);
            }
        }
        Ok(())
    }
}

impl Rules for ShelfRules {
    fn check(&self, row: &mut CheckedRow<'_>) {
        let boxes = row.row().children(self.boxes).map_or(0, Iterator::count);
        if row.row().get(self.kind) == Some("closed") && boxes > 0 {
            row.refuse(Violation::new("boxes", "must be empty on a closed shelf"));
        }
        if let Some(place) = row.row().get(self.tags).and_then(|tags| tags.iter().position(|tag| tag == "wet")) {
            row.refuse(Violation::new(format!("tags[{place}]"), "must not be wet"));
        }
        self.check_load(row);
    }

    fn reads_stored(&self, batch: &Batch<'_>, at: usize) -> bool {
        batch.row(at).member(self.load).is_some()
    }

    fn prepare<'a>(
        &'a self,
        batch: &'a mut Batch<'_>,
        store: &'a mut Store<'_, '_>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            for at in batch.places() {
                let note = batch.stored(at).and_then(|stored| stored.row().inner(self.pallet_note));
                if note.as_deref() == Some("frozen") {
                    let violation = Violation::new(self.pallet_note.path(), "is frozen: the load stays");
                    batch.refuse(at, Refusal::invalid(violation));
                    continue;
                }
                let boxes = batch.children(at, self.boxes).map_or(0, Iterator::count);
                let mut changes = Changes::default();
                changes.set(self.moved, boxes as i64 + (1 << 40));
                batch.set(at, &changes);
            }
            let transaction = store.transaction();
            self.check_sites(batch, transaction).await?;
            self.use_equal_ones(batch, transaction).await?;
            self.number(batch, transaction).await
        })
    }

    fn prepare_delete<'a>(
        &'a self,
        batch: &'a mut Batch<'_>,
        store: &'a mut Store<'_, '_>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let fixed =
                Statement::new("select warehouse, aisle, slot from warehouse.shelf where kind = 'fixed'", 1_000);
            for row in store.transaction().fetch(fixed).await? {
                let (warehouse, aisle): (String, String) = (row.try_get(0)?, row.try_get(1)?);
                let slot: i32 = row.try_get(2)?;
                let key = batch.resource.key([KeyPart::from(&warehouse), (&aisle).into(), slot.into()])?;
                for at in batch.places() {
                    if batch.key(at) == key {
                        batch.refuse(at, Refusal::invalid(Violation::new("kind", "is fixed: the shelf stays")));
                    }
                }
            }
            Ok(())
        })
    }
}
