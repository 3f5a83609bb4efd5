//! Uids, the keys of most resources: a prefix that names the kind, then 26 characters of time-ordered id, or any suffix
//! that a caller chooses. Other programs store keys of any form, so reads accept every key that can be stored.

use std::sync::{Mutex, PoisonError};

use ulid::Generator;

/// The most characters after the prefix.
const MAX_SUFFIX_BYTES: usize = 124;

/// Maximum size in bytes of the key of a stored row. Postgres cannot index longer keys: an index entry holds about
/// 2,700 bytes, compressed.
pub const MAX_KEY_BYTES: usize = 256 * 1024;

/// Shared by all callers, so that the uids of a process ascend: within one millisecond each uid is the last one plus
/// one.
static GENERATOR: Mutex<Generator> = Mutex::new(Generator::new());

/// A kind of uid, identified by its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UidKind {
    /// The prefix of every uid of this kind, for example `prd_`.
    pub prefix: &'static str,
}

impl UidKind {
    /// Makes a new uid: the prefix and a lower-case ULID. It sorts, bytewise, after all uids that this process made
    /// before.
    #[must_use]
    pub fn new_uid(self) -> String {
        let mut generator = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
        let next = match generator.generate() {
            Ok(next) => next,
            Err(overflow) => overflow.commit_overflow_increment(),
        };
        drop(generator);
        let mut uid = format!("{}{next}", self.prefix);
        // The prefix is lower case already.
        uid.make_ascii_lowercase();
        uid
    }

    /// New uids of this kind as a regular expression, which is not anchored.
    #[must_use]
    pub fn pattern(self) -> String {
        format!("{}[A-Za-z0-9_.-]{{1,{MAX_SUFFIX_BYTES}}}", self.prefix)
    }

    /// Checks that `uid` is of this kind: the prefix, then 1 to 124 of `A-Z`, `a-z`, `0-9`, `-`, `_` and `.`. The error
    /// says what is wrong.
    pub fn check(self, uid: &str) -> Result<(), String> {
        let Some(suffix) = uid.strip_prefix(self.prefix) else {
            return Err(format!("must begin with \"{}\"", self.prefix));
        };
        if suffix.is_empty() || suffix.len() > MAX_SUFFIX_BYTES {
            return Err(format!("must have 1 to {MAX_SUFFIX_BYTES} characters after \"{}\"", self.prefix));
        }
        if !suffix.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
            return Err(format!("may have only A-Z, a-z, 0-9, \"-\", \"_\" and \".\" after \"{}\"", self.prefix));
        }
        Ok(())
    }
}

/// Checks that `key` can be the key of a stored row, whichever program stored it. The error says what is wrong.
pub fn check_key(key: &str) -> Result<(), String> {
    if key.is_empty() {
        return Err("is required".to_owned());
    }
    if key.len() > MAX_KEY_BYTES {
        return Err(format!("is {} bytes long; at most {MAX_KEY_BYTES} are allowed", key.len()));
    }
    if key.contains('\0') {
        return Err("must not hold NUL characters: Postgres cannot store them".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MAX_KEY_BYTES, UidKind, check_key};

    const PRODUCT: UidKind = UidKind { prefix: "prd_" };

    #[test]
    fn new_uids_ascend_and_pass_their_own_check() {
        let mut last = String::new();
        for _ in 0..10_000 {
            let uid = PRODUCT.new_uid();
            assert_eq!(uid.len(), "prd_".len() + 26);
            assert_eq!(PRODUCT.check(&uid), Ok(()));
            assert_eq!(uid, uid.to_ascii_lowercase());
            assert!(last < uid, "{last} {uid}");
            last = uid;
        }
    }

    #[test]
    fn callers_bring_their_own() {
        for uid in ["prd_1", "prd_85123a", "prd_A.b-C_9", &format!("prd_{}", "x".repeat(124))] {
            assert_eq!(PRODUCT.check(uid), Ok(()), "{uid}");
        }
        let long = format!("prd_{}", "x".repeat(125));
        for uid in ["", "prd", "prd_", "ord_1", "PRD_1", " prd_1", "prd_1 ", "prd_a/b", "prd_é", "prd_\0", &long] {
            assert!(PRODUCT.check(uid).is_err(), "{uid}");
        }
    }

    #[test]
    fn what_exists_may_have_any_key_that_can_be_stored() {
        for key in ["1", "ord", "a b", "\n", "'\\\"", "é😀", &"x".repeat(MAX_KEY_BYTES)] {
            assert_eq!(check_key(key), Ok(()));
        }
        assert_eq!(check_key(""), Err("is required".to_owned()));
        assert!(check_key("a\0b").is_err() && check_key(&"x".repeat(MAX_KEY_BYTES + 1)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_answered(uid in "(prd_)?\\PC{0,130}") {
            let plain = uid.strip_prefix("prd_").is_some_and(|suffix| {
                let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
                (1..=124).contains(&suffix.len()) && suffix.chars().all(allowed)
            });
            prop_assert_eq!(PRODUCT.check(&uid).is_ok(), plain);
        }
    }
}
