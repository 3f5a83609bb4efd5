//! Durations and sizes in human notation: `20s`, `1m30s`, `64MiB`.

use std::fmt;
use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
const BYTE_UNITS: [(&str, usize); 8] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
    ("", 1),
];

/// Parses a duration: numbers with the units `h`, `m`, `s` and `ms`, one after the other (`1m30s`). A number without a
/// unit is refused, since its meaning is unclear.
///
/// # Errors
///
/// A message that says what is wrong.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let refused = || format!("{text:?} is not a duration; use a number with a unit: 500ms, 20s, 15m, 1h");
    let mut rest = text.trim();
    let mut milliseconds = 0u64;
    if rest.is_empty() {
        return Err(refused());
    }
    while !rest.is_empty() {
        let (number, unit_and_rest) = leading_number(rest).ok_or_else(refused)?;
        let end = unit_and_rest.find(|c: char| c.is_ascii_digit()).unwrap_or(unit_and_rest.len());
        let (unit, after) = unit_and_rest.split_at(end);
        let (_, factor) = DURATION_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refused)?;
        milliseconds =
            number.checked_mul(*factor).and_then(|part| milliseconds.checked_add(part)).ok_or_else(refused)?;
        rest = after;
    }
    Ok(Duration::from_millis(milliseconds))
}

/// Parses a size: an integer with one of the units `B`, `KiB`, `MiB`, `GiB`, `kB`, `MB`, `GB`; without a unit, bytes.
///
/// # Errors
///
/// A message that says what is wrong.
pub fn parse_bytes(text: &str) -> Result<usize, String> {
    let refused = || format!("{text:?} is not a size; use a number with a unit: 512B, 64KiB, 16MiB, 1GiB");
    let (number, unit) = leading_number(text.trim()).ok_or_else(refused)?;
    let (_, factor) = BYTE_UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(refused)?;
    usize::try_from(number).ok().and_then(|number| number.checked_mul(*factor)).ok_or_else(refused)
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

/// A duration that displays as [`parse_duration`] reads it, in the largest unit that holds it exactly. Parts below a
/// millisecond are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HumanDuration(pub Duration);

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        for (unit, factor) in DURATION_UNITS {
            let factor = u128::from(factor);
            if milliseconds >= factor && milliseconds.is_multiple_of(factor) {
                return write!(f, "{}{unit}", milliseconds / factor);
            }
        }
        write!(f, "{milliseconds}ms")
    }
}

/// A size that displays as [`parse_bytes`] reads it, in the largest binary unit that holds it exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub usize);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in &BYTE_UNITS[..3] {
            if self.0 >= *factor && self.0.is_multiple_of(*factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}B", self.0)
    }
}
