//! Tuples: for every column a 4-byte length, -1 for null, and the value in Postgres's binary format.

use bytes::BufMut as _;

/// The length of a null.
pub(crate) const NULL: i32 = -1;

/// The columns of a tuple, one by one; a null is `None`.
#[derive(Clone, Debug)]
pub struct Columns<'a> {
    rest: &'a [u8],
}

impl<'a> Columns<'a> {
    /// The columns of a tuple.
    #[inline]
    pub fn new(tuple: &'a [u8]) -> Self {
        Self { rest: tuple }
    }

    /// What is left of the tuple.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Columns<'a> {
    type Item = Option<&'a [u8]>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            self.rest = rest;
            return Some(None);
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Some(value))
    }
}

/// The first columns of a tuple, each with its length.
pub(crate) fn prefix(tuple: &[u8], columns: usize) -> &[u8] {
    let mut rest = Columns::new(tuple);
    rest.by_ref().take(columns).for_each(drop);
    &tuple[..tuple.len() - rest.rest().len()]
}

/// Appends a value with its length.
pub(crate) fn put_prefixed(tuple: &mut Vec<u8>, value: &[u8]) {
    tuple.put_i32(value.len() as i32);
    tuple.extend_from_slice(value);
}

/// Writes the length of the value that began at `at`.
pub(super) fn end_value(tuple: &mut [u8], at: usize) {
    let length = (tuple.len() - at - 4) as i32;
    tuple[at..at + 4].copy_from_slice(&length.to_be_bytes());
}
