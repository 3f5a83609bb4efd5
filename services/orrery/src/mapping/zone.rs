//! Time zone abbreviations with their offset from UTC, if they have only one.

use chrono::{FixedOffset, MappedLocalTime, NaiveDateTime, Offset as _, TimeZone as _};
use chrono_tz::{OffsetName as _, Tz};

use super::Problem;

/// Abbreviations with one meaning, and their minutes ahead of UTC. CST, CDT, MST and PST are the North American ones,
/// which exports usually mean. If a mapping's zone uses one with another meaning, that applies.
const KNOWN: [(&str, i32); 40] = [
    ("UTC", 0),
    ("UT", 0),
    ("GMT", 0),
    ("Z", 0),
    ("WET", 0),
    ("WEST", 60),
    ("CET", 60),
    ("MEZ", 60),
    ("CEST", 120),
    ("MESZ", 120),
    ("EET", 120),
    ("EEST", 180),
    ("MSK", 180),
    ("TRT", 180),
    ("WAT", 60),
    ("CAT", 120),
    ("SAST", 120),
    ("EAT", 180),
    ("PKT", 300),
    ("WIB", 420),
    ("HKT", 480),
    ("SGT", 480),
    ("AWST", 480),
    ("JST", 540),
    ("KST", 540),
    ("ACST", 570),
    ("ACDT", 630),
    ("AEST", 600),
    ("AEDT", 660),
    ("NZST", 720),
    ("NZDT", 780),
    ("EST", -300),
    ("EDT", -240),
    ("CST", -360),
    ("CDT", -300),
    ("MST", -420),
    ("MDT", -360),
    ("PST", -480),
    ("PDT", -420),
    ("HST", -600),
];

/// Abbreviations with several meanings, and what these are.
const AMBIGUOUS: [(&str, &str); 9] = [
    ("IST", "India, Ireland or Israel"),
    ("BST", "Britain or Bangladesh"),
    ("AST", "the Atlantic or Arabia"),
    ("ADT", "the Atlantic or Arabia"),
    ("AMT", "Armenia or the Amazon"),
    ("ECT", "Ecuador or the eastern Caribbean"),
    ("GST", "the Gulf or South Georgia"),
    ("SST", "Samoa or Singapore"),
    ("WST", "Samoa or western Australia"),
];

/// The offset of an abbreviation; none if it has none or several.
pub(super) fn known(name: &str) -> Option<FixedOffset> {
    let (_, minutes) = KNOWN.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    FixedOffset::east_opt(minutes * 60)
}

/// The offset of an abbreviation at a local time: the meaning in `zone` at that time, or else the general meaning.
pub(super) fn offset(name: &str, local: NaiveDateTime, zone: Option<Tz>) -> Result<FixedOffset, Problem> {
    let in_zone = zone.and_then(|zone| {
        let (earliest, latest) = match zone.from_local_datetime(&local) {
            MappedLocalTime::Single(time) => (Some(time), None),
            MappedLocalTime::Ambiguous(earliest, latest) => (Some(earliest), Some(latest)),
            MappedLocalTime::None => (None, None),
        };
        let mut times = earliest.into_iter().chain(latest);
        times.find_map(|time| {
            let called = time.offset().abbreviation().is_some_and(|called| called.eq_ignore_ascii_case(name));
            called.then(|| time.offset().fix())
        })
    });
    if let Some(offset) = in_zone.or_else(|| known(name)) {
        return Ok(offset);
    }
    Err(match AMBIGUOUS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        Some((known, meanings)) => format!("has the time zone {known}, which can mean {meanings}; set `zone`").into(),
        None => "has an unknown time zone abbreviation".into(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use chrono::NaiveDate;

    use super::*;

    fn minutes(name: &str, month: u32, zone: Option<Tz>) -> Result<i32, String> {
        let local = NaiveDate::from_ymd_opt(2024, month, 3).unwrap().and_hms_opt(1, 30, 0).unwrap();
        offset(name, local, zone).map(|offset| offset.local_minus_utc() / 60).map_err(Problem::into_owned)
    }

    #[test]
    fn a_zone_decides_what_its_own_abbreviations_mean() {
        for (name, month, zone, expected) in [
            ("IST", 1, Some(Tz::Asia__Kolkata), 330),
            ("IST", 1, Some(Tz::Asia__Jerusalem), 120),
            ("IST", 7, Some(Tz::Europe__Dublin), 60),
            ("CST", 1, Some(Tz::Asia__Shanghai), 480),
            ("CST", 1, None, -360),
            ("BST", 7, Some(Tz::Europe__London), 60),
            ("PST", 7, Some(Tz::America__Los_Angeles), -480),
            ("utc", 7, Some(Tz::America__Los_Angeles), 0),
            // On this day clocks were set back at 02:00, so 01:30 occurred as PDT and as PST.
            ("PST", 11, Some(Tz::America__Los_Angeles), -480),
            ("PDT", 11, Some(Tz::America__Los_Angeles), -420),
        ] {
            assert_eq!(minutes(name, month, zone), Ok(expected), "{name} of {zone:?}");
        }
    }

    #[test]
    fn what_may_mean_several_offsets_or_none_is_refused() {
        for (name, zone) in [("IST", None), ("IST", Some(Tz::Europe__London)), ("BST", None), ("ast", None)] {
            assert!(minutes(name, 1, zone).unwrap_err().contains("can mean"), "{name}");
        }
        for name in ["XYZ", "LOCAL", "A", "PT"] {
            assert!(minutes(name, 1, None).unwrap_err().contains("unknown time zone"), "{name}");
        }
        // London has no BST in winter.
        assert!(minutes("BST", 1, Some(Tz::Europe__London)).is_err());
    }

    #[test]
    fn no_abbreviation_is_listed_twice() {
        let names = KNOWN.iter().map(|(name, _)| *name).chain(AMBIGUOUS.iter().map(|(name, _)| *name));
        let unique: std::collections::BTreeSet<&str> = names.clone().collect();
        assert_eq!(unique.len(), names.count());
    }
}
