//! Groups of consecutive records. Memory holds one group, and a hash of each earlier key.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use super::{Group, GroupContent, lacks, may_lack};
use crate::mapping::plan::{Plan, Values};

/// The current group and the keys of earlier ones.
#[derive(Debug, Default)]
pub(crate) struct Consecutive {
    /// A hash of each earlier key. Two keys with the same hash would be treated as equal, which happens once in 10^20
    /// files of a billion keys.
    seen: HashSet<u128>,
    hashers: [RandomState; 2],
    last: Option<(String, Group)>,
    /// The group before the current one.
    whole: Option<Group>,
    /// The line of a refused record that may belong to the next group.
    stray: Option<u64>,
    ended: bool,
}

impl Consecutive {
    pub(super) fn add(&mut self, plan: &Plan, line: u64, record: Values) -> anyhow::Result<()> {
        let group = self.find(plan, line, &plan.group_key(&record))?;
        match &mut group.content {
            GroupContent::Row(values) => plan.merge(values, record),
            content @ GroupContent::Nothing => *content = GroupContent::Row(Box::new(record)),
            GroupContent::Refused(_) => {}
        }
        Ok(())
    }

    pub(super) fn refuse(&mut self, plan: &Plan, line: u64, key: &str) -> anyhow::Result<()> {
        let group = self.find(plan, line, key)?;
        if plan.needs_every_record() {
            group.content = lacks(plan, key);
        }
        Ok(())
    }

    /// A refused record may belong to the current group or to the next one.
    pub(super) fn refuse_adjacent(&mut self, plan: &Plan, line: u64) {
        if let Some((_, group)) = &mut self.last
            && !matches!(group.content, GroupContent::Refused(_))
        {
            group.content = may_lack(plan, line);
        }
        self.stray = Some(line);
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    pub(super) fn have_ended(&self) -> bool {
        self.ended
    }

    /// A group is complete when the next one begins.
    pub(super) fn next_whole(&mut self) -> Option<Group> {
        let whole = self.whole.take();
        if whole.is_none() && self.ended { self.last.take().map(|(_, group)| group) } else { whole }
    }

    /// The group of a key, which may begin here.
    fn find(&mut self, plan: &Plan, line: u64, key: &str) -> anyhow::Result<&mut Group> {
        // A group that continues after the record contains it. A group that begins after it was refused, because it may
        // contain it.
        let stray = self.stray.take();
        if self.last.as_ref().is_none_or(|(last, _)| last != key) {
            let [high, low] = [0, 1].map(|place: usize| u128::from(self.hashers[place].hash_one(key)));
            anyhow::ensure!(
                self.seen.insert(high << 64 | low),
                "line {line}: the records of {key} are not consecutive, and it was sent without this one; import the \
                 file again without \
                 `consecutive` in [group]"
            );
            let content = stray.map_or(GroupContent::Nothing, |stray| may_lack(plan, stray));
            self.whole = self.last.take().map(|(_, group)| group);
            self.last = Some((key.to_owned(), Group { line, content }));
        }
        self.last.as_mut().map(|(_, group)| group).ok_or_else(|| anyhow::anyhow!("there is no group"))
    }
}
