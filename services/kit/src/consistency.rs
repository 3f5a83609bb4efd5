//! How fresh a read must be, which its caller says in the request metadata; and what a call reports in its response
//! metadata about the databases that served it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::Request;
use tonic::metadata::MetadataMap;

use crate::error::Error;
use crate::lsn::Lsn;

/// Request metadata: `strong`, the default, or `eventual`.
pub const CONSISTENCY: &str = "x-consistency";
/// Request metadata: the WAL position that an eventual read must see. Response metadata: the position from which on a
/// replica shows what the call wrote.
pub const MIN_LSN: &str = "x-min-lsn";
/// Response metadata of eventual reads: `replica`, or `primary` if the primary served any part.
pub const SERVED_BY: &str = "x-served-by";

/// The consistency that a caller asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// The read sees everything that was acknowledged before it. The primary serves it.
    #[default]
    Strong,
    /// The read sees what a replica has replayed.
    Eventual {
        /// The position that the replica must have replayed.
        min_lsn: Option<Lsn>,
    },
}

impl Consistency {
    /// Reads the metadata of a request. `x-min-lsn` of a strong read is checked and otherwise ignored: the primary has
    /// everything.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the key.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Error> {
        let min_lsn: Option<Lsn> = single_value(request.metadata(), MIN_LSN)?
            .map(|text| text.parse().map_err(|error| Error::invalid(MIN_LSN, format!("{error}"))))
            .transpose()?;
        match single_value(request.metadata(), CONSISTENCY)? {
            None | Some("strong") => Ok(Self::Strong),
            Some("eventual") => Ok(Self::Eventual { min_lsn }),
            Some(_) => Err(Error::invalid(CONSISTENCY, "must be \"strong\" or \"eventual\"")),
        }
    }
}

/// The value of a metadata key that may appear only once.
///
/// # Errors
/// [`Error::Invalid`] that names the key.
pub(crate) fn single_value<'r>(metadata: &'r MetadataMap, key: &'static str) -> Result<Option<&'r str>, Error> {
    let mut values = metadata.get_all(key).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Error::invalid(key, "must be ASCII")),
        (Some(_), Some(_)) => Err(Error::invalid(key, "must be sent once")),
    }
}

/// Which database served a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServedBy {
    /// Only a replica.
    Replica,
    /// The primary, for at least a part.
    Primary,
}

/// Collects, during a call, what its response metadata says about the databases it used. It is in the extensions of
/// every request, as [`RpcRows`](crate::rpc_layer::RpcRows) is. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Provenance(Arc<Observed>);

#[derive(Debug, Default)]
struct Observed {
    /// The position of the last commit; 0 if nothing was committed.
    committed: AtomicU64,
    /// 0: unknown. 1: a replica. 2: the primary.
    served_by: AtomicU8,
}

impl Provenance {
    /// The collector of a request. For a request that came through no server, as in a test, a new one that nobody
    /// reads.
    pub fn of<T>(request: &Request<T>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_default()
    }

    /// Records that a transaction has ended, and that all it wrote and saw is in the log before `lsn`.
    pub fn committed(&self, lsn: Lsn) {
        self.0.committed.fetch_max(lsn.bytes(), Ordering::Relaxed);
    }

    /// Records who served a read. Once the primary is recorded, it stays.
    pub fn served_by(&self, who: ServedBy) {
        let number = match who {
            ServedBy::Replica => 1,
            ServedBy::Primary => 2,
        };
        self.0.served_by.fetch_max(number, Ordering::Relaxed);
    }

    /// Adds what was recorded so far to the headers or trailers of a response.
    pub(crate) fn add_to(&self, headers: &mut HeaderMap) {
        let committed = self.0.committed.load(Ordering::Relaxed);
        if committed > 0
            && let Ok(value) = HeaderValue::try_from(Lsn::new(committed).to_string())
        {
            headers.insert(HeaderName::from_static(MIN_LSN), value);
        }
        let served_by = match self.0.served_by.load(Ordering::Relaxed) {
            0 => return,
            1 => "replica",
            _ => "primary",
        };
        headers.insert(HeaderName::from_static(SERVED_BY), HeaderValue::from_static(served_by));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn request(metadata: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::new(());
        for (key, value) in metadata {
            request.metadata_mut().append(*key, value.parse().unwrap());
        }
        request
    }

    #[test]
    fn a_read_is_strong_unless_its_caller_says_otherwise() {
        let of = |metadata: &[(&'static str, &str)]| Consistency::of(&request(metadata)).unwrap();
        assert_eq!(of(&[]), Consistency::Strong);
        assert_eq!(of(&[(CONSISTENCY, "strong"), (MIN_LSN, "0/1")]), Consistency::Strong);
        assert_eq!(of(&[(MIN_LSN, "0/1")]), Consistency::Strong);
        assert_eq!(of(&[(CONSISTENCY, "eventual")]), Consistency::Eventual { min_lsn: None });
        let min_lsn = Some(Lsn::new(1));
        assert_eq!(of(&[(CONSISTENCY, "eventual"), (MIN_LSN, "0/1")]), Consistency::Eventual { min_lsn });
    }

    #[test]
    fn what_is_neither_is_refused_by_name() {
        for (metadata, key) in [
            (&[(CONSISTENCY, "")][..], CONSISTENCY),
            (&[(CONSISTENCY, "Eventual")], CONSISTENCY),
            (&[(CONSISTENCY, "eventual"), (CONSISTENCY, "strong")], CONSISTENCY),
            (&[(MIN_LSN, "")], MIN_LSN),
            (&[(MIN_LSN, "16-B374D848")], MIN_LSN),
            (&[(CONSISTENCY, "eventual"), (MIN_LSN, "0/1"), (MIN_LSN, "0/1")], MIN_LSN),
        ] {
            match Consistency::of(&request(metadata)) {
                Err(Error::Invalid(violations)) => assert_eq!(violations[0].field, key, "{metadata:?}"),
                other => unreachable!("{metadata:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_answer_says_the_last_commit_and_the_primary_if_it_had_a_part() {
        let provenance = Provenance::default();
        let metadata_sent = || {
            let mut headers = HeaderMap::new();
            provenance.add_to(&mut headers);
            let text = |key: &str| headers.get(key).map(|value| value.to_str().unwrap().to_owned());
            (text(MIN_LSN), text(SERVED_BY))
        };
        assert_eq!(metadata_sent(), (None, None));
        provenance.committed(Lsn::new(0x20));
        provenance.committed(Lsn::new(0x10));
        provenance.served_by(ServedBy::Replica);
        assert_eq!(metadata_sent(), (Some("0/20".to_owned()), Some("replica".to_owned())));
        provenance.served_by(ServedBy::Primary);
        provenance.served_by(ServedBy::Replica);
        assert_eq!(metadata_sent().1, Some("primary".to_owned()));
    }
}
