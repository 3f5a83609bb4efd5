//! `refresh_tag_performance_aggregate`: RefreshTagPerformanceAggregate as a procedure.

use std::time::Duration;

use futures::future::BoxFuture;
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_kit::procedures::{Job, Next, Parameter, ParameterKind, Position, Procedure, Run, Schedule, Step};

use crate::refresh::{Asked, Refresh, Sources, Stage};
use crate::store::tag_performance::refresh::{Parameters, Part, Rebuild};

/// The path of the parameters, in errors.
const PATH: &str = "parameters.";
/// The step that deletes old generations.
const CLEAN: &str = "clean";
/// How long to wait for the caller who has taken the rebuild over.
const GIVE_WAY: Duration = Duration::from_secs(5);

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "day_as_of",
        kind: ParameterKind::Text,
        description: "The last day that counts, such as \"2011-12-09\"; by default the present day in the time zone.",
    },
    Parameter {
        name: "time_zone",
        kind: ParameterKind::Text,
        description: "The time zone in which days begin, by its name in the IANA database; by default UTC.",
    },
];

/// The procedure.
#[derive(Debug)]
pub(super) struct RefreshTagPerformance {
    sources: Sources,
}

impl RefreshTagPerformance {
    pub(super) fn new(sources: &Sources) -> Self {
        Self { sources: sources.clone() }
    }
}

impl Procedure for RefreshTagPerformance {
    fn name(&self) -> &'static str {
        "refresh_tag_performance_aggregate"
    }

    fn description(&self) -> &'static str {
        "Sums up how well the products of tags sell, as RefreshTagPerformanceAggregate does. Results: generation, the \
         number of the rebuild; restarted, how often it began anew because Orders or Catalog did not know its token \
         any more."
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn default_schedule(&self) -> Schedule {
        Schedule::every(Duration::from_hours(24))
    }

    fn begin(&self, job: &Job) -> Result<Box<dyn Run>, Error> {
        let text = |name| job.parameters.text(name).map(str::to_owned);
        let asked = Asked { day_as_of: text("day_as_of")?, time_zone: text("time_zone")? };
        asked.check(PATH)?;
        // The worker limits the time of each step.
        Ok(Box::new(Refreshing(Refresh::new(&self.sources, asked, PATH, Deadline::none()))))
    }
}

/// A run of it.
struct Refreshing(Refresh);

impl Run for Refreshing {
    fn step<'r>(&'r mut self, at: &'r Position) -> BoxFuture<'r, Result<Step, Error>> {
        Box::pin(async move {
            let restarted = at.result.get("restarted").copied().unwrap_or_default();
            self.0.set_restarts(u32::try_from(restarted).unwrap_or(u32::MAX));
            let work = self.0.step(&stage_of(at)?).await?;
            let (at, restarted) = (at.clone(), i64::from(self.0.restarts()) - restarted);
            Ok(Step::that(move |transaction| {
                let (work, mut at) = (work.clone(), at.clone());
                Box::pin(async move {
                    match work(transaction).await {
                        Ok(stage) => {
                            if restarted > 0 {
                                at.add("restarted", restarted);
                            }
                            next(at, stage)
                        }
                        // A caller of the RPC goes on with it. Later this execution takes it over, or begins another.
                        Err(Error::WriteTakenOver) => Ok(Next::After(GIVE_WAY, at.to_step(""))),
                        Err(error) => Err(error),
                    }
                })
            }))
        })
    }
}

/// How a rebuild is stored in the cursor: its generation, fence and own cursor, and its parameters.
type StoredRebuild = (i64, i64, String, String, String);

/// The stage at a position.
fn stage_of(at: &Position) -> Result<Stage, Error> {
    if at.step.is_empty() {
        return Ok(Stage::Beginning);
    }
    if at.step == CLEAN {
        let stored: (i64, usize, String) = serde_json::from_str(&at.cursor).map_err(Error::internal)?;
        let (generation, table, after) = stored;
        return Ok(Stage::Cleaning { generation, processed: at.processed, place: (table, after) });
    }
    let part = Part::of_name(&at.step).ok_or_else(|| Error::internal(format!("a refresh has no step {}", at.step)))?;
    let stored: StoredRebuild = serde_json::from_str(&at.cursor).map_err(Error::internal)?;
    let (generation, fence, cursor, day_as_of, time_zone) = stored;
    let rebuild = Rebuild::of((generation, fence), part, cursor, at.processed);
    Ok(Stage::Rebuilding(rebuild, Parameters { day_as_of, time_zone }))
}

/// What follows a step that has come to this stage.
fn next(mut at: Position, stage: Stage) -> Result<Next, Error> {
    let (step, cursor, is_done) = match stage {
        Stage::Beginning => ("", Ok(String::new()), false),
        Stage::Rebuilding(rebuild, Parameters { day_as_of, time_zone }) => {
            at.processed = rebuild.processed;
            at.result.insert("generation".to_owned(), rebuild.generation);
            let stored: StoredRebuild = (rebuild.generation, rebuild.fence(), rebuild.cursor, day_as_of, time_zone);
            (rebuild.part.name(), serde_json::to_string(&stored), false)
        }
        Stage::Cleaning { generation, processed, place: (table, after) } => {
            at.processed = processed;
            (CLEAN, serde_json::to_string(&(generation, table, after)), false)
        }
        Stage::Done { processed, .. } => {
            at.processed = processed;
            (CLEAN, Ok(String::new()), true)
        }
    };
    let at = at.to_step(step).to_cursor(cursor.map_err(Error::internal)?);
    Ok(if is_done { Next::Done(at) } else { Next::Step(at) })
}
