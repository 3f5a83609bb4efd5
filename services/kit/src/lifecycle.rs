//! Lifecycles: the phases that the status of a resource may be in, and the moves among them. How a resource moves is in
//! [`crate::write::transition`].

/// The phases of a status and the moves among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    /// The phase of what is new.
    pub initial: &'static str,
    /// Every phase.
    pub phases: &'static [&'static str],
    /// The moves that are allowed, each from one phase to another.
    pub moves: &'static [(&'static str, &'static str)],
}

impl Lifecycle {
    /// Whether there is such a phase.
    pub fn knows(&self, phase: &str) -> bool {
        self.phases.contains(&phase)
    }

    /// Whether a resource may move so. Staying in a phase is no move unless it is named as one.
    pub fn allows(&self, from: &str, to: &str) -> bool {
        self.moves.contains(&(from, to))
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
        assert!(!DOOR.allows("shut", "shut") && !DOOR.allows("shut", "ajar") && !DOOR.allows("ajar", "shut"));
    }
}
