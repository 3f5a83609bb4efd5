//! From files to products: what every kind of file and mapping gives.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod examples;
mod files;
mod mappings;

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use orrery_proto::catalog::v1::Product;
use prost::Message as _;

use super::input::Input;
use super::rows::{Item, Rows};
use crate::mapping::Mapping;
use crate::resource::PRODUCTS;

/// What a file gave: products and refusals, each with its line.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    products: Vec<(u64, Product)>,
    refused: Vec<(u64, String)>,
    records: u64,
}

impl Outcome {
    fn named(&self) -> usize {
        self.products.iter().filter(|(_, product)| !product.name.is_empty()).count()
    }

    fn product(&self, uid: &str) -> &Product {
        &self.products.iter().find(|(_, product)| product.uid == uid).unwrap_or_else(|| panic!("{uid}")).1
    }

    fn lines(&self) -> Vec<(u64, &str)> {
        self.products.iter().map(|(line, product)| (*line, product.name.as_str())).collect()
    }
}

const PLAIN: &str = "[fields]\nuid = { column = \"id\", prefix = \"prd_\" }\nname = { column = \"name\" }";

/// Reads `text` as a file of this name by a mapping; without one if it is empty.
fn read_bytes(name: &str, bytes: Vec<u8>, mapping: &str) -> anyhow::Result<Outcome> {
    let mapping = if mapping.is_empty() { None } else { Some(Mapping::parse(Path::new("mapping.toml"), mapping)?) };
    let input = Input::new(name.to_owned(), Box::new(Cursor::new(bytes)), None)?;
    drain(Rows::open(&PRODUCTS, Path::new(name), input, None, mapping.as_ref())?)
}

fn read(name: &str, text: &str, mapping: &str) -> Outcome {
    read_bytes(name, text.as_bytes().to_vec(), mapping).unwrap()
}

fn read_file(path: &Path, mapping: &Path) -> Outcome {
    let mapping = Mapping::load(mapping).unwrap();
    drain(Rows::open(&PRODUCTS, path, Input::open(path).unwrap(), None, Some(&mapping)).unwrap()).unwrap()
}

fn drain(mut rows: Rows) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    while let Some(item) = rows.next()? {
        match item {
            Item::Row(row) => outcome.products.push((row.line, Product::decode(row.bytes).unwrap())),
            Item::Refused(line, refusal) => outcome.refused.push((line, refusal.to_string())),
        }
    }
    outcome.records = rows.records;
    Ok(outcome)
}

fn fault(name: &str, text: &str, mapping: &str) -> String {
    format!("{:#}", read_bytes(name, text.as_bytes().to_vec(), mapping).unwrap_err())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn sorted(map: &std::collections::HashMap<String, String>) -> BTreeMap<&str, &str> {
    map.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}
