//! Amounts of money.

use orrery_kit::resource::kind;

/// Most digits of an amount before and after the point: those of `numeric(19,4)`, which is what a Postgres shop keeps
/// money in.
pub const AMOUNT_DIGITS: (usize, usize) = (15, 4);

/// An amount of money, or part of one; unset is 0.
pub const AMOUNT: kind::Decimals = kind::decimal(AMOUNT_DIGITS.0, AMOUNT_DIGITS.1).or_zero();
