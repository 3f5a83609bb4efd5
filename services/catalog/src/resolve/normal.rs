//! The normal form of a name, as the contract defines it (`ResolveProductsRequest.names`).

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// The normal form of a name: without letter case, punctuation and compatibility variants. Empty if the name has no
/// letter, mark or number.
pub fn normal_form(name: &str) -> String {
    if name.is_ascii() {
        return words(name.bytes().map(|byte| byte.to_ascii_lowercase().into()), name.len());
    }
    let lower = name.nfkc().collect::<String>().to_lowercase();
    words(lower.nfkc(), lower.len())
}

/// The words of a text, with one space between them.
fn words(text: impl Iterator<Item = char>, capacity: usize) -> String {
    let mut words = String::with_capacity(capacity);
    let mut ended = false;
    for c in text {
        if c.is_alphanumeric() || is_combining_mark(c) {
            if ended && !words.is_empty() {
                words.push(' ');
            }
            ended = false;
            words.push(c);
        } else {
            ended = true;
        }
    }
    words
}

/// Writes the numbers of a normal form to `numbers`, with a space behind each. Products whose names have other numbers
/// are other products, however similar the names are: a pack of 6 and a pack of 12.
pub fn write_numbers(form: &[char], numbers: &mut String) {
    numbers.clear();
    let mut inside = false;
    for &c in form {
        let digit = c.is_numeric();
        if digit {
            numbers.push(c);
        } else if inside {
            numbers.push(' ');
        }
        inside = digit;
    }
    if inside {
        numbers.push(' ');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(form: &str) -> String {
        let (chars, mut found) = (form.chars().collect::<Vec<_>>(), "left over".to_owned());
        write_numbers(&chars, &mut found);
        found
    }

    #[test]
    fn case_punctuation_and_variants_go() {
        for (name, form) in [
            ("WHITE HANGING HEART T-LIGHT HOLDER", "white hanging heart t light holder"),
            ("T-LIGHT  HOLDER, №9", "t light holder no9"),
            ("  SET/5 RED\tRETROSPOT (LID) ", "set 5 red retrospot lid"),
            ("CHILDREN'S  MUG", "children s mug"),
            ("Écharpe d’hiver", "écharpe d hiver"),
            ("E\u{301}charpe d'hiver", "écharpe d hiver"),
            ("ＦＵＬＬ　ＷＩＤＴＨ ①②", "full width 12"),
            ("H\u{331}OLDER", "ẖolder"),
            ("ΟΔΟΣ", "οδος"),
            ("İZMİR", "i\u{307}zmi\u{307}r"),
            ("Straße", "straße"),
            ("हिन्दी किताब", "हिन्दी किताब"),
            ("ノート・ブック", "ノート ブック"),
            ("mug 😀 mug", "mug mug"),
            ("soft\u{ad}hyphen\u{200b}zero", "soft hyphen zero"),
            ("£20.00", "20 00"),
            ("", ""),
            ("???", ""),
            (" \u{a0}\u{3000}\u{1}", ""),
        ] {
            assert_eq!(normal_form(name), form, "{name:?}");
        }
    }

    #[test]
    fn numbers_are_compared_one_by_one() {
        assert_eq!(numbers("set of 6 mugs 250ml"), "6 250 ");
        assert_eq!(numbers("1 2"), "1 2 ");
        assert_eq!(numbers("12"), "12 ");
        assert_eq!(numbers("mug"), "");
        assert_eq!(numbers(""), "");
    }

    proptest! {
        #[test]
        fn every_text_has_a_normal_form_which_is_its_own(name in any::<String>()) {
            let form = normal_form(&name);
            prop_assert_eq!(&normal_form(&form), &form);
            prop_assert!(!form.starts_with(' ') && !form.ends_with(' ') && !form.contains("  "), "{:?}", form);
            let kept = |c: char| c == ' ' || c.is_alphanumeric() || is_combining_mark(c);
            prop_assert!(form.chars().all(kept), "{:?}", form);
        }

        #[test]
        fn ascii_takes_the_short_way_to_the_same_form(name in "[ -~]{0,40}") {
            let whole_way = words(name.to_lowercase().chars(), 0);
            prop_assert_eq!(normal_form(&name), whole_way);
        }

        #[test]
        fn what_a_person_would_not_notice_does_not_matter(words in prop::collection::vec("[a-zé0-9]{1,8}", 1..6)) {
            let name = words.join(" ");
            prop_assert_eq!(normal_form(&name.to_uppercase()), normal_form(&name));
            prop_assert_eq!(normal_form(&format!("  {}!", words.join(" - "))), normal_form(&name));
            prop_assert_eq!(normal_form(&name.nfd().collect::<String>()), normal_form(&name));
        }
    }
}
