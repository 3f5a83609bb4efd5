//! Reads what a caller asks of the cache: the request metadata `cache-control`, in the grammar of RFC 9111.

use std::time::Duration;

use http::HeaderMap;
use http::header::CACHE_CONTROL;

use crate::config::CacheConfig;
use crate::error::Error;

/// How old a cached answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Freshness {
    /// Up to this age an answer counts as new.
    pub(super) max_age: Duration,
    /// For this long after that it is still returned, while a new one is fetched.
    pub(super) stale: Duration,
}

/// Reads the directives of a request. `None` if there are none, or if they forbid an answer from the cache
/// (`no-store`). Unknown directives are ignored, as RFC 9111 (5.2.3) demands.
///
/// # Errors
/// [`Error::Invalid`] for `cache-control` if a duration is not a number of seconds.
pub(super) fn wanted(headers: &HeaderMap, defaults: &CacheConfig) -> Result<Option<Freshness>, Error> {
    let mut values = headers.get_all(CACHE_CONTROL).iter().peekable();
    if values.peek().is_none() {
        return Ok(None);
    }
    let (mut max_age, mut stale) = (defaults.cache_max_age, defaults.cache_stale_while_revalidate);
    for value in values {
        let text = value.to_str().map_err(|_| Error::invalid("cache-control", "must be ASCII"))?;
        for directive in text.split(',').map(str::trim) {
            let (name, argument) = directive.split_once('=').map_or((directive, None), |(name, argument)| {
                (name.trim_end(), Some(argument.trim_start().trim_matches('"')))
            });
            match name.to_ascii_lowercase().as_str() {
                "no-store" => return Ok(None),
                // Fetched, and cached for others.
                "no-cache" => (max_age, stale) = (Duration::ZERO, Duration::ZERO),
                "max-age" => max_age = seconds(name, argument)?,
                "stale-while-revalidate" => stale = seconds(name, argument)?,
                _ => {}
            }
        }
    }
    Ok(Some(Freshness { max_age, stale }))
}

/// A number of seconds. A number beyond 32 bits counts as the largest (RFC 9111, 1.2.2).
fn seconds(name: &str, argument: Option<&str>) -> Result<Duration, Error> {
    let digits = argument.filter(|digits| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()));
    let digits = digits
        .ok_or_else(|| Error::invalid("cache-control", format!("{name} must be a number of seconds: {name}=60")))?;
    Ok(Duration::from_secs(digits.parse::<u32>().unwrap_or(u32::MAX).into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    const DEFAULTS: CacheConfig = CacheConfig {
        cache_bytes: 0,
        cache_max_age: Duration::from_secs(60),
        cache_stale_while_revalidate: Duration::from_secs(15),
    };

    fn read(value: &str) -> Result<Option<(u64, u64)>, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, value.parse().unwrap());
        let wanted = wanted(&headers, &DEFAULTS)?;
        Ok(wanted.map(|wanted| (wanted.max_age.as_secs(), wanted.stale.as_secs())))
    }

    #[test]
    fn nothing_is_cached_unasked() {
        assert_eq!(wanted(&HeaderMap::new(), &DEFAULTS).unwrap(), None);
        assert_eq!(read("no-store").unwrap(), None);
        assert_eq!(read("max-age=5, No-Store").unwrap(), None);
    }

    #[test]
    fn directives_replace_defaults() {
        assert_eq!(read("public").unwrap(), Some((60, 15)));
        assert_eq!(read("max-age=5").unwrap(), Some((5, 15)));
        assert_eq!(read("Max-Age = \"5\" , stale-while-revalidate=0").unwrap(), Some((5, 0)));
        assert_eq!(read("no-cache").unwrap(), Some((0, 0)));
        assert_eq!(read("max-age=99999999999999999999").unwrap(), Some((u32::MAX.into(), 15)));
    }

    #[test]
    fn what_is_no_duration_is_refused_by_name() {
        for value in ["max-age", "max-age=", "max-age=-1", "max-age=1.5", "max-age=1s", "stale-while-revalidate=x"] {
            let Err(Error::Invalid(violations)) = read(value) else { unreachable!("{value} was taken") };
            assert_eq!(violations.first().map(|violation| violation.field.as_str()), Some("cache-control"));
        }
    }

    proptest! {
        #[test]
        fn no_header_breaks_the_parser(value in "[ -~]{0,40}") {
            let _read = read(&value);
        }
    }
}
