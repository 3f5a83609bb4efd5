//! The numbers and uids of order lines. Missing ones are set in a deterministic way: the same list of lines always
//! becomes the same rows.

use std::collections::HashSet;

use orrery_kit::error::Violation;
use orrery_kit::resource::row::{Changes, ChildRows, Children, Column, Integer, Row, Text};
use ulid::Ulid;
use xxhash_rust::xxh3::xxh3_128;

use crate::store::uids::LINE_ITEM_UID;

/// Maximum number of violations that are reported.
const MAX_VIOLATIONS: usize = 32;

/// The columns that identify a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineNumbers {
    uid: Column<Text>,
    number: Column<Integer>,
}

impl LineNumbers {
    pub(super) fn new(lines: Children) -> Result<Self, String> {
        Ok(Self { uid: lines.column("uid")?, number: lines.column("line_number")? })
    }

    /// Sets missing numbers and uids; `None` if nothing is missing. Lines without a number come after all lines with
    /// one, in the order in which they were sent.
    ///
    /// # Errors
    /// Two lines have the same number, or no numbers are left.
    pub(super) fn complete<'r>(
        &self,
        order_uid: &str,
        lines: impl Iterator<Item = Row<'r>> + Clone,
    ) -> Result<Option<ChildRows>, Vec<Violation>> {
        let (mut numbers, mut uids) = (HashSet::new(), HashSet::new());
        let (mut last, mut unnumbered, mut complete, mut bytes) = (0_i32, 0_usize, true, 0);
        let mut violations = Vec::new();
        for (at, line) in lines.clone().enumerate() {
            bytes += line.size() + 64;
            match line.get(self.uid) {
                Some(uid) => {
                    uids.insert(uid);
                }
                None => complete = false,
            }
            match line.get(self.number) {
                Some(number) if !numbers.insert(number) => {
                    violations.push(Violation::new(format!("line_items[{at}].line_number"), "appears twice"));
                    if violations.len() >= MAX_VIOLATIONS {
                        return Err(violations);
                    }
                }
                Some(number) => last = last.max(number),
                None => unnumbered += 1,
            }
        }
        if usize::try_from(i32::MAX - last).is_ok_and(|left| left < unnumbered) {
            violations.push(Violation::new("line_items", "leaves no numbers for the rows that have none"));
        }
        if !violations.is_empty() {
            return Err(violations);
        }
        if complete && unnumbered == 0 {
            return Ok(None);
        }
        let mut completed = ChildRows::with_capacity(bytes);
        let mut changes = Changes::default();
        for line in lines {
            changes.clear();
            let number = line.get(self.number).unwrap_or_else(|| {
                last += 1;
                changes.set(self.number, last);
                last
            });
            if !line.is_set(self.uid) {
                let uid = made_uid(order_uid, number, "");
                // A line that had this number before still has the uid.
                let uid = if uids.contains(uid.as_str()) { made_uid(order_uid, number, &uid) } else { uid };
                changes.set(self.uid, &uid);
            }
            completed.push(line, &changes);
        }
        Ok(Some(completed))
    }
}

/// A uid derived from the order and the line's number, or a second one if the first is in `taken`.
fn made_uid(order_uid: &str, number: i32, taken: &str) -> String {
    // In the form of a column of a row: length, then bytes.
    let mut content = (order_uid.len() as i32).to_be_bytes().to_vec();
    content.extend_from_slice(order_uid.as_bytes());
    content.extend_from_slice(&number.to_be_bytes());
    content.extend_from_slice(taken.as_bytes());
    let mut uid = format!("{}{}", LINE_ITEM_UID.prefix, Ulid(xxh3_128(&content)));
    uid.make_ascii_lowercase();
    uid
}
