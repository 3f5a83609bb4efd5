//! The size limit of answers. No message is larger than its caller accepts: the default of gRPC clients, or what the
//! caller says in the request metadata, up to the service's own limit. A larger answer is refused before anything is
//! sent. A write whose answer would be too large answers with fewer fields of the resource.

use bytes::Bytes;
use orrery_proto::wire::Encoded;
use prost::encoding::{WireType, encode_key, encode_varint};
use tonic::Request;
use tonic::metadata::MetadataMap;

use crate::config::MIN_ANSWER_BYTES;
use crate::consistency::single_value;
use crate::error::Error;
use crate::error::too_large::AnswerTooLarge;
pub use crate::error::too_large::MAX_ANSWER_BYTES;

/// Response metadata of a write: the fields that were left out of the answer because it would have been too large.
pub const OMITTED_FIELDS: &str = "x-omitted-fields";
/// The default limit of grpc-go, grpc-java, grpc-js, tonic and everything on gRPC's C core (Python, Ruby, PHP).
pub const DEFAULT_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// The header of a message: the compressed flag and the length. Clients do not count it; it is counted here to be safe.
const FRAME_HEADER: usize = 5;
/// Space in a page that is reserved for its token.
const TOKEN_RESERVE: usize = 8 * 1024;

/// A written resource, as the answer to its write.
#[derive(Clone, Debug)]
pub struct WrittenResource {
    /// The resource, as far as it fits.
    pub message: Encoded,
    /// The fields that were left out because they do not fit.
    pub omitted: Vec<&'static str>,
    /// Whether it is an existing resource that a rule returned instead of creating one.
    pub existing: bool,
}

/// Most bytes that [`WrittenResource::deduplicated`] adds: two tags, a length and a boolean.
pub(crate) const DEDUPLICATED_BYTES: usize = 16;

impl WrittenResource {
    /// The answer `{Resource = 1; bool deduplicated = 2}` that holds this resource.
    pub(crate) fn deduplicated(self) -> Self {
        let Self { message, omitted, existing } = self;
        let Encoded { body, tail, rows } = message;
        let mut answer = Vec::with_capacity(body.len() + tail.len() + DEDUPLICATED_BYTES);
        encode_key(1, WireType::LengthDelimited, &mut answer);
        encode_varint((body.len() + tail.len()) as u64, &mut answer);
        answer.extend_from_slice(&body);
        answer.extend_from_slice(&tail);
        if existing {
            prost::encoding::bool::encode(2, &existing, &mut answer);
        }
        Self { message: Encoded { body: answer.into(), tail: Bytes::new(), rows }, omitted, existing }
    }
}

/// The service's own limit on answers. It is in the extensions of every request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerBound(pub(crate) usize);

/// The size limit for the answer to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerLimit {
    /// What the caller accepts, in bytes.
    accepted: usize,
    /// The most that a caller may ask for.
    bound: usize,
}

impl AnswerLimit {
    /// No limit: for rows that become part of an answer which is checked itself.
    pub const UNBOUNDED: Self = Self { accepted: usize::MAX, bound: usize::MAX };

    /// The limit of a request. A request that came through no server, as in a test, has the default limit.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the metadata's key.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Error> {
        let bound = request.extensions().get::<AnswerBound>().map_or(DEFAULT_ANSWER_BYTES, |bound| bound.0);
        let accepted = asked_for(request.metadata())?.unwrap_or(DEFAULT_ANSWER_BYTES).min(bound);
        Ok(Self { accepted, bound })
    }

    /// Maximum size of a message in bytes.
    pub fn bytes(self) -> usize {
        self.accepted - FRAME_HEADER
    }

    /// Maximum size in bytes of the rows of a page, if the service would send `page_bytes`: a token follows them.
    pub fn page_bytes(self, page_bytes: usize) -> usize {
        page_bytes.min(self.accepted - TOKEN_RESERVE)
    }

    /// The same limit, reduced by bytes that something else needs.
    #[must_use]
    pub fn without(self, bytes: usize) -> Self {
        Self { accepted: self.accepted.saturating_sub(bytes).max(FRAME_HEADER), ..self }
    }

    /// Checks that a message of this size may be sent.
    ///
    /// # Errors
    /// [`Error::AnswerTooLarge`].
    pub fn check(self, bytes: usize) -> Result<(), Error> {
        if bytes > self.bytes() { Err(self.exceeded(bytes)) } else { Ok(()) }
    }

    /// Returns the message if its size is allowed.
    ///
    /// # Errors
    /// [`Error::AnswerTooLarge`].
    pub fn checked(self, message: Encoded) -> Result<Encoded, Error> {
        self.check(message.len()).map(|()| message)
    }

    /// The error for an answer of at least this size.
    pub fn exceeded(self, bytes: usize) -> Error {
        Error::AnswerTooLarge(AnswerTooLarge { bytes, accepted: self.accepted, bound: self.bound, row: None })
    }
}

/// The limit in the metadata of a request.
fn asked_for(metadata: &MetadataMap) -> Result<Option<usize>, Error> {
    let Some(text) = single_value(metadata, MAX_ANSWER_BYTES)? else { return Ok(None) };
    // A number that does not fit counts as the largest one.
    let bytes = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().unwrap_or(usize::MAX));
    match bytes.filter(|&bytes| !text.is_empty() && bytes >= MIN_ANSWER_BYTES) {
        Some(bytes) => Ok(Some(bytes)),
        None => {
            Err(Error::invalid(MAX_ANSWER_BYTES, format!("must be a number of bytes, at least {MIN_ANSWER_BYTES}")))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn limit(values: &[&str], bound: Option<usize>) -> Result<AnswerLimit, Error> {
        let mut request = Request::new(());
        for value in values {
            request.metadata_mut().append(MAX_ANSWER_BYTES, value.parse().unwrap());
        }
        if let Some(bound) = bound {
            request.extensions_mut().insert(AnswerBound(bound));
        }
        AnswerLimit::of(&request)
    }

    #[test]
    fn a_caller_who_says_nothing_takes_what_clients_take_by_default() {
        let unsaid = limit(&[], Some(64 << 20)).unwrap();
        assert!(unsaid.check((4 << 20) - FRAME_HEADER).is_ok());
        assert!(unsaid.check((4 << 20) - FRAME_HEADER + 1).is_err());
        assert_eq!(limit(&[], Some(1 << 20)).unwrap().bytes(), (1 << 20) - FRAME_HEADER);
        assert_eq!(limit(&[], None).unwrap(), AnswerLimit { accepted: 4 << 20, bound: 4 << 20 });
    }

    #[test]
    fn a_caller_gets_as_much_as_it_says_and_never_more_than_the_service_sends() {
        let bytes = |value: &str| limit(&[value], Some(16 << 20)).unwrap().bytes() + FRAME_HEADER;
        assert_eq!(bytes("65536"), 64 << 10);
        assert_eq!(bytes("8388608"), 8 << 20);
        assert_eq!(bytes("16777217"), 16 << 20);
        assert_eq!(bytes("99999999999999999999999999"), 16 << 20);
        assert_eq!(limit(&["65536"], None).unwrap().page_bytes(1 << 20), (64 << 10) - TOKEN_RESERVE);
        assert_eq!(limit(&[], None).unwrap().page_bytes(1 << 20), 1 << 20);
    }

    #[test]
    fn a_deduplicated_answer_holds_the_resource_and_whether_it_was_there() {
        for (existing, end) in [(false, &b""[..]), (true, &b"\x10\x01"[..])] {
            let message = Encoded { body: "\n\x03mda".into(), tail: Bytes::new(), rows: 1 };
            let answer = WrittenResource { message, omitted: vec!["labels"], existing }.deduplicated();
            assert_eq!(answer.message.body, [&b"\n\x05\n\x03mda"[..], end].concat());
            assert_eq!((answer.message.rows, answer.omitted), (1, vec!["labels"]));
        }
        let message = Encoded { body: vec![0; 64 << 20].into(), tail: Bytes::new(), rows: 1 };
        let answer = WrittenResource { message, omitted: Vec::new(), existing: true }.deduplicated();
        assert!(answer.message.len() <= (64 << 20) + DEDUPLICATED_BYTES);
    }

    #[test]
    fn what_is_no_size_is_refused_by_name() {
        for values in
            [&[""][..], &["0"], &["65535"], &["-1"], &["+70000"], &["1e6"], &["4MiB"], &[" 70000"], &["70000", "70000"]]
        {
            match limit(values, Some(16 << 20)) {
                Err(Error::Invalid(violations)) => assert_eq!(violations[0].field, MAX_ANSWER_BYTES, "{values:?}"),
                other => unreachable!("{values:?}: {other:?}"),
            }
        }
    }
}
