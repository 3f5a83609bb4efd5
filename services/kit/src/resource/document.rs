//! Reads and writes jsonb texts without parsing them into a tree. Postgres sends an object as text. Most objects are
//! flat and have no escapes, so keys and values can be copied. Text from Postgres is well-formed; malformed text is
//! read up to its first error.

use std::borrow::Cow;

/// A string in a JSON text, with its escapes and without its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JsonString<'a> {
    raw: &'a [u8],
    escaped: bool,
}

impl<'a> JsonString<'a> {
    /// The text itself.
    #[inline]
    pub(super) fn text(self) -> Cow<'a, [u8]> {
        if self.escaped { Cow::Owned(unescape(self.raw)) } else { Cow::Borrowed(self.raw) }
    }
}

/// A value in a JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonValue<'a> {
    /// A string.
    String(JsonString<'a>),
    /// Any other value, as its JSON text.
    Other(&'a [u8]),
}

/// The entries of an object, or the elements of an array.
pub(super) struct Items<'a> {
    rest: &'a [u8],
    keyed: bool,
}

/// The entries of `json` if it is an object; otherwise none.
pub(super) fn entries(json: &[u8]) -> Items<'_> {
    let json = json.trim_ascii();
    Items { rest: json.strip_prefix(b"{").unwrap_or_default(), keyed: true }
}

/// The phase of a status in a tuple; `None` if it has no phase. If the phase is no string, its JSON text.
pub(crate) fn phase(jsonb: &[u8]) -> Option<String> {
    let (_version, json) = jsonb.split_first()?;
    let (_, phase) = entries(json).find(|(key, _)| *key.text() == *b"phase")?;
    match phase {
        JsonValue::String(text) => Some(String::from_utf8_lossy(&text.text()).into_owned()),
        JsonValue::Other(b"null") => None,
        JsonValue::Other(json) => Some(String::from_utf8_lossy(json).into_owned()),
    }
}

/// Appends a status in a tuple with another phase. `jsonb` is its value; all other keys stay.
pub(crate) fn put_with_phase(jsonb: Option<&[u8]>, phase: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\x01{\"phase\": ");
    put_string(out, phase);
    for (key, value) in entries(jsonb.and_then(|jsonb| jsonb.get(1..)).unwrap_or_default()) {
        if *key.text() == *b"phase" {
            continue;
        }
        out.extend_from_slice(b", \"");
        out.extend_from_slice(key.raw);
        out.extend_from_slice(b"\": ");
        match value {
            JsonValue::String(text) => {
                out.push(b'"');
                out.extend_from_slice(text.raw);
                out.push(b'"');
            }
            JsonValue::Other(raw) => out.extend_from_slice(raw),
        }
    }
    out.push(b'}');
}

/// The elements of `json` if it is an array; otherwise none.
pub(super) fn elements(json: &[u8]) -> Items<'_> {
    let json = json.trim_ascii();
    Items { rest: json.strip_prefix(b"[").unwrap_or_default(), keyed: false }
}

/// The elements of an array as texts; an element that is no string as its JSON text.
pub(crate) fn texts(json: &[u8]) -> Vec<String> {
    let text = |(_, value): (JsonString<'_>, JsonValue<'_>)| match value {
        JsonValue::String(text) => String::from_utf8_lossy(&text.text()).into_owned(),
        JsonValue::Other(json) => String::from_utf8_lossy(json).into_owned(),
    };
    elements(json).map(text).collect()
}

/// Appends a list of texts in jsonb's binary format.
pub(crate) fn put_jsonb_texts(out: &mut Vec<u8>, texts: &[String]) {
    out.extend_from_slice(&[1, b'[']);
    for (nth, text) in texts.iter().enumerate() {
        if nth > 0 {
            out.extend_from_slice(b", ");
        }
        put_string(out, text);
    }
    out.push(b']');
}

const NO_KEY: JsonString<'static> = JsonString { raw: b"", escaped: false };

impl<'a> Iterator for Items<'a> {
    type Item = (JsonString<'a>, JsonValue<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.skip(b',');
        let key = if self.keyed {
            let key = self.string()?;
            self.skip(b':');
            key
        } else {
            NO_KEY
        };
        let value = match self.rest.first()? {
            b'"' => JsonValue::String(self.string()?),
            b'}' | b']' => return None,
            _ => JsonValue::Other(self.other()),
        };
        Some((key, value))
    }
}

impl<'a> Items<'a> {
    /// Skips white space and one separator.
    #[inline]
    fn skip(&mut self, separator: u8) {
        self.rest = self.rest.trim_ascii_start();
        if let [first, rest @ ..] = self.rest
            && *first == separator
        {
            self.rest = rest.trim_ascii_start();
        }
    }

    #[inline]
    fn string(&mut self) -> Option<JsonString<'a>> {
        let inside = self.rest.strip_prefix(b"\"")?;
        let mut escaped = false;
        let mut at = plain_length(inside);
        while *inside.get(at)? != b'"' {
            escaped = true;
            at += 2;
            at += plain_length(inside.get(at..)?);
        }
        let (raw, rest) = inside.split_at_checked(at)?;
        self.rest = rest.get(1..).unwrap_or_default();
        Some(JsonString { raw, escaped })
    }

    /// A number, literal, object or array, up to what ends it.
    fn other(&mut self) -> &'a [u8] {
        let mut depth = 0_usize;
        let mut at = 0;
        while let Some(&byte) = self.rest.get(at) {
            match byte {
                b'0'..=b'9' => {
                    at += 1 + digits(&self.rest[at + 1..]);
                    continue;
                }
                b'"' => {
                    at += 1;
                    at += plain_length(&self.rest[at..]);
                    while self.rest.get(at) == Some(&b'\\') {
                        at += 2;
                        at += plain_length(self.rest.get(at..).unwrap_or_default());
                    }
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' | b',' if depth == 0 => break,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            at += 1;
        }
        let (value, rest) = self.rest.split_at(at.min(self.rest.len()));
        self.rest = rest;
        value.trim_ascii()
    }
}

/// The place of the first quote or backslash in a text, or its length. It looks at groups of eight.
#[inline]
fn plain_length(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let (eights, _) = text.as_chunks::<8>();
    // Not zero if one of the bytes is zero.
    let has_zero = |eight: u64| eight.wrapping_sub(ONES) & !eight & HIGH;
    let is_plain = |eight: &[u8; 8]| {
        let eight = u64::from_ne_bytes(*eight);
        has_zero(eight ^ (ONES * u64::from(b'"'))) | has_zero(eight ^ (ONES * u64::from(b'\\'))) == 0
    };
    let plain = 8 * eights.iter().take_while(|eight| is_plain(eight)).count();
    plain + text[plain..].iter().take_while(|byte| !matches!(byte, b'"' | b'\\')).count()
}

/// The number of digits at the start of a text, counted in groups of eight.
#[inline]
pub(super) fn digits(text: &[u8]) -> usize {
    const HIGH: u64 = u64::from_ne_bytes([0xf0; 8]);
    const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
    const SIXES: u64 = u64::from_ne_bytes([6; 8]);
    let (eights, _) = text.as_chunks::<8>();
    // A digit is 0x30 to 0x39: its high half is 3, and still is when 6 is added. Nothing carries: 0x3f + 6 < 0x100.
    let are_digits = |eight: &[u8; 8]| {
        let eight = u64::from_ne_bytes(*eight);
        eight & HIGH == ZEROS && (eight + SIXES) & HIGH == ZEROS
    };
    8 * eights.iter().take_while(|eight| are_digits(eight)).count()
}

/// How many zeros a text begins with.
#[inline]
pub(super) fn zeros(text: &[u8]) -> usize {
    let (eights, _) = text.as_chunks::<8>();
    let whole = 8 * eights.iter().take_while(|eight| **eight == [b'0'; 8]).count();
    whole + text[whole..].iter().take_while(|byte| **byte == b'0').count()
}

/// The text of a string, with its escapes resolved.
fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(raw.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(raw);
    quoted.push(b'"');
    serde_json::from_slice::<String>(&quoted).map_or_else(|_| raw.to_vec(), String::into_bytes)
}

/// Appends a text as a JSON string.
pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut from = 0;
    for (at, &byte) in text.as_bytes().iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0c => b"\\f",
            0..0x20 => b"",
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[from..at]);
        if escape.is_empty() {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        } else {
            out.extend_from_slice(escape);
        }
        from = at + 1;
    }
    out.extend_from_slice(&text.as_bytes()[from..]);
    out.push(b'"');
}

/// How many bytes a text takes as a JSON string, as Postgres and [`put_string`] write it.
pub(super) fn escaped_length(text: &str) -> usize {
    let more = |byte: u8| match byte {
        b'"' | b'\\' | 0x08..=0x0a | 0x0c | 0x0d => 1,
        0..0x20 => 5,
        _ => 0,
    };
    2 + text.len() + text.bytes().map(more).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Vec<(String, String)> {
        entries(json.as_bytes())
            .map(|(key, value)| {
                let value = match value {
                    JsonValue::String(text) => text.text().into_owned(),
                    JsonValue::Other(raw) => raw.to_vec(),
                };
                (String::from_utf8_lossy(&key.text()).into_owned(), String::from_utf8_lossy(&value).into_owned())
            })
            .collect()
    }

    #[test]
    fn nested_values_come_out_as_they_stand() {
        let read = read(r#"{"a": {"b": [1, "}", "\"]"]}, "c": null, "d": 1.50, "e": "x", "f": []}"#);
        let expected = [("a", r#"{"b": [1, "}", "\"]"]}"#), ("c", "null"), ("d", "1.50"), ("e", "x"), ("f", "[]")];
        assert_eq!(read, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_phase_is_replaced_and_the_details_stay() {
        let put = |json: Option<&str>| {
            let jsonb = json.map(|json| [b"\x01", json.as_bytes()].concat());
            let mut out = Vec::new();
            put_with_phase(jsonb.as_deref(), "b\"", &mut out);
            String::from_utf8(out).expect("UTF-8")
        };
        assert_eq!(put(None), "\u{1}{\"phase\": \"b\\\"\"}");
        assert_eq!(put(Some("[1]")), "\u{1}{\"phase\": \"b\\\"\"}");
        let stored = r#"{"n\"": 1, "phase": "a", "t": "x\"y", "z": {"phase": 2}}"#;
        assert_eq!(
            put(Some(stored)),
            "\u{1}{\"phase\": \"b\\\"\", \"n\\\"\": 1, \"t\": \"x\\\"y\", \"z\": {\"phase\": 2}}"
        );
    }

    #[test]
    fn what_is_no_object_has_no_entries() {
        for json in ["null", "[1]", "\"x\"", "1", "", "{", "{\"a", "{\"a\\"] {
            assert_eq!(read(json), [], "{json}");
        }
    }

    proptest! {
        #[test]
        fn a_map_of_texts_comes_back(map: BTreeMap<String, String>) {
            let json = serde_json::to_string(&map).expect("a map is an object");
            prop_assert_eq!(read(&json).into_iter().collect::<BTreeMap<_, _>>(), map);
        }

        #[test]
        fn a_nested_map_of_texts_is_cut_out_whole(map: BTreeMap<String, String>) {
            let nested = serde_json::to_string(&map).expect("a map is an object");
            let json = format!("{{\"a\": {nested}, \"b\": [{nested}]}}");
            let expected = [("a".to_owned(), nested.clone()), ("b".to_owned(), format!("[{nested}]"))];
            prop_assert_eq!(read(&json), expected);
        }

        #[test]
        fn a_written_string_is_json(text: String) {
            let mut out = Vec::new();
            put_string(&mut out, &text);
            prop_assert_eq!(out.len(), escaped_length(&text));
            prop_assert_eq!(serde_json::from_slice::<String>(&out).expect("a string"), text);
        }

        #[test]
        fn control_characters_have_a_known_length(bytes in prop::collection::vec(0_u8..0x30, 0..40)) {
            let text = String::from_utf8(bytes).expect("ASCII");
            let mut out = Vec::new();
            put_string(&mut out, &text);
            prop_assert_eq!(out.len(), escaped_length(&text));
            prop_assert_eq!(serde_json::from_slice::<String>(&out).expect("a string"), text);
        }

        #[test]
        fn runs_of_digits_and_zeros_are_counted(zero in "0{0,40}", digit in "[0-9]{0,40}", rest in "[^0-9].*|") {
            let all = digits(format!("{digit}{rest}").as_bytes());
            prop_assert!(all <= digit.len() && digit.len() - all < 8, "{}", all);
            prop_assert_eq!(zeros(format!("{zero}{rest}").as_bytes()), zero.len());
            prop_assert_eq!(zeros(format!("{zero}7{digit}").as_bytes()), zero.len());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = entries(&bytes).count() + elements(&bytes).count();
        }
    }
}
