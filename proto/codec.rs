//! The codec of Orrery's servers: protobuf, with two differences from tonic's own. A response may be encoded already
//! ([`Encoded`]), and a request that cannot be decoded is the caller's mistake: INVALID_ARGUMENT that names the field, where tonic
//! would say INTERNAL.

use std::marker::PhantomData;

use bytes::BufMut as _;
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::r#type::v1::ErrorReason;
use crate::wire::Encoded;

/// The domain of every `google.rpc.ErrorInfo` that Orrery sends.
pub const ERROR_DOMAIN: &str = "orrery";

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
    U: Message + Default + 'static,
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
}

/// The decoding half of [`ServerCodec`].
#[derive(Debug)]
pub struct ServerDecoder<U>(PhantomData<fn() -> U>);

impl<U: Message + Default> Decoder for ServerDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        U::decode(buffer).map(Some).map_err(|error| malformed(&error.to_string()))
    }
}

/// The status for bytes that are no message, from prost's description: "failed to decode Protobuf message: Product.name: why" (the
/// path is there for known fields only).
fn malformed(description: &str) -> Status {
    // The first one: a field may be called message.
    let rest = description.split_once("message: ").map_or(description, |(_, rest)| rest);
    let (field, why) = match rest.rsplit_once(": ") {
        Some((path, why)) => (field_path(path), why),
        None => (String::new(), rest),
    };
    let mut details = ErrorDetails::new();
    details.set_error_info(reason_name(ErrorReason::MessageMalformed), ERROR_DOMAIN, std::collections::HashMap::new());
    if field.is_empty() {
        return Status::with_error_details(
            tonic::Code::InvalidArgument,
            format!("the request is no message of its type: {why}"),
            details,
        );
    }
    details.add_bad_request_violation(field.clone(), why);
    Status::with_error_details(tonic::Code::InvalidArgument, format!("{field}: {why}"), details)
}

/// `Product.name: CreateProductRequest.product` names the fields as `Message.field`, innermost first. Of a oneof it has the oneof's name:
/// that of a chunked write, whose members are messages of their own, gives way to the member's.
fn field_path(path: &str) -> String {
    let mut names = Vec::new();
    let mut inner = "";
    for step in path.split(": ") {
        let Some((message, field)) = step.split_once('.') else { continue };
        names.push(match (message, field, inner) {
            ("WriteRequest", "message", "WriteStart") => "start",
            ("WriteRequest", "message", "WriteChunk") => "chunk",
            _ => field,
        });
        inner = message;
    }
    names.reverse();
    names.join(".")
}

/// A reason as it stands in `google.rpc.ErrorInfo`: the enum value's name without its prefix.
pub fn reason_name(reason: ErrorReason) -> &'static str {
    reason.as_str_name().trim_start_matches("ERROR_REASON_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::v1::CreateProductRequest;
    use crate::wire::WriteRequest;

    fn fields_told(error: &prost::DecodeError) -> Vec<String> {
        let bad = malformed(&error.to_string()).get_details_bad_request();
        bad.into_iter().flat_map(|bad| bad.field_violations).map(|violation| violation.field).collect()
    }

    #[test]
    fn malformed_text_is_named_from_the_request_inwards() {
        // product { name: "caf\xe9" }
        let bytes: &[u8] = &[0x0a, 6, 0x12, 4, b'c', b'a', b'f', 0xe9];
        let Err(error) = CreateProductRequest::decode(bytes) else { unreachable!("it is not UTF-8") };
        assert_eq!(fields_told(&error), ["product.name"]);
    }

    #[test]
    fn malformed_text_of_a_chunked_write_is_named_by_the_member() {
        // start { write_id: "\xff" }
        let Err(error) = WriteRequest::decode(&[0x0a, 3, 0x0a, 1, 0xff][..]) else { unreachable!("it is not UTF-8") };
        assert_eq!(fields_told(&error), ["start.write_id"]);
        // chunk { offset: a fixed64 }
        let Err(error) = WriteRequest::decode(&[0x12, 9, 0x09, 0, 0, 0, 0, 0, 0, 0, 0][..]) else {
            unreachable!("it is no varint")
        };
        assert_eq!(fields_told(&error), ["chunk.offset"]);
    }
}
