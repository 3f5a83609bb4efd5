//! Positions in Postgres's write-ahead log.

use std::fmt;
use std::str::FromStr;

/// A position in the write-ahead log. Postgres writes it as `16/B374D848`, two hexadecimal numbers of 32 bits (manual,
/// 8.20, `pg_lsn`). On one timeline, a later position is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lsn(u64);

impl Lsn {
    /// The position after this many bytes of log.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// How many bytes of log come before it.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// The text is not a WAL position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a WAL position such as \"16/B374D848\"")]
pub struct ParseLsnError;

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, ParseLsnError> {
        let half = |text: &str| {
            let digits = (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            digits.then(|| u64::from_str_radix(text, 16).ok()).flatten().ok_or(ParseLsnError)
        };
        let (high, low) = text.split_once('/').ok_or(ParseLsnError)?;
        Ok(Self(half(high)? << 32 | half(low)?))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_read_as_postgres_writes_it() {
        assert_eq!("16/B374D848".parse(), Ok(Lsn(0x16_b374_d848)));
        assert_eq!("0/0".parse(), Ok(Lsn(0)));
        assert_eq!("ffffffff/ffffffff".parse(), Ok(Lsn(u64::MAX)));
        assert_eq!(Lsn(0x16_0000_d848).to_string(), "16/D848");
        for text in
            ["", "/", "16", "16/", "/16", "16/B374D8480", "016/-1", "+1/1", "1/1/1", " 1/1", "1/1 ", "G/1", "0x1/1"]
        {
            assert_eq!(text.parse::<Lsn>(), Err(ParseLsnError), "{text:?}");
        }
    }

    #[test]
    fn later_is_greater() {
        let position = |text: &str| text.parse::<Lsn>().ok();
        assert!(position("1/0") > position("0/FFFFFFFF") && position("0/10") > position("0/9"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bytes in any::<u64>()) {
            prop_assert_eq!(Lsn(bytes).to_string().parse(), Ok(Lsn(bytes)));
        }

        #[test]
        fn no_text_breaks_the_parser(text in "\\PC{0,20}") {
            let _ = text.parse::<Lsn>();
        }
    }
}
