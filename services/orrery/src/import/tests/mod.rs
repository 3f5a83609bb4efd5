//! From files to rows: what every kind of file and mapping gives.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod cells;
mod encodings;
mod examples;
mod files;
mod groups;
mod keys;
mod mappings;
mod members;
mod orders;
mod spilled;
mod updates;

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use orrery_proto::catalog::v1::Product;
use orrery_proto::orders::v1::Order;
use prost::Message;

use super::input::Input;
use super::rows::{FileItem, FileRows, Loss};
use crate::mapping::Mapping;
use crate::resource::{PRODUCTS, TransferResource};

/// What a file gave: rows and refusals, each with its line.
#[derive(Debug, PartialEq)]
struct Outcome<M> {
    rows: Vec<(u64, M)>,
    refused: Vec<(u64, String)>,
    losses: Vec<Loss>,
    warnings: Vec<(u64, String, String)>,
    records: u64,
}

impl<M> Default for Outcome<M> {
    fn default() -> Self {
        Self { rows: Vec::new(), refused: Vec::new(), losses: Vec::new(), warnings: Vec::new(), records: 0 }
    }
}

impl Outcome<Product> {
    fn named(&self) -> usize {
        self.rows.iter().filter(|(_, product)| !product.name.is_empty()).count()
    }

    fn product(&self, uid: &str) -> &Product {
        &self.rows.iter().find(|(_, product)| product.uid == uid).unwrap_or_else(|| panic!("{uid}")).1
    }

    fn lines(&self) -> Vec<(u64, &str)> {
        self.rows.iter().map(|(line, product)| (*line, product.name.as_str())).collect()
    }
}

impl Outcome<Order> {
    fn order(&self, uid: &str) -> &Order {
        &self.rows.iter().find(|(_, order)| order.uid == uid).unwrap_or_else(|| panic!("{uid}")).1
    }

    /// The orders' uids, each with the line on which it begins.
    fn uids(&self) -> Vec<(u64, &str)> {
        self.rows.iter().map(|(line, order)| (*line, order.uid.as_str())).collect()
    }
}

const PLAIN: &str = "[fields]\nuid = { column = \"id\", prefix = \"prd_\" }\nname = { column = \"name\" }";

impl<M> Outcome<M> {
    /// The lines of what was refused, each with what was lost.
    fn refused_on(&self) -> Vec<(u64, Loss)> {
        self.refused.iter().zip(&self.losses).map(|((line, _), loss)| (*line, *loss)).collect()
    }
}

/// Reads `bytes` as a file of this name by a mapping; without one if it is empty.
fn read_as<M: Message + Default>(
    resource: &TransferResource,
    name: &str,
    bytes: Vec<u8>,
    mapping: &str,
) -> anyhow::Result<Outcome<M>> {
    let mapping = if mapping.is_empty() { None } else { Some(Mapping::parse(Path::new("mapping.toml"), mapping)?) };
    let input = Input::new(name.to_owned(), Box::new(Cursor::new(bytes)), None)?;
    drain(FileRows::open(resource, Path::new(name), input, None, mapping.as_ref())?)
}

fn read_bytes(name: &str, bytes: Vec<u8>, mapping: &str) -> anyhow::Result<Outcome<Product>> {
    read_as(&PRODUCTS, name, bytes, mapping)
}

fn read(name: &str, text: &str, mapping: &str) -> Outcome<Product> {
    read_bytes(name, text.as_bytes().to_vec(), mapping).unwrap()
}

fn read_file<M: Message + Default>(resource: &TransferResource, path: &Path, mapping: &Path) -> Outcome<M> {
    let mapping = Mapping::load(mapping).unwrap();
    drain(FileRows::open(resource, path, Input::open(path).unwrap(), None, Some(&mapping)).unwrap()).unwrap()
}

fn drain<M: Message + Default>(mut rows: FileRows) -> anyhow::Result<Outcome<M>> {
    let mut outcome = Outcome::default();
    while let Some(item) = rows.next()? {
        match item {
            FileItem::Row(row) => outcome.rows.push((row.line, M::decode(row.bytes).unwrap())),
            FileItem::Refused(line, refusal, loss) => {
                outcome.refused.push((line, refusal.to_string()));
                outcome.losses.push(loss);
            }
            FileItem::Warning(warning) => {
                outcome.warnings.push((warning.line, warning.text.into_owned(), warning.value));
            }
        }
    }
    outcome.records = rows.records;
    Ok(outcome)
}

fn fault(name: &str, text: &str, mapping: &str) -> String {
    fault_of(&PRODUCTS, name, text, mapping)
}

fn fault_of(resource: &TransferResource, name: &str, text: &str, mapping: &str) -> String {
    format!("{:#}", read_as::<Order>(resource, name, text.as_bytes().to_vec(), mapping).unwrap_err())
}

/// A file that is not in the repository. If it is missing, a notice is printed and the result is `None`.
fn shared_file(name: &str) -> Option<PathBuf> {
    let path = repository("../shared/data").join(name);
    if path.exists() {
        return Some(path);
    }
    // Past the capture of the test's output, so that it is seen.
    let notice = format!("NOT TESTED: {} is missing, so its numbers were not checked\n", path.display());
    std::io::stderr().write_all(notice.as_bytes()).unwrap();
    None
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
