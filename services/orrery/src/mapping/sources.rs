//! Checks that different texts of a file do not become the same uid, which would merge two rows or reference the wrong
//! row.
//!
//! Memory: at most about 80 bytes for each different uid, and [`TEXT_BYTES`] for texts, so that a refusal can show
//! both. Rules that cannot make different texts equal are not checked and cost nothing.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use super::RecordRefusal;
use super::key::composed;

/// The limit of bytes for texts. Of later texts only the line is kept.
const TEXT_BYTES: usize = 16 * 1024 * 1024;
/// The number of characters of a text in a refusal.
const SHOWN: usize = 40;

/// The text from which a record made a uid.
#[derive(Clone, Debug)]
pub(crate) struct UidSource {
    /// The path of the uid.
    pub(super) path: Arc<str>,
    /// Where the uid must be unique: empty for everywhere, or the uid of the row that it is part of.
    pub(super) scope: String,
    pub(super) uid: String,
    /// The text without differences that do not matter.
    pub(super) text: String,
    /// Whether the uid identifies the row itself: if it was made of another text before, the record belongs to another
    /// row.
    pub(super) is_own: bool,
}

/// Which different texts count as the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Same {
    /// Texts that differ only in letter case.
    LetterCase,
    /// Texts that become the same uid.
    All,
}

impl Same {
    /// A text without differences that do not matter: always white space at the ends and the composition of characters.
    pub(super) fn identity(same: Option<Self>, text: &str) -> String {
        let text = composed(text.trim());
        match same {
            Some(Self::LetterCase) => composed(&text.to_lowercase()).into_owned(),
            _ => text.into_owned(),
        }
    }
}

/// A uid that was made before.
#[derive(Debug)]
struct Seen {
    /// A hash of the text.
    text: u64,
    /// The position of the text in [`Sources::texts`] plus 1, or 0 if it was not kept.
    place: u32,
    line: u32,
}

/// All uids made of the records of a file.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    seen: HashMap<u128, Seen>,
    /// The texts, each ended by a zero byte.
    texts: Vec<u8>,
    hashers: [RandomState; 2],
    /// The uids and texts of refused rows, so that each is counted once.
    refused: HashSet<(u128, u64)>,
}

/// A uid that was made of another text before.
#[derive(Debug)]
pub(crate) struct Collision {
    pub(crate) refusal: RecordRefusal,
    /// Whether the record belongs to another row than the one with this uid.
    pub(crate) is_another_row: bool,
    /// Whether that row was not refused before.
    pub(crate) is_new: bool,
}

impl Sources {
    /// Adds the uids of the record on a line. Refuses the first that was made of another text before; those before it
    /// remain added.
    pub(crate) fn add(&mut self, line: u64, sources: &[UidSource]) -> Result<(), Collision> {
        for source in sources {
            let UidSource { path, scope, uid, text, is_own } = source;
            let hash = |hasher: &RandomState| hasher.hash_one((path, scope, uid));
            let key = u128::from(hash(&self.hashers[0])) << 64 | u128::from(hash(&self.hashers[1]));
            let text_hash = self.hashers[0].hash_one(text);
            match self.seen.entry(key) {
                Entry::Occupied(seen) if seen.get().text == text_hash => {}
                Entry::Occupied(seen) => {
                    let seen = seen.get();
                    let earlier = match earlier(&self.texts, seen.place) {
                        Some(text) => format!("{} (line {})", shortened(text), seen.line),
                        None => format!("the text on line {}", seen.line),
                    };
                    let value = format!("{} and {earlier} would both become {}", shortened(text), shortened(uid));
                    let problem = "two different keys of the file become the same; the first one is used".into();
                    let refusal = RecordRefusal { field: path.to_string(), problem, value };
                    let is_another_row = *is_own;
                    let is_new = is_another_row && self.refused.insert((key, text_hash));
                    return Err(Collision { refusal, is_another_row, is_new });
                }
                Entry::Vacant(seen) => {
                    let mut place = 0;
                    if self.texts.len() + text.len() < TEXT_BYTES {
                        place = self.texts.len() as u32 + 1;
                        self.texts.extend(text.bytes().map(|byte| if byte == 0 { b' ' } else { byte }));
                        self.texts.push(0);
                    }
                    seen.insert(Seen { text: text_hash, place, line: u32::try_from(line).unwrap_or(u32::MAX) });
                }
            }
        }
        Ok(())
    }
}

fn earlier(texts: &[u8], place: u32) -> Option<&str> {
    let rest = texts.get(usize::try_from(place).ok()?.checked_sub(1)?..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    std::str::from_utf8(&rest[..end]).ok()
}

fn shortened(text: &str) -> String {
    super::shortened(text, SHOWN)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn source(uid: &str, text: &str) -> UidSource {
        let (path, scope) = ("uid".into(), String::new());
        UidSource { path, scope, uid: uid.to_owned(), text: text.to_owned(), is_own: true }
    }

    #[test]
    fn the_same_text_may_come_again_and_another_one_may_not() {
        let mut sources = Sources::default();
        for line in [2, 7, 9] {
            sources.add(line, &[source("prd_a-", "A+")]).unwrap();
            sources.add(line + 1, &[source("prd_b", "b")]).unwrap();
        }
        let Collision { refusal, is_another_row, is_new } = sources.add(11, &[source("prd_a-", "A-")]).unwrap_err();
        assert_eq!(refusal.field, "uid");
        assert_eq!(refusal.value, "A- and A+ (line 2) would both become prd_a-");
        assert!(is_another_row && is_new);
        assert!(!sources.add(12, &[source("prd_a-", "A-")]).unwrap_err().is_new, "it is refused already");
        assert!(sources.add(13, &[source("prd_a-", "a-")]).unwrap_err().is_new, "a third row");
        // Another path or another scope.
        sources.add(12, &[UidSource { path: "line_items.uid".into(), ..source("prd_b", "B") }]).unwrap();
        sources.add(12, &[UidSource { scope: "ord_1".into(), ..source("prd_b", "B") }]).unwrap();
    }

    #[test]
    fn what_does_not_tell_texts_apart_is_said() {
        assert_eq!(Same::identity(None, " cafe\u{301} "), "caf\u{e9}");
        assert_eq!(Same::identity(None, "AB"), "AB");
        assert_eq!(Same::identity(Some(Same::LetterCase), "ÀB"), "àb");
    }

    #[test]
    fn memory_is_bounded_and_a_text_that_is_not_kept_is_named_by_its_line() {
        assert!(size_of::<(u128, Seen)>() <= 32);
        let mut sources = Sources::default();
        let long = "x".repeat(TEXT_BYTES / 2);
        for (line, uid) in [(2, "a"), (3, "b"), (4, "c")] {
            sources.add(line, &[source(uid, &long)]).unwrap();
        }
        assert!(sources.texts.len() < TEXT_BYTES);
        let Collision { refusal, .. } = sources.add(5, &[source("a", "y")]).unwrap_err();
        assert_eq!(refusal.value, format!("y and {}… (line 2) would both become a", "x".repeat(SHOWN)));
        let Collision { refusal, .. } = sources.add(5, &[source("c", "y")]).unwrap_err();
        assert_eq!(refusal.value, "y and the text on line 4 would both become c");
    }
}
