//! Addition, multiplication and comparison, digit by digit as on paper: amounts are short, and no length may overflow.

use std::cmp::Ordering;
use std::ops::Neg;

use super::{Decimal, DecimalError};

impl Decimal {
    pub(super) fn from_parts(negative: bool, mut digits: Vec<u8>, scale: usize) -> Self {
        while digits.last() == Some(&0) {
            digits.pop();
        }
        Self { negative: negative && !digits.is_empty(), digits, scale }
    }

    /// The sum. It has as many digits after the point as the operand that has more. An error beyond 1,000 digits before
    /// the point.
    pub fn checked_add(&self, other: &Self) -> Result<Self, DecimalError> {
        let scale = self.scale.max(other.scale);
        let left = self.digits_at(scale);
        let right = other.digits_at(scale);
        let sum = if self.negative == other.negative {
            Self::from_parts(self.negative, sum(&left, &right), scale)
        } else if order(&left, &right) == Ordering::Less {
            Self::from_parts(other.negative, difference(&right, &left), scale)
        } else {
            Self::from_parts(self.negative, difference(&left, &right), scale)
        };
        sum.bounded()
    }

    /// The product. It has as many digits after the point as both operands together. An error beyond 1,000 digits
    /// before or after the point.
    pub fn checked_mul(&self, other: &Self) -> Result<Self, DecimalError> {
        // A place adds up at most 2,000 products of two digits, 162,000 in all.
        let mut places = vec![0_u32; self.digits.len() + other.digits.len()];
        for (at, left) in self.digits.iter().enumerate() {
            for (place, right) in places[at..].iter_mut().zip(&other.digits) {
                *place += u32::from(*left) * u32::from(*right);
            }
        }
        let mut carry = 0;
        let mut digits = Vec::with_capacity(places.len());
        for place in places {
            carry += place;
            digits.push((carry % 10) as u8);
            carry /= 10;
        }
        Self::from_parts(self.negative != other.negative, digits, self.scale + other.scale).bounded()
    }

    /// The digits, extended to `scale` digits after the point. `scale` must not be less than the present one.
    fn digits_at(&self, scale: usize) -> Vec<u8> {
        if self.digits.is_empty() {
            return Vec::new();
        }
        let mut digits = vec![0; scale - self.scale];
        digits.extend_from_slice(&self.digits);
        digits
    }
}

/// Compares two numbers without leading zeros.
fn order(left: &[u8], right: &[u8]) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.iter().rev().cmp(right.iter().rev()))
}

fn sum(left: &[u8], right: &[u8]) -> Vec<u8> {
    let length = left.len().max(right.len());
    let mut digits = Vec::with_capacity(length + 1);
    let mut carry = 0;
    for place in 0..length {
        let digit = carry + left.get(place).unwrap_or(&0) + right.get(place).unwrap_or(&0);
        digits.push(digit % 10);
        carry = digit / 10;
    }
    digits.push(carry);
    digits
}

/// `left - right`, which must not be negative.
fn difference(left: &[u8], right: &[u8]) -> Vec<u8> {
    let mut digits = Vec::with_capacity(left.len());
    let mut borrow = 0;
    for (place, digit) in left.iter().enumerate() {
        let taken = borrow + right.get(place).unwrap_or(&0);
        borrow = u8::from(*digit < taken);
        digits.push(digit + 10 * borrow - taken);
    }
    digits
}

impl Neg for Decimal {
    type Output = Self;

    fn neg(self) -> Self {
        Self { negative: !self.negative && !self.digits.is_empty(), ..self }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let scale = self.scale.max(other.scale);
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => order(&self.digits_at(scale), &other.digits_at(scale)),
            (true, true) => order(&other.digits_at(scale), &self.digits_at(scale)),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}
