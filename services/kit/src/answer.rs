//! How large an answer may be. No message is larger than its caller takes: what clients of gRPC take unless they are
//! told otherwise, or what the caller says in the request's metadata, up to the service's own bound. What is larger is
//! refused before anything is sent, and a write whose answer would be larger answers with less of the resource.

use orrery_proto::wire::Encoded;
use tonic::Request;
use tonic::metadata::MetadataMap;

use crate::config::ByteSize;
use crate::consistency::only;
use crate::error::Error;

/// Request metadata: the largest message, in bytes, that the caller takes.
pub const MAX_ANSWER_BYTES: &str = "x-max-answer-bytes";
/// Answer metadata of a write: the fields of the resource that were left out because with them the answer would have
/// been too large.
pub const OMITTED_FIELDS: &str = "x-omitted-fields";
/// What grpc-go, grpc-java, grpc-js, tonic and all that stands on gRPC's C core (Python, Ruby, PHP) take by default.
pub const DEFAULT_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// The least that a caller may take, and a service be bound to: every answer that cannot be made smaller fits.
pub const LEAST_ANSWER_BYTES: usize = 64 * 1024;
/// What stands before a message: whether it is compressed, and its length. Clients do not count it; it is counted here,
/// to be sure.
const FRAME: usize = 5;
/// What a page leaves for its token.
const TOKEN_ROOM: usize = 8 * 1024;

/// A resource that was written, as the answer of the write.
#[derive(Clone, Debug)]
pub struct Written {
    /// As much of it as fits.
    pub message: Encoded,
    /// The fields that were left out for that.
    pub omitted: Vec<&'static str>,
    /// Whether it is an existing resource that a rule put in the place of the one to be created.
    pub existing: bool,
}

/// The service's own bound on answers. In the extensions of every request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerBound(pub(crate) usize);

/// The largest answer to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerLimit {
    /// What the caller takes, in bytes.
    taken: usize,
    /// The most that it may ask for.
    bound: usize,
}

impl AnswerLimit {
    /// That of a request. One that came through no server, as in a test, has the default bound.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the metadata's key.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Error> {
        let bound = request.extensions().get::<AnswerBound>().map_or(DEFAULT_ANSWER_BYTES, |bound| bound.0);
        let taken = asked_for(request.metadata())?.unwrap_or(DEFAULT_ANSWER_BYTES).min(bound);
        Ok(Self { taken, bound })
    }

    /// The most bytes of a message.
    pub fn bytes(self) -> usize {
        self.taken - FRAME
    }

    /// The most bytes of a page's rows, of which a service would send `page_bytes`: there is a token behind them.
    pub fn page_bytes(self, page_bytes: usize) -> usize {
        page_bytes.min(self.taken - TOKEN_ROOM)
    }

    /// The same without so many bytes, which something else takes.
    #[must_use]
    pub fn without(self, bytes: usize) -> Self {
        Self { taken: self.taken.saturating_sub(bytes).max(FRAME), ..self }
    }

    /// Whether a message of so many bytes may be sent.
    ///
    /// # Errors
    /// [`Error::AnswerTooLarge`].
    pub fn check(self, bytes: usize) -> Result<(), Error> {
        if bytes > self.bytes() { Err(self.exceeded(bytes)) } else { Ok(()) }
    }

    /// The message, if it may be sent.
    ///
    /// # Errors
    /// [`Error::AnswerTooLarge`].
    pub fn checked(self, message: Encoded) -> Result<Encoded, Error> {
        self.check(message.len()).map(|()| message)
    }

    /// The refusal of an answer of at least so many bytes.
    pub fn exceeded(self, bytes: usize) -> Error {
        Error::AnswerTooLarge(AnswerTooLarge { bytes, taken: self.taken, bound: self.bound, row: None })
    }
}

/// An answer that is refused for its size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the answer has {bytes} bytes or more and the caller takes {}: \
     ask for less, or send {MAX_ANSWER_BYTES} (here up to {})",
    ByteSize(*taken),
    ByteSize(*bound)
)]
pub struct AnswerTooLarge {
    /// How many bytes it would have had, as far as it was read.
    pub bytes: usize,
    /// How many the caller takes.
    pub taken: usize,
    /// How many the service sends to a caller who takes them.
    pub bound: usize,
    /// The one row that is too large by itself, if it is one: its message type and its key.
    pub row: Option<(&'static str, String)>,
}

/// What the metadata of a request says.
fn asked_for(metadata: &MetadataMap) -> Result<Option<usize>, Error> {
    let Some(text) = only(metadata, MAX_ANSWER_BYTES)? else { return Ok(None) };
    // A number too large for this machine is as good as the largest.
    let bytes = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().unwrap_or(usize::MAX));
    match bytes.filter(|&bytes| !text.is_empty() && bytes >= LEAST_ANSWER_BYTES) {
        Some(bytes) => Ok(Some(bytes)),
        None => {
            Err(Error::invalid(MAX_ANSWER_BYTES, format!("must be a number of bytes, at least {LEAST_ANSWER_BYTES}")))
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
        assert!(unsaid.check((4 << 20) - FRAME).is_ok());
        assert!(unsaid.check((4 << 20) - FRAME + 1).is_err());
        assert_eq!(limit(&[], Some(1 << 20)).unwrap().bytes(), (1 << 20) - FRAME);
        assert_eq!(limit(&[], None).unwrap(), AnswerLimit { taken: 4 << 20, bound: 4 << 20 });
    }

    #[test]
    fn a_caller_gets_as_much_as_it_says_and_never_more_than_the_service_sends() {
        let bytes = |value: &str| limit(&[value], Some(16 << 20)).unwrap().bytes() + FRAME;
        assert_eq!(bytes("65536"), 64 << 10);
        assert_eq!(bytes("8388608"), 8 << 20);
        assert_eq!(bytes("16777217"), 16 << 20);
        assert_eq!(bytes("99999999999999999999999999"), 16 << 20);
        assert_eq!(limit(&["65536"], None).unwrap().page_bytes(1 << 20), (64 << 10) - TOKEN_ROOM);
        assert_eq!(limit(&[], None).unwrap().page_bytes(1 << 20), 1 << 20);
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
