//! Literals and expressions in SQL text. `copy (select ...) to stdout` takes no bind parameters, so its text contains
//! values from outside. This is the only place that writes them.

/// The transaction's time in microseconds since 2000-01-01 UTC, as Postgres stores timestamps.
pub(crate) const TRANSACTION_TIME: &str =
    "(extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint";

/// Quotes a text as an SQL string literal. It is safe for every value of `standard_conforming_strings`: a text with a
/// backslash becomes an escape string, where a backslash always means the same. NUL, which Postgres cannot store, is
/// dropped.
pub fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 4);
    if text.contains('\\') {
        out.push_str(" E");
    }
    out.push('\'');
    for c in text.chars() {
        match c {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            '\0' => {}
            other => out.push(other),
        }
    }
    out.push('\'');
    out
}

/// SQL of several lines, of which all but the first are moved to the right.
pub(crate) fn indented(sql: &str, columns: usize) -> String {
    sql.replace('\n', &format!("\n{:columns$}", ""))
}

/// Writes texts as `array['a', 'b']::text[]`.
pub fn literal_array<S: AsRef<str>>(texts: &[S]) -> String {
    let mut out = String::from("array[");
    for (at, text) in texts.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        out.push_str(&literal(text.as_ref()));
    }
    out.push_str("]::text[]");
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::literal;

    /// Parses a literal as Postgres does (manual, 4.1.2.1 and 4.1.2.2), and returns the rest as well.
    fn read(sql: &str) -> Option<(String, &str)> {
        let (escapes, rest) = match sql.trim_start().strip_prefix('E') {
            Some(rest) => (true, rest),
            None => (false, sql.trim_start()),
        };
        let mut chars = rest.strip_prefix('\'')?.chars();
        let mut text = String::new();
        loop {
            match chars.next()? {
                '\'' => {
                    if let Some(rest) = chars.as_str().strip_prefix('\'') {
                        text.push('\'');
                        chars = rest.chars();
                    } else {
                        return Some((text, chars.as_str()));
                    }
                }
                '\\' if escapes => text.push(chars.next().filter(|&c| c == '\\')?),
                c => text.push(c),
            }
        }
    }

    proptest! {
        #[test]
        fn a_literal_is_read_back_as_the_text_and_nothing_more(text in "[^\0]*", tail in "[a-z ]*") {
            let sql = format!("{} {tail}", literal(&text));
            let (back, rest) = read(&sql).expect("a literal");
            prop_assert_eq!(back, text);
            prop_assert_eq!(rest, format!(" {tail}"));
        }
    }
}
