//! A JSON text that is written into a tuple, with its length as Postgres will print it. Numbers are sent with an
//! exponent if that is shorter. jsonb prints them without one: `5e-324` becomes 326 characters whenever the row is
//! read. So the limit applies to the printed length, which every reader of the row pays for.

use std::io::Write as _;

use super::document::{escaped_length, put_string};

/// Most bytes of one document as Postgres prints it: twice what the details of a status, or annotations, may hold on
/// the wire.
pub(super) const MAX_JSON_BYTES: usize = 512 * 1024;

/// Numbers from here on are written with an exponent. Smaller ones keep their form, because the write ledger contains
/// hashes of it.
const LARGE: f64 = 1e21;
/// Numbers below this are written with an exponent.
const SMALL: f64 = 1e-7;

/// A JSON text that is being appended to a tuple. Beyond the limit, bytes are counted but not written.
pub(super) struct JsonText<'t> {
    out: &'t mut Vec<u8>,
    printed: usize,
    most: usize,
}

/// A place in a [`JsonText`].
#[derive(Clone, Copy)]
pub(super) struct Mark {
    written: usize,
    printed: usize,
}

impl<'t> JsonText<'t> {
    pub(super) fn new(out: &'t mut Vec<u8>) -> Self {
        Self { out, printed: 0, most: MAX_JSON_BYTES }
    }

    /// The same without a limit, for a text of which only a little is changed.
    pub(super) fn unbounded(out: &'t mut Vec<u8>) -> Self {
        Self { out, printed: 0, most: usize::MAX }
    }

    /// The current position.
    pub(super) fn mark(&self) -> Mark {
        Mark { written: self.out.len(), printed: self.printed }
    }

    /// Removes everything after a position.
    pub(super) fn back_to(&mut self, mark: Mark) {
        self.out.truncate(mark.written);
        self.printed = mark.printed;
    }

    /// Counts printed bytes, and returns whether they are to be written.
    fn takes(&mut self, printed: usize) -> bool {
        self.printed = self.printed.saturating_add(printed);
        self.printed <= self.most
    }

    /// Puts text that Postgres prints unchanged.
    pub(super) fn put(&mut self, text: &[u8]) {
        if self.takes(text.len()) {
            self.out.extend_from_slice(text);
        }
    }

    /// Puts a string.
    pub(super) fn put_string(&mut self, text: &str) {
        if self.takes(escaped_length(text)) {
            put_string(self.out, text);
        }
    }

    /// Puts a finite number, with the fewest digits that give the same double.
    pub(super) fn put_number(&mut self, number: f64) {
        // jsonb has no negative zero.
        let number = if number == 0.0 { 0.0 } else { number };
        let size = number.abs();
        let at = self.out.len();
        // Writing to a vector does not fail.
        if size == 0.0 || (SMALL..LARGE).contains(&size) {
            let _ = write!(self.out, "{number}");
            self.printed += self.out.len() - at;
        } else {
            let _ = write!(self.out, "{number:e}");
            self.printed += printed_length(&self.out[at..]);
        }
        if self.printed > self.most {
            self.out.truncate(at);
        }
    }

    /// Puts a comma before every item but the first.
    pub(super) fn separate(&mut self, nth: usize) {
        if nth > 0 {
            self.put(b", ");
        }
    }

    /// Whether all of it was written.
    ///
    /// # Errors
    /// The reason if not: the end of a sentence that begins with the field's name.
    pub(super) fn finish(self) -> Result<(), String> {
        let (bytes, most) = (self.printed, self.most);
        if bytes > most {
            return Err(format!("takes {bytes} bytes as the JSON that Postgres prints; at most {most} are allowed"));
        }
        Ok(())
    }
}

/// The length of a number with an exponent when it is printed without one.
fn printed_length(text: &[u8]) -> usize {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let sign = usize::from(mantissa.starts_with('-'));
    let distance = exponent.unsigned_abs() as usize;
    sign + if exponent < 0 {
        // "0.", the zeros behind it, the digits.
        1 + distance + digits
    } else if digits > distance + 1 {
        digits + 1
    } else {
        distance + 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(number: f64) -> (String, usize) {
        let mut out = Vec::new();
        let mut json = JsonText::new(&mut out);
        json.put_number(number);
        let printed = json.printed;
        assert_eq!(json.finish(), Ok(()));
        (String::from_utf8(out).expect("JSON is UTF-8"), printed)
    }

    #[test]
    fn numbers_have_an_exponent_where_that_is_shorter() {
        for (number, text, printed) in [
            (5e-324, "5e-324", 326),
            (-5e-324, "-5e-324", 327),
            (f64::MAX, "1.7976931348623157e308", 309),
            (1e21, "1e21", 22),
            (9.99e20, "999000000000000000000", 21),
            (1.25e-8, "1.25e-8", 12),
            (1e-7, "0.0000001", 9),
            (0.0, "0", 1),
            (-0.0, "0", 1),
            (1.5, "1.5", 3),
            (-100.0, "-100", 4),
        ] {
            assert_eq!(written(number), (text.to_owned(), printed), "{number:e}");
        }
    }

    #[test]
    fn what_is_beyond_the_bound_is_counted_and_not_written() {
        let mut out = Vec::new();
        let mut json = JsonText::new(&mut out);
        json.put(b"[");
        let mark = json.mark();
        for _ in 0..20_000 {
            json.put_number(5e-324);
            json.put_string("\u{1}\"x");
            json.put(b", ");
        }
        let text_bytes = 1 + 20_000 * (326 + 11 + 2);
        assert_eq!(json.printed, text_bytes);
        assert!(json.out.len() < 40_000, "{}", json.out.len());
        // And what is taken away again does not count.
        json.back_to(mark);
        json.put(b"]");
        assert_eq!(json.finish(), Ok(()));
        assert_eq!(out, b"[]");
        let mut json = JsonText::new(&mut out);
        json.put_string(&"x".repeat(MAX_JSON_BYTES - 1));
        let why = json.finish().expect_err("it is too long");
        assert!(why.contains("524289") && why.contains("524288"), "{why}");
    }

    proptest! {
        #[test]
        fn a_number_reads_as_it_was_and_its_printed_length_is_known(
            number in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL,
        ) {
            let (text, printed) = written(number);
            prop_assert_eq!(text.parse().map(f64::to_bits), Ok(number.to_bits()));
            // Rust prints a double without an exponent, as Postgres does a numeric.
            prop_assert_eq!(printed, number.to_string().len());
            prop_assert!(text.len() <= 26, "{}", text);
        }
    }
}
