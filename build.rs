//! Turns `proto/` into Rust and into the descriptor set that reflection serves: see `proto/build/mod.rs`.

#[path = "proto/build/mod.rs"]
mod build;

use std::env;
use std::path::Path;

use self::build::paths::Paths;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let paths = Paths { root: "crate", own: None };
    build::generate(&paths, &["proto"], "proto/orrery", Path::new(&env::var("OUT_DIR")?))
}
