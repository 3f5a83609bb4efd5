//! Passes the compiler's version to the code, and warns at build time if that compiler is not fit for production.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

/// Where the reasons are documented.
const REASONS: &str = "README.md, \"Compilers\"";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=RUSTC_WRAPPER");
    let output = Command::new(env::var("RUSTC")?).arg("--version").output()?;
    let version = String::from_utf8(output.stdout)?.trim().to_owned();
    println!("cargo:rustc-env=ORRERY_COMPILER={version}");
    if let Some(number) = number(&version)
        && let Some(fault) = fault(number, is_wrapped())
    {
        println!("cargo:warning={version} {fault}; see {REASONS}");
    }
    Ok(())
}

/// What is wrong with a compiler, given as `(minor, patch)` of Rust 1. Issue numbers are those of rust-lang/rust.
fn fault((minor, patch): (u32, u32), wrapped: bool) -> Option<&'static str> {
    match (minor, patch) {
        (77..97, _) if !wrapped => {
            Some("compiles safe code into double frees (#155241), and .cargo/rustc, which prevents it, is not used")
        }
        (..97, _) | (97, 0) => Some("has known miscompilations: build with 1.97.1, 1.98.1 or newer for production"),
        (98, 0) => Some("leaves calls of boxed services without a function (#161441): build with 1.98.1 or newer"),
        _ => None,
    }
}

/// Parses `rustc 1.95.0 (59807616e 2026-04-14)`.
fn number(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split_whitespace().nth(1)?.split(['.', '-']);
    let (major, minor, patch) = (parts.next()?, parts.next()?, parts.next()?);
    (major == "1").then_some((minor.parse().ok()?, patch.parse().ok()?))
}

/// Whether the compiler is called through this repository's wrapper, not through another one set in its place.
fn is_wrapped() -> bool {
    let wrapper = env::var_os("RUSTC_WRAPPER").map(PathBuf::from);
    wrapper.is_some_and(|path| fs::read_to_string(path).is_ok_and(|text| text.contains("orrery_without_gvn")))
}
