//! Where the statements of a script begin. The server says how many of them it finished before one failed, not always where that
//! one stands.

/// The offset of the first character of each statement in `sql`, comments and white space before it left out.
pub(super) fn starts(sql: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut inside = false;
    let mut at = 0;
    while let Some(next) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let comment = comment_length(rest);
        if comment > 0 || next.is_whitespace() {
            at += comment.max(next.len_utf8());
            continue;
        }
        if next == ';' {
            inside = false;
            at += 1;
            continue;
        }
        if !inside {
            found.push(at);
            inside = true;
        }
        at += token_length(rest);
    }
    found
}

/// The length of the comment that `text` begins with, 0 if it begins with none.
fn comment_length(text: &str) -> usize {
    if text.starts_with("--") {
        return text.find('\n').unwrap_or(text.len());
    }
    if !text.starts_with("/*") {
        return 0;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The length of the token that `text` begins with, as far as it matters: quoted things are one token, so are words.
fn token_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let word = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    match bytes[0] {
        b'\'' => quoted_length(text, '\'', false),
        b'"' => quoted_length(text, '"', false),
        b'e' | b'E' if word == 1 && bytes.get(1) == Some(&b'\'') => 1 + quoted_length(&text[1..], '\'', true),
        b'$' => dollar_quoted_length(text),
        _ if word > 0 => {
            // A dollar sign within a word belongs to it and opens nothing.
            let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
            end.unwrap_or(text.len())
        }
        _ => text.chars().next().map_or(1, char::len_utf8),
    }
}

fn quoted_length(text: &str, quote: char, backslash: bool) -> usize {
    let mut escaped = false;
    // A doubled quote reads as an end and a new beginning, which comes to the same.
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if backslash && c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

fn dollar_quoted_length(text: &str) -> usize {
    let Some(end) = text[1..].find(|c: char| !(c.is_alphanumeric() || c == '_')).map(|end| end + 1) else { return 1 };
    let starts_with_digit = text.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    if starts_with_digit || !text[end..].starts_with('$') {
        return 1;
    }
    let tag = &text[..=end];
    text[tag.len()..].find(tag).map_or(text.len(), |at| at + 2 * tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(sql: &str) -> Vec<&str> {
        starts(sql).into_iter().map(|at| sql[at..].split_whitespace().next().unwrap_or_default()).collect()
    }

    #[test]
    fn semicolons_in_quotes_and_comments_end_nothing() {
        let sql = "-- a; b\n  one 'x; y' \"p;q\" $$ ; $$ $t$ ; $$ ; $t$ ; /* ; /* ; */ ; */ two e'it\\'s; ' ; ;\nthree 'it''s; ' a$b;c $1;";
        assert_eq!(split(sql), ["one", "two", "three", "c"]);
        assert_eq!(split("-- only a comment"), [""; 0]);
        assert_eq!(split("select 'never closed ; "), ["select"]);
        assert_eq!(split("ä; ö $ü$;$ü$; ß"), ["ä;", "ö", "ß"]);
    }
}
