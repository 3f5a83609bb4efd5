//! Which text of the file each uid was made of: two different ones must not become one uid, which would make one row of
//! two, or point at another row than was meant.
//!
//! Memory holds at most about 80 bytes for each different uid, and [`TEXT_BYTES`] of texts, so that a refusal can name
//! both. Rules that cannot make one uid of two texts are not looked at and cost nothing.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use super::Refusal;
use super::key::composed;

/// How many bytes of texts are kept. Of what comes later the line alone is.
const TEXT_BYTES: usize = 16 * 1024 * 1024;
/// How many characters of a text a refusal shows.
const SHOWN: usize = 40;

/// What a record made a uid of.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The path of the uid.
    pub(super) path: Arc<str>,
    /// Within what the uid is one: empty, or the uid of the row that it is a part of.
    pub(super) scope: String,
    pub(super) uid: String,
    /// The text without what is said not to tell keys apart.
    pub(super) text: String,
    /// Whether the record is no part of the row with this uid, if the uid was made of another text before.
    pub(super) is_own: bool,
}

/// How texts that differ may still be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Same {
    /// If they differ in letter case alone.
    LetterCase,
    /// If they become the same, whatever they are.
    All,
}

impl Same {
    /// A text without what does not tell it apart from others: white space at either end and, always, whether its
    /// characters are composed.
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
    /// Where it stands in [`Sources::texts`], plus 1; 0 if it is not kept.
    place: u32,
    line: u32,
}

/// All uids that a file's records made.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    seen: HashMap<u128, Seen>,
    /// Texts one behind the other, each ended by a zero byte.
    texts: Vec<u8>,
    hashers: [RandomState; 2],
    /// The uids and texts of rows that were refused, so that each counts once.
    refused: HashSet<(u128, u64)>,
}

/// A uid that was made of another text before.
#[derive(Debug)]
pub(crate) struct Collision {
    pub(crate) refusal: Refusal,
    /// Whether the record is no part of the row that has the uid.
    pub(crate) is_another_row: bool,
    /// Whether that other row was not refused before.
    pub(crate) is_new: bool,
}

impl Sources {
    /// Takes in what the record of a line made its uids of. One that was made of another text before is refused; what
    /// came before it stays taken in.
    pub(crate) fn add(&mut self, line: u64, sources: &[Source]) -> Result<(), Collision> {
        for source in sources {
            let Source { path, scope, uid, text, is_own } = source;
            let hash = |hasher: &RandomState| hasher.hash_one((path, scope, uid));
            let key = u128::from(hash(&self.hashers[0])) << 64 | u128::from(hash(&self.hashers[1]));
            let text_hash = self.hashers[0].hash_one(text);
            match self.seen.entry(key) {
                Entry::Occupied(seen) if seen.get().text == text_hash => {}
                Entry::Occupied(seen) => {
                    let seen = seen.get();
                    let earlier = match earlier(&self.texts, seen.place) {
                        Some(text) => format!("{} (line {})", shortened(text), seen.line),
                        None => format!("what stands on line {}", seen.line),
                    };
                    let value = format!("{} and {earlier} would both be {}", shortened(text), shortened(uid));
                    let problem = "two different keys of the file become one, which the first has".into();
                    let refusal = Refusal { field: path.to_string(), problem, value };
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

    fn source(uid: &str, text: &str) -> Source {
        let (path, scope) = ("uid".into(), String::new());
        Source { path, scope, uid: uid.to_owned(), text: text.to_owned(), is_own: true }
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
        assert_eq!(refusal.value, "A- and A+ (line 2) would both be prd_a-");
        assert!(is_another_row && is_new);
        assert!(!sources.add(12, &[source("prd_a-", "A-")]).unwrap_err().is_new, "it is refused already");
        assert!(sources.add(13, &[source("prd_a-", "a-")]).unwrap_err().is_new, "a third row");
        // Another path or scope.
        sources.add(12, &[Source { path: "line_items.uid".into(), ..source("prd_b", "B") }]).unwrap();
        sources.add(12, &[Source { scope: "ord_1".into(), ..source("prd_b", "B") }]).unwrap();
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
        assert_eq!(refusal.value, format!("y and {}… (line 2) would both be a", "x".repeat(SHOWN)));
        let Collision { refusal, .. } = sources.add(5, &[source("c", "y")]).unwrap_err();
        assert_eq!(refusal.value, "y and what stands on line 4 would both be c");
    }
}
