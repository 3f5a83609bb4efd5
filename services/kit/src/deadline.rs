//! The deadline of a call: when its caller stops waiting. tonic's own timer covers the time until response headers. A
//! [`Deadline`] covers the whole call, streams included, and is passed on: to the database as a timeout, to other
//! services as their deadline.

use std::time::{Duration, Instant};

use http::{Extensions, HeaderMap};
use tonic::Request;

const HEADER: &str = "grpc-timeout";

/// The moment at which a call must be done, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// No deadline: the call may take as long as the service's own limits allow.
    pub const fn none() -> Self {
        Self(None)
    }

    /// `duration` from now; none if the clock cannot represent it.
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now().checked_add(duration))
    }

    /// The deadline of a request, counted from the arrival of its headers.
    pub fn of<T>(request: &Request<T>) -> Self {
        // The outermost layer of the server stored it on arrival. A request made in a test has only the header.
        let noted = request.extensions().get::<Self>().copied();
        noted.unwrap_or_else(|| {
            Self::from_timeout(request.metadata().get(HEADER).map(tonic::metadata::MetadataValue::as_encoded_bytes))
        })
    }

    /// Reads the header and stores the deadline for the handlers of the call.
    pub(crate) fn on_arrival(headers: &HeaderMap, extensions: &mut Extensions) -> Self {
        let deadline = Self::from_timeout(headers.get(HEADER).map(http::HeaderValue::as_bytes));
        extensions.insert(deadline);
        deadline
    }

    /// An invalid header counts as absent, as in other implementations of gRPC: the protocol does not say otherwise,
    /// and the service's own limits still apply.
    fn from_timeout(header: Option<&[u8]>) -> Self {
        header.and_then(parse_timeout).map_or(Self::none(), Self::after)
    }

    /// The moment, if there is one.
    pub fn instant(self) -> Option<Instant> {
        self.0
    }

    /// The time left; zero if it has passed, `None` if there is no deadline.
    pub fn remaining(self) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Whether it has passed.
    pub fn expired(self) -> bool {
        self.0.is_some_and(|at| at <= Instant::now())
    }

    /// The shorter of `limit` and the time left: how long a piece of work may take.
    pub fn bound(self, limit: Duration) -> Duration {
        self.remaining().map_or(limit, |left| left.min(limit))
    }

    /// The earlier of two deadlines.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(one), Some(another)) => Self(Some(one.min(another))),
            (one, another) => Self(one.or(another)),
        }
    }

    /// A slightly earlier deadline: by a tenth of the time left, at most a quarter of a second. A result at that moment
    /// still reaches the caller in time.
    #[must_use]
    pub fn with_margin(self) -> Self {
        let Self(Some(at)) = self else { return self };
        let margin = (at.saturating_duration_since(Instant::now()) / 10).min(Duration::from_millis(250));
        Self(at.checked_sub(margin))
    }

    /// Resolves when it has passed. Never resolves if there is none.
    pub async fn passed(self) {
        match self.0 {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    }
}

/// Parses at most eight digits and one unit: `100m` is 100 milliseconds.
fn parse_timeout(header: &[u8]) -> Option<Duration> {
    let (unit, digits) = header.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(number * 3600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    fn request(timeout: &'static str) -> Request<()> {
        let mut request = Request::new(());
        request.metadata_mut().insert(HEADER, timeout.parse().unwrap());
        request
    }

    #[test]
    fn bounds_work_by_what_is_left() {
        let deadline = Deadline::of(&request("2S"));
        assert!(!deadline.expired());
        let left = deadline.remaining().unwrap();
        assert!(left <= Duration::from_secs(2) && left > Duration::from_secs(1));
        assert!(deadline.bound(Duration::from_secs(900)) <= left);
        assert_eq!(deadline.bound(Duration::from_millis(5)), Duration::from_millis(5));
    }

    #[test]
    fn nothing_is_left_of_a_deadline_that_passed() {
        let deadline = Deadline::of(&request("0n"));
        assert!(deadline.expired());
        assert_eq!(deadline.remaining(), Some(Duration::ZERO));
        assert_eq!(deadline.bound(Duration::from_secs(9)), Duration::ZERO);
    }

    #[test]
    fn a_call_without_one_is_bound_by_the_service_alone() {
        for deadline in [Deadline::of(&Request::new(())), Deadline::none(), Deadline::of(&request("99999999H"))] {
            assert!(!deadline.expired());
            let limit = Duration::from_secs(900);
            assert_eq!(deadline.bound(limit), limit);
        }
        assert_eq!(Deadline::of(&Request::new(())).remaining(), None);
    }

    #[test]
    fn shortly_before_is_before_and_not_much() {
        let deadline = Deadline::after(Duration::from_secs(60));
        let early = deadline.instant().unwrap() - deadline.with_margin().instant().unwrap();
        assert_eq!(early, Duration::from_millis(250));
        let deadline = Deadline::after(Duration::from_secs(1));
        let early = deadline.instant().unwrap() - deadline.with_margin().instant().unwrap();
        assert!(early > Duration::ZERO && early <= Duration::from_millis(100));
        assert!(Deadline::after(Duration::ZERO).with_margin().expired());
        assert_eq!(Deadline::none().with_margin(), Deadline::none());
    }

    #[test]
    fn it_counts_from_arrival() {
        let mut request = request("9S");
        let arrived = Deadline::on_arrival(&request.metadata().clone().into_headers(), request.extensions_mut());
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(Deadline::of(&request), arrived);
    }

    #[test]
    fn what_is_no_timeout_counts_as_absent() {
        for header in ["", "S", "1", "-1S", "+1S", "1.5S", "1s", " 1S", "1S ", "123456789S", "1SS", "0x1S"] {
            assert_eq!(parse_timeout(header.as_bytes()), None, "{header:?}");
        }
    }

    #[tokio::test]
    async fn passed_waits_for_the_moment() {
        let deadline = Deadline::after(Duration::from_millis(10));
        deadline.passed().await;
        assert!(deadline.expired());
        let never = tokio::time::timeout(Duration::from_millis(10), Deadline::none().passed()).await;
        never.unwrap_err();
    }

    proptest! {
        #[test]
        fn every_timeout_of_the_protocol_is_read(number in 0u64..100_000_000, width in 1usize..=8, unit in 0usize..6) {
            let units = [
                ('H', 3_600_000_000_000),
                ('M', 60_000_000_000),
                ('S', 1_000_000_000),
                ('m', 1_000_000),
                ('u', 1000),
                ('n', 1u128),
            ];
            let (letter, nanoseconds) = units[unit];
            let header = format!("{number:0width$}{letter}");
            let read = parse_timeout(header.as_bytes()).map(|duration| duration.as_nanos());
            prop_assert_eq!(read, Some(u128::from(number) * nanoseconds));
        }

        #[test]
        fn no_header_breaks_the_parser(header in proptest::collection::vec(any::<u8>(), 0..12)) {
            if let Some(duration) = parse_timeout(&header) {
                prop_assert!(duration <= Duration::from_secs(99_999_999 * 3600));
            }
        }
    }
}
