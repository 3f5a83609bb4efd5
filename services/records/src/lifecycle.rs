//! The phases of artifacts. Suggestions and combo reports have a lifecycle; artifacts of other kinds may have any
//! phase.

use orrery_kit::lifecycle::Lifecycle;

use crate::store::artifact::{COMBO_REPORT, COMBO_SUGGESTION};

/// The phase of an artifact that DeleteArtifact has archived.
pub const ARCHIVED: &str = "archived";
/// The phase of a suggestion that waits for a decision.
pub const PROPOSED: &str = "proposed";
/// The phase of a suggestion that has become a combo report.
pub const ACCEPTED: &str = "accepted";
/// The phase of a suggestion that was turned down.
pub const REJECTED: &str = "rejected";
/// The phase of a combo report that may still change.
pub const ACTIVE: &str = "active";
/// The phase of a combo report that is frozen.
pub const FINAL: &str = "final";

/// Of a suggestion. The moves are those of UpdateArtifact; AcceptSuggestion and RejectSuggestion make the decisions.
pub static SUGGESTION: Lifecycle = Lifecycle {
    initial: PROPOSED,
    phases: &[PROPOSED, ACCEPTED, REJECTED, ARCHIVED],
    moves: &[
        (PROPOSED, ARCHIVED),
        (ACCEPTED, ARCHIVED),
        (REJECTED, ARCHIVED),
        (ARCHIVED, PROPOSED),
        (ARCHIVED, ACCEPTED),
        (ARCHIVED, REJECTED),
    ],
};

/// Of a combo report. The moves are those of UpdateArtifact; FinalizeComboReport freezes a report.
pub static REPORT: Lifecycle = Lifecycle {
    initial: ACTIVE,
    phases: &[ACTIVE, FINAL, ARCHIVED],
    moves: &[(ACTIVE, ARCHIVED), (FINAL, ARCHIVED), (ARCHIVED, ACTIVE), (ARCHIVED, FINAL)],
};

/// The lifecycle of a kind; `None` if it has none.
pub fn of_kind(kind: &str) -> Option<&'static Lifecycle> {
    match kind {
        COMBO_SUGGESTION => Some(&SUGGESTION),
        COMBO_REPORT => Some(&REPORT),
        _ => None,
    }
}

/// Whether an artifact that comes back from the archive may get this phase: `is_decided` tells whether its suggestion
/// has a report, or its report is frozen.
pub fn fits(to: &str, is_decided: bool) -> bool {
    match to {
        ACCEPTED | FINAL => is_decided,
        PROPOSED | REJECTED | ACTIVE => !is_decided,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_said_of_phases_is_said_of_phases_that_exist() {
        for lifecycle in [SUGGESTION, REPORT] {
            assert!(lifecycle.knows(lifecycle.initial) && lifecycle.knows(ARCHIVED));
            assert!(lifecycle.moves.iter().all(|(from, to)| lifecycle.knows(from) && lifecycle.knows(to)));
        }
    }

    #[test]
    fn updates_archive_and_bring_back_and_decide_nothing() {
        for lifecycle in [SUGGESTION, REPORT] {
            for (from, to) in lifecycle.moves {
                assert!((*from == ARCHIVED) != (*to == ARCHIVED), "{from} to {to}");
            }
            for phase in lifecycle.phases.iter().filter(|phase| **phase != ARCHIVED) {
                assert!(lifecycle.allows(phase, ARCHIVED) && lifecycle.allows(ARCHIVED, phase), "{phase}");
                assert!(fits(phase, true) != fits(phase, false), "{phase}");
            }
        }
    }
}
