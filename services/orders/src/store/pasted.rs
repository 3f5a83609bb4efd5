//! Normalises pasted text: finds the forms in which other programs may have stored it.
//!
//! Text copied from a web page, a mail or a spreadsheet may bring white space at its ends, invisible characters and
//! other kinds of spaces, which are not part of it. Unicode treats composed and decomposed letters as equal. There are
//! few forms in all, so each can be looked up in an index.

use unicode_normalization::UnicodeNormalization as _;

/// The distinct forms of a text: as it is; without white space and invisible characters at its ends; and without
/// invisible characters anywhere.
pub(super) fn forms(text: &str) -> Vec<String> {
    distinct(all_forms(text))
}

/// A key and its value, both in the same form. Each form is also given composed and decomposed.
pub(super) fn pairs(key: &str, value: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (key, value) in all_forms(key).into_iter().zip(all_forms(value)) {
        let composed = (key.nfc().collect(), value.nfc().collect());
        let decomposed = (key.nfd().collect(), value.nfd().collect());
        for pair in [(key, value), composed, decomposed] {
            if !pair.0.is_empty() && !found.contains(&pair) {
                found.push(pair);
            }
        }
    }
    found
}

/// Each form as it is stored in the indexes for any letter case: composed, with A to Z in lower case. Other letters are
/// as in the form, all in lower case, or all in upper case.
pub(super) fn folded(text: &str) -> Vec<String> {
    let cases = |form: String| [form.to_lowercase(), form.to_uppercase(), form];
    let fold = |form: String| form.nfc().collect::<String>().to_ascii_lowercase();
    distinct(forms(text).into_iter().flat_map(cases).map(fold))
}

fn all_forms(text: &str) -> [String; 3] {
    let trimmed = text.trim_matches(|c: char| c.is_whitespace() || is_invisible(c));
    let visible = trimmed.chars().filter(|c| !is_invisible(*c)).map(plain_space).collect();
    [text.to_owned(), trimmed.to_owned(), visible]
}

fn distinct(texts: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for text in texts {
        if !text.is_empty() && !found.contains(&text) {
            found.push(text);
        }
    }
    found
}

/// Replaces other kinds of spaces, such as the no-break space, with a space.
fn plain_space(c: char) -> char {
    if c.is_whitespace() && !c.is_ascii() { ' ' } else { c }
}

/// Characters that are not visible: control characters, soft hyphens, zero-width spaces and joiners, direction marks,
/// the byte order mark.
fn is_invisible(c: char) -> bool {
    c.is_control() && !c.is_whitespace()
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_comes_along_is_taken_off() {
        assert_eq!(forms("85123A"), ["85123A"]);
        assert_eq!(forms("\u{feff}85123A\u{200b}\r\n"), ["\u{feff}85123A\u{200b}\r\n", "85123A"]);
        assert_eq!(forms("\u{a0}a\u{a0}b\u{ad}c "), ["\u{a0}a\u{a0}b\u{ad}c ", "a\u{a0}b\u{ad}c", "a bc"]);
        // A text of nothing else is looked for as it is.
        assert_eq!(forms("\u{200b} "), ["\u{200b} "]);
    }

    #[test]
    fn letters_are_looked_for_in_every_case_and_composition() {
        assert_eq!(folded("Anna@Example.COM"), ["anna@example.com"]);
        assert_eq!(folded("A\u{308}rger"), ["\u{e4}rger", "\u{c4}rger"]);
        assert_eq!(folded("17850"), ["17850"]);
    }

    #[test]
    fn a_key_and_its_value_are_written_alike() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(pairs("k", "A"), [pair("k", "A")]);
        assert_eq!(pairs("k", ""), [pair("k", "")]);
        assert_eq!(pairs("k", "\u{e4}"), [pair("k", "\u{e4}"), pair("k", "a\u{308}")]);
        assert_eq!(pairs(" k ", "\u{feff}v\n"), [pair(" k ", "\u{feff}v\n"), pair("k", "v")]);
        assert_eq!(pairs(" ", "v"), [pair(" ", "v")]);
    }

    proptest! {
        #[test]
        fn forms_are_few_and_never_empty(text in ".{1,60}") {
            for forms in [forms(&text), folded(&text)] {
                prop_assert!((1..=9).contains(&forms.len()) && forms.iter().all(|form| !form.is_empty()));
            }
            prop_assert_eq!(&forms(&text)[0], &text);
            prop_assert!((1..=9).contains(&pairs(&text, &text).len()));
        }
    }
}
