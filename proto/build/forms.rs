//! Which messages a server handles in wire form (`proto/wire.rs`), decided by the shape that a message has.

use std::collections::BTreeMap;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorSet};

use super::paths::Paths;
use super::requests::leading_word;

/// What every chunked write answers with.
const WRITE_RESPONSE: &str = ".orrery.type.v1.WriteResponse";

/// Which messages a server handles in wire form: fully qualified name to the type in `proto/wire.rs`.
pub(crate) fn wire_forms(set: &FileDescriptorSet, paths: &Paths) -> Result<BTreeMap<String, &'static str>, String> {
    let mut messages = BTreeMap::new();
    for file in &set.file {
        for message in &file.message_type {
            messages.insert(format!(".{}.{}", file.package(), message.name()), message);
        }
    }
    let mut forms = BTreeMap::new();
    for file in set.file.iter().filter(|file| paths.generate(file.package())) {
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
                "Stream" | "Classify" => {
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
                    check(&output, |message| is_written(message, &output.0, input.1, word == "Create"))?;
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
    let (required, first_optional): (&[_], _) = if update {
        (&[(2, "update_mask", Type::Message), (3, "allow_missing", Type::Bool), (6, "read_mask", Type::Message)], 4)
    } else {
        (&[(2, "request_id", Type::String), (5, "read_mask", Type::Message)], 3)
    };
    // For a resource that points at something, and one of which there are views.
    let optional = [(first_optional, "reference_check", Type::Enum), (first_optional + 1, "view", Type::Enum)];
    let is = |&(number, name, kind): &(i32, &str, Type)| has(message, number, Some(name), kind, false);
    let fields = 1 + required.len() + optional.iter().filter(|field| is(field)).count();
    has(message, 1, None, Type::Message, false) && required.iter().all(is) && message.field.len() == fields
}

/// Whether a message is the resource that its request holds. The answer of a create may also be
/// `{Resource = 1; bool deduplicated = 2}`, if the resource's rules can find an existing one.
fn is_written(message: &DescriptorProto, name: &str, request: Option<&&DescriptorProto>, create: bool) -> bool {
    let resource_in = |message: &DescriptorProto| {
        let field = message.field.iter().find(|field| field.number() == 1);
        field.map(|field| field.type_name().to_owned())
    };
    let resource = request.and_then(|request| resource_in(request));
    let is_deduplicated = message.field.len() == 2
        && has(message, 1, None, Type::Message, false)
        && has(message, 2, Some("deduplicated"), Type::Bool, false)
        && resource_in(message) == resource;
    resource.as_deref() == Some(name) || (create && is_deduplicated)
}

/// How requests without a wire form are taken: decoded as a whole, up to a size.
pub(crate) fn whole_requests(set: &FileDescriptorSet, forms: &BTreeMap<String, &'static str>, paths: &Paths) -> String {
    let mut requests = BTreeMap::new();
    for file in set.file.iter().filter(|file| paths.generate(file.package())) {
        for method in file.service.iter().flat_map(|service| &service.method) {
            let most = match leading_word(method.name()) {
                "Check" | "Resolve" | "Upload" => "LARGEST_CHECK",
                _ => "LARGEST_REQUEST",
            };
            if !forms.contains_key(method.input_type()) {
                requests.insert(method.input_type(), most);
            }
        }
    }
    let implementation = |(message, most): (&str, &str)| {
        let (path, root) = (paths.of(message), paths.root);
        format!(
            "impl {root}::codec::Incoming for {path} {{\n    \
                 fn take(message: bytes::Bytes) -> Result<Self, tonic::Status> {{\n        \
                     {root}::codec::decode(message, {root}::codec::{most})\n    \
                 }}\n\
             }}\n"
        )
    };
    requests.into_iter().map(implementation).collect()
}
