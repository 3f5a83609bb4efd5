//! Converts instants between the wire and the database: `google.protobuf.Timestamp` (seconds since 1970 and
//! nanoseconds) and Postgres's `timestamptz` (microseconds since 2000).
//!
//! Requests may name instants of the years 1 to 9999. Digits below a microsecond are accepted, since the clocks of many
//! clients give nanoseconds. A value to store loses them ([`to_postgres`]); a limit that stored values are compared
//! with is rounded up ([`bound_to_postgres`]). Other programs may store instants outside this range, and the two
//! infinities. They are read as the nearest instant of the range, while [`to_sql_literal`] keeps them exact, so that a
//! cursor can point at such a row.

use std::time::SystemTime;

use chrono::DateTime;

/// 0001-01-01T00:00:00Z, in seconds since 1970.
pub(crate) const FIRST_SECOND: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z, in seconds since 1970.
pub(crate) const LAST_SECOND: i64 = 253_402_300_799;
/// 2000-01-01T00:00:00Z, in seconds since 1970.
const POSTGRES_EPOCH: i64 = 946_684_800;
/// 4714-11-24 BC, the first day of Postgres's calendar, in microseconds since 2000.
const POSTGRES_FIRST: i64 = -211_813_488_000_000_000;
/// 294277-01-01, the first day after Postgres's calendar, in microseconds since 2000.
const POSTGRES_END: i64 = 9_223_371_331_200_000_000;

const MICROS: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Converts a `google.protobuf.Timestamp` to microseconds since 2000-01-01T00:00:00Z, as in a `timestamptz`.
///
/// The error says what is out of range: the year must be 1 to 9999, `nanos` 0 to 999,999,999. Digits below a
/// microsecond are cut off.
pub fn to_postgres(seconds: i64, nanos: i32) -> Result<i64, &'static str> {
    if !(FIRST_SECOND..=LAST_SECOND).contains(&seconds) {
        return Err("must be between 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z");
    }
    if !(0..1_000_000_000).contains(&nanos) {
        return Err("nanos must be between 0 and 999,999,999");
    }
    Ok((seconds - POSTGRES_EPOCH) * MICROS + i64::from(nanos / 1_000))
}

/// The first instant of Postgres that is not before a `google.protobuf.Timestamp`, in the form of [`to_postgres`].
///
/// Stored instants are whole microseconds. They compare with this limit exactly as they compare with the timestamp
/// itself. For the last microsecond of year 9999 the result may be the first instant of year 10000.
pub fn bound_to_postgres(seconds: i64, nanos: i32) -> Result<i64, &'static str> {
    Ok(to_postgres(seconds, nanos)? + i64::from(nanos % 1_000 > 0))
}

/// The time of this machine's clock, in microseconds since 2000-01-01T00:00:00Z.
#[must_use]
pub fn now() -> i64 {
    // A clock before 1970 counts as 1970.
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX).saturating_sub(POSTGRES_EPOCH * MICROS)
}

/// Converts microseconds since 2000-01-01T00:00:00Z to the seconds and nanoseconds of a `google.protobuf.Timestamp`.
///
/// Values outside the years 1 to 9999, including the infinities, become the first or last microsecond of that range.
#[must_use]
pub fn from_postgres(micros: i64) -> (i64, i32) {
    let seconds = micros.div_euclid(MICROS) + POSTGRES_EPOCH;
    if seconds < FIRST_SECOND {
        return (FIRST_SECOND, 0);
    }
    if seconds > LAST_SECOND {
        return (LAST_SECOND, 999_999_000);
    }
    (seconds, micros.rem_euclid(MICROS) as i32 * 1_000)
}

/// An SQL literal of type `timestamptz` for exactly this many microseconds since 2000-01-01T00:00:00Z, for every time
/// zone and date style of the session.
///
/// Values outside Postgres's calendar become `infinity` or `-infinity`, which `i64::MAX` and `i64::MIN` stand for.
#[must_use]
pub fn to_sql_literal(micros: i64) -> String {
    if micros < POSTGRES_FIRST {
        return "'-infinity'::timestamptz".to_owned();
    }
    if micros >= POSTGRES_END {
        return "'infinity'::timestamptz".to_owned();
    }
    let seconds = micros.div_euclid(MICROS) + POSTGRES_EPOCH;
    let (year, month, day) = civil_date(seconds.div_euclid(SECONDS_PER_DAY));
    let second = seconds.rem_euclid(SECONDS_PER_DAY);
    // Postgres's calendar has no year 0: the year before 1 is 1 BC.
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    format!(
        "'{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{:06}+00{era}'::timestamptz",
        second / 3600,
        second / 60 % 60,
        second % 60,
        micros.rem_euclid(MICROS),
    )
}

/// The RFC 3339 text of an instant, in UTC with microseconds: `2026-11-28T09:30:00.000000Z`. Values outside the years 1
/// to 9999 are as in [`from_postgres`].
pub fn to_rfc3339(micros: i64) -> String {
    let (seconds, nanos) = from_postgres(micros);
    let (year, month, day) = civil_date(seconds.div_euclid(SECONDS_PER_DAY));
    let second = seconds.rem_euclid(SECONDS_PER_DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", nanos / 1_000)
}

/// The instant of an RFC 3339 text, in microseconds since 2000-01-01T00:00:00Z; `None` if it is none of the years 1 to
/// 9999. Digits below a microsecond are cut off.
pub(crate) fn from_rfc3339(text: &str) -> Option<i64> {
    let instant = DateTime::parse_from_rfc3339(text).ok()?;
    // A leap second has more nanoseconds than others.
    let nanos = i32::try_from(instant.timestamp_subsec_nanos()).ok()?.min(999_999_999);
    to_postgres(instant.timestamp(), nanos).ok()
}

/// Converts days since 1970-01-01 to year, month and day of the proleptic Gregorian calendar. Year 0 is 1 BC.
fn civil_date(days: i64) -> (i64, i64, i64) {
    // Counted from 0000-03-01: a leap day is then the last day of its year, and the calendar repeats every 146,097
    // days.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // From March on, every five months have 153 days.
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

    use chrono::Utc;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_instants() {
        assert_eq!(to_postgres(POSTGRES_EPOCH, 0), Ok(0));
        assert_eq!(to_postgres(POSTGRES_EPOCH - 1, 999_999_999), Ok(-1));
        assert_eq!(from_postgres(-1), (POSTGRES_EPOCH - 1, 999_999_000));
        assert_eq!(to_sql_literal(0), "'2000-01-01 00:00:00.000000+00'::timestamptz");
        assert_eq!(to_sql_literal(-1), "'1999-12-31 23:59:59.999999+00'::timestamptz");
        assert_eq!(to_sql_literal(POSTGRES_FIRST), "'4714-11-24 00:00:00.000000+00 BC'::timestamptz");
        assert_eq!(to_sql_literal(POSTGRES_END - 1), "'294276-12-31 23:59:59.999999+00'::timestamptz");
        let first = to_postgres(FIRST_SECOND, 0).unwrap();
        assert_eq!(to_sql_literal(first), "'0001-01-01 00:00:00.000000+00'::timestamptz");
        assert_eq!(to_sql_literal(first - 1), "'0001-12-31 23:59:59.999999+00 BC'::timestamptz");
    }

    #[test]
    fn the_range_is_closed_on_both_sides() {
        assert!(to_postgres(FIRST_SECOND, 0).is_ok());
        assert!(to_postgres(LAST_SECOND, 999_999_999).is_ok());
        for (seconds, nanos) in [
            (FIRST_SECOND - 1, 999_999_999),
            (LAST_SECOND + 1, 0),
            (i64::MIN, 0),
            (i64::MAX, 0),
            (0, -1),
            (0, 1_000_000_000),
            (0, i32::MIN),
            (0, i32::MAX),
        ] {
            assert!(to_postgres(seconds, nanos).is_err(), "{seconds} {nanos}");
        }
    }

    #[test]
    fn a_bound_is_rounded_up_beyond_the_last_microsecond_too() {
        for nanos in [999_999_001, 999_999_999] {
            let bound = bound_to_postgres(LAST_SECOND, nanos).unwrap();
            assert_eq!(to_sql_literal(bound), "'10000-01-01 00:00:00.000000+00'::timestamptz");
        }
        assert_eq!(bound_to_postgres(POSTGRES_EPOCH - 1, 999_999_001), Ok(0));
        assert_eq!(bound_to_postgres(POSTGRES_EPOCH - 1, 999_999_000), Ok(-1));
        for (seconds, nanos) in [(FIRST_SECOND - 1, 999_999_999), (LAST_SECOND + 1, 0), (0, -1), (0, 1_000_000_000)] {
            assert!(bound_to_postgres(seconds, nanos).is_err(), "{seconds} {nanos}");
        }
    }

    #[test]
    fn what_others_stored_out_of_range_is_clamped() {
        assert_eq!(from_postgres(i64::MIN), (FIRST_SECOND, 0));
        assert_eq!(from_postgres(i64::MAX), (LAST_SECOND, 999_999_000));
        assert_eq!(to_sql_literal(i64::MIN), "'-infinity'::timestamptz");
        assert_eq!(to_sql_literal(i64::MAX), "'infinity'::timestamptz");
    }

    #[test]
    fn texts_of_other_forms_are_no_instants() {
        for (text, micros) in [
            ("2000-01-01T00:00:00Z", Some(0)),
            ("2000-01-01T00:00:00.0000019Z", Some(1)),
            ("2000-01-01T01:00:00.5+01:00", Some(500_000)),
            ("2000-01-01", None),
            ("2000-01-01T00:00:00", None),
            ("2000-02-30T00:00:00Z", None),
            ("0000-12-31T23:59:59Z", None),
            ("9999-12-31T23:59:59.999999-01:00", None),
            ("", None),
        ] {
            assert_eq!(from_rfc3339(text), micros, "{text}");
        }
        assert_eq!(to_rfc3339(i64::MIN), "0001-01-01T00:00:00.000000Z");
        assert_eq!(to_rfc3339(i64::MAX), "9999-12-31T23:59:59.999999Z");
    }

    proptest! {
        #[test]
        fn instants_survive_to_the_microsecond(seconds in FIRST_SECOND..=LAST_SECOND, nanos in 0..1_000_000_000_i32) {
            let micros = to_postgres(seconds, nanos).unwrap();
            prop_assert_eq!(from_postgres(micros), (seconds, nanos / 1_000 * 1_000));
        }

        #[test]
        fn a_bound_parts_stored_instants_as_the_instant_itself_does(
            seconds in FIRST_SECOND..=LAST_SECOND,
            nanos in 0..1_000_000_000_i32,
            apart in -3..=3_i64,
        ) {
            let bound = bound_to_postgres(seconds, nanos).unwrap();
            let stored = to_postgres(seconds, nanos).unwrap() + apart;
            let in_nanos = |micros: i64| (i128::from(micros) + i128::from(POSTGRES_EPOCH * MICROS)) * 1_000;
            let instant = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
            prop_assert_eq!(stored >= bound, in_nanos(stored) >= instant);
        }

        #[test]
        fn whatever_is_stored_reads_as_an_instant_that_may_be_written(micros: i64) {
            let (seconds, nanos) = from_postgres(micros);
            prop_assert!(to_postgres(seconds, nanos).is_ok());
        }

        #[test]
        fn literals_are_the_calendar_of_chrono(seconds in FIRST_SECOND..=LAST_SECOND, micros in 0..1_000_000_i32) {
            let instant: DateTime<Utc> = DateTime::from_timestamp(seconds, micros as u32 * 1_000).unwrap();
            let literal = to_sql_literal(to_postgres(seconds, micros * 1_000).unwrap());
            prop_assert_eq!(literal, format!("'{}'::timestamptz", instant.format("%Y-%m-%d %H:%M:%S%.6f+00")));
        }

        #[test]
        fn a_text_is_the_instant_in_any_offset(
            seconds in FIRST_SECOND + 86_400..=LAST_SECOND - 86_400,
            micros in 0..1_000_000_i32,
            offset in -86_399 / 60..=86_399 / 60_i32,
        ) {
            let stored = to_postgres(seconds, micros * 1_000).unwrap();
            let instant: DateTime<Utc> = DateTime::from_timestamp(seconds, micros as u32 * 1_000).unwrap();
            let text = to_rfc3339(stored);
            prop_assert_eq!(&text, &instant.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string());
            prop_assert_eq!(from_rfc3339(&text), Some(stored));
            let elsewhere = instant.with_timezone(&chrono::FixedOffset::east_opt(offset * 60).unwrap());
            prop_assert_eq!(from_rfc3339(&elsewhere.to_rfc3339()), Some(stored));
        }

        #[test]
        fn any_text_is_an_instant_that_may_be_written_or_none(text in "[-+:.TZtz0-9]{0,40}|.*") {
            if let Some(micros) = from_rfc3339(&text) {
                prop_assert_eq!(from_rfc3339(&to_rfc3339(micros)), Some(micros));
            }
        }

        #[test]
        fn any_integer_has_a_literal(micros: i64) {
            let literal = to_sql_literal(micros);
            prop_assert!(literal.starts_with('\'') && literal.ends_with("'::timestamptz"));
        }
    }
}
