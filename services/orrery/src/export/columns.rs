//! What a row is in the output: a JSON object, or the cells of CSV.

use std::io;

use bytes::Bytes;
use clap::error::ErrorKind;
use prost_reflect::{DynamicMessage, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value};

use crate::mapping::Format;
use crate::message::{write_field, write_json};
use crate::resource::TransferResource;

/// The form of the output.
#[derive(Debug)]
pub(crate) struct Columns {
    message: MessageDescriptor,
    /// The paths of the columns of CSV; none for JSONL.
    paths: Option<Vec<String>>,
}

impl Columns {
    /// The columns that a command line asks for. Ends the process if it does not say which.
    pub(crate) fn plan(resource: &TransferResource, format: Format, read_mask: &[String]) -> anyhow::Result<Self> {
        let message = resource.descriptor()?;
        let paths = match format {
            Format::Jsonl => return Ok(Self { message, paths: None }),
            Format::Csv if read_mask.is_empty() => {
                resource.csv_columns.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>()
            }
            Format::Csv => read_mask.to_vec(),
        };
        if paths.is_empty() {
            let why = format!("CSV of {} needs --read-mask, which names a path for each column", resource.plural);
            crate::terminal::exit_with(&clap::Error::raw(ErrorKind::MissingRequiredArgument, format!("{why}\n")));
        }
        if let Some(path) = paths.iter().find(|path| path.contains('*') || path.contains('`')) {
            let why = format!("{path:?} is not one value: a column of CSV is a single field or key");
            crate::terminal::exit_with(&clap::Error::raw(ErrorKind::ValueValidation, format!("{why}\n")));
        }
        Ok(Self { message, paths: Some(paths) })
    }

    /// Whether a field is written.
    pub(crate) fn has(&self, field: &str, read_mask: &[String]) -> bool {
        match &self.paths {
            Some(paths) => paths.iter().any(|path| path == field),
            None => read_mask.is_empty() || read_mask.iter().any(|path| path == field || path == "*"),
        }
    }

    /// The mask to read with: without what the service does not know.
    pub(crate) fn read_mask(&self, resource: &TransferResource, asked: Vec<String>) -> Vec<String> {
        let mut mask = self.paths.clone().unwrap_or(asked);
        mask.retain(|path| resource.beside != Some(path));
        mask
    }

    /// The first line.
    pub(crate) fn header(&self) -> Vec<u8> {
        let mut line = Vec::new();
        if let Some(paths) = &self.paths {
            write_cells(paths.iter().map(|path| path.as_bytes().to_vec()), &mut line);
        }
        line
    }

    /// Replaces `lines` by the lines of rows.
    pub(crate) fn lines(&self, rows: Vec<Bytes>, lines: &mut Vec<u8>) -> io::Result<()> {
        lines.clear();
        for row in rows {
            let row = DynamicMessage::decode(self.message.clone(), row)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            match &self.paths {
                None => {
                    write_json(&row, lines);
                    lines.push(b'\n');
                }
                Some(paths) => write_cells(paths.iter().map(|path| cell(&row, path)), lines),
            }
        }
        Ok(())
    }
}

fn write_cells(cells: impl Iterator<Item = Vec<u8>>, line: &mut Vec<u8>) {
    let mut empty = true;
    for (place, cell) in cells.enumerate() {
        if place > 0 {
            line.push(b',');
        }
        let is_quoted =
            cell.iter().any(|byte| matches!(byte, b'"' | b',' | b'\n' | b'\r')) || cell.trim_ascii().len() < cell.len();
        if is_quoted {
            line.push(b'"');
            for byte in &cell {
                line.extend_from_slice(if *byte == b'"' { b"\"\"" } else { std::slice::from_ref(byte) });
            }
            line.push(b'"');
        } else {
            line.extend_from_slice(&cell);
        }
        empty &= cell.is_empty() && place == 0;
    }
    if empty {
        // An empty line would be no row.
        line.extend(b"\"\"");
    }
    line.push(b'\n');
}

/// The value of a path; empty if it is not set.
fn cell(message: &DynamicMessage, path: &str) -> Vec<u8> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let Some(field) = message.descriptor().get_field_by_name(name) else { return Vec::new() };
    if !message.has_field(&field) {
        return Vec::new();
    }
    let value = message.get_field(&field);
    let (value, kind) = match (&*value, rest) {
        (value, None) => (value, field.kind()),
        (Value::Map(entries), Some(key)) => match (entries.get(&MapKey::String(key.to_owned())), field.kind()) {
            (Some(value), Kind::Message(entry)) => (value, entry.map_entry_value_field().kind()),
            _ => return Vec::new(),
        },
        (Value::Message(inner), Some(rest)) => {
            let is_struct = inner.descriptor().full_name() == "google.protobuf.Struct";
            return if is_struct { cell(inner, &format!("fields.{rest}")) } else { cell(inner, rest) };
        }
        _ => return Vec::new(),
    };
    let mut text = Vec::new();
    write_field(value, &kind, &mut text);
    // A text is a text, not JSON.
    match serde_json::from_slice(&text) {
        Ok(serde_json::Value::String(plain)) => plain.into_bytes(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use orrery_proto::catalog::v1::Product;
    use orrery_proto::r#type::v1::Status;
    use prost::Message as _;
    use prost_types::Timestamp;

    use super::*;
    use crate::resource::PRODUCTS;

    #[test]
    fn a_row_has_a_cell_for_each_path() {
        let paths = "uid,name,status.phase,labels.a.b/c,labels,create_ts,annotations.none";
        let paths: Vec<String> = paths.split(',').map(str::to_owned).collect();
        let columns = Columns::plan(&PRODUCTS, Format::Csv, &paths).unwrap();
        let row = |name: &str| Product {
            uid: "prd_1".into(),
            name: name.into(),
            status: Some(Status { phase: "draft".into(), details: None }),
            labels: [("a.b/c".to_owned(), "7".to_owned())].into(),
            create_ts: Some(Timestamp { seconds: 1, nanos: 0 }),
            ..Product::default()
        };
        let rows = ["two, \"so\" to\nsay", " x", "null"].map(|name| row(name).encode_to_vec().into());
        let mut lines = Vec::new();
        columns.lines(rows.into(), &mut lines).unwrap();
        let rest = "draft,7,\"{\"\"a.b/c\"\":\"\"7\"\"}\",1970-01-01T00:00:01Z,\n";
        let expected = ["\"two, \"\"so\"\" to\nsay\"", "\" x\"", "null"];
        let expected = expected.map(|name| format!("prd_1,{name},{rest}")).concat();
        assert_eq!(String::from_utf8(lines).unwrap(), expected);
        assert_eq!(columns.header(), b"uid,name,status.phase,labels.a.b/c,labels,create_ts,annotations.none\n");

        let one = Columns::plan(&PRODUCTS, Format::Csv, &["name".to_owned()]).unwrap();
        let mut lines = Vec::new();
        one.lines(vec![Bytes::new()], &mut lines).unwrap();
        assert_eq!(lines, b"\"\"\n", "a row is a line");
    }
}
