//! Converts input tuples to new rows in the binary format that Postgres takes: unset fields get their defaults,
//! decimals become `numeric`.

use bytes::BufMut as _;

use super::Resource;
use super::tuple::Columns;

impl Resource {
    /// Appends an input tuple as a row of `COPY ... (format binary)` over [`Resource::inputs`]. `now` is in
    /// microseconds since 2000-01-01 UTC.
    pub fn put_new_row(&self, tuple: &[u8], now: i64, row: &mut Vec<u8>) {
        row.put_i16(self.inputs().count() as i16);
        for (field, value) in self.inputs().zip(Columns::new(tuple)) {
            field.kind.put_new(value, now, row);
        }
    }
}
