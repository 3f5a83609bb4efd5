//! Turns texts in any script into the restricted ASCII of uids, label keys, and label values that selectors can match.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};
use ulid::Ulid;
use unicode_normalization::{UnicodeNormalization as _, is_nfc_quick};

/// The longest key that is kept unchanged: the longest uid after its prefix.
const PLAIN_KEY: usize = 124;
/// The most characters before the digest of a key.
const KEY_BEGINNING: usize = 64;
/// The most characters of a label's name, and of a label value that a selector can match.
const LABEL: usize = 63;
/// The length of a label's digest: 80 bits.
const LABEL_DIGEST: usize = 16;

/// A text in Unicode's composed form (NFC), so that `é` is one character however it was typed.
pub(crate) fn composed(text: &str) -> Cow<'_, str> {
    match is_nfc_quick(text.chars()) {
        unicode_normalization::IsNormalized::Yes => Cow::Borrowed(text),
        _ => Cow::Owned(text.nfc().collect()),
    }
}

/// A text in lower case in which each run of characters other than a-z and 0-9 is one `-`, at the ends too. Different
/// texts can have the same slug: `AB-1` and `ab 1`, `A+` and `a-`, or any two texts without a-z and 0-9.
pub(crate) fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for character in composed(text).chars().flat_map(char::to_lowercase) {
        if character.is_ascii_lowercase() || character.is_ascii_digit() {
            slug.push(character);
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug
}

/// A key that differs for different texts. White space at the ends is ignored; a text of only white space has no key. A
/// text of a-z, 0-9 and single `-` is kept. Any other text becomes its slug, a point, and a digest of the text (the
/// first 128 bits of its SHA-256): `café-noir` becomes `caf-noir.` and 26 characters. Kept texts never contain a point,
/// so two texts have the same key only if they are equal in Unicode's composed form.
pub(crate) fn key(text: &str) -> String {
    let text = composed(text.trim());
    let slug = slug(&text);
    if slug == *text && slug.len() <= PLAIN_KEY && slug != "-" {
        return slug;
    }
    with_digest(&slug, KEY_BEGINNING, &digest(&text))
}

/// A text as the name of a label or as a label value that a selector can match: at most 63 characters that begin and
/// end with a letter or digit. Letter case, white space and punctuation do not matter, as in a slug: `Summer Sale`
/// becomes `summer-sale`. Texts with other letters or signs, such as `Größe` or `C++`, and longer texts end in a point
/// and a digest, so that they stay different. White space alone is no label.
pub(crate) fn label(text: &str) -> String {
    let text = composed(text.trim()).to_lowercase();
    if text.is_empty() {
        return text;
    }
    let slug = slug(&text);
    let plain = slug.trim_matches('-');
    if !plain.is_empty() && plain.len() <= LABEL && !text.starts_with('-') && !text.ends_with('-') && tells_all(&text) {
        return plain.to_owned();
    }
    let digest = digest(&text);
    with_digest(&slug, LABEL - LABEL_DIGEST - 1, &digest[digest.len() - LABEL_DIGEST..])
}

/// Whether the slug of a text loses only white space and punctuation.
fn tells_all(text: &str) -> bool {
    text.chars().all(|character| match character {
        '+' | '#' | '*' | '=' | '<' | '>' | '~' | '^' | '|' | '\\' | '$' | '@' | '`' => false,
        _ if character.is_ascii() => true,
        // Typographic dashes, quotation marks and ellipsis.
        '\u{2010}'..='\u{2027}' => true,
        _ => character.is_whitespace(),
    })
}

fn with_digest(slug: &str, most: usize, digest: &str) -> String {
    // A slug is ASCII.
    let beginning = slug.trim_matches('-');
    let beginning = beginning[..beginning.len().min(most)].trim_end_matches('-');
    let beginning = if beginning.is_empty() { "x" } else { beginning };
    format!("{beginning}.{digest}")
}

/// 128 bits of a text's SHA-256, encoded like a ULID: 26 digits and lower-case letters.
fn digest(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    let number = hash.iter().take(16).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    Ulid(number).to_string().to_lowercase()
}

#[cfg(test)]
mod tests {
    use orrery_kit::uid::UidKind;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_keys_stand_as_they_are_and_others_keep_apart() {
        for plain in ["linen-shirt", "85123a", "1001", "a-", "-a", "7"] {
            assert_eq!(key(plain), plain);
        }
        for (text, expected) in [
            ("café-noir", "caf-noir.7p2a29vvy89grbbk57e01wt7ap"),
            ("A+", "a.5ex1spravrj986d68p6b1tbz1r"),
            ("شاي", "x.7ky8vgagpd0e70br25vn20fy4k"),
        ] {
            assert_eq!(key(text), expected, "the same key for ever");
        }
        let others = [
            "شاي-7-1",
            "قهوة-7-1",
            "شاي",
            "قهوة",
            "café-noir",
            "caf-noir",
            "A+",
            "A-",
            "a-",
            "A",
            "a",
            "№1004",
            "注文1004",
            "1004",
            "a--b",
            "a-b",
            "a b",
            "a_b",
            "-",
            "--",
            "+",
            "ſ",
            "s",
            "K",
            "k",
            "İ",
            "i",
            "x",
            "x.",
            "😀",
            "😁",
        ];
        let keys: std::collections::BTreeSet<String> = others.iter().map(|text| key(text)).collect();
        assert_eq!(keys.len(), others.len(), "{keys:?}");
        assert_eq!(key("cafe\u{301}"), key("caf\u{e9}"), "composed or not, it is one text");
        assert_eq!((key(" a\u{a0}"), key(" \t"), label(" ")), ("a".into(), String::new(), String::new()));
        let long = "x".repeat(124);
        assert_eq!(key(&long), long);
        assert_eq!(key(&format!("{long}x")).len(), 64 + 1 + 26);
    }

    #[test]
    fn labels_keep_letters_of_any_script_apart_and_no_punctuation() {
        for (text, expected) in [
            ("Summer Sale", "summer-sale"),
            (" men's ", "men-s"),
            ("men’s", "men-s"),
            ("North & Sons", "north-sons"),
            ("100% (new!)", "100-new"),
        ] {
            assert_eq!(label(text), expected);
        }
        let others = [
            "C",
            "C++",
            "C#",
            "A+",
            "A-",
            "Größe",
            "Gröbe",
            "شاي 7",
            "قهوة 7",
            "7",
            "❤",
            "★",
            "-",
            "!",
            "日本",
            "本日",
        ];
        let labels: std::collections::BTreeSet<String> = others.iter().map(|text| label(text)).collect();
        assert_eq!(labels.len(), others.len(), "{labels:?}");
        assert_eq!(label("CAFE\u{301}"), label("caf\u{e9}"), "letter case tells nothing apart");
        let long = "word ".repeat(20);
        assert!(label(&long) != label(&format!("{long}more")) && label(&long).len() <= 63);
    }

    proptest! {
        #[test]
        fn a_key_is_one_that_a_uid_may_end_in(text in "\\PC{1,200}|[a-z-]{1,200}") {
            prop_assume!(!text.trim().is_empty());
            let key = key(&text);
            prop_assert_eq!(UidKind { prefix: "prd_" }.check(&format!("prd_{key}")), Ok(()));
            prop_assert!(key.contains('.') || key == *composed(text.trim()));
            prop_assert_eq!(super::key(&composed(&text)), key);
        }

        #[test]
        fn two_texts_have_one_key_only_if_they_are_one_text(one in "[-aA .é]{1,4}", other in "[-aA .é]{1,4}") {
            prop_assert_eq!(key(&one) == key(&other), one.trim() == other.trim());
        }

        #[test]
        fn a_label_is_a_name_that_can_be_selected_by(text in "\\PC{1,100}|[ -~]{1,100}") {
            prop_assume!(!text.trim().is_empty());
            let label = label(&text);
            prop_assert_eq!(orrery_kit::label::check_value(&label), Ok(()));
            prop_assert_eq!(orrery_kit::label::check_key(&label), Ok(()));
        }

        #[test]
        fn a_slug_is_made_of_its_letters_and_single_dashes(text in any::<String>()) {
            let slug = slug(&text);
            prop_assert!(slug.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
            prop_assert!(!slug.contains("--"));
            prop_assert_eq!(super::slug(&slug), slug.clone());
            prop_assert_eq!(slug.is_empty(), text.is_empty());
        }

        #[test]
        fn a_slug_keeps_every_letter_and_digit_in_order(text in "[ -~]{0,40}") {
            let kept: String = text.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
            prop_assert_eq!(slug(&text).replace('-', ""), kept);
            prop_assert_eq!(slug(&text.to_uppercase()), slug(&text.to_lowercase()));
        }
    }
}
