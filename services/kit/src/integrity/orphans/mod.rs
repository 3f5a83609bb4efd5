//! `detect_orphans`: finds uids that rows refer to although nothing has them, and does what the comment of the column
//! says.
//!
//! - `relation`: the statements over the table of one relation
//! - `scan`: the next references of a relation, and which of them have no target
//! - `owner`: the sorted uids of another slice
//! - `ledger`: the table `orphan`
//! - `act`: what the comments say is to be done
//!
//! A run passes these steps, each of them window by window:
//!
//! 1. `scan` reads the references of one relation after the other, in the order of their values (or of the rows, where
//!    no index serves the values). What has no target becomes a candidate, or is seen again.
//! 2. `heal` deletes what this run did not see again, after each relation.
//! 3. `grace` waits until the last candidate is as old as the grace period.
//! 4. `confirm` looks once more at each candidate. So what arrives during a scan is no orphan.
//! 5. `act` deletes or clears, where a comment says so, after another look.
//! 6. `count` counts the orphans of each relation.

mod act;
mod ledger;
mod owner;
mod relation;
mod scan;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

pub use self::owner::{ForeignUids, UidPage, UidPages};
use self::scan::Scan;
use super::{Documented, References};
use crate::context::Context;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::procedures::{Job, Next, Parameter, ParameterKind, Position, Procedure, Run, Schedule, Step};

/// Most references of a window.
const WINDOW: usize = 10_000;
/// Most candidates that are confirmed at once.
const CONFIRMED_AT_ONCE: usize = 1_000;
/// How long the statements of one window may take.
const PATIENCE: Duration = Duration::from_mins(5);

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "dry_run",
        kind: ParameterKind::Boolean(false),
        description: "Only report, whatever the comments say; the result counts what would be deleted or cleared.",
    },
    Parameter {
        name: "max_deletions",
        kind: ParameterKind::Integer { default: 10_000, min: 0, max: 1_000_000_000 },
        description: "Most rows that a run deletes or clears. What is left stays an orphan until a later run.",
    },
    Parameter {
        name: "grace",
        kind: ParameterKind::Duration {
            default: Duration::from_mins(1),
            min: Duration::ZERO,
            max: Duration::from_hours(24),
        },
        description: "How long after it was first seen a missing uid is looked for again, before it counts; 0s to 24h.",
    },
    Parameter {
        name: "relations",
        kind: ParameterKind::Texts,
        description: "The relations to look at, for example \"orders.order_line_item.product_uid\"; all by default.",
    },
];

/// The procedure, in one slice.
#[derive(Debug)]
pub struct DetectOrphans {
    context: Context,
    references: References,
}

impl DetectOrphans {
    /// The procedure for the documented references of a slice.
    pub fn new(context: &Context, references: &References) -> Self {
        Self { context: context.clone(), references: references.clone() }
    }
}

impl Procedure for DetectOrphans {
    fn name(&self) -> &'static str {
        "detect_orphans"
    }

    fn description(&self) -> &'static str {
        "Finds uids that rows refer to although nothing has them, for each reference that a column's comment \
         documents, and deletes or clears rows where the comment says so. Results: by relation, the number of its \
         orphans; healed, orphans and candidates that are none any more; deleted and cleared, rows; would_delete and \
         would_clear, rows in a dry run. Progress is in distinct references."
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn default_schedule(&self) -> Schedule {
        Schedule::every(Duration::from_hours(1))
    }

    fn begin(&self, job: &Job) -> Result<Box<dyn Run>, Error> {
        let parameters = &job.parameters;
        let most = parameters.integer("max_deletions")?;
        let detection = Detection {
            context: self.context.clone(),
            references: self.references.clone(),
            execution_uid: job.execution_uid.clone(),
            dry_run: parameters.boolean("dry_run")?,
            max_deletions: usize::try_from(most).unwrap_or_default(),
            grace: parameters.duration("grace")?,
            only: parameters.texts("relations")?.into_iter().map(str::to_owned).collect(),
        };
        Ok(Box::new(DetectionRun { detection, relations: None, scan: None }))
    }
}

/// A run in this process, with what it remembers.
struct DetectionRun {
    detection: Detection,
    /// The relations to look at, sorted by name; known after the first step.
    relations: Option<Arc<[Documented]>>,
    /// The scan of the present relation.
    scan: Option<Scan>,
}

/// What a run is to do.
struct Detection {
    context: Context,
    references: References,
    execution_uid: String,
    dry_run: bool,
    max_deletions: usize,
    grace: Duration,
    /// The names of the relations to look at; empty for all.
    only: Vec<String>,
}

/// A cursor of several texts.
fn cursor(parts: &[&str]) -> Result<String, Error> {
    serde_json::to_string(parts).map_err(Error::internal)
}

/// The texts of a cursor; at the beginning of a step there are none.
fn parts<const N: usize>(cursor: &str) -> Result<Option<[String; N]>, Error> {
    if cursor.is_empty() {
        return Ok(None);
    }
    serde_json::from_str::<Vec<String>>(cursor)
        .ok()
        .and_then(|parts| parts.try_into().ok())
        .map(Some)
        .ok_or_else(|| Error::internal(format!("a cursor cannot be read: {cursor}")))
}

impl Run for DetectionRun {
    fn step<'r>(&'r mut self, at: &'r Position) -> BoxFuture<'r, Result<Step, Error>> {
        Box::pin(async move {
            let (deadline, detection) = (Deadline::after(PATIENCE), &self.detection);
            let relations = match &self.relations {
                Some(relations) => Arc::clone(relations),
                None => Arc::clone(self.relations.insert(detection.relations(deadline).await?)),
            };
            match &*at.step {
                "" | "scan" => detection.scan(at, &relations, &mut self.scan, deadline).await,
                "heal" => detection.heal(at, &relations),
                "grace" => detection.wait(at, &relations, deadline).await,
                "confirm" => detection.confirm(at, &relations, deadline).await,
                "act" => detection.act(at, &relations, deadline).await,
                "count" => detection.count(at, &relations, deadline).await,
                other => Err(Error::internal(format!("detect_orphans has no step {other}"))),
            }
        })
    }
}

/// The relation that a cursor names, or the next one after it.
fn from_name<'d>(relations: &'d [Documented], name: &str) -> Option<&'d Documented> {
    relations.iter().find(|documented| &*documented.reference.name() >= name)
}

/// The relation after the one of this name.
fn after_name<'d>(relations: &'d [Documented], name: &str) -> Option<&'d Documented> {
    relations.iter().find(|documented| &*documented.reference.name() > name)
}

impl Detection {
    /// The relations to look at.
    async fn relations(&self, deadline: Deadline) -> Result<Arc<[Documented]>, Error> {
        let all = self.references.get(deadline).await?;
        let known: Vec<String> = all.iter().map(|documented| documented.reference.name()).collect();
        for (nth, name) in self.only.iter().enumerate() {
            if !known.contains(name) {
                let why = format!("is no documented reference of this service; they are {}", known.join(", "));
                return Err(Error::invalid(format!("parameters.relations[{nth}]"), format!("{name:?} {why}")));
            }
        }
        let is_wanted = |name: &String| self.only.is_empty() || self.only.contains(name);
        let mut wanted: Vec<Documented> = Vec::new();
        for documented in all.iter().filter(|documented| is_wanted(&documented.reference.name())) {
            let relation = documented.reference.name();
            if documented.key.is_empty() {
                return Err(Error::internal(format!("the table of {relation} has no primary key")));
            }
            if !self.is_here(documented) {
                self.owner(documented)?;
            }
            wanted.push(documented.clone());
        }
        wanted.sort_by_key(|documented| documented.reference.name());
        Ok(wanted.into())
    }

    /// Whether the target of a reference is in this slice.
    fn is_here(&self, documented: &Documented) -> bool {
        documented.reference.target.schema == self.context.schema
    }

    /// The service that knows the targets of a reference into another slice.
    fn owner(&self, documented: &Documented) -> Result<&Arc<dyn ForeignUids>, Error> {
        let target = documented.reference.target.to_string();
        self.context.foreign_uids.iter().find(|owner| owner.target() == target).ok_or_else(|| {
            let relation = documented.reference.name();
            Error::internal(format!("{relation} references {target}, which no other service is asked for"))
        })
    }

    /// Those of some uids that a reference points at and that do not exist.
    async fn missing(
        &self,
        documented: &Documented,
        uids: Vec<String>,
        deadline: Deadline,
    ) -> Result<Vec<String>, Error> {
        if uids.is_empty() {
            return Ok(uids);
        }
        if self.is_here(documented) {
            return relation::missing(&self.context, &documented.reference.target, &uids, deadline).await;
        }
        let missing = self.owner(documented)?.missing(uids.clone(), deadline).await?;
        Ok(uids.into_iter().filter(|uid| missing.contains(uid)).collect())
    }

    /// The next window of a relation.
    async fn scan(
        &self,
        at: &Position,
        relations: &[Documented],
        remembered: &mut Option<Scan>,
        deadline: Deadline,
    ) -> Result<Step, Error> {
        let at = if at.step.is_empty() { self.first(at, relations, deadline).await? } else { at.clone() };
        let [name, place, token] = parts::<3>(&at.cursor)?.unwrap_or_default();
        let Some(documented) = from_name(relations, &name) else {
            return Ok(Step::to(Next::Step(at.to_step("grace"))));
        };
        let relation = documented.reference.name();
        // A relation that is gone since the last step leaves a place of another one.
        let (place, token) = if relation == name { (place, token) } else { Default::default() };
        let mut scan = match remembered.take() {
            Some(scan) if scan.continues(&relation, &place) => scan,
            _ => Scan::begin(self, documented, &place, &token, deadline).await?,
        };
        let window = scan.next(self, documented, deadline).await?;
        let orphans = ledger::Seen {
            relation: relation.clone(),
            execution_uid: self.execution_uid.clone(),
            orphans: window.orphans,
        };
        let at = at.processed(window.references);
        let at = if window.is_last {
            at.to_step("heal").to_cursor(cursor(&[&relation])?)
        } else {
            let cursor = cursor(&[&relation, scan.place(), scan.token()])?;
            *remembered = Some(scan);
            at.to_step("scan").to_cursor(cursor)
        };
        let schema = self.context.schema;
        let orphans = Arc::new(orphans);
        Ok(Step::that(move |transaction| {
            let (at, orphans) = (at.clone(), Arc::clone(&orphans));
            Box::pin(async move {
                ledger::see(transaction, schema, &orphans).await?;
                Ok(Next::Step(at))
            })
        }))
    }

    /// The first position: it shows every relation, and estimates how many distinct references there are.
    async fn first(&self, at: &Position, relations: &[Documented], deadline: Deadline) -> Result<Position, Error> {
        let mut at = at.clone().to_step("scan");
        for documented in relations {
            at.total = at.total.saturating_add(relation::estimate(&self.context, documented, deadline).await?);
        }
        at.add("healed", 0);
        Ok(at)
    }

    /// Deletes some orphans of a relation that its scan did not see again.
    fn heal(&self, at: &Position, relations: &[Documented]) -> Result<Step, Error> {
        let [name] = parts::<1>(&at.cursor)?.unwrap_or_default();
        let next = match after_name(relations, &name) {
            Some(next) => at.clone().to_step("scan").to_cursor(cursor(&[&next.reference.name(), "", ""])?),
            None => at.clone().to_step("grace"),
        };
        let (schema, execution_uid, at) = (self.context.schema, self.execution_uid.clone(), at.clone());
        Ok(Step::that(move |transaction| {
            let (mut at, mut next) = (at.clone(), next.clone());
            let (execution_uid, name) = (execution_uid.clone(), name.clone());
            Box::pin(async move {
                let (healed, is_last) = ledger::heal(transaction, schema, &name, &execution_uid).await?;
                let moved = if is_last { &mut next } else { &mut at };
                moved.add("healed", healed);
                Ok(Next::Step(if is_last { next } else { at }))
            })
        }))
    }

    /// Waits until the youngest candidate is as old as the grace period.
    async fn wait(&self, at: &Position, relations: &[Documented], deadline: Deadline) -> Result<Step, Error> {
        let at = at.clone().to_step("confirm");
        let left = ledger::grace_left(&self.context, &names(relations), self.grace, deadline).await?;
        Ok(Step::to(match left {
            Some(left) if !left.is_zero() => Next::After(left, at),
            _ => Next::Step(at),
        }))
    }

    /// Looks once more at some candidates.
    async fn confirm(&self, at: &Position, relations: &[Documented], deadline: Deadline) -> Result<Step, Error> {
        let after = parts::<2>(&at.cursor)?.unwrap_or_default();
        let candidates =
            ledger::candidates(&self.context, &names(relations), &after, CONFIRMED_AT_ONCE, deadline).await?;
        let Some(last) = candidates.last() else {
            return Ok(Step::to(Next::Step(at.clone().to_step("act"))));
        };
        let next = at.clone().to_cursor(cursor(&[&last.relation, &last.missing_uid])?);
        let (mut confirmed, mut vanished) = (Vec::new(), Vec::new());
        for documented in relations {
            let relation = documented.reference.name();
            let of_relation: Vec<&ledger::Candidate> =
                candidates.iter().filter(|candidate| candidate.relation == relation).collect();
            if of_relation.is_empty() {
                continue;
            }
            let uids = of_relation.iter().map(|candidate| candidate.missing_uid.clone()).collect();
            let missing = self.missing(documented, uids, deadline).await?;
            let referred = relation::still_referred(&self.context, documented, &of_relation, deadline).await?;
            for candidate in of_relation {
                let uid = &candidate.missing_uid;
                let is_orphan = missing.contains(uid) && referred.contains(uid);
                if is_orphan { &mut confirmed } else { &mut vanished }.push((relation.clone(), uid.clone()));
            }
        }
        let (schema, confirmed, vanished) = (self.context.schema, Arc::new(confirmed), Arc::new(vanished));
        Ok(Step::that(move |transaction| {
            let (mut next, confirmed, vanished) = (next.clone(), Arc::clone(&confirmed), Arc::clone(&vanished));
            Box::pin(async move {
                ledger::confirm(transaction, schema, &confirmed).await?;
                next.add("healed", ledger::delete(transaction, schema, &vanished).await?);
                Ok(Next::Step(next))
            })
        }))
    }

    /// Counts the orphans of each relation; the end.
    async fn count(&self, at: &Position, relations: &[Documented], deadline: Deadline) -> Result<Step, Error> {
        let names = names(relations);
        let counted = ledger::count(&self.context, &names, deadline).await?;
        let mut at = at.clone();
        for name in names {
            let count = counted.iter().find(|(relation, _)| *relation == name).map_or(0, |(_, count)| *count);
            at.result.insert(name, count);
        }
        at.total = at.processed;
        Ok(Step::to(Next::Done(at)))
    }
}

fn names(relations: &[Documented]) -> Vec<String> {
    relations.iter().map(|documented| documented.reference.name()).collect()
}
