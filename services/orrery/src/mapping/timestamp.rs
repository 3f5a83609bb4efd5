//! The `timestamp` transform: reads times in the formats and the time zone of a shop.

use std::fmt::Write as _;
use std::str::FromStr as _;

use chrono::format::{Item, Numeric, Parsed, StrftimeItems, parse, parse_and_remainder};
use chrono::{
    DateTime, Datelike as _, Duration, FixedOffset, MappedLocalTime, NaiveDateTime, Offset as _, SecondsFormat,
    TimeZone as _, Utc,
};
use chrono_tz::Tz;
use serde::Deserialize;

use super::{Problem, zone};

/// The refusal of a time with a sixtieth second.
pub(super) const LEAP_SECOND: &str = "is a leap second (60 seconds), which cannot be stored";

/// How times are written. Checked when the mapping is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Settings")]
pub(crate) struct TimestampFormat {
    format: String,
    parts: Parts,
    /// The zone of texts without an offset or zone.
    zone: Option<Tz>,
    clock_change: ClockChange,
}

/// What a text consists of.
#[derive(Clone, Debug)]
enum Parts {
    /// A time in RFC 3339.
    Rfc3339,
    /// A format without a zone name.
    Plain(Vec<Item<'static>>),
    /// A format with a zone name (`%Z`) between two parts. The library ignores such names when it parses.
    Named(Vec<Item<'static>>, Vec<Item<'static>>),
}

/// What happens to local times that occur twice or never because clocks change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ClockChange {
    /// A time that occurs twice, when clocks are set back, is the first one. A time that never occurs, when clocks are
    /// set forward, is read as if they had not been: in Europe/London 2011-03-27 01:30:00 is 01:30:00 UTC.
    #[default]
    Earlier,
    /// Both are refused.
    Refuse,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    format: String,
    zone: Option<String>,
    #[serde(default)]
    clock_change: Option<ClockChange>,
}

impl TryFrom<Settings> for TimestampFormat {
    type Error = String;

    fn try_from(settings: Settings) -> Result<Self, String> {
        let Settings { format, zone, clock_change } = settings;
        let zone = zone.map(|name| {
            Tz::from_str(&name)
                .map_err(|_| format!("zone {name:?} is not a zone of the IANA database such as \"Europe/London\" is"))
        });
        let (zone, parts) = (zone.transpose()?, parts(&format)?);
        let format = Self { format, parts, zone, clock_change: clock_change.unwrap_or_default() };
        let written = format.sample();
        let sample = format.parse(&written).map(|(parsed, _)| parsed);
        let shown = &format.format;
        let names_offset = matches!(format.parts, Parts::Rfc3339)
            || sample.as_ref().is_ok_and(|sample| sample.offset().is_some() || sample.timestamp().is_some());
        let is_named = matches!(format.parts, Parts::Named(..));
        if names_offset && format.zone.is_some() {
            return Err(format!("format {shown:?} has an offset in it; zone is not needed"));
        }
        if is_named && sample.is_ok_and(|sample| sample.timestamp().is_some()) {
            return Err(format!(
                "format {shown:?} has seconds since 1970 in it, which do not depend on a zone; leave %Z out"
            ));
        }
        if !names_offset && !is_named && format.zone.is_none() {
            return Err(format!("format {shown:?} has no offset in it; zone is missing, such as \"Europe/London\""));
        }
        if clock_change.is_some() && (names_offset || is_named || format.zone.is_none()) {
            return Err(format!("clock-change is not allowed with format {shown:?}, which has an offset"));
        }
        // A format that cannot parse its own output lacks the year, am or pm, or the like.
        if format.read(&written).is_err() {
            return Err(format!(
                "format {shown:?} needs a whole date, and a whole time of day or none (%H:%M, or %I:%M %p)"
            ));
        }
        Ok(format)
    }
}

/// Parses a format.
fn parts(format: &str) -> Result<Parts, String> {
    if format == "rfc3339" {
        return Ok(Parts::Rfc3339);
    }
    let mut items = StrftimeItems::new(format)
        .parse_to_owned()
        .map_err(|_| format!("format {format:?} is not a strftime format such as \"%Y-%m-%d %H:%M:%S\" is"))?;
    if items.iter().any(|item| matches!(item, Item::Numeric(Numeric::Nanosecond, _))) {
        return Err(format!(
            "format {format:?}: %f is a number of nanoseconds, so .5 would be five of them; use %.f for a decimal \
             fraction"
        ));
    }
    let is_name = |item: &Item<'_>| *item == Item::Fixed(chrono::format::Fixed::TimezoneName);
    let Some(place) = items.iter().position(is_name) else { return Ok(Parts::Plain(items)) };
    let after = items.split_off(place + 1);
    items.pop();
    if after.iter().any(is_name) {
        return Err(format!("format {format:?} has %Z twice"));
    }
    Ok(Parts::Named(items, after))
}

impl TimestampFormat {
    /// Converts a time to RFC 3339 in UTC.
    pub(crate) fn to_rfc3339(&self, text: &str) -> Result<String, Problem> {
        Ok(self.read(text.trim())?.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }

    fn read(&self, text: &str) -> Result<DateTime<Utc>, Problem> {
        let malformed = || Problem::from(format!("is not a time of the format {:?}", self.format));
        let (mut parsed, name) = self.parse(text).map_err(|()| malformed())?;
        if parsed.second() == Some(60) {
            return Err(LEAP_SECOND.into());
        }
        let has_no_time = parsed.hour_div_12().is_none()
            && parsed.hour_mod_12().is_none()
            && parsed.minute().is_none()
            && parsed.second().is_none()
            && parsed.nanosecond().is_none()
            && parsed.timestamp().is_none();
        if has_no_time {
            parsed.set_hour(0).and_then(|()| parsed.set_minute(0)).map_err(|_| malformed())?;
        }
        let offset = match (parsed.offset(), parsed.timestamp()) {
            (Some(seconds), _) => Some(FixedOffset::east_opt(seconds).ok_or_else(malformed)?),
            // Seconds since 1970 have no offset; they are UTC.
            (None, Some(_)) => Some(Utc.fix()),
            (None, None) => None,
        };
        // Contradictory parts, such as a wrong day of the week, are refused here.
        let seconds = offset.map_or(0, |offset| offset.local_minus_utc());
        let local = parsed.to_naive_datetime_with_offset(seconds).map_err(|_| malformed())?;
        if (0..1_000).contains(&local.year()) {
            return Err("has a year with fewer than four digits; use %y for two digits".into());
        }
        let offset = match (offset, name) {
            (Some(offset), Some(name)) if zone::known(name).is_some_and(|known| known != offset) => {
                return Err("has an offset and a time zone with another offset".into());
            }
            (Some(offset), _) => offset,
            (None, Some(name)) => zone::offset(name, local, self.zone)?,
            (None, None) => return self.in_zone(local),
        };
        let instant = local.checked_sub_offset(offset).ok_or_else(malformed)?;
        Ok(instant.and_utc())
    }

    fn in_zone(&self, local: NaiveDateTime) -> Result<DateTime<Utc>, Problem> {
        let zone = self.zone.unwrap_or(Tz::UTC);
        let refused = self.clock_change == ClockChange::Refuse;
        match zone.from_local_datetime(&local) {
            MappedLocalTime::Ambiguous(..) if refused => {
                Err(format!("occurred twice in {zone}, where clocks were set back").into())
            }
            MappedLocalTime::Single(time) | MappedLocalTime::Ambiguous(time, _) => Ok(time.to_utc()),
            MappedLocalTime::None if refused => {
                Err(format!("never occurred in {zone}, where clocks were set forward").into())
            }
            MappedLocalTime::None => {
                // Uses the offset of the day before, which was still in force before the clocks were set forward.
                let day_before = local.checked_sub_signed(Duration::days(1));
                let before = day_before.and_then(|before| zone.from_local_datetime(&before).earliest());
                let instant = before.and_then(|before| local.checked_sub_offset(before.offset().fix()));
                instant.map(|instant| instant.and_utc()).ok_or_else(|| format!("is not a time in {zone}").into())
            }
        }
    }

    /// Parses a text: its parts and the name of its zone.
    fn parse<'a>(&self, text: &'a str) -> Result<(Parsed, Option<&'a str>), ()> {
        let mut parsed = Parsed::new();
        match &self.parts {
            Parts::Rfc3339 => {
                // The library accepts slightly more than the standard allows.
                DateTime::parse_from_rfc3339(text).map_err(|_| ())?;
                let items = [Item::Fixed(chrono::format::Fixed::RFC3339)];
                parse(&mut parsed, text, items.iter()).map_err(|_| ())?;
                Ok((parsed, None))
            }
            Parts::Plain(items) => {
                parse(&mut parsed, text, items.iter()).map_err(|_| ())?;
                Ok((parsed, None))
            }
            Parts::Named(before, after) => {
                let rest = parse_and_remainder(&mut parsed, text, before.iter()).map_err(|_| ())?;
                let end = rest.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(rest.len());
                let (name, rest) = rest.split_at(end);
                if name.is_empty() {
                    return Err(());
                }
                parse(&mut parsed, rest, after.iter()).map_err(|_| ())?;
                Ok((parsed, Some(name)))
            }
        }
    }

    /// Formats a time with the format.
    fn sample(&self) -> String {
        let time = DateTime::from_timestamp_nanos(981_216_306_000_000_000);
        // The only item that cannot be formatted.
        let permissive_offset = StrftimeItems::new("%#z").next();
        let mut written = String::new();
        let mut write = |items: &[Item<'static>]| {
            for item in items {
                if Some(item) == permissive_offset.as_ref() {
                    written.push_str("+00:00");
                } else {
                    // If formatting fails, parsing the sample fails as well.
                    let _missed = write!(written, "{}", time.format_with_items([item].into_iter()));
                }
            }
        };
        match &self.parts {
            Parts::Rfc3339 => write(&[Item::Fixed(chrono::format::Fixed::RFC3339)]),
            Parts::Plain(items) => write(items),
            Parts::Named(before, after) => {
                write(before);
                write(&[Item::Literal("UTC")]);
                write(after);
            }
        }
        written
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn format(format: &str, zone: Option<&str>) -> Result<TimestampFormat, String> {
        Settings { format: format.into(), zone: zone.map(Into::into), clock_change: None }.try_into()
    }

    #[test]
    fn local_times_are_read_in_their_zone() {
        let london = format("%Y-%m-%d %H:%M:%S", Some("Europe/London")).unwrap();
        for (local, utc) in [
            ("2010-12-01 08:26:00", "2010-12-01T08:26:00Z"),
            ("2011-06-01 08:26:00", "2011-06-01T07:26:00Z"),
            // Clocks were set forward at 01:00.
            ("2011-03-27 00:59:59", "2011-03-27T00:59:59Z"),
            ("2011-03-27 01:30:00", "2011-03-27T01:30:00Z"),
            ("2011-03-27 02:00:00", "2011-03-27T01:00:00Z"),
            // Clocks were set back at 02:00, so 01:30 occurred twice.
            ("2010-10-31 01:30:00", "2010-10-31T00:30:00Z"),
            ("2010-10-31 02:00:00", "2010-10-31T02:00:00Z"),
        ] {
            assert_eq!(london.to_rfc3339(local).as_deref(), Ok(utc), "{local}");
        }
        assert!(london.to_rfc3339("2011-02-29 00:00:00").is_err());
        // Samoa skipped 30 December 2011.
        let samoa = format("%Y-%m-%d", Some("Pacific/Apia")).unwrap();
        assert_eq!(samoa.to_rfc3339("2011-12-30").as_deref(), Ok("2011-12-30T10:00:00Z"));
    }

    #[test]
    fn times_with_an_offset_need_no_zone() {
        for (written, text, utc) in [
            ("rfc3339", "2011-06-01T08:26:00.123456+01:00", "2011-06-01T07:26:00.123456Z"),
            ("%Y-%m-%d %H:%M:%S %z", "2024-05-01 10:00:00 -0400", "2024-05-01T14:00:00Z"),
            ("%s", "1700000000", "2023-11-14T22:13:20Z"),
            ("%Y-%m-%d %H:%M:%S %#z", "2024-05-01 10:00:00 -04", "2024-05-01T14:00:00Z"),
            ("%Y-%m-%dT%H:%M:%S%.f%:z", "2024-05-01T10:00:00.25-04:00", "2024-05-01T14:00:00.250Z"),
            ("%+", "2024-05-01T10:00:00-04:00", "2024-05-01T14:00:00Z"),
        ] {
            assert_eq!(format(written, None).unwrap().to_rfc3339(text).as_deref(), Ok(utc), "{text}");
        }
    }

    #[test]
    fn the_name_of_a_zone_is_honoured() {
        const US: &str = "%b %d, %Y %I:%M:%S %p %Z";
        let read = |zone: Option<&str>, text: &str| format(US, zone).unwrap().to_rfc3339(text);
        let angeles = Some("America/Los_Angeles");
        for (zone, text, utc) in [
            (angeles, "Nov 3, 2024 1:30:00 AM PDT", "2024-11-03T08:30:00Z"),
            (angeles, "Nov 3, 2024 1:30:00 AM PST", "2024-11-03T09:30:00Z"),
            (angeles, "Nov 3, 2024 1:30:00 AM UTC", "2024-11-03T01:30:00Z"),
            (None, "Nov 3, 2024 1:30:00 AM PST", "2024-11-03T09:30:00Z"),
            (None, "Jul 3, 2024 12:30:00 PM cest", "2024-07-03T10:30:00Z"),
            (Some("Asia/Kolkata"), "Jul 3, 2024 12:30:00 PM IST", "2024-07-03T07:00:00Z"),
        ] {
            assert_eq!(read(zone, text).as_deref(), Ok(utc), "{text} in {zone:?}");
        }
        for (text, expected) in [
            ("Jul 3, 2024 12:30:00 PM IST", "has the time zone IST, which can mean India, Ireland or Israel"),
            ("Jul 3, 2024 12:30:00 PM XYZ", "has an unknown time zone abbreviation"),
            ("Jul 3, 2024 12:30:00 PM ", "is not a time of the format"),
            ("Jul 3, 2024 12:30:00 PM", "is not a time of the format"),
            ("Jul 3, 2024 12:30:00 PM PST8", "is not a time of the format"),
        ] {
            assert!(read(None, text).unwrap_err().starts_with(expected), "{text}");
        }
        let both = format("%Y-%m-%d %H:%M %z (%Z)", None).unwrap();
        assert_eq!(both.to_rfc3339("2024-07-03 12:30 +0200 (CEST)").as_deref(), Ok("2024-07-03T10:30:00Z"));
        assert_eq!(both.to_rfc3339("2024-07-03 12:30 +0530 (IST)").as_deref(), Ok("2024-07-03T07:00:00Z"));
        assert!(both.to_rfc3339("2024-07-03 12:30 +0200 (PST)").unwrap_err().contains("another offset"));
    }

    #[test]
    fn parts_that_contradict_each_other_are_refused() {
        for (written, right, wrong) in [
            ("%a %Y-%m-%d", "Wed 2024-05-01", "Thu 2024-05-01"),
            ("%Y-%m-%d %j", "2024-05-01 122", "2024-05-01 121"),
            ("%Y %y-%m-%d", "2024 24-05-01", "2024 23-05-01"),
            ("%Y-%m-%d %H:%M %p", "2024-05-01 13:30 PM", "2024-05-01 01:30 PM"),
            ("%Y-%m-%d %H:%M %I %p", "2024-05-01 13:30 01 PM", "2024-05-01 13:30 02 PM"),
            ("%G-W%V-%u %F", "2024-W18-3 2024-05-01", "2024-W18-4 2024-05-01"),
            ("%Y-%m-%d", "2024-05-01", "24-05-01"),
            ("%y-%m-%d", "69-05-01", "2024-05-01"),
        ] {
            let format = format(written, Some("UTC")).unwrap();
            assert!(format.to_rfc3339(right).is_ok(), "{written} of {right}");
            assert!(format.to_rfc3339(wrong).is_err(), "{written} of {wrong}");
        }
        let both = format("%s %Y-%m-%d %H:%M:%S", None).unwrap();
        assert_eq!(both.to_rfc3339("1700000000 2023-11-14 22:13:20").as_deref(), Ok("2023-11-14T22:13:20Z"));
        assert!(both.to_rfc3339("1700000000 2023-11-14 22:13:21").is_err());
        // The pivot of two-digit years.
        let short = format("%d/%m/%y", Some("UTC")).unwrap();
        assert_eq!(short.to_rfc3339("01/05/69").as_deref(), Ok("2069-05-01T00:00:00Z"));
        assert_eq!(short.to_rfc3339("01/05/70").as_deref(), Ok("1970-05-01T00:00:00Z"));
    }

    #[test]
    fn a_leap_second_says_what_it_is() {
        for (written, zone, text) in [
            ("%Y-%m-%d %H:%M:%S", Some("UTC"), "2016-12-31 23:59:60"),
            ("%Y-%m-%d %H:%M:%S %Z", None, "2016-12-31 23:59:60 UTC"),
            ("rfc3339", None, "2016-12-31T23:59:60Z"),
            ("%+", None, "2017-01-01T08:59:60.5+09:00"),
        ] {
            let error = format(written, zone).unwrap().to_rfc3339(text).unwrap_err();
            assert_eq!(error, LEAP_SECOND, "{text}");
        }
    }

    #[test]
    fn a_clock_change_can_be_refused() {
        let zone = Some("Europe/London".to_owned());
        let settings = Settings { format: "%Y-%m-%d %H:%M".into(), zone, clock_change: Some(ClockChange::Refuse) };
        let london = TimestampFormat::try_from(settings).unwrap();
        assert!(london.to_rfc3339("2010-10-31 01:30").unwrap_err().starts_with("occurred twice in Europe/London"));
        assert!(london.to_rfc3339("2011-03-27 01:30").unwrap_err().starts_with("never occurred in Europe/London"));
        assert_eq!(london.to_rfc3339("2011-03-27 02:30").as_deref(), Ok("2011-03-27T01:30:00Z"));
        for (format, zone) in [("%F %T %Z", Some("Europe/London")), ("%F %T %z", None), ("rfc3339", None)] {
            let clock_change = Some(ClockChange::Refuse);
            let settings = Settings { format: format.into(), zone: zone.map(Into::into), clock_change };
            assert!(TimestampFormat::try_from(settings).unwrap_err().starts_with("clock-change is not allowed"));
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        assert!(format("%Y-%m-%d", None).unwrap_err().contains("zone is missing"));
        assert!(format("%F %T %z", Some("Europe/London")).unwrap_err().contains("not needed"));
        assert!(format("%Y", Some("Europe/Londn")).unwrap_err().contains("Europe/Londn"));
        for lacking in ["%H:%M", "%Y-%m-%d %I:%M", "%Y-%m-%d %M", "%Y-%m-%d %H", "%Y-%m-%d %p", "%m-%d %H:%M", "%Z"] {
            assert!(format(lacking, Some("Europe/London")).unwrap_err().contains("whole date"), "{lacking}");
        }
        assert!(format("%Y-%m-%d %H:%M:%S.%f", Some("UTC")).unwrap_err().contains("use %.f"));
        assert!(format("%F %T %Z %Z", None).unwrap_err().contains("%Z twice"));
        assert!(format("%s %Z", None).unwrap_err().contains("leave %Z out"));
        assert!(format("%F %T %#z", Some("UTC")).unwrap_err().contains("not needed"));
        assert!(format("%F %T %%z", None).unwrap_err().contains("zone is missing"), "%%z is not an offset");
        assert!(format("%Q", Some("Europe/London")).unwrap_err().contains("strftime"));
    }
}
