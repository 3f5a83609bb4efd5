//! Range checks that several settings use.

use std::time::Duration;

use super::ConfigError;
use super::units::HumanDuration;

pub(super) fn at_least<N: PartialOrd + std::fmt::Display + Copy>(
    flag: &'static str,
    value: N,
    least: N,
) -> Result<(), ConfigError> {
    if value < least {
        return Err(ConfigError::new(flag, format!("{value} is too small; the minimum is {least}")));
    }
    Ok(())
}

pub(super) fn at_most(flag: &'static str, value: usize, most: usize) -> Result<(), ConfigError> {
    if value > most {
        return Err(ConfigError::new(flag, format!("{value} is too large; the maximum is {most}")));
    }
    Ok(())
}

pub(super) fn not_zero(flag: &'static str, value: Duration) -> Result<(), ConfigError> {
    if value.is_zero() {
        return Err(ConfigError::new(flag, "must be longer than 0s"));
    }
    Ok(())
}

/// Postgres takes timeouts in milliseconds in 32 bits, and 0 turns them off.
pub(super) fn timeout(flag: &'static str, value: Duration) -> Result<(), ConfigError> {
    span(flag, value, Duration::from_millis(1), Duration::from_millis(i32::MAX as u64))
}

pub(super) fn span(flag: &'static str, value: Duration, least: Duration, most: Duration) -> Result<(), ConfigError> {
    if !(least..=most).contains(&value) {
        let (value, least, most) = (HumanDuration(value), HumanDuration(least), HumanDuration(most));
        return Err(ConfigError::new(flag, format!("{value} is out of range; it must be {least} to {most}")));
    }
    Ok(())
}
