//! What this program is and what it was built with.

/// The version of Orrery.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The compiler, as it names itself: `rustc 1.95.0 (59807616e 2026-04-14)`.
pub const COMPILER: &str = env!("ORRERY_COMPILER");

/// How the compiler was called. Affected versions optimise safe code into double frees unless the pass GVN is off, which
/// `.cargo/rustc` sees to.
pub const PASSES: &str = if cfg!(orrery_without_gvn) { "without GVN" } else { "default" };

/// Both, as `--version` shows them.
pub const LONG_VERSION: &str = if cfg!(orrery_without_gvn) {
    concat!(env!("CARGO_PKG_VERSION"), "\ncompiler: ", env!("ORRERY_COMPILER"), ", pass GVN off")
} else {
    concat!(env!("CARGO_PKG_VERSION"), "\ncompiler: ", env!("ORRERY_COMPILER"))
};
