//! The codec of Orrery's servers: protobuf, with three differences from tonic's own. A response may be encoded already
//! ([`Encoded`]); a request that cannot be decoded is the caller's mistake, INVALID_ARGUMENT that names the field,
//! where tonic would say INTERNAL; and a request is decoded as a whole only where that cannot take many times its size
//! ([`Incoming`]).

use std::marker::PhantomData;

use bytes::{Buf as _, BufMut as _, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::r#type::v1::ErrorReason;
use crate::wire::Encoded;

/// The domain of every `google.rpc.ErrorInfo` that Orrery sends.
pub const ERROR_DOMAIN: &str = "orrery";

/// The bytes that each side of a call has from its beginning: most unary calls never need more. What is larger is
/// allocated when its size is known. tonic's 8 KiB are beyond what an allocator hands out at once.
const BUFFER: usize = 512;
/// So many bytes are encoded before they are sent; tonic's default.
const YIELD: usize = 32 * 1024;

/// What [`ServerCodec`] can send: every message, and [`Encoded`].
pub trait Outgoing {
    /// Writes the message's bytes.
    fn put(self, buffer: &mut EncodeBuf<'_>);
}

impl<M: Message> Outgoing for M {
    fn put(self, buffer: &mut EncodeBuf<'_>) {
        buffer.reserve(self.encoded_len());
        self.encode_raw(buffer);
    }
}

impl Outgoing for Encoded {
    fn put(self, buffer: &mut EncodeBuf<'_>) {
        buffer.reserve(self.len());
        buffer.put_slice(&self.body);
        buffer.put_slice(&self.tail);
    }
}

/// Most bytes of a request that holds no rows, and of what stands beside the rows in one that does: decoded, a list of
/// nothing takes twelve times as many. A filter of as many uids as one may have, each as long as it may be, has half of
/// that.
pub const LARGEST_REQUEST: usize = 512 * 1024;
/// Most bytes of a request that asks whether rows exist, of 10,000 uids, or which rows have some names, of 1,000 names,
/// and of one that holds 1 MiB of content.
pub const LARGEST_CHECK: usize = 2 * 1024 * 1024;

/// What [`ServerCodec`] can take.
pub trait Incoming: Sized {
    /// Reads a request.
    ///
    /// # Errors
    /// INVALID_ARGUMENT with the reason MESSAGE_MALFORMED.
    fn take(message: Bytes) -> Result<Self, Status>;
}

/// `google.protobuf.StringValue`.
impl Incoming for String {
    fn take(message: Bytes) -> Result<Self, Status> {
        decode(message, LARGEST_REQUEST)
    }
}

/// Reads a request of at most so many bytes as a whole.
///
/// # Errors
/// INVALID_ARGUMENT with the reason MESSAGE_MALFORMED.
pub fn decode<U: Message + Default>(message: Bytes, most: usize) -> Result<U, Status> {
    if message.len() > most {
        return Err(too_large("", message.len(), most));
    }
    U::decode(message).map_err(|error| malformed("", &error.to_string()))
}

/// Encodes responses `T` and decodes requests `U`.
#[derive(Debug)]
pub struct ServerCodec<T, U>(PhantomData<fn() -> (T, U)>);

impl<T, U> Default for ServerCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for ServerCodec<T, U>
where
    T: Outgoing + Send + 'static,
    U: Incoming + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ServerEncoder<T>;
    type Decoder = ServerDecoder<U>;

    fn encoder(&mut self) -> ServerEncoder<T> {
        ServerEncoder(PhantomData)
    }

    fn decoder(&mut self) -> ServerDecoder<U> {
        ServerDecoder(PhantomData)
    }
}

/// The encoding half of [`ServerCodec`].
#[derive(Debug)]
pub struct ServerEncoder<T>(PhantomData<fn() -> T>);

impl<T: Outgoing> Encoder for ServerEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.put(buffer);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, YIELD)
    }
}

/// The decoding half of [`ServerCodec`].
#[derive(Debug)]
pub struct ServerDecoder<U>(PhantomData<fn() -> U>);

impl<U: Incoming> Decoder for ServerDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // Not copied: the buffer gives its bytes away.
        U::take(buffer.copy_to_bytes(buffer.remaining())).map(Some)
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, YIELD)
    }
}

/// The status for bytes that are no message, from prost's description: "failed to decode Protobuf message:
/// Product.name: why" (the path is there for known fields only). `within` is the field that holds the message; empty
/// if it is the request.
pub(crate) fn malformed(within: &str, description: &str) -> Status {
    // The first one: a field may be called message.
    let rest = description.split_once("message: ").map_or(description, |(_, rest)| rest);
    let (steps, why) = steps(rest);
    let path = field_path(&steps);
    let both = !within.is_empty() && !path.is_empty();
    malformed_field(&format!("{within}{}{path}", if both { "." } else { "" }), why)
}

/// The status for a field whose bytes are not what it holds; an empty name stands for the request.
pub fn malformed_field(field: &str, why: &str) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason_name(ErrorReason::MessageMalformed), ERROR_DOMAIN, std::collections::HashMap::new());
    if field.is_empty() {
        return Status::with_error_details(
            tonic::Code::InvalidArgument,
            format!("the request is no message of its type: {why}"),
            details,
        );
    }
    details.add_bad_request_violation(field, why);
    Status::with_error_details(tonic::Code::InvalidArgument, format!("{field}: {why}"), details)
}

/// The status for a field, or a request, of more bytes than it may have.
pub(crate) fn too_large(field: &str, bytes: usize, most: usize) -> Status {
    malformed_field(field, &format!("has {bytes} bytes beside its rows; at most {most} are allowed"))
}

/// The fields that a description begins with, innermost first, and what it says behind them: `Product.name:
/// CreateProductRequest.product` names fields as `Message.field`.
fn steps(description: &str) -> (Vec<&str>, &str) {
    let is_name =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let mut steps = Vec::new();
    let mut rest = description;
    while let Some((step, behind)) = rest.split_once(": ")
        && let Some((message, field)) = step.split_once('.')
        && is_name(message)
        && is_name(field)
    {
        steps.push(field);
        rest = behind;
    }
    (steps, rest)
}

fn field_path(steps: &[&str]) -> String {
    steps.iter().rev().copied().collect::<Vec<_>>().join(".")
}

/// A reason as it stands in `google.rpc.ErrorInfo`: the enum value's name without its prefix.
pub fn reason_name(reason: ErrorReason) -> &'static str {
    reason.as_str_name().trim_start_matches("ERROR_REASON_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::v1::{CreateProductRequest, ListProductsRequest};

    fn fields_told(status: &Status) -> Vec<String> {
        let bad = status.get_details_bad_request();
        bad.into_iter().flat_map(|bad| bad.field_violations).map(|violation| violation.field).collect()
    }

    #[test]
    fn malformed_text_is_named_from_the_request_inwards() {
        // product { name: "caf\xe9" }
        let bytes: &[u8] = &[0x0a, 6, 0x12, 4, b'c', b'a', b'f', 0xe9];
        let Err(error) = CreateProductRequest::decode(bytes) else { unreachable!("it is not UTF-8") };
        assert_eq!(fields_told(&malformed("", &error.to_string())), ["product.name"]);
        assert_eq!(fields_told(&malformed("within", &error.to_string())), ["within.product.name"]);
        // filter { label_selector: "\xff" }
        let Err(status) = ListProductsRequest::take(vec![0x0a, 3, 0x0a, 1, 0xff].into()) else {
            unreachable!("it is not UTF-8")
        };
        assert_eq!(fields_told(&status), ["filter.label_selector"]);
    }

    #[test]
    fn a_text_is_told_whole_although_it_holds_a_colon() {
        let told = |request: &[u8]| {
            let Err(error) = CreateProductRequest::decode(request) else { unreachable!("it is no message") };
            let status = malformed("", &error.to_string());
            (status.message().to_owned(), fields_told(&status))
        };
        let no_field = |request: &[u8], why: &str| {
            let text = format!("the request is no message of its type: {why}");
            assert_eq!(told(request), (text, Vec::new()));
        };
        no_field(&[0x0e], "invalid wire type value: 6");
        no_field(&[0x02, 0], "invalid tag value: 0");
        no_field(&[0xff, 0xff, 0xff, 0xff, 0x7f], "invalid key value: 34359738367");
        // product { uid: a varint }
        let why = "product.uid: invalid wire type: Varint (expected LengthDelimited)";
        assert_eq!(told(&[0x0a, 2, 0x08, 1]), (why.to_owned(), vec!["product.uid".to_owned()]));
        // product { a field of wire type 7 }
        let why = "product: invalid wire type value: 7";
        assert_eq!(told(&[0x0a, 1, 0x0f]), (why.to_owned(), vec!["product".to_owned()]));
    }
}
