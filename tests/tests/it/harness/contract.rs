//! The fields of the contract's messages, so that a test can check that it covers all of them.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};

use super::raw::descriptors;

/// The contract's messages by full name, with a leading dot.
pub(crate) struct Contract(BTreeMap<String, DescriptorProto>);

/// A path to a field: fields, each in the message of the one before.
type FieldPath = Vec<FieldDescriptorProto>;

impl Contract {
    /// The contract.
    pub(crate) fn new() -> Self {
        fn collect(scope: &str, message: DescriptorProto, messages: &mut BTreeMap<String, DescriptorProto>) {
            let name = format!("{scope}.{}", message.name());
            for nested in message.nested_type.clone() {
                collect(&name, nested, messages);
            }
            messages.insert(name, message);
        }
        let mut messages = BTreeMap::new();
        for file in descriptors().file {
            for message in file.message_type {
                collect(&format!(".{}", file.package.clone().unwrap_or_default()), message, &mut messages);
            }
        }
        Self(messages)
    }

    /// All messages by full name.
    pub(crate) fn into_messages(self) -> BTreeMap<String, DescriptorProto> {
        self.0
    }

    /// The paths to all fields of a message that are not messages of the contract. A map or a message of Google's
    /// counts as one field, except for the texts of a mask.
    fn field_paths(&self, message: &str) -> Vec<FieldPath> {
        let mut ways = Vec::new();
        for field in &self.0[message].field {
            let inside = match field.r#type() {
                Type::Message if self.is_ours(field.type_name()) => self.field_paths(field.type_name()),
                _ => vec![Vec::new()],
            };
            ways.extend(inside.into_iter().map(|way| [vec![field.clone()], way].concat()));
        }
        ways
    }

    fn is_ours(&self, message: &str) -> bool {
        message.starts_with(".orrery.") && !self.is_entry(message)
    }

    fn is_entry(&self, message: &str) -> bool {
        self.0[message].options.as_ref().is_some_and(prost_types::MessageOptions::map_entry)
    }

    /// The paths of all fields of a message and of the messages in it, without list indexes.
    pub(crate) fn paths(&self, message: &str) -> BTreeSet<String> {
        self.field_paths(message).iter().map(|way| path(way)).collect()
    }

    /// All text fields within a message. For each: its path without list indexes, the path with index 0 in each list
    /// and key k in each map, and an encoded message with only this field, set to `bytes`.
    pub(crate) fn texts(&self, message: &str, bytes: &[u8]) -> Vec<(String, String, Vec<u8>)> {
        let is_list = |field: &FieldDescriptorProto| field.label() == Label::Repeated;
        let mut texts = Vec::new();
        for way in self.field_paths(message) {
            let Some(last) = way.last() else { continue };
            let is_map = is_list(last) && last.r#type() == Type::Message && self.is_entry(last.type_name());
            let inner = match last.r#type() {
                Type::String => bytes.to_vec(),
                // The text of a map entry, and a path.
                Type::Message if is_map => [field(1, b"k"), field(2, bytes)].concat(),
                Type::Message if last.type_name() == ".google.protobuf.FieldMask" => field(1, bytes),
                _ => continue,
            };
            let place = |step: &FieldDescriptorProto| match (is_list(step), is_map && step == last) {
                (true, false) => format!("{}[0]", step.name()),
                (_, true) => format!("{}.k", step.name()),
                (false, false) => step.name().to_owned(),
            };
            let places: Vec<String> = way.iter().map(place).collect();
            let encoded = way.iter().rev().fold(inner, |inner, step| field(step.number(), &inner));
            texts.push((path(&way), places.join("."), encoded));
        }
        texts
    }
}

fn path(way: &[FieldDescriptorProto]) -> String {
    way.iter().map(FieldDescriptorProto::name).collect::<Vec<_>>().join(".")
}

/// A length-delimited field.
pub(crate) fn field(number: i32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint((number as u64) << 3 | 2, &mut out);
    prost::encoding::encode_varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}
