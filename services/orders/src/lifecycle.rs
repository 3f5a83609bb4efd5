//! The lifecycle of an order: its phases and the moves between them.

use orrery_kit::lifecycle::Lifecycle;

/// Draft, confirmed, provisioning, fulfilled, closed; cancelled before it is fulfilled, returned after.
pub static LIFECYCLE: Lifecycle = Lifecycle {
    initial: "draft",
    phases: &["draft", CONFIRMED, PROVISIONING, "fulfilled", "closed", "cancelled", "returned"],
    moves: &[
        ("draft", CONFIRMED),
        (CONFIRMED, PROVISIONING),
        (PROVISIONING, "fulfilled"),
        ("fulfilled", "closed"),
        ("draft", "cancelled"),
        (CONFIRMED, "cancelled"),
        (PROVISIONING, "cancelled"),
        ("fulfilled", "returned"),
        ("closed", "returned"),
    ],
};

/// The phase in which an order waits for its timer.
pub const CONFIRMED: &str = "confirmed";

/// The phase in which a worker holds an order until its timer.
pub const PROVISIONING: &str = "provisioning";

/// The phases in which an order may have a provisioning timer.
pub const TIMED_PHASES: &[&str] = &["draft", CONFIRMED, PROVISIONING];

/// The phases in which an order counts as sold, unless the caller names others.
pub const SOLD_PHASES: &[&str] = &[CONFIRMED, PROVISIONING, "fulfilled", "closed", "returned"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_said_of_phases_is_said_of_phases_that_exist() {
        assert!(LIFECYCLE.knows(LIFECYCLE.initial));
        assert!(LIFECYCLE.moves.iter().all(|(from, to)| LIFECYCLE.knows(from) && LIFECYCLE.knows(to)));
        assert!(TIMED_PHASES.iter().chain(SOLD_PHASES).all(|phase| LIFECYCLE.knows(phase)));
    }

    #[test]
    fn every_order_can_end_and_what_ended_stays() {
        for phase in LIFECYCLE.phases {
            let ended = matches!(*phase, "cancelled" | "returned");
            assert_eq!(LIFECYCLE.moves.iter().any(|(from, _)| from == phase), !ended, "{phase}");
            assert_eq!(LIFECYCLE.moves.iter().any(|(_, to)| to == phase), *phase != "draft", "{phase}");
        }
    }
}
