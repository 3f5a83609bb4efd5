//! Compiles the files of `migrations/` into the command, so that it works far from this repository.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../migrations").canonicalize()?;
    println!("cargo:rerun-if-changed={}", folder.display());
    // Of several checkouts that share a target folder, each has its own files.
    println!("cargo:rerun-if-env-changed=CARGO_MANIFEST_DIR");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let name = entry?.file_name().into_string().map_err(|name| format!("{} is not UTF-8", name.display()))?;
        let is_sql = Path::new(&name).extension().is_some_and(|extension| extension == "sql");
        if is_sql && name.starts_with(|first: char| first.is_ascii_digit()) {
            names.push(name);
        }
    }
    names.sort();
    let mut code = String::from("&[\n");
    for name in names {
        let path = folder.join(&name).display().to_string();
        println!("cargo:rerun-if-changed={path}");
        writeln!(code, "    ({name:?}, include_str!({path:?})),")?;
    }
    code.push_str("]\n");
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("migrations.rs"), code)?;
    Ok(())
}
