//! The grammar of label keys and of the label values that selectors can name: that of Kubernetes.
//!
//! A key is an optional prefix (a lower-case DNS name of at most 253 bytes, then `/`) and a name of 1 to 63 letters,
//! digits, `-`, `_` and `.` that begins and ends with a letter or digit. A value in a selector is empty or follows the
//! rule for names.

const MAX_PREFIX_BYTES: usize = 253;
const MAX_NAME_BYTES: usize = 63;

/// The most bytes of a key.
pub(crate) const MAX_KEY_BYTES: usize = MAX_PREFIX_BYTES + 1 + MAX_NAME_BYTES;
/// Keys as a regular expression, without the length of the prefix.
pub(crate) const KEY_PATTERN: &str = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?\
    [A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";

/// Checks that `key` is a label or annotation key. The error says what is wrong.
pub fn check_key(key: &str) -> Result<(), &'static str> {
    let name = match key.split_once('/') {
        Some((prefix, name)) => {
            check_prefix(prefix)?;
            name
        }
        None => key,
    };
    if name.is_empty() {
        return Err("the name of a label key must not be empty");
    }
    if name.len() > MAX_NAME_BYTES {
        return Err("the name of a label key must have at most 63 characters");
    }
    if !is_name(name.as_bytes()) {
        return Err("the name of a label key must consist of letters, digits, \"-\", \"_\" and \".\", \
             and begin and end with a letter or digit");
    }
    Ok(())
}

/// Checks that a label selector can name `value`. The error says what is wrong.
///
/// Stored labels may hold any text; this rule is only for selectors.
pub fn check_value(value: &str) -> Result<(), &'static str> {
    if value.len() > MAX_NAME_BYTES {
        return Err("a selected label value must have at most 63 characters");
    }
    if !value.is_empty() && !is_name(value.as_bytes()) {
        return Err("a selected label value must consist of letters, digits, \"-\", \"_\" and \".\", \
             and begin and end with a letter or digit");
    }
    Ok(())
}

fn check_prefix(prefix: &str) -> Result<(), &'static str> {
    if prefix.len() > MAX_PREFIX_BYTES {
        return Err("the prefix of a label key must have at most 253 characters");
    }
    if !prefix.split('.').all(|part| is_dns_label(part.as_bytes())) {
        return Err("the prefix of a label key must be a DNS name: lower-case letters, digits and \"-\", \
             in parts that are separated by \".\" and begin and end with a letter or digit");
    }
    Ok(())
}

fn is_name(name: &[u8]) -> bool {
    bounded_by(name, u8::is_ascii_alphanumeric)
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn is_dns_label(part: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    bounded_by(part, plain) && part.iter().all(|byte| plain(byte) || *byte == b'-')
}

/// Whether the first and the last byte pass. An empty text has neither, so it fails.
fn bounded_by(text: &[u8], passes: impl Fn(&u8) -> bool) -> bool {
    text.first().is_some_and(&passes) && text.last().is_some_and(&passes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{check_key, check_value};

    #[test]
    fn keys_of_kubernetes_pass() {
        for key in ["a", "A1", "env", "app.kubernetes.io/name", "x/y", "a-b_c.d", "0", "example.com/Some.Name_1"] {
            assert_eq!(check_key(key), Ok(()), "{key}");
        }
        assert_eq!(check_key(&format!("{}/{}", "a".repeat(253), "b".repeat(63))), Ok(()));
    }

    #[test]
    fn other_keys_are_refused() {
        let long_prefix = format!("{}/b", "a".repeat(254));
        let long_name = "b".repeat(64);
        let refused = [
            "",
            "/",
            "/a",
            "a/",
            "a/b/c",
            "-a",
            "a-",
            "_a",
            "a.",
            "a b",
            "a=b",
            "Example.com/a",
            "a..b/c",
            "-a/b",
            "a-/b",
            ".a/b",
            "a_b/c",
            "é",
            "a\0",
            "a\n",
            &long_prefix,
            &long_name,
        ];
        for key in refused {
            assert!(check_key(key).is_err(), "{key}");
        }
    }

    #[test]
    fn values_may_be_empty_and_have_63_characters() {
        for value in ["", "a", "1.5", "Some_Value-1.x"] {
            assert_eq!(check_value(value), Ok(()), "{value}");
        }
        assert_eq!(check_value(&"v".repeat(63)), Ok(()));
        for value in ["-", "a-", ".a", "a b", "a/b", "é", &"v".repeat(64)] {
            assert!(check_value(value).is_err(), "{value}");
        }
    }

    proptest! {
        #[test]
        fn keys_that_are_made_by_the_grammar_pass(
            key in "([a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?){0,3}/)?\
                [A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?"
        ) {
            prop_assert_eq!(check_key(&key), Ok(()));
        }

        #[test]
        fn what_passes_needs_no_escape_anywhere(key in "\\PC{0,12}|[ -~]{0,6}") {
            if check_key(&key).is_ok() {
                prop_assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte)));
            }
        }
    }
}
