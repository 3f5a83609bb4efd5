//! Turns the contract of the tests' own resource, below `proto/`, into Rust, as the root's `build.rs` does with
//! Orrery's.

#[path = "../proto/build/mod.rs"]
mod build;

use std::env;
use std::path::Path;

use self::build::paths::Paths;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for watched in ["proto", "../proto", "build.rs"] {
        println!("cargo:rerun-if-changed={watched}");
    }
    let paths = Paths { root: "::orrery_proto", own: Some(("orrery.test.v1", "crate::shelves::contract")) };
    build::generate(&paths, &["proto", "../proto"], "proto/orrery", Path::new(&env::var("OUT_DIR")?))
}
