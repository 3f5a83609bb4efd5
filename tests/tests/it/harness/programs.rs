//! The built programs (`orrery`, `orrery-catalog`, ...), for tests that run them as processes of their own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// The path of the program `name`, built from the sources as they are now. Cargo builds a package's programs only for that package's own
/// tests, so this asks it to; when nothing changed that takes a moment.
pub(crate) fn program(name: &str) -> PathBuf {
    let folder = FOLDER.get_or_init(build);
    let program = folder.join(name);
    assert!(program.is_file(), "{} was not built", program.display());
    program
}

fn build() -> PathBuf {
    // target/PROFILE/deps/it-HASH
    let executable = std::env::current_exe().unwrap();
    let folder = executable.parent().and_then(Path::parent).unwrap().to_owned();
    // Where there is no cargo, the programs must have come with the tests.
    let Some(cargo) = std::env::var_os("CARGO") else { return folder };
    let profile = match folder.file_name().and_then(|name| name.to_str()).unwrap() {
        "debug" => "dev",
        other => other,
    };
    let mut command = Command::new(cargo);
    // What cargo tells a test about its package would look to build scripts like a change, and rebuild half the dependencies.
    for (name, _) in std::env::vars_os() {
        let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_", "CARGO_PRIMARY_"];
        if name.to_str().is_some_and(|name| told.iter().any(|prefix| name.starts_with(prefix))) {
            command.env_remove(name);
        }
    }
    let built = command
        .args(["build", "--quiet", "--workspace", "--bins", "--profile", profile, "--target-dir"])
        .arg(folder.parent().unwrap())
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .status()
        .unwrap();
    assert!(built.success(), "the programs do not build");
    folder
}
