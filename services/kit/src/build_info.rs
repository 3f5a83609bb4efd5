//! The version of this program and the compiler that built it.

/// The version of Orrery.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The compiler's version line: `rustc 1.95.0 (59807616e 2026-04-14)`.
pub const COMPILER: &str = env!("ORRERY_COMPILER");

/// Whether the optimisation pass GVN was off, which `.cargo/rustc` ensures: with it, affected compilers turn safe code
/// into double frees.
pub const PASSES: &str = if cfg!(orrery_without_gvn) { "without GVN" } else { "default" };

/// What `--version` shows: the version, and the compiler.
pub const LONG_VERSION: &str = if cfg!(orrery_without_gvn) {
    concat!(env!("CARGO_PKG_VERSION"), "\ncompiler: ", env!("ORRERY_COMPILER"), ", pass GVN off")
} else {
    concat!(env!("CARGO_PKG_VERSION"), "\ncompiler: ", env!("ORRERY_COMPILER"))
};
