//! Groups whose records stand together: memory holds one, and of those before a hash of what tells them apart.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use super::{Content, Group, lacks, may_lack};
use crate::mapping::plan::{Plan, Values};

/// The group that is being read, and which ones were.
#[derive(Debug, Default)]
pub(crate) struct Together {
    /// A hash of each key that there was. Two keys of one hash would be taken for one; of a billion keys that happens
    /// once in 10^20 files.
    seen: HashSet<u128>,
    hashers: [RandomState; 2],
    last: Option<(String, Group)>,
    /// The group before the last one.
    whole: Option<Group>,
    /// The line of a refused record, if it may be of the group that begins next.
    stray: Option<u64>,
    ended: bool,
}

impl Together {
    pub(super) fn add(&mut self, plan: &Plan, line: u64, record: Values) -> anyhow::Result<()> {
        let group = self.find(plan, line, &plan.group_key(&record))?;
        match &mut group.content {
            Content::Row(values) => plan.merge(values, record),
            content @ Content::Nothing => *content = Content::Row(Box::new(record)),
            Content::Refused(_) => {}
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

    /// A refused record may be of the last group, or of the next one.
    pub(super) fn refuse_beside(&mut self, plan: &Plan, line: u64) {
        if let Some((_, group)) = &mut self.last
            && !matches!(group.content, Content::Refused(_))
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

    /// A group is whole when the next one begins.
    pub(super) fn next_whole(&mut self) -> Option<Group> {
        let whole = self.whole.take();
        if whole.is_none() && self.ended { self.last.take().map(|(_, group)| group) } else { whole }
    }

    /// The group of a key, which may begin here.
    fn find(&mut self, plan: &Plan, line: u64, key: &str) -> anyhow::Result<&mut Group> {
        // The group that goes on is the one that the stray record is of; the one that begins was refused because it
        // may be.
        let stray = self.stray.take();
        if self.last.as_ref().is_none_or(|(last, _)| last != key) {
            let [high, low] = [0, 1].map(|place: usize| u128::from(self.hashers[place].hash_one(key)));
            anyhow::ensure!(
                self.seen.insert(high << 64 | low),
                "line {line}: the records of {key} do not stand together, and it was sent without this one; import the file again without \
                 `consecutive` in [group]"
            );
            let content = stray.map_or(Content::Nothing, |stray| may_lack(plan, stray));
            self.whole = self.last.take().map(|(_, group)| group);
            self.last = Some((key.to_owned(), Group { line, content }));
        }
        self.last.as_mut().map(|(_, group)| group).ok_or_else(|| anyhow::anyhow!("there is no group"))
    }
}
