//! Lifecycles: the phases of a resource's status and the allowed moves between them. How a resource moves is in
//! [`crate::write::transition`].

/// The phases of a status and the moves between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    /// The phase of a new resource.
    pub initial: &'static str,
    /// Every phase.
    pub phases: &'static [&'static str],
    /// The allowed moves, as pairs of phases.
    pub moves: &'static [(&'static str, &'static str)],
}

impl Lifecycle {
    /// Whether the phase exists.
    pub fn knows(&self, phase: &str) -> bool {
        self.phases.contains(&phase)
    }

    /// Whether a move is allowed. A move to the same phase must be listed like any other. A resource in an unknown
    /// phase, written by another program, may move to every known phase: otherwise it could not be repaired.
    pub fn allows(&self, from: &str, to: &str) -> bool {
        if self.knows(from) { self.moves.contains(&(from, to)) } else { self.knows(to) }
    }
}

#[cfg(test)]
mod tests {
    use super::Lifecycle;

    const DOOR: Lifecycle =
        Lifecycle { initial: "shut", phases: &["shut", "open"], moves: &[("shut", "open"), ("open", "shut")] };

    #[test]
    fn it_allows_its_moves_and_no_other() {
        assert!(DOOR.knows("open") && !DOOR.knows("ajar") && !DOOR.knows(""));
        assert!(DOOR.allows("shut", "open"));
        assert!(!DOOR.allows("shut", "shut") && !DOOR.allows("shut", "ajar"));
    }

    #[test]
    fn out_of_an_unknown_phase_it_allows_every_move_into_a_known_one() {
        for from in ["", "ajar", "5", "SHUT"] {
            assert!(DOOR.allows(from, "open") && DOOR.allows(from, "shut") && !DOOR.allows(from, "ajar"), "{from}");
        }
    }
}
