//! The `timestamp` transform: a time as a shop writes it, read in the zone that the shop keeps.

use std::str::FromStr as _;

use chrono::format::{Item, StrftimeItems};
use chrono::{
    DateTime, Duration, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset as _, SecondsFormat, TimeZone as _,
    Utc,
};
use chrono_tz::Tz;
use serde::Deserialize;

use super::Problem;

/// How a time is written, checked when the mapping is read.
///
/// A local time that comes twice, when clocks go back, is the first of the two. One that never comes, when clocks go
/// forward, is read as if they had not: in Europe/London 2011-03-27 01:30:00 is 01:30:00 UTC.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Settings")]
pub(crate) struct TimestampFormat {
    format: String,
    /// None: the text names its own offset.
    zone: Option<Tz>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    format: String,
    zone: Option<String>,
}

impl TryFrom<Settings> for TimestampFormat {
    type Error = String;

    fn try_from(settings: Settings) -> Result<Self, String> {
        let format = settings.format;
        if StrftimeItems::new(&format).any(|item| matches!(item, Item::Error)) {
            return Err(format!("format {format:?} is none that strftime knows, as \"%Y-%m-%d %H:%M:%S\" is"));
        }
        let names_offset = format == "rfc3339"
            || ["%z", "%:z", "%::z", "%:::z", "%#z", "%+", "%s"].iter().any(|item| format.contains(item));
        let zone = match settings.zone {
            Some(_) if names_offset => {
                return Err(format!("format {format:?} has an offset in it; zone is not needed"));
            }
            None if !names_offset => {
                return Err(format!(
                    "format {format:?} has no offset in it; zone is missing, such as \"Europe/London\""
                ));
            }
            None => None,
            Some(name) => Some(
                Tz::from_str(&name)
                    .map_err(|_| format!("zone {name:?} is no zone of the IANA database, as \"Europe/London\" is"))?,
            ),
        };
        let format = Self { format, zone };
        // A format that cannot read what it writes lacks the day, the year or the like.
        let sample = DateTime::from_timestamp_nanos(981_173_106_000_000_000);
        let written =
            if format.format == "rfc3339" { sample.to_rfc3339() } else { sample.format(&format.format).to_string() };
        if format.read(&written).is_none() {
            return Err(format!("format {:?} does not tell a whole date", format.format));
        }
        Ok(format)
    }
}

impl TimestampFormat {
    /// A time as RFC 3339 in UTC.
    pub(crate) fn to_rfc3339(&self, text: &str) -> Result<String, Problem> {
        let instant = self
            .read(text.trim())
            .ok_or_else(|| Problem::from(format!("is no time of the format {:?}", self.format)))?;
        Ok(instant.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }

    fn read(&self, text: &str) -> Option<DateTime<Utc>> {
        let Some(zone) = self.zone else {
            return match self.format.as_str() {
                "rfc3339" => DateTime::parse_from_rfc3339(text),
                format => DateTime::parse_from_str(text, format).or_else(|error| {
                    // Seconds since 1970 name no offset; they are UTC.
                    NaiveDateTime::parse_from_str(text, format)
                        .map(|time| time.and_utc().fixed_offset())
                        .map_err(|_| error)
                }),
            }
            .ok()
            .map(|time| time.to_utc());
        };
        let local = NaiveDateTime::parse_from_str(text, &self.format)
            .or_else(|_| NaiveDate::parse_from_str(text, &self.format).map(|day| day.and_time(NaiveTime::MIN)))
            .ok()?;
        match zone.from_local_datetime(&local) {
            LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => Some(time.to_utc()),
            LocalResult::None => {
                // Within a gap. The offset that held a day before still held when the clocks went forward.
                let before = zone.from_local_datetime(&local.checked_sub_signed(Duration::days(1))?).earliest()?;
                Some((local - before.offset().fix()).and_utc())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn format(format: &str, zone: Option<&str>) -> Result<TimestampFormat, String> {
        Settings { format: format.into(), zone: zone.map(Into::into) }.try_into()
    }

    #[test]
    fn local_times_are_read_in_their_zone() {
        let london = format("%Y-%m-%d %H:%M:%S", Some("Europe/London")).unwrap();
        for (local, utc) in [
            ("2010-12-01 08:26:00", "2010-12-01T08:26:00Z"),
            ("2011-06-01 08:26:00", "2011-06-01T07:26:00Z"),
            // Clocks went forward at 01:00.
            ("2011-03-27 00:59:59", "2011-03-27T00:59:59Z"),
            ("2011-03-27 01:30:00", "2011-03-27T01:30:00Z"),
            ("2011-03-27 02:00:00", "2011-03-27T01:00:00Z"),
            // Clocks went back at 02:00: 01:30 came twice.
            ("2010-10-31 01:30:00", "2010-10-31T00:30:00Z"),
            ("2010-10-31 02:00:00", "2010-10-31T02:00:00Z"),
        ] {
            assert_eq!(london.to_rfc3339(local).as_deref(), Ok(utc), "{local}");
        }
        assert!(london.to_rfc3339("2011-02-29 00:00:00").is_err());
        // Samoa had no 30 December 2011.
        let samoa = format("%Y-%m-%d", Some("Pacific/Apia")).unwrap();
        assert_eq!(samoa.to_rfc3339("2011-12-30").as_deref(), Ok("2011-12-30T10:00:00Z"));
    }

    #[test]
    fn times_with_an_offset_need_no_zone() {
        for (written, text, utc) in [
            ("rfc3339", "2011-06-01T08:26:00.123456+01:00", "2011-06-01T07:26:00.123456Z"),
            ("%Y-%m-%d %H:%M:%S %z", "2024-05-01 10:00:00 -0400", "2024-05-01T14:00:00Z"),
            ("%s", "1700000000", "2023-11-14T22:13:20Z"),
        ] {
            assert_eq!(format(written, None).unwrap().to_rfc3339(text).as_deref(), Ok(utc), "{text}");
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        assert!(format("%Y-%m-%d", None).unwrap_err().contains("zone is missing"));
        assert!(format("%z", Some("Europe/London")).unwrap_err().contains("not needed"));
        assert!(format("%Y", Some("Europe/Londn")).unwrap_err().contains("Europe/Londn"));
        assert!(format("%H:%M", Some("Europe/London")).unwrap_err().contains("whole date"));
        assert!(format("%Q", Some("Europe/London")).unwrap_err().contains("strftime"));
    }
}
