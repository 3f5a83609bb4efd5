//! Parses a selector: first into words and signs, then into requirements. The grammar has no keywords: `in` and `notin`
//! are operators only where an operator is expected; elsewhere they are keys or values.

use super::{LabelSelector, MAX_BYTES, MAX_REQUIREMENTS, MAX_VALUES, Operator, ParseError, Requirement};
use crate::label;

/// Characters that end a word.
const SIGNS: [char; 7] = ['=', '!', '(', ')', ',', '<', '>'];
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Equals,
    NotEquals,
    Not,
    Open,
    Close,
    Comma,
    Comparison,
    End,
}

/// The text that is not read yet, and how many bytes were read before it.
struct Reader<'a> {
    text: &'a str,
    position: usize,
    values: usize,
}

pub(super) fn selector(text: &str) -> Result<LabelSelector, ParseError> {
    if text.len() > MAX_BYTES {
        return error(text.floor_char_boundary(MAX_BYTES), "a label selector must have at most 4,096 bytes");
    }
    let mut reader = Reader { text, position: 0, values: 0 };
    let mut requirements = Vec::new();
    if reader.peek() == Token::End {
        return Ok(LabelSelector { requirements });
    }
    loop {
        if requirements.len() == MAX_REQUIREMENTS {
            return error(reader.position, "a label selector must have at most 64 requirements");
        }
        requirements.push(reader.requirement()?);
        let (position, token) = reader.next();
        match token {
            Token::Comma => {}
            Token::End => return Ok(LabelSelector { requirements }),
            other => return unexpected(position, other, "\",\" or the end"),
        }
    }
}

impl<'a> Reader<'a> {
    fn requirement(&mut self) -> Result<Requirement, ParseError> {
        let negated = self.peek() == Token::Not;
        if negated {
            self.next();
        }
        let key = match self.next() {
            (position, Token::Word(key)) => {
                label::check_key(key).or_else(|message| error(position, message))?;
                key.to_owned()
            }
            (position, other) => return unexpected(position, other, "a label key"),
        };
        let operator = if negated { Operator::DoesNotExist } else { self.operator()? };
        Ok(Requirement { key, operator })
    }

    fn operator(&mut self) -> Result<Operator, ParseError> {
        if matches!(self.peek(), Token::Comma | Token::End) {
            return Ok(Operator::Exists);
        }
        match self.next() {
            (_, Token::Equals) => Ok(Operator::Equals(self.value()?)),
            (_, Token::NotEquals) => Ok(Operator::NotEquals(self.value()?)),
            (_, Token::Word("in")) => Ok(Operator::In(self.set()?)),
            (_, Token::Word("notin")) => Ok(Operator::NotIn(self.set()?)),
            (position, Token::Comparison) => error(position, "the comparisons < and > are not supported"),
            (position, other) => unexpected(position, other, "\"=\", \"!=\", \"in\", \"notin\" or \",\""),
        }
    }

    /// One value; empty if no word follows.
    fn value(&mut self) -> Result<String, ParseError> {
        if !matches!(self.peek(), Token::Word(_)) {
            return Ok(String::new());
        }
        let (position, token) = self.next();
        let Token::Word(value) = token else { return unexpected(position, token, "a label value") };
        label::check_value(value).or_else(|message| error(position, message))?;
        Ok(value.to_owned())
    }

    fn set(&mut self) -> Result<Vec<String>, ParseError> {
        match self.next() {
            (_, Token::Open) => {}
            (position, other) => return unexpected(position, other, "\"(\""),
        }
        let mut values = Vec::new();
        loop {
            self.values += 1;
            if self.values > MAX_VALUES {
                return error(self.position, "the sets of a label selector must have at most 256 values together");
            }
            values.push(self.value()?);
            match self.next() {
                (_, Token::Comma) => {}
                (_, Token::Close) => break,
                (position, other) => return unexpected(position, other, "\",\" or \")\""),
            }
        }
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }

    fn peek(&self) -> Token<'a> {
        token(self.text.trim_start_matches(SPACES)).0
    }

    /// The next token and its position.
    fn next(&mut self) -> (usize, Token<'a>) {
        let trimmed = self.text.trim_start_matches(SPACES);
        let position = self.position + self.text.len() - trimmed.len();
        let (token, rest) = token(trimmed);
        self.position = position + trimmed.len() - rest.len();
        self.text = rest;
        (position, token)
    }
}

/// The first token of `text`, and the rest.
fn token(text: &str) -> (Token<'_>, &str) {
    const FIXED: [(&str, Token<'_>); 9] = [
        ("==", Token::Equals),
        ("=", Token::Equals),
        ("!=", Token::NotEquals),
        ("!", Token::Not),
        ("(", Token::Open),
        (")", Token::Close),
        (",", Token::Comma),
        ("<", Token::Comparison),
        (">", Token::Comparison),
    ];
    if text.is_empty() {
        return (Token::End, text);
    }
    for (sign, token) in FIXED {
        if let Some(rest) = text.strip_prefix(sign) {
            return (token, rest);
        }
    }
    let end = text.find(|c| SIGNS.contains(&c) || SPACES.contains(&c)).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (Token::Word(word), rest)
}

fn error<T>(position: usize, message: impl Into<String>) -> Result<T, ParseError> {
    Err(ParseError { position, message: message.into() })
}

fn unexpected<T>(position: usize, found: Token<'_>, expected: &str) -> Result<T, ParseError> {
    let found = match found {
        // A word may be as long as the selector and may hold anything.
        Token::Word(word) if word.len() <= 64 => format!("{word:?}"),
        Token::Word(_) => "a word".to_owned(),
        Token::Equals => "\"=\"".to_owned(),
        Token::NotEquals => "\"!=\"".to_owned(),
        Token::Not => "\"!\"".to_owned(),
        Token::Open => "\"(\"".to_owned(),
        Token::Close => "\")\"".to_owned(),
        Token::Comma => "\",\"".to_owned(),
        Token::Comparison => "a comparison".to_owned(),
        Token::End => "the end".to_owned(),
    };
    error(position, format!("expected {expected}, found {found}"))
}
