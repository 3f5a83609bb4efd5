//! Turns `proto/` into Rust and into the descriptor set that reflection serves. No `protoc` is needed.
//!
//! Two passes over the same descriptors. The first makes messages and clients, typed, as any caller wants them. The second makes the
//! servers, in which the bulky messages are replaced by their wire forms in `proto/wire.rs`: rows
//! pass through a server as bytes, never as structs. The replacement is decided by the shape that a message has, and a
//! message whose name promises a shape it does not have fails the build. Typed requests convert into one type for
//! each verb, in `proto/requests.rs`.

#[path = "proto/build/requests.rs"]
mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorSet};

use self::requests::{leading_word, rust_path};

/// What every chunked write answers with.
const WRITE_RESPONSE: &str = ".orrery.type.v1.WriteResponse";

/// The package that declares the rules of fields.
const RULES: &str = "buf.validate";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let mut sources = Vec::new();
    find_sources(Path::new("proto/orrery"), &mut sources)?;
    sources.sort();
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(&sources)?;
    // As compiled: prost's descriptors have no room for options that a contract declares.
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    let mut descriptors = compiler.file_descriptor_set();
    // Rules are read from the descriptors; they need no types.
    descriptors.file.retain(|file| file.package() != RULES);

    let client_dir = out.join("client");
    fs::create_dir_all(&client_dir)?;
    tonic_prost_build::configure()
        .build_server(false)
        .bytes(".")
        .out_dir(&client_dir)
        .compile_fds(descriptors.clone())?;

    let server_dir = out.join("server");
    fs::create_dir_all(&server_dir)?;
    let mut servers =
        tonic_prost_build::configure().build_client(false).codec_path("crate::codec::ServerCodec").out_dir(&server_dir);
    let packages: BTreeSet<&str> = descriptors.file.iter().map(prost_types::FileDescriptorProto::package).collect();
    for package in packages {
        if let Some(module) = package.strip_prefix("orrery.") {
            let module = module.replace('.', "::").replace("type::", "r#type::");
            servers = servers.extern_path(format!(".{package}"), format!("crate::{module}"));
        }
    }
    let forms = wire_forms(&descriptors)?;
    fs::write(server_dir.join("requests.rs"), whole_requests(&descriptors, &forms))?;
    fs::write(server_dir.join("request_forms.rs"), requests::generate(&descriptors)?)?;
    for (message, wire) in forms {
        servers = servers.extern_path(message, format!("crate::wire::{wire}"));
    }
    servers.compile_fds(descriptors)?;
    Ok(())
}

/// How requests without a wire form are taken: decoded as a whole, up to a size.
fn whole_requests(set: &FileDescriptorSet, forms: &BTreeMap<String, &'static str>) -> String {
    let mut requests = BTreeMap::new();
    for file in set.file.iter().filter(|file| file.package().starts_with("orrery.")) {
        for method in file.service.iter().flat_map(|service| &service.method) {
            let most = if leading_word(method.name()) == "Check" { "LARGEST_CHECK" } else { "LARGEST_REQUEST" };
            if !forms.contains_key(method.input_type()) {
                requests.insert(method.input_type(), most);
            }
        }
    }
    let implementation = |(message, most): (&str, &str)| {
        let path = rust_path(message);
        format!(
            "impl crate::codec::Incoming for {path} {{\n    \
                 fn take(message: bytes::Bytes) -> Result<Self, tonic::Status> {{\n        \
                     crate::codec::decode(message, crate::codec::{most})\n    \
                 }}\n\
             }}\n"
        )
    };
    requests.into_iter().map(implementation).collect()
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

/// Which messages a server handles in wire form: fully qualified name to the type in `proto/wire.rs`.
fn wire_forms(set: &FileDescriptorSet) -> Result<BTreeMap<String, &'static str>, String> {
    let mut messages = BTreeMap::new();
    for file in &set.file {
        for message in &file.message_type {
            messages.insert(format!(".{}.{}", file.package(), message.name()), message);
        }
    }
    let mut forms = BTreeMap::new();
    for file in set.file.iter().filter(|file| file.package().starts_with("orrery.")) {
        for method in file.service.iter().flat_map(|service| &service.method) {
            let input = (method.input_type().to_owned(), messages.get(method.input_type()));
            let output = (method.output_type().to_owned(), messages.get(method.output_type()));
            match leading_word(method.name()) {
                "Write" => {
                    check(&input, is_write_request)?;
                    if output.0 != WRITE_RESPONSE {
                        return Err(format!(
                            "{} returns {}; a chunked write returns {WRITE_RESPONSE}",
                            method.name(),
                            output.0
                        ));
                    }
                    forms.insert(input.0, "ReceivedWrite");
                    forms.insert(output.0, "WriteResponse");
                }
                "Stream" => {
                    check(&output, |message| is_page(message, "resume_token"))?;
                    forms.insert(output.0, "Encoded");
                }
                "List" | "Lookup" => {
                    check(&output, |message| is_page(message, "next_page_token"))?;
                    forms.insert(output.0, "Encoded");
                }
                "Get" | "BatchGet" | "Claim" => {
                    forms.insert(output.0, "Encoded");
                }
                word @ ("Create" | "Update") => {
                    check(&input, |message| is_single_write(message, word == "Update"))?;
                    forms.insert(input.0, if word == "Create" { "ReceivedCreate" } else { "ReceivedUpdate" });
                    forms.insert(output.0, "Encoded");
                }
                // A method that returns the resource itself.
                _ if output.0.starts_with(".orrery.") && !output.0.ends_with("Response") => {
                    forms.insert(output.0, "Encoded");
                }
                _ => {}
            }
        }
    }
    Ok(forms)
}

fn check(message: &(String, Option<&&DescriptorProto>), fits: impl Fn(&DescriptorProto) -> bool) -> Result<(), String> {
    match message.1 {
        Some(descriptor) if fits(descriptor) => Ok(()),
        _ => Err(format!("{} does not have the shape that its name promises; see proto/wire.rs", message.0)),
    }
}

fn has(message: &DescriptorProto, number: i32, name: Option<&str>, kind: Type, repeated: bool) -> bool {
    message.field.iter().any(|field| {
        field.number() == number
            && name.is_none_or(|name| field.name() == name)
            && field.r#type() == kind
            && (field.label() == Label::Repeated) == repeated
    })
}

fn is_page(message: &DescriptorProto, token: &str) -> bool {
    message.field.len() == 2
        && has(message, 1, None, Type::Message, true)
        && has(message, 2, Some(token), Type::String, false)
}

fn is_write_request(message: &DescriptorProto) -> bool {
    message.field.len() == 2
        && has(message, 1, Some("start"), Type::Message, false)
        && has(message, 2, Some("chunk"), Type::Message, false)
        && message.nested_type.iter().any(|chunk| {
            chunk.name() == "Chunk"
                && chunk.field.len() == 2
                && has(chunk, 1, Some("offset"), Type::Int64, false)
                && has(chunk, 2, None, Type::Message, true)
        })
}

fn is_single_write(message: &DescriptorProto, update: bool) -> bool {
    let beside = if update { 3 } else { 2 };
    let own = if update {
        has(message, 2, Some("update_mask"), Type::Message, false)
            && has(message, 3, Some("allow_missing"), Type::Bool, false)
    } else {
        has(message, 2, Some("request_id"), Type::String, false)
    };
    let checked = has(message, beside + 1, Some("reference_check"), Type::Enum, false);
    let fields = if checked { beside + 1 } else { beside };
    has(message, 1, None, Type::Message, false) && own && message.field.len() == fields as usize
}
