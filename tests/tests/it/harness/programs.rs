//! The program `orrery` and the links that run services (`orrery-catalog`, ...), for tests that run them as processes.

use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The program, built together with the tests from the same sources.
const PROGRAM: &str = env!("CARGO_BIN_EXE_orrery-under-test");

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// The path of the program or link `name`.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = FOLDER.get_or_init(link).join(name);
    assert!(path.is_file(), "{} is none of the programs", path.display());
    path
}

/// Creates the links, beside the program and with the names that users use. Another test process may do so at the same
/// time.
fn link() -> PathBuf {
    let folder = Path::new(PROGRAM).with_file_name("programs");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["orrery", "orrery-catalog", "orrery-orders", "orrery-records"] {
        match symlink(PROGRAM, folder.join(name)) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => unreachable!("{name} cannot be linked: {error}"),
            _ => {}
        }
    }
    folder
}
