//! Requests that hold rows, as a server takes them: the rows stay bytes. Decoded as prost would, an empty entry of a
//! list, which is two bytes of a message, becomes a value of some hundred; and what takes long is done where it holds
//! up nobody, which is not here.

use bytes::{Buf as _, Bytes, BytesMut};
use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_types::FieldMask;
use tonic::Status;

use crate::codec::{Incoming, LARGEST_REQUEST, malformed, malformed_field, too_large};
use crate::r#type::v1::WriteStart;

/// One message to a chunked write.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ReceivedWrite {
    /// Neither `start` nor `chunk`.
    #[default]
    Nothing,
    /// What holds for the whole stream.
    Start(WriteStart),
    /// An encoded [`WriteChunk`](crate::wire::WriteChunk).
    Chunk(Bytes),
}

/// A create:
/// `{Resource = 1; string request_id = 2; ReferenceCheck reference_check = 3; View view = 4; FieldMask read_mask = 5}`,
/// without `reference_check` if the resource has no references, and without `view` if it has no views.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReceivedCreate {
    /// The encoded resource.
    pub resource: Option<Bytes>,
    /// Makes a retry safe; may be empty.
    pub request_id: String,
    /// A `ReferenceCheck`.
    pub reference_check: i32,
    /// How much of the resource to return: a number of the resource's own enum.
    pub view: i32,
    /// Which fields of the resource to return.
    pub read_mask: Option<FieldMask>,
}

/// An update:
/// `{Resource = 1; FieldMask update_mask = 2; bool allow_missing = 3; ReferenceCheck reference_check = 4;`
/// `View view = 5; FieldMask read_mask = 6}`, without `reference_check` and `view` if a create has none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReceivedUpdate {
    /// The encoded resource.
    pub resource: Option<Bytes>,
    /// Which fields to change.
    pub update_mask: Option<FieldMask>,
    /// Whether a missing one is created.
    pub allow_missing: bool,
    /// A `ReferenceCheck`.
    pub reference_check: i32,
    /// How much of the resource to return: a number of the resource's own enum.
    pub view: i32,
    /// Which fields of the resource to return.
    pub read_mask: Option<FieldMask>,
}

impl Incoming for ReceivedWrite {
    fn take(message: Bytes) -> Result<Self, Status> {
        let pieces = Pieces::of(message, &[("start", BYTES), ("chunk", BYTES)])?;
        match pieces.last {
            Some(1) => {
                let start = bounded("start", pieces.bytes(1).unwrap_or_default())?;
                let start = WriteStart::decode(start).map_err(|error| malformed("start", &error.to_string()))?;
                Ok(Self::Start(start))
            }
            Some(_) => Ok(Self::Chunk(pieces.bytes(2).unwrap_or_default())),
            None => Ok(Self::Nothing),
        }
    }
}

impl Incoming for ReceivedCreate {
    fn take(message: Bytes) -> Result<Self, Status> {
        let pieces = Pieces::of(
            message,
            &[("", BYTES), ("request_id", BYTES), ("reference_check", NUMBER), ("view", NUMBER), ("read_mask", BYTES)],
        )?;
        let request_id = bounded("request_id", pieces.text(2))?;
        let request_id = String::from_utf8(request_id.into())
            .map_err(|_| malformed_field("request_id", "invalid string value: data is not UTF-8 encoded"))?;
        Ok(Self {
            resource: pieces.bytes(1),
            request_id,
            reference_check: pieces.number(3) as i32,
            view: pieces.number(4) as i32,
            read_mask: pieces.mask("read_mask", 5)?,
        })
    }
}

impl Incoming for ReceivedUpdate {
    fn take(message: Bytes) -> Result<Self, Status> {
        let pieces = Pieces::of(
            message,
            &[
                ("", BYTES),
                ("update_mask", BYTES),
                ("allow_missing", NUMBER),
                ("reference_check", NUMBER),
                ("view", NUMBER),
                ("read_mask", BYTES),
            ],
        )?;
        Ok(Self {
            resource: pieces.bytes(1),
            update_mask: pieces.mask("update_mask", 2)?,
            allow_missing: pieces.number(3) != 0,
            reference_check: pieces.number(4) as i32,
            view: pieces.number(5) as i32,
            read_mask: pieces.mask("read_mask", 6)?,
        })
    }
}

/// What is decoded at once is bounded as in requests without rows.
fn bounded(field: &str, bytes: Bytes) -> Result<Bytes, Status> {
    if bytes.len() > LARGEST_REQUEST { Err(too_large(field, bytes.len(), LARGEST_REQUEST)) } else { Ok(bytes) }
}

const BYTES: WireType = WireType::LengthDelimited;
const NUMBER: WireType = WireType::Varint;

/// Most fields of a message that is taken apart; the contract has six at most.
const MOST_PIECES: usize = 64;

/// A message that was taken apart.
#[derive(Default)]
struct Pieces {
    bytes: Vec<(u32, Bytes)>,
    numbers: Vec<(u32, u64)>,
    /// The number of the field that came last.
    last: Option<u32>,
}

impl Pieces {
    /// Takes a message apart whose fields, from number 1 on, have these names and wire types; others are skipped.
    fn of(mut message: Bytes, fields: &[(&str, WireType)]) -> Result<Self, Status> {
        let mut pieces = Self::default();
        let bad = |error: prost::DecodeError| malformed("", &error.to_string());
        for _ in 0..MOST_PIECES {
            if !message.has_remaining() {
                return Ok(pieces);
            }
            let (number, wire_type) = decode_key(&mut message).map_err(bad)?;
            let Some(&(name, expected)) = fields.get(number as usize - 1) else {
                skip_field(wire_type, number, &mut message, DecodeContext::default()).map_err(bad)?;
                continue;
            };
            if wire_type != expected {
                return Err(malformed_field(
                    name,
                    &format!("invalid wire type: {wire_type:?} (expected {expected:?})"),
                ));
            }
            pieces.last = Some(number);
            let value = decode_varint(&mut message).map_err(bad)?;
            if expected == NUMBER {
                pieces.numbers.push((number, value));
                continue;
            }
            let length = usize::try_from(value).ok().filter(|length| *length <= message.remaining());
            let length = length.ok_or_else(|| malformed_field(name, "buffer underflow"))?;
            pieces.bytes.push((number, message.split_to(length)));
        }
        Err(malformed_field("", &format!("holds more than {MOST_PIECES} fields")))
    }

    /// The bytes of a text; the last one counts.
    fn text(&self, number: u32) -> Bytes {
        self.bytes.iter().rfind(|(of, _)| *of == number).map(|(_, bytes)| bytes.clone()).unwrap_or_default()
    }

    /// The bytes of a message. One that comes in several pieces is the pieces joined (protobuf.dev, "Encoding").
    fn bytes(&self, number: u32) -> Option<Bytes> {
        let mut all = self.bytes.iter().filter(|(of, _)| *of == number).map(|(_, bytes)| bytes);
        let first = all.next()?;
        let Some(second) = all.next() else { return Some(first.clone()) };
        let mut joined = BytesMut::from(&first[..]);
        joined.extend_from_slice(second);
        all.for_each(|bytes| joined.extend_from_slice(bytes));
        Some(joined.freeze())
    }

    /// A mask; `name` is its field.
    fn mask(&self, name: &str, number: u32) -> Result<Option<FieldMask>, Status> {
        let mask = self.bytes(number).map(|mask| bounded(name, mask)).transpose()?;
        mask.map(FieldMask::decode).transpose().map_err(|error| malformed(name, &error.to_string()))
    }

    /// A field's number; the last one counts.
    fn number(&self, number: u32) -> u64 {
        self.numbers.iter().rfind(|(of, _)| *of == number).map_or(0, |(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use tonic::Code;
    use tonic_types::StatusExt as _;

    use super::*;
    use crate::catalog::v1::{CreateProductRequest, ListProductsRequest, Product, ProductFilter, UpdateProductRequest};
    use crate::orders::v1::{CreateOrderRequest, Order, OrderView};
    use crate::r#type::v1::{ReferenceCheck, WriteMode};
    use crate::wire::{WriteChunk, WritePayload, WriteRequest};

    /// The field that a refusal names; empty for the request.
    fn refused<U: Incoming>(message: Vec<u8>) -> String {
        let Err(status) = U::take(message.into()) else { unreachable!("it is refused") };
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.get_details_error_info().expect("a reason").reason, "MESSAGE_MALFORMED");
        let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
        violations.first().map(|violation| violation.field.clone()).unwrap_or_default()
    }

    /// A field that holds bytes.
    fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
        let mut field = Vec::new();
        prost::encoding::bytes::encode(number, &bytes.to_vec(), &mut field);
        field
    }

    #[test]
    fn what_clients_send_is_taken() {
        let product = Product { uid: "prd_a".to_owned(), ..Product::default() };
        let encoded = Some(Bytes::from(product.encode_to_vec()));
        let mask = FieldMask { paths: vec!["name".to_owned()] };
        let sent = CreateProductRequest {
            product: Some(product.clone()),
            request_id: "a".to_owned(),
            read_mask: Some(mask.clone()),
        };
        let taken = ReceivedCreate::take(sent.encode_to_vec().into()).expect("a create");
        let expected = ReceivedCreate {
            resource: encoded.clone(),
            request_id: "a".to_owned(),
            read_mask: Some(mask.clone()),
            ..ReceivedCreate::default()
        };
        assert_eq!(taken, expected);
        let sent = CreateOrderRequest {
            order: Some(Order::default()),
            request_id: String::new(),
            reference_check: ReferenceCheck::Accept.into(),
            view: OrderView::Full.into(),
            read_mask: None,
        };
        let taken = ReceivedCreate::take(sent.encode_to_vec().into()).expect("a create");
        assert_eq!((taken.resource, taken.reference_check), (Some(Bytes::new()), ReferenceCheck::Accept as i32));
        assert_eq!((taken.view, taken.read_mask), (OrderView::Full as i32, None));
        let only_uid = FieldMask { paths: vec!["uid".to_owned()] };
        let sent = UpdateProductRequest {
            product: Some(product),
            update_mask: Some(mask.clone()),
            allow_missing: true,
            read_mask: Some(only_uid.clone()),
        };
        let taken = ReceivedUpdate::take(sent.encode_to_vec().into()).expect("an update");
        let expected = ReceivedUpdate {
            resource: encoded,
            update_mask: Some(mask),
            allow_missing: true,
            read_mask: Some(only_uid),
            ..ReceivedUpdate::default()
        };
        assert_eq!(taken, expected);
        assert_eq!(ReceivedUpdate::take(Bytes::new()).expect("an update"), ReceivedUpdate::default());

        let start = WriteStart { mode: WriteMode::Create.into(), ..WriteStart::default() };
        let sent = WriteRequest { payload: Some(WritePayload::Start(start.clone())) };
        let taken = ReceivedWrite::take(sent.encode_to_vec().into()).expect("a start");
        assert_eq!(taken, ReceivedWrite::Start(start));
        let chunk = WriteChunk { offset: 7, rows: vec![Bytes::from_static(b"row")] };
        let sent = WriteRequest { payload: Some(WritePayload::Chunk(chunk.clone())) };
        let taken = ReceivedWrite::take(sent.encode_to_vec().into()).expect("a chunk");
        assert_eq!(taken, ReceivedWrite::Chunk(chunk.encode_to_vec().into()));
        assert_eq!(ReceivedWrite::take(field(9, b"unknown").into()).expect("a message"), ReceivedWrite::Nothing);
    }

    #[test]
    fn a_message_in_pieces_is_the_pieces_joined_and_of_a_oneof_the_last_counts() {
        let pieces = [field(1, b"ab"), field(2, b"x"), field(1, b"c"), field(2, b"y"), field(1, b"d")].concat();
        let taken = ReceivedCreate::take(pieces.into()).expect("a create");
        assert_eq!((taken.resource.as_deref(), taken.request_id.as_str()), (Some(&b"abcd"[..]), "y"));
        let pieces = [field(2, &[8, 1]), field(1, b""), field(2, b"")].concat();
        assert_eq!(ReceivedWrite::take(pieces.into()).expect("a chunk"), ReceivedWrite::Chunk(vec![8, 1].into()));
    }

    #[test]
    fn what_is_malformed_is_named() {
        assert_eq!(refused::<ReceivedCreate>(field(2, b"\xff")), "request_id");
        assert_eq!(refused::<ReceivedCreate>(vec![3 << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0]), "reference_check");
        assert_eq!(refused::<ReceivedUpdate>(field(2, &field(1, b"\xff"))), "update_mask.paths");
        assert_eq!(refused::<ReceivedUpdate>(field(2, b"\x0a\x05a")), "update_mask.paths");
        assert_eq!(refused::<ReceivedUpdate>(field(6, &field(1, b"\xff"))), "read_mask.paths");
        assert_eq!(refused::<ReceivedCreate>(field(5, &field(1, b"\xff"))), "read_mask.paths");
        assert_eq!(refused::<ReceivedCreate>(field(4, b"\x01")), "view");
        assert_eq!(refused::<ReceivedWrite>(field(1, &field(1, b"\xff"))), "start.write_id");
        assert_eq!(refused::<ReceivedWrite>(vec![2 << 3, 1]), "chunk");
        for cut_short in [&b"\x0a"[..], b"\x0a\x05abc", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\xff"] {
            refused::<ReceivedCreate>(cut_short.to_vec());
        }
    }

    #[test]
    fn lists_of_nothing_are_refused_before_they_take_memory() {
        let empties = |number: u8, bytes: usize| [number << 3 | 2, 0].repeat(bytes / 2);
        let most = LARGEST_REQUEST;
        assert_eq!(refused::<ReceivedWrite>(field(1, &field(4, &empties(1, most)))), "start");
        assert_eq!(refused::<ReceivedUpdate>(field(2, &empties(1, most + 2))), "update_mask");
        assert!(ReceivedUpdate::take(field(2, &empties(1, most)).into()).is_ok());
        assert_eq!(refused::<ReceivedCreate>(field(2, &vec![b'x'; most + 1])), "request_id");
        for number in [1, 9] {
            assert_eq!(refused::<ReceivedUpdate>(empties(number, 2 * MOST_PIECES + 2)), "");
        }
        // Rows may be as large as a message.
        assert!(ReceivedCreate::take(field(1, &empties(4, 10 * most)).into()).is_ok());
        assert!(ReceivedWrite::take(field(2, &empties(2, 10 * most)).into()).is_ok());
    }

    #[test]
    fn requests_without_rows_have_a_size() {
        let list = |bytes: usize| {
            let filter = ProductFilter { uids: vec![String::new(); bytes / 2 - 10], ..ProductFilter::default() };
            ListProductsRequest { filter: Some(filter), ..ListProductsRequest::default() }.encode_to_vec()
        };
        assert_eq!(refused::<ListProductsRequest>(list(LARGEST_REQUEST + 100)), "");
        assert!(ListProductsRequest::take(list(LARGEST_REQUEST).into()).is_ok());
    }
}
