//! The texts of cells: lists, times, and how a cell is quoted.

use chrono::{DateTime, NaiveDate, Timelike as _, Utc};
use prost_types::Timestamp;

/// What separates the entries of a list.
pub const SEPARATOR: char = '|';

/// Splits a list. Blanks around entries and empty entries are dropped. `\|` is a bar and `\\` a backslash within an
/// entry; any other backslash is itself.
pub fn split_list(text: &str) -> Vec<String> {
    let mut entries = Vec::new();
    let mut entry = String::new();
    let mut end = |entry: &mut String| {
        let whole = std::mem::take(entry);
        let trimmed = whole.trim();
        if !trimmed.is_empty() {
            entries.push(trimmed.to_owned());
        }
    };
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some(&escaped @ (SEPARATOR | '\\'))) => {
                characters.next();
                entry.push(escaped);
            }
            (SEPARATOR, _) => end(&mut entry),
            _ => entry.push(character),
        }
    }
    end(&mut entry);
    entries
}

/// Writes a list that [`split_list`] splits.
pub fn join_list<'t>(entries: impl IntoIterator<Item = &'t str>) -> String {
    let mut list = String::new();
    for (nth, entry) in entries.into_iter().enumerate() {
        if nth > 0 {
            list.push(SEPARATOR);
        }
        for character in entry.chars() {
            if matches!(character, SEPARATOR | '\\') {
                list.push('\\');
            }
            list.push(character);
        }
    }
    list
}

/// Reads a time: RFC 3339 with an offset, or a day, which begins at midnight UTC.
///
/// # Errors
/// What it should look like.
pub fn read_time(text: &str) -> Result<Timestamp, String> {
    let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|day| day.to_string() == text);
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc)).ok();
    let time = time.or_else(|| Some(day()?.and_hms_opt(0, 0, 0)?.and_utc()));
    // A leap second has no place in the contract's timestamps.
    let time = time.filter(|time| time.nanosecond() < 1_000_000_000);
    match time.and_then(|time| Some((time.timestamp(), i32::try_from(time.timestamp_subsec_nanos()).ok()?))) {
        Some((seconds, nanos)) => Ok(Timestamp { seconds, nanos }),
        None => Err("must be a time such as 2026-03-01T12:00:00Z, or a day such as 2026-03-01".to_owned()),
    }
}

/// Writes a time as RFC 3339, in UTC; nothing for one that no calendar has.
pub fn write_time(time: Timestamp) -> String {
    let nanos = u32::try_from(time.nanos).unwrap_or_default();
    DateTime::from_timestamp(time.seconds, nanos)
        .map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
        .unwrap_or_default()
}

/// Appends a cell, quoted if it must be.
pub fn write_cell(text: &str, delimiter: char, out: &mut String) {
    let is_special = |character: char| character == delimiter || matches!(character, '"' | '\r' | '\n');
    // Blanks at the ends are quoted for readers that drop them, and a byte order mark for those that look for it.
    let is_loose = text.starts_with(|first: char| first.is_whitespace() || first == '\u{feff}')
        || text.ends_with(char::is_whitespace);
    if !is_loose && !text.contains(is_special) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for character in text.chars() {
        if character == '"' {
            out.push('"');
        }
        out.push(character);
    }
    out.push('"');
}
