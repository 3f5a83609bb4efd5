//! Entry points for fuzz targets into private parts of the command: reading files as an import and as a migration.

use std::fmt::Write as _;
use std::io::Cursor;
use std::path::Path;

use prost_reflect::DynamicMessage;

use crate::import::{FileItem, FileRows, Input};
use crate::mapping::{GroupMemory, Mapping, Plan};
use crate::message::write_json;
use crate::migrate::Migration;
use crate::resource::{ARTIFACTS, ORDERS, PRODUCT_TAGS, PRODUCTS, TAGS, TransferResource};
use crate::terminal::one_line;

/// The result of an import: rows as JSON, refusals and warnings, one line each, and the error if the file could not be
/// read further.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Rows, refusals and warnings.
    pub items: Vec<String>,
    /// Why reading stopped before the end.
    pub fault: Option<String>,
    /// The number of rows.
    pub rows: usize,
}

/// Parses a mapping and plans it for each resource.
///
/// # Errors
/// The problem, if it is valid for no resource.
pub fn mapping(text: &str) -> Result<(), String> {
    let mapping = Mapping::parse(Path::new("mapping.toml"), text).map_err(|error| one_line(&error))?;
    let plans =
        [PRODUCTS, ORDERS, TAGS, PRODUCT_TAGS, ARTIFACTS].map(|resource| Plan::new(&mapping, &resource).map(drop));
    let [products, orders, tags, product_tags, artifacts] = plans;
    products.or(orders).or(tags).or(product_tags).or(artifacts).map_err(|error| one_line(&error))
}

/// Imports a file called `name` as products or as orders.
///
/// # Errors
/// A problem of the mapping or the start of the file.
pub fn import(
    are_orders: bool,
    name: &str,
    mapping: Option<&str>,
    file: &[u8],
    memory: usize,
) -> Result<Imported, String> {
    let resource = if are_orders { ORDERS } else { PRODUCTS };
    read(&resource, name, mapping, file, memory).map_err(|error| one_line(&error))
}

fn read(
    resource: &TransferResource,
    name: &str,
    mapping: Option<&str>,
    file: &[u8],
    memory: usize,
) -> anyhow::Result<Imported> {
    let mapping = mapping.map(|text| Mapping::parse(Path::new("mapping.toml"), text)).transpose()?;
    let input = Input::new(name.to_owned(), Box::new(Cursor::new(file.to_vec())), None)?;
    let mut rows = FileRows::open(resource, Path::new(name), input, None, mapping.as_ref())?;
    rows.set_group_memory(GroupMemory { bytes: memory, ..GroupMemory::default() });
    let message = resource.descriptor()?;
    let mut imported = Imported::default();
    loop {
        let mut line = String::new();
        match rows.next() {
            Ok(Some(FileItem::Row(row))) => {
                let mut json = Vec::new();
                write_json(&DynamicMessage::decode(message.clone(), row.bytes)?, &mut json);
                write!(line, "{}: {}", row.line, String::from_utf8(json)?)?;
                imported.rows += 1;
            }
            Ok(Some(FileItem::Refused(at, refusal, loss))) => write!(line, "{at}: {loss:?}: {refusal}")?,
            Ok(Some(FileItem::Warning(warning))) => write!(line, "{warning}")?,
            Ok(None) => return Ok(imported),
            Err(error) => {
                imported.fault = Some(one_line(&error));
                return Ok(imported);
            }
        }
        imported.items.push(line);
    }
}

/// Parses a migration.
///
/// # Errors
/// The problem.
pub fn migration(text: &str) -> Result<Migration, String> {
    Migration::parse("20260102030405_fuzz.sql", text).map_err(|error| one_line(&error.into()))
}

/// The offsets at which the statements of a script begin.
pub fn statements(sql: &str) -> Vec<usize> {
    crate::migrate::statement_starts(sql)
}
