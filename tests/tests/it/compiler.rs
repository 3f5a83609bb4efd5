//! The compiler bug that `.cargo/rustc` works around: optimised safe code frees a value twice (rust-lang/rust#155241,
//! #158830).

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Both closures get a new, empty list. Affected compilers pass the second one what the first has freed.
const REPRODUCER: &str = "
fn with(f: impl FnOnce(Vec<usize>)) {
    f(Vec::new())
}

fn main() {
    with(|mut list| list.resize(2, 1));
    with(|list| assert!(list.is_empty()));
}
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Compiles the reproducer with `command` and runs it.
fn compile_and_run(mut command: Command) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("reproducer.rs"), folder.path().join("reproducer"));
    std::fs::write(&source, REPRODUCER).unwrap();
    let compiled =
        command.args(["--edition=2024", "-C", "opt-level=3", "-o"]).arg(&program).arg(&source).output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    Command::new(program).output().unwrap()
}

/// The minor version of the compiler: 95 for 1.95.0.
fn minor() -> u32 {
    let output = Command::new("rustc").arg("--version").output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    output.split('.').nth(1).unwrap().parse().unwrap()
}

#[test]
fn the_wrapper_prevents_the_double_free() {
    let mut wrapped = Command::new(root().join(".cargo/rustc"));
    wrapped.arg("rustc");
    let output = compile_and_run(wrapped);
    assert!(output.status.success(), "{output:?}");
}

/// Otherwise the test above would prove nothing.
#[test]
fn affected_compilers_free_twice_without_it() {
    let output = compile_and_run(Command::new("rustc"));
    // 1.91 is the first version in which the double free is visible.
    assert_eq!(output.status.success(), !(91..97).contains(&minor()), "{output:?}");
}

/// Everything that cargo builds in this repository goes through the wrapper.
#[test]
fn cargo_builds_safely_here() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("src")).unwrap();
    std::fs::write(folder.path().join("src/main.rs"), REPRODUCER).unwrap();
    let manifest = "[package]\nname = \"reproducer\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
    std::fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    let output = Command::new("cargo")
        .args(["run", "--release", "--offline", "--quiet", "--manifest-path"])
        .arg(folder.path().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(folder.path().join("target"))
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
