//! Splits a script into statements: where each begins, and its keywords. The server reports how many statements
//! completed before an error, but not always where the failed one is; and it refuses a statement only when it runs.

/// A statement of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScriptStatement {
    /// The offset of its first character, after comments and white space.
    pub(super) start: usize,
    /// Its keywords and bare names in lower case, without quoted names, numbers and punctuation.
    pub(super) words: Vec<String>,
}

impl ScriptStatement {
    /// Whether it starts with these words.
    pub(super) fn begins(&self, words: &[&str]) -> bool {
        self.words.len() >= words.len() && self.words.iter().zip(words).all(|(has, word)| has == word)
    }

    /// Whether it creates a function or procedure, whose body may be `begin atomic ...; ...; end`.
    fn is_routine(&self) -> bool {
        [&["create", "or", "replace"][..], &["create"]].iter().any(|create| {
            self.begins(create)
                && matches!(self.words[create.len()..].first(), Some(kind) if kind == "function" || kind == "procedure")
        })
    }
}

/// The statements of `sql`, in order.
pub(super) fn statements(sql: &str) -> Vec<ScriptStatement> {
    let mut found: Vec<ScriptStatement> = Vec::new();
    let mut inside = false;
    // A semicolon within parentheses, as in a rule, or in the body of a routine, does not end a statement.
    let (mut parentheses, mut blocks) = (0_usize, 0_usize);
    for (start, token) in placed_tokens(sql) {
        match token {
            ";" if parentheses == 0 && blocks == 0 => {
                inside = false;
                continue;
            }
            "(" => parentheses += 1,
            ")" => parentheses = parentheses.saturating_sub(1),
            _ => {}
        }
        if !inside {
            found.push(ScriptStatement { start, words: Vec::new() });
            inside = true;
            (parentheses, blocks) = (usize::from(token == "("), 0);
        }
        if let Some(statement) = found.last_mut()
            && token.starts_with(|first: char| first.is_alphabetic() || first == '_')
            && !token.contains('\'')
        {
            let word = token.to_lowercase();
            if statement.is_routine() {
                match word.as_str() {
                    "begin" => blocks += 1,
                    "case" if blocks > 0 => blocks += 1,
                    "end" => blocks = blocks.saturating_sub(1),
                    _ => {}
                }
            }
            statement.words.push(word);
        }
    }
    found
}

/// The tokens of `sql` without comments and white space: words, quoted names and texts, and single characters.
pub(super) fn tokens(sql: &str) -> impl Iterator<Item = &str> {
    placed_tokens(sql).map(|(_, token)| token)
}

/// The tokens and where each begins.
fn placed_tokens(sql: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = &sql[at..];
            let next = rest.chars().next()?;
            let comment = comment_length(rest);
            if comment == 0 && !next.is_whitespace() {
                let token = &rest[..token_length(rest)];
                at += token.len();
                return Some((at - token.len(), token));
            }
            at += comment.max(next.len_utf8());
        }
    })
}

/// The length of a comment at the start of `text`, or 0.
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

/// The length of the token at the start of `text`. A quoted text is one token, and so is a word.
fn token_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let word = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    match bytes[0] {
        b'\'' => quoted_length(text, '\'', false),
        b'"' => quoted_length(text, '"', false),
        b'e' | b'E' if word == 1 && bytes.get(1) == Some(&b'\'') => 1 + quoted_length(&text[1..], '\'', true),
        b'$' => dollar_quoted_length(text),
        _ if word > 0 => {
            // A dollar sign within a word does not open a quote.
            let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
            end.unwrap_or(text.len())
        }
        _ => text.chars().next().map_or(1, char::len_utf8),
    }
}

fn quoted_length(text: &str, quote: char, backslash: bool) -> usize {
    let mut escaped = false;
    // A doubled quote is treated as an end and a new start, which has the same effect.
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
    use proptest::prelude::*;

    use super::*;

    fn split(sql: &str) -> Vec<&str> {
        let first = |statement: ScriptStatement| sql[statement.start..].split_whitespace().next().unwrap_or_default();
        statements(sql).into_iter().map(first).collect()
    }

    #[test]
    fn semicolons_in_quotes_and_comments_end_nothing() {
        let sql = "-- a; b\n  one 'x; y' \"p;q\" $$ ; $$ $t$ ; $$ ; $t$ ; /* ; /* ; */ ; */ two e'it\\'s; ' ; \
            ;\nthree 'it''s; ' a$b;c $1;";
        assert_eq!(split(sql), ["one", "two", "three", "c"]);
        assert_eq!(split("-- only a comment"), [""; 0]);
        assert_eq!(split("select 'never closed ; "), ["select"]);
        assert_eq!(split("ä; ö $ü$;$ü$; ß"), ["ä;", "ö", "ß"]);
    }

    #[test]
    fn semicolons_in_parentheses_and_bodies_end_nothing() {
        let rule = "create rule r as on insert to t do (select 1; select 2); next";
        assert_eq!(split(rule), ["create", "next"]);
        let function = "create or replace function f(int) returns int begin atomic select case when $1 > 0 then 1 end; \
                        select 2; end; next; end";
        assert_eq!(split(function), ["create", "next;", "end"]);
        // Outside of such a body these are ordinary words.
        assert_eq!(split("begin; select case when true then 1 end; end"), ["begin;", "select", "end"]);
        assert_eq!(split("create table t (a int); begin; end"), ["create", "begin;", "end"]);
        assert_eq!(split("); a; (b; c); d"), [");", "a;", "(b;", "d"]);
    }

    #[test]
    fn words_are_what_is_not_quoted() {
        let words = |sql: &str| statements(sql).into_iter().map(|statement| statement.words).collect::<Vec<_>>();
        let expected: &[&[&str]] = &[&["create", "index", "on", "a_1$b", "ä"], &["commit"]];
        assert_eq!(
            words("CREATE Index /* x */ \"Concurrently\" ON a_1$b (ä, 7, 'y', e'\\'z', $$w$$); -- v\ncommit"),
            expected
        );
    }

    proptest! {
        #[test]
        fn any_text_is_cut(
            sql in "(begin|end|create function|;|'|\"|\\$a?\\$|\\(|\\)|--|/\\*|\\*/|\n| |é|\\PC){0,40}",
        ) {
            let statements = statements(&sql);
            prop_assert!(statements.windows(2).all(|pair| pair[0].start < pair[1].start));
            prop_assert!(statements.iter().all(|statement| !sql[statement.start..].starts_with(char::is_whitespace)));
            prop_assert!(tokens(&sql).all(|token| !token.is_empty() && !token.starts_with(char::is_whitespace)));
        }
    }
}
