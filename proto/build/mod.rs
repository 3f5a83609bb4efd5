//! Turns `.proto` files into Rust and into the descriptor set that reflection serves. No `protoc` is needed.
//!
//! Two passes over the same descriptors. The first makes messages and clients, typed, as any caller wants them. The
//! second makes the servers, in which the bulky messages are replaced by their wire forms in `proto/wire.rs`: rows
//! pass through a server as bytes, never as structs. The replacement is decided by the shape that a message has, and a
//! message whose name promises a shape it does not have fails the build. Typed requests convert into one type for
//! each verb, in `proto/requests.rs`.
//!
//! The contract's own `build.rs` uses this, and the one of the tests, for a contract of their own.

mod forms;
pub(crate) mod paths;
mod requests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use self::forms::{whole_requests, wire_forms};
use self::paths::Paths;

/// The package that declares the rules of fields.
const RULES: &str = "buf.validate";

/// Generates code from the `.proto` files below `sources` into `out`; what they import is below one of `includes`.
///
/// # Errors
/// What is wrong with the contract; files that cannot be read or written.
pub(crate) fn generate(
    paths: &Paths,
    includes: &[&str],
    sources: &str,
    out: &Path,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut files = Vec::new();
    find_sources(Path::new(sources), &mut files)?;
    files.sort();
    let mut compiler = protox::Compiler::new(includes)?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    // As compiled: prost's descriptors have no room for options that a contract declares.
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    let mut descriptors = compiler.file_descriptor_set();
    // Rules are read from the descriptors; they need no types.
    descriptors.file.retain(|file| file.package() != RULES);
    let packages: BTreeSet<String> = descriptors.file.iter().map(|file| file.package().to_owned()).collect();

    let client_dir = out.join("client");
    fs::create_dir_all(&client_dir)?;
    let mut clients = tonic_prost_build::configure().build_server(false).bytes(".").out_dir(&client_dir);
    for package in packages.iter().filter(|package| !paths.generate(package)) {
        if let Some(module) = paths.module(package) {
            clients = clients.extern_path(format!(".{package}"), module);
        }
    }
    clients.compile_fds(descriptors.clone())?;

    let server_dir = out.join("server");
    fs::create_dir_all(&server_dir)?;
    let codec = format!("{}::codec::ServerCodec", paths.root);
    let mut servers = tonic_prost_build::configure().build_client(false).codec_path(codec).out_dir(&server_dir);
    for package in &packages {
        if let Some(module) = paths.module(package) {
            servers = servers.extern_path(format!(".{package}"), module);
        }
    }
    let forms = wire_forms(&descriptors, paths)?;
    fs::write(server_dir.join("requests.rs"), whole_requests(&descriptors, &forms, paths))?;
    fs::write(server_dir.join("request_forms.rs"), requests::generate(&descriptors, paths)?)?;
    for (message, wire) in forms {
        servers = servers.extern_path(message, format!("{}::wire::{wire}", paths.root));
    }
    servers.compile_fds(descriptors)?;
    Ok(())
}

fn find_sources(dir: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            find_sources(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    Ok(())
}
