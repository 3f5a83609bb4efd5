//! New rows, from input tuples to the binary format in which Postgres takes them: what a caller left unset gets its default, decimals become
//! `numeric`.

use bytes::BufMut as _;

use super::document::put_string;
use super::tuple::{Columns, NULL, end_value, put_prefixed};
use super::{Kind, Resource, TextRule, TimestampRule};
use crate::decimal::Decimal;

const JSONB_VERSION: u8 = 1;

impl Resource {
    /// Appends an input tuple as a row of `COPY ... (format binary)` over [`Resource::inputs`]. `now` is in microseconds since
    /// 2000-01-01 UTC.
    pub fn put_new_row(&self, tuple: &[u8], now: i64, out: &mut Vec<u8>) {
        out.put_i16(self.inputs().count() as i16);
        for (field, value) in self.inputs().zip(Columns::new(tuple)) {
            match (field.kind, value) {
                (Kind::Decimal { .. }, value) => {
                    let text = std::str::from_utf8(value.unwrap_or(b"0")).unwrap_or_default();
                    let at = out.len();
                    out.put_i32(0);
                    Decimal::put_numeric(text, out);
                    end_value(out, at);
                }
                (Kind::Status { default_phase, .. }, value) => put_status(value, default_phase, out),
                (_, Some(value)) => put_prefixed(out, value),
                (Kind::Timestamp(TimestampRule::Free), None) => out.put_i32(NULL),
                (Kind::Timestamp(_), None) => put_prefixed(out, &now.to_be_bytes()),
                (Kind::Map(_), None) => put_prefixed(out, b"\x01{}"),
                (Kind::Text(TextRule::Free { nullable: false, .. }), None) => put_prefixed(out, b""),
                (Kind::TextList { .. }, None) => put_prefixed(out, b"\x01[]"),
                (Kind::Text(_) | Kind::Integer(_) | Kind::Revision | Kind::Etag | Kind::Part(_), None) => {
                    out.put_i32(NULL);
                }
            }
        }
    }
}

/// A status with the default phase where it names none. Postgres sorts the keys and keeps the last of two that are equal.
fn put_status(value: Option<&[u8]>, default_phase: &str, out: &mut Vec<u8>) {
    let at = out.len();
    out.put_i32(0);
    out.extend_from_slice(&[JSONB_VERSION, b'{']);
    put_string(out, "phase");
    out.extend_from_slice(b": ");
    put_string(out, default_phase);
    match value.and_then(|value| value.get(2..)) {
        Some(rest) if rest.len() > 1 => {
            out.extend_from_slice(b", ");
            out.extend_from_slice(rest);
        }
        _ => out.push(b'}'),
    }
    end_value(out, at);
}
