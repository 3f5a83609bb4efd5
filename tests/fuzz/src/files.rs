//! Files that the command reads: mappings, imported files, migrations.

use orrery::fuzzing::{Imported, import, mapping as read_mapping, migration as read_migration, statements};

use super::{error_text, own_words};

pub(super) fn mapping(bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else { return String::new() };
    match read_mapping(text) {
        Ok(()) => {
            // A valid mapping reads a file, whatever the file contains.
            let _ = import(false, "x.jsonl", Some(text), b"{\"id\":\"a\",\"Tags\":\"x,y\"}\n{}\n[]\n", 0);
            "ready".to_owned()
        }
        Err(error) => {
            assert!(error.contains("mapping.toml"), "{error}");
            error_text(&error)
        }
    }
}

/// The settings encoded in the first byte of an input.
fn source(byte: u8) -> String {
    let encodings = ["utf-8", "windows-1252", "utf-16le", "utf-16be", "shift_jis", "gb18030", "euc-kr", "iso-2022-jp"];
    let encoding = encodings[usize::from(byte & 7)];
    let delimiter = [",", ";", "\\t", "|"][usize::from(byte >> 3 & 3)];
    let quoting = if byte & 32 == 0 { "double" } else { "none" };
    let consecutive = byte & 64 != 0;
    let group =
        if byte & 128 == 0 { String::new() } else { format!("[group]\nby = \"uid\"\nconsecutive = {consecutive}\n") };
    format!("[source]\ndelimiter = \"{delimiter}\"\nquoting = \"{quoting}\"\nencoding = \"{encoding}\"\n{group}")
}

const FIELDS: &str = r#"
[fields]
uid = { column = "id", prefix = "ord_", transforms = ["trim", "lower"] }
customer_id = { column = "who" }
create_ts = { column = "at", optional = true }
"labels.tag/*" = { column = "tags", optional = true, split = ";", transforms = ["label"], value = "true", most = 3 }

[[line_items]]
[line_items.fields]
sku = { column = "sku", optional = true }
quantity = { column = "count", optional = true }
unit_price = { column = "price", optional = true, transforms = [{ decimal = { mark = ",", group = "." } }] }
"#;

/// The result of a file does not depend on the memory for groups.
fn imported(name: &str, mapping: &str, file: &[u8]) -> String {
    let outcome = import(true, name, Some(mapping), file, usize::MAX);
    let spilled = import(true, name, Some(mapping), file, 2_000);
    assert_eq!(spilled, outcome);
    match outcome {
        Err(error) => error_text(&error),
        Ok(Imported { items, fault, rows }) => {
            assert!(items.iter().all(|item| !item.contains('\n')), "an item has several lines: {items:?}");
            let last = items.last().map_or(String::new(), |item| own_words(item));
            format!(
                "{} {} {last} {}",
                rows.min(3),
                items.len().min(5),
                fault.map_or(String::new(), |fault| error_text(&fault))
            )
        }
    }
}

pub(super) fn csv(bytes: &[u8]) -> String {
    let Some((settings, file)) = bytes.split_first() else { return String::new() };
    let mut mapping = source(*settings);
    mapping.push_str(FIELDS);
    imported("x.csv", &mapping, file)
}

pub(super) fn jsonl(bytes: &[u8]) -> String {
    let Some((settings, file)) = bytes.split_first() else { return String::new() };
    let mapping = if settings & 1 == 0 { FIELDS.to_owned() } else { format!("[group]\nby = \"uid\"\n{FIELDS}") };
    let mapped = imported("x.jsonl", &mapping, file);
    // Like an export, without a mapping.
    let plain = match import(settings & 2 != 0, "x.jsonl", None, file, 0) {
        Ok(Imported { items, fault, rows }) => {
            let fault = fault.map_or(String::new(), |fault| error_text(&fault));
            format!("{} {} {fault}", rows.min(3), items.last().map_or(String::new(), |item| own_words(item)))
        }
        Err(error) => error_text(&error),
    };
    format!("{mapped} {plain}")
}

/// A migration is split without losing anything, and its statements start at their first character.
pub(super) fn migration(bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else { return String::new() };
    let starts = statements(text);
    assert!(starts.is_sorted_by(|one, next| one < next));
    assert!(starts.iter().all(|start| text[*start..].starts_with(|c: char| !c.is_whitespace())));
    match read_migration(text) {
        Ok(migration) => {
            let (up, down) = (&migration.up.sql, &migration.down.sql);
            assert!(text.ends_with(&format!("{up}{down}")), "the sections are not what the file ends with");
            format!("{} {} {}", statements(up).len().min(9), statements(down).len().min(9), migration.up.transaction)
        }
        Err(error) => error_text(&error),
    }
}
