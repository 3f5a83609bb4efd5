//! A oneof of messages in one jsonb column: by every method, and beside what other programs write there.

mod masks;
mod rules;
mod stored;
mod writes;

use std::collections::BTreeMap;

use orrery_proto::r#type::v1::WriteStart;
use prost_types::value::Kind;
use prost_types::{Struct, Timestamp, Value};
use sqlx::AssertSqlSafe;
use tonic::Status;

use super::contract::shelf::Load;
use super::contract::{
    CreateShelfRequest, GetShelfRequest, ListShelvesRequest, Pallet, PalletSize, Shelf, StreamShelvesRequest, Tank,
    UpdateShelfRequest,
};
use super::fixture::{SHELVES, Shelves, shelf};
use crate::writes::stream::{Totals, mask, write};

/// A shelf that holds this.
fn holding(slot: i32, load: Load) -> Shelf {
    Shelf { load: Some(load), ..shelf(slot) }
}

/// A pallet with all required fields.
fn pallet(hash: &str) -> Pallet {
    Pallet { content_hash: hash.to_owned(), ..Pallet::default() }
}

fn tank(volume: i32) -> Tank {
    Tank { volume, ..Tank::default() }
}

/// A pallet with every field.
fn full_pallet() -> Pallet {
    let attribute = Value { kind: Some(Kind::NumberValue(0.5)) };
    Pallet {
        content_hash: "00ff00ff".to_owned(),
        size_bytes: 1 << 60,
        code_count: 2,
        codes: vec!["b".to_owned(), "a \"quoted\" one\n".to_owned()],
        unit_price: "123456789012345678901234567890.1234567890".to_owned(),
        sealed: true,
        fill: 0.1,
        packed_ts: Some(Timestamp { seconds: -1, nanos: 999_999_000 }),
        attributes: Some(Struct { fields: BTreeMap::from([("height".to_owned(), attribute)]) }),
        note: "Übergröße".to_owned(),
        size: PalletSize::Whole.into(),
    }
}

/// The same as jsonb prints it.
const FULL_PALLET: &str = concat!(
    r#"{"fill": 0.1, "note": "Übergröße", "size": "whole", "codes": ["b", "a \"quoted\" one\n"], "sealed": true, "#,
    r#""packed_ts": "1969-12-31T23:59:59.999999Z", "attributes": {"height": 0.5}, "code_count": 2, "#,
    r#""size_bytes": 1152921504606846976, "unit_price": 123456789012345678901234567890.1234567890, "#,
    r#""content_hash": "00ff00ff"}"#
);

impl Shelves {
    async fn made(&self, row: Shelf) -> Result<Shelf, Status> {
        let request = CreateShelfRequest { shelf: Some(row), ..Default::default() };
        Ok(self.client().create_shelf(request).await?.into_inner())
    }

    /// Updates a shelf; without paths, what is set.
    async fn changed(&self, row: Shelf, paths: &[&str]) -> Result<Shelf, Status> {
        let update_mask = (!paths.is_empty()).then(|| mask(paths));
        let request = UpdateShelfRequest { shelf: Some(row), update_mask, ..Default::default() };
        Ok(self.client().update_shelf(request).await?.into_inner())
    }

    async fn written(&self, start: WriteStart, rows: &[Shelf]) -> Totals {
        let (totals, end) = write(self.channel(), SHELVES, start, rows).await;
        end.unwrap();
        totals
    }

    async fn got(&self, slot: i32, read_mask: &[&str]) -> Result<Shelf, Status> {
        let (warehouse, aisle) = ("north".to_owned(), "a".to_owned());
        let read_mask = (!read_mask.is_empty()).then(|| mask(read_mask));
        let request = GetShelfRequest { warehouse, aisle, slot, read_mask, ..Default::default() };
        Ok(self.client().get_shelf(request).await?.into_inner())
    }

    async fn load_of(&self, slot: i32) -> Option<Load> {
        self.got(slot, &[]).await.unwrap().load
    }

    async fn listed(&self, read_mask: &[&str]) -> Vec<Shelf> {
        let request = ListShelvesRequest { read_mask: Some(mask(read_mask)), ..Default::default() };
        self.client().list_shelves(request).await.unwrap().into_inner().shelves
    }

    async fn streamed(&self, read_mask: &[&str]) -> Vec<Shelf> {
        let request = StreamShelvesRequest { read_mask: Some(mask(read_mask)), ..Default::default() };
        let mut pages = self.client().stream_shelves(request).await.unwrap().into_inner();
        let mut shelves = Vec::new();
        while let Some(page) = pages.message().await.unwrap() {
            shelves.extend(page.shelves);
        }
        shelves
    }

    /// The stored kind and object of a shelf.
    async fn stored_load(&self, slot: i32) -> (String, String) {
        let select = format!("select coalesce(load_kind, ''), body::text from warehouse.shelf where slot = {slot}");
        sqlx::query_as(AssertSqlSafe(select)).fetch_one(&self.pool).await.unwrap()
    }

    /// Stores a kind and an object, as another program does.
    async fn store_load(&self, slot: i32, kind: &str, body: &str) {
        let update = "update warehouse.shelf set load_kind = nullif($2, ''), body = $3::jsonb where slot = $1";
        sqlx::query(update).bind(slot).bind(kind).bind(body).execute(&self.pool).await.unwrap();
    }

    /// Sets keys of the stored object, as another program does.
    async fn add_keys(&self, slot: i32, keys: &str) {
        let update = "update warehouse.shelf set body = body || $2::jsonb where slot = $1";
        sqlx::query(update).bind(slot).bind(keys).execute(&self.pool).await.unwrap();
    }
}

/// The kind and the object, for a comparison.
fn stored(kind: &str, body: &str) -> (String, String) {
    (kind.to_owned(), body.to_owned())
}
