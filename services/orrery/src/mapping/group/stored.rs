//! The encoding of groups in temporary files.

use anyhow::Context as _;
use chrono::DateTime;
use prost::Message;

use crate::mapping::plan::Values;
use crate::mapping::rule::Assigned;
use crate::mapping::target::Scalar;

/// The values of some records of a group.
#[derive(Debug)]
pub(super) struct Part {
    /// The number of parts that began before.
    pub(super) begun: u64,
    /// The line of the first record.
    pub(super) line: u64,
    /// Whether a record was refused.
    pub(super) refused: bool,
    /// None if all records were refused.
    pub(super) values: Option<Box<Values>>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredPart {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(uint64, tag = "2")]
    begun: u64,
    #[prost(uint64, tag = "3")]
    line: u64,
    #[prost(bool, tag = "4")]
    refused: bool,
    #[prost(message, optional, tag = "5")]
    values: Option<StoredValues>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredValues {
    #[prost(message, repeated, tag = "1")]
    assigned: Vec<StoredAssigned>,
    #[prost(bytes = "vec", tag = "2")]
    elements: Vec<u8>,
    #[prost(uint64, tag = "3")]
    left_out: u64,
}

#[derive(Clone, PartialEq, Message)]
struct StoredAssigned {
    #[prost(bool, tag = "1")]
    are_keys: bool,
    #[prost(message, repeated, tag = "2")]
    scalars: Vec<StoredScalar>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredScalar {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(oneof = "StoredKind", tags = "2, 3, 4, 5, 6, 7, 8")]
    kind: Option<StoredKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum StoredKind {
    #[prost(string, tag = "2")]
    Text(String),
    #[prost(int64, tag = "3")]
    Integer(i64),
    #[prost(uint64, tag = "4")]
    Unsigned(u64),
    #[prost(double, tag = "5")]
    Double(f64),
    #[prost(bool, tag = "6")]
    Boolean(bool),
    #[prost(int32, tag = "7")]
    Enumerator(i32),
    #[prost(message, tag = "8")]
    Instant(prost_types::Timestamp),
}

/// Encodes a part of the group with this key.
pub(super) fn encode(key: &str, part: Part) -> Vec<u8> {
    let Part { begun, line, refused, values } = part;
    let values = values.map(|values| {
        let Values { assigned, elements, left_out, .. } = *values;
        let assigned = assigned.into_iter().map(store).collect();
        StoredValues { assigned, elements, left_out: left_out as u64 }
    });
    StoredPart { key: key.to_owned(), begun, line, refused, values }.encode_to_vec()
}

/// Decodes a part and the key of its group.
pub(super) fn decode(bytes: &[u8]) -> anyhow::Result<(String, Part)> {
    let StoredPart { key, begun, line, refused, values } =
        StoredPart::decode(bytes).context("a temporary file has been changed")?;
    let values = values
        .map(|StoredValues { assigned, elements, left_out }| {
            let assigned = assigned.into_iter().map(load).collect::<Option<_>>();
            let assigned = assigned.context("a temporary file has been changed")?;
            let values = Values { assigned, elements, left_out: left_out as usize, ..Values::default() };
            anyhow::Ok(Box::new(values))
        })
        .transpose()?;
    Ok((key, Part { begun, line, refused, values }))
}

fn store(assigned: Assigned) -> StoredAssigned {
    let (are_keys, scalars) = match assigned {
        Assigned::Nothing => (false, Vec::new()),
        Assigned::One(scalar) => (false, vec![(String::new(), scalar)]),
        Assigned::Keys(keys) => (true, keys),
    };
    let store = |(key, scalar)| StoredScalar { key, kind: Some(kind(scalar)) };
    StoredAssigned { are_keys, scalars: scalars.into_iter().map(store).collect() }
}

fn kind(scalar: Scalar) -> StoredKind {
    match scalar {
        Scalar::Text(text) => StoredKind::Text(text),
        Scalar::Integer(number) => StoredKind::Integer(number),
        Scalar::Unsigned(number) => StoredKind::Unsigned(number),
        Scalar::Double(number) => StoredKind::Double(number),
        Scalar::Boolean(value) => StoredKind::Boolean(value),
        Scalar::Enumerator(number) => StoredKind::Enumerator(number),
        Scalar::Instant(time) => {
            let nanos = time.timestamp_subsec_nanos() as i32;
            StoredKind::Instant(prost_types::Timestamp { seconds: time.timestamp(), nanos })
        }
    }
}

fn load(stored: StoredAssigned) -> Option<Assigned> {
    let scalar = |StoredScalar { key, kind }| Some((key, scalar(kind?)?));
    let mut scalars = stored.scalars.into_iter().map(scalar);
    if stored.are_keys {
        return scalars.collect::<Option<_>>().map(Assigned::Keys);
    }
    match scalars.next() {
        None => Some(Assigned::Nothing),
        Some(scalar) => scalar.map(|(_, scalar)| Assigned::One(scalar)),
    }
}

fn scalar(kind: StoredKind) -> Option<Scalar> {
    Some(match kind {
        StoredKind::Text(text) => Scalar::Text(text),
        StoredKind::Integer(number) => Scalar::Integer(number),
        StoredKind::Unsigned(number) => Scalar::Unsigned(number),
        StoredKind::Double(number) => Scalar::Double(number),
        StoredKind::Boolean(value) => Scalar::Boolean(value),
        StoredKind::Enumerator(number) => Scalar::Enumerator(number),
        StoredKind::Instant(time) => {
            Scalar::Instant(DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?)?)
        }
    })
}
