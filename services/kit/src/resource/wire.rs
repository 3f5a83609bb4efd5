//! The few pieces of the protobuf wire format (protobuf.dev, "Encoding") that rows need: varints, keys,
//! length-delimited fields.

/// A field whose value is eight bytes.
const FIXED64: u32 = 1;
/// A field whose value is a length and that many bytes.
pub(super) const LENGTH_DELIMITED: u32 = 2;

/// Appends a varint.
#[inline]
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes a varint takes.
#[inline]
pub(super) fn varint_length(value: u64) -> usize {
    // Seven bits a byte: ceil(bits / 7), at least one.
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends the key and length of a length-delimited field.
#[inline]
pub(super) fn put_header(out: &mut Vec<u8>, number: u32, length: usize) {
    put_varint(out, u64::from(number << 3 | LENGTH_DELIMITED));
    put_varint(out, length as u64);
}

/// Appends a length-delimited field.
#[inline]
pub(super) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_header(out, number, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends a length-delimited field whose bytes `put` appends. They are moved if their length takes more than one byte,
/// which costs less than a separate vector.
#[inline]
pub(super) fn put_nested(out: &mut Vec<u8>, number: u32, put: impl FnOnce(&mut Vec<u8>)) {
    put_varint(out, u64::from(number << 3 | LENGTH_DELIMITED));
    let at = out.len();
    out.push(0);
    put(out);
    let length = out.len() - at - 1;
    if length < 0x80 {
        out[at] = length as u8;
        return;
    }
    let end = out.len();
    let more = varint_length(length as u64) - 1;
    out.resize(end + more, 0);
    out.copy_within(at + 1..end, at + 1 + more);
    let mut rest = length;
    for byte in &mut out[at..at + more] {
        *byte = rest as u8 | 0x80;
        rest >>= 7;
    }
    out[at + more] = rest as u8;
}

/// Appends a varint field.
#[inline]
pub(super) fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number << 3));
    put_varint(out, value);
}

/// Appends a field of eight bytes.
#[inline]
pub(super) fn put_fixed64(out: &mut Vec<u8>, number: u32, bits: u64) {
    put_varint(out, u64::from(number << 3 | FIXED64));
    out.extend_from_slice(&bits.to_le_bytes());
}

/// The value of one field on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32,
}

/// Reads a message's fields one by one.
pub(super) struct FieldReader<'a> {
    rest: &'a [u8],
}

/// The bytes are no protobuf message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'a> FieldReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    #[inline]
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next field's number and value; `None` at the end.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed)?;
        let number = key >> 3;
        if number == 0 {
            return Err(Malformed);
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().map_err(|_| Malformed)?)),
            LENGTH_DELIMITED => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Value::Fixed32
            }
            // Groups (3 and 4) are of proto2; 6 and 7 do not exist.
            _ => return Err(Malformed),
        };
        Ok(Some((number, value)))
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for (at, &byte) in self.rest.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if at == 9 && bits > 1 {
                return Err(Malformed);
            }
            value |= bits << (7 * at);
            if byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(Malformed)
    }
}

/// Why a chunk cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadChunk {
    /// Its bytes are no chunk.
    Chunk,
    /// Its offset is no number.
    Offset,
    /// Its rows are no messages.
    Rows,
}

/// An encoded [`WriteChunk`](orrery_proto::wire::WriteChunk). Only the requested fields are decoded.
pub(crate) struct ChunkReader<'a> {
    message: &'a [u8],
    /// The offset of its first row.
    pub(crate) offset: i64,
    /// How many rows it has.
    pub(crate) count: usize,
}

impl<'a> ChunkReader<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Result<Self, BadChunk> {
        let mut chunk = Self { message, offset: 0, count: 0 };
        let mut reader = FieldReader::new(message);
        while let Some(field) = reader.next().map_err(|Malformed| BadChunk::Chunk)? {
            match field {
                (1, Value::Varint(offset)) => chunk.offset = offset.cast_signed(),
                (1, _) => return Err(BadChunk::Offset),
                (2, Value::Bytes(_)) => chunk.count += 1,
                (2, _) => return Err(BadChunk::Rows),
                _ => {}
            }
        }
        Ok(chunk)
    }

    /// Its rows, each an encoded resource.
    pub(crate) fn rows(&self) -> Vec<&'a [u8]> {
        let mut rows = Vec::with_capacity(self.count);
        let mut reader = FieldReader::new(self.message);
        while let Ok(Some((number, value))) = reader.next() {
            if let (2, Value::Bytes(row)) = (number, value) {
                rows.push(row);
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_chunk_is_taken_apart() {
        use orrery_proto::wire::WriteChunk;
        use prost::Message as _;
        let rows = vec![b"one".to_vec().into(), bytes::Bytes::new(), b"three".to_vec().into()];
        let encoded = WriteChunk { offset: -7, rows: rows.clone() }.encode_to_vec();
        let chunk = ChunkReader::new(&encoded).expect("a chunk");
        assert_eq!((chunk.offset, chunk.count), (-7, 3));
        assert_eq!(chunk.rows(), rows);
        let bad = |bytes: &[u8]| ChunkReader::new(bytes).map(|chunk| chunk.count);
        assert_eq!(bad(&[]), Ok(0));
        assert_eq!(bad(&[0x0d, 0, 0, 0, 0]), Err(BadChunk::Offset));
        assert_eq!(bad(&[0x10, 1]), Err(BadChunk::Rows));
        assert_eq!(bad(&[0x12, 5, 0]), Err(BadChunk::Chunk));
    }

    proptest! {
        #[test]
        fn a_varint_comes_back_and_its_length_is_known(value: u64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            prop_assert_eq!(out.len(), varint_length(value));
            prop_assert_eq!(FieldReader::new(&out).varint(), Ok(value));
        }

        #[test]
        fn a_nested_field_is_its_bytes(
            before: Vec<u8>,
            length in prop_oneof![0_usize..400, 16_300..16_500_usize],
            number in 1_u32..40,
        ) {
            let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let (mut expected, mut out) = (before.clone(), before);
            put_bytes(&mut expected, number, &bytes);
            put_nested(&mut out, number, |out| out.extend_from_slice(&bytes));
            prop_assert_eq!(out, expected);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let mut reader = FieldReader::new(&bytes);
            while let Ok(Some(_)) = reader.next() {}
        }
    }
}
