//! Generates messages with the contract's structure and values that are often invalid.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::harness::contract::Contract;
use crate::harness::raw::Method;

/// Values for a service's fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vocabulary {
    /// Useful texts for a field of a message, both named without a package; empty if none is known.
    pub(crate) fitting: fn(&str, &str) -> &'static [&'static str],
    /// Texts to use everywhere in addition: most are invalid for some fields and valid for others. One is an existing
    /// uid, so that writes reach rows.
    pub(crate) nasty: &'static [&'static str],
}

/// Texts to use everywhere: most are invalid for some fields and valid for others.
const NASTY: [&[u8]; 29] = [
    b"",
    b" ",
    b"x",
    b"\0",
    b"\xff\xfe",
    b"prd_\xc3\x28",
    b"\xed\xa0\x80",
    "\u{feff}é😀\u{202e}".as_bytes(),
    b"a\nb\r\t\x01\x7f",
    b"'; drop table catalog.product; --",
    b"\\",
    b"$1 %s {} \\0 E'x'",
    b"*",
    b"name",
    b"labels",
    b"labels.season",
    b"labels.",
    b"status.phase",
    b"status.details.k",
    b"uid",
    b"etag",
    b"season=summer",
    b"a in (",
    b"season",
    b"example.com/key",
    b"create_ts desc",
    b"1.50",
    b"-0",
    b"1e9",
];

fn nasty_text(vocabulary: Vocabulary, random: &mut StdRng) -> Vec<u8> {
    match random.random_range(0..60) {
        0 => vec![b'x'; 70_000],
        1 => vec![b'a'; 300_000],
        2 => (0..random.random_range(0..40)).map(|_| random.random::<u8>()).collect(),
        3 => format!("{}{}", vocabulary.nasty[0], "y".repeat(random.random_range(113..123))).into_bytes(),
        _ => match random.random_range(0..NASTY.len() + vocabulary.nasty.len()) {
            at if at < NASTY.len() => NASTY[at].to_vec(),
            at => vocabulary.nasty[at - NASTY.len()].as_bytes().to_vec(),
        },
    }
}

fn nasty_integer(random: &mut StdRng) -> i64 {
    let integers = [
        0,
        0,
        0,
        1,
        1,
        2,
        50,
        1_000,
        -1,
        1_001,
        100_000,
        i64::MAX,
        i64::MIN,
        i64::from(i32::MAX),
        i64::from(i32::MIN),
        -62_135_596_801,
        253_402_300_800,
        999_999_999,
        1_000_000_000,
        1_767_225_600,
    ];
    integers[random.random_range(0..integers.len())]
}

fn put_varint(out: &mut Vec<u8>, value: u64) {
    prost::encoding::encode_varint(value, out);
}

fn put_key(out: &mut Vec<u8>, number: i32, wire_type: u8) {
    put_varint(out, (number as u64) << 3 | u64::from(wire_type));
}

/// Generates messages with the contract's structure and values that are often invalid.
pub(crate) struct Generator {
    vocabulary: Vocabulary,
    messages: BTreeMap<String, DescriptorProto>,
    pub(crate) random: StdRng,
    /// The percentage of valid values in the current call.
    fitting: u32,
}

impl Generator {
    pub(crate) fn new(seed: u64, vocabulary: Vocabulary) -> Self {
        let messages = Contract::new().into_messages();
        Self { vocabulary, messages, random: StdRng::seed_from_u64(seed), fitting: 80 }
    }

    /// The bytes of a message of this type.
    fn message(&mut self, name: &str, depth: usize) -> Vec<u8> {
        let descriptor = self.messages[name].clone();
        let mut out = Vec::new();
        let mut chosen = None;
        for field in &descriptor.field {
            // Usually one member of a oneof. Several are not an error on the wire.
            if field.oneof_index.is_some() && chosen.is_some() && self.random.random_range(0..10) > 0 {
                continue;
            }
            let times = match (field.label() == Label::Repeated, self.random.random_range(0..10)) {
                // A valid map entry has a key.
                _ if self.fitting == 100 && field.name() == "key" => 1,
                (_, 0..4) => 0,
                (false, 4) => 2,
                (false, _) => 1,
                // In a valid message only one entry, because two may have the same name.
                (true, _) if depth > 4 || self.fitting == 100 => 1,
                (true, _) => self.random.random_range(1..4),
            };
            if times > 0 && field.oneof_index.is_some() {
                chosen = Some(());
            }
            for _ in 0..times {
                self.field(name, field, depth, &mut out);
            }
        }
        if self.random.random_range(0..20) == 0 {
            // An unknown field.
            put_key(&mut out, 19_000 - 1, 2);
            put_varint(&mut out, 3);
            out.extend_from_slice(b"new");
        }
        out
    }

    fn field(&mut self, message: &str, field: &FieldDescriptorProto, depth: usize, out: &mut Vec<u8>) {
        let number = field.number();
        match field.r#type() {
            Type::String | Type::Bytes => {
                let text = if self.fits() {
                    self.fitting_text(message, field.name())
                } else {
                    nasty_text(self.vocabulary, &mut self.random)
                };
                put_key(out, number, 2);
                put_varint(out, text.len() as u64);
                out.extend_from_slice(&text);
            }
            Type::Message if depth < 8 => {
                let message = self.message(field.type_name(), depth + 1);
                put_key(out, number, 2);
                put_varint(out, message.len() as u64);
                out.extend_from_slice(&message);
            }
            Type::Message => {}
            Type::Double => {
                let doubles =
                    [0.0, -0.0, 1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 1e22];
                let double = if self.fits() { 1.5 } else { doubles[self.random.random_range(0..doubles.len())] };
                put_key(out, number, 1);
                out.extend_from_slice(&double.to_le_bytes());
            }
            Type::Enum => {
                put_key(out, number, 0);
                let values = [0, 1, 2, 3, 4, 99, -1_i64, i64::MAX];
                let known = if self.fits() { 2 } else { values.len() };
                put_varint(out, values[self.random.random_range(0..known)] as u64);
            }
            Type::Bool => {
                put_key(out, number, 0);
                put_varint(out, self.random.random_range(0..2));
            }
            _ => {
                put_key(out, number, 0);
                // A valid duration is a minute; for other integers 0 is valid.
                let fitting = if (message, field.name()) == (".google.protobuf.Duration", "seconds") { 60 } else { 0 };
                put_varint(out, if self.fits() { fitting } else { nasty_integer(&mut self.random) as u64 });
            }
        }
    }

    fn fits(&mut self) -> bool {
        self.random.random_range(0..100) < self.fitting
    }

    fn fitting_text(&mut self, message: &str, field: &str) -> Vec<u8> {
        let message = message.rsplit('.').next().unwrap_or_default();
        match (self.vocabulary.fitting)(message, field) {
            [] => Vec::new(),
            texts => texts[self.random.random_range(0..texts.len())].as_bytes().to_vec(),
        }
    }

    /// The messages of one call.
    pub(crate) fn call(&mut self, method: &Method) -> Vec<Bytes> {
        // Some calls are nearly valid, so that one invalid value is not hidden by others.
        self.fitting = [50, 80, 95, 100, 100][self.random.random_range(0..5)];
        let mut messages = vec![self.message(&method.input, 0)];
        if method.streams_in {
            let (writes, imports) = (method.name.starts_with("Write"), method.name.starts_with("Import"));
            if (writes || imports) && self.random.random_range(0..10) > 0 {
                // A valid start of a stream, so that the rest is read: start is field 1.
                let mut start = Vec::new();
                let body = match self.random.random_range(0..3) > 0 {
                    // on_row_error is field 3.
                    true if writes => vec![3 << 3, self.random.random_range(0..3)],
                    true => Vec::new(),
                    false if writes => self.message(".orrery.type.v1.WriteStart", 1),
                    false => self.message(&format!("{}.Start", method.input), 1),
                };
                put_key(&mut start, 1, 2);
                put_varint(&mut start, body.len() as u64);
                start.extend_from_slice(&body);
                messages.insert(0, start);
            }
            for _ in 0..self.random.random_range(0..2) {
                let another = self.message(&method.input, 0);
                messages.push(another);
            }
        }
        messages.into_iter().map(Bytes::from).collect()
    }

    /// Damages a message: changes, removes or inserts bytes, or truncates it.
    pub(crate) fn broken(&mut self, message: &Bytes) -> Bytes {
        let mut bytes = message.to_vec();
        for _ in 0..self.random.random_range(1..4) {
            let at = self.random.random_range(0..=bytes.len());
            match self.random.random_range(0..4) {
                0 if at < bytes.len() => bytes[at] = self.random.random(),
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 => bytes.truncate(at),
                _ => bytes.insert(at, self.random.random()),
            }
        }
        bytes.into()
    }
}
