//! Whatever a caller sends, to whatever method: an answer or a refusal that says what is wrong, never a fault of the service, and
//! nothing half written.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sqlx::{PgConnection, query_scalar};
use tonic::{Code, Status};

use crate::harness::raw::{Method, call, descriptors, methods};
use crate::harness::{CatalogServer, Role, TestDatabase, refusal, run, seed};

/// Texts of which most break some rule and some follow it. A uid that exists is among them, so that writes reach rows.
fn nasty_text(random: &mut StdRng) -> Vec<u8> {
    let texts: [&[u8]; 36] = [
        b"",
        b" ",
        b"x",
        b"\0",
        b"prd_0000001",
        b"prd_0000002",
        b"prd_none",
        b"prd_",
        b"prd_\0",
        b"PRD_1",
        b"ord_1",
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
    match random.random_range(0..60) {
        0 => vec![b'x'; 70_000],
        1 => vec![b'a'; 300_000],
        2 => (0..random.random_range(0..40)).map(|_| random.random::<u8>()).collect(),
        3 => format!("prd_{}", "y".repeat(random.random_range(120..130))).into_bytes(),
        _ => texts[random.random_range(0..texts.len())].to_vec(),
    }
}

/// A text that may well stand in a field of this name.
fn fitting_text(field: &str, random: &mut StdRng) -> Vec<u8> {
    let texts: &[&str] = match field {
        "uid" | "uids" | "product_uid" | "product_uids" => &["prd_0000001", "prd_0000002", "prd_new"],
        "value" => &["1.50", "summer"],
        "paths" => &["name", "labels.season", "status.details.k"],
        "order_by" => &["create_ts desc", "uid"],
        "label_selector" => &["season=summer", "!a"],
        "key" => &["season", "k", "example.com/key"],
        "name" => &["sales"],
        "phase" | "phases" => &["active"],
        // Tokens and etags that fit have to be earned.
        _ => &[""],
    };
    texts[random.random_range(0..texts.len())].as_bytes().to_vec()
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

/// Makes messages of the contract's shapes with values that are often wrong.
struct Generator {
    messages: BTreeMap<String, DescriptorProto>,
    random: StdRng,
    /// How many values in a hundred fit, in the call that is being made.
    fitting: u32,
}

impl Generator {
    fn new(seed: u64) -> Self {
        let mut messages = BTreeMap::new();
        for file in descriptors().file {
            for message in file.message_type {
                collect(&format!(".{}", file.package.clone().unwrap_or_default()), message, &mut messages);
            }
        }
        Self { messages, random: StdRng::seed_from_u64(seed), fitting: 80 }
    }

    /// The bytes of a message of this type.
    fn message(&mut self, name: &str, depth: usize) -> Vec<u8> {
        let descriptor = self.messages[name].clone();
        let mut out = Vec::new();
        let mut chosen = None;
        for field in &descriptor.field {
            // Of a oneof mostly one member; both is no error on the wire.
            if field.oneof_index.is_some() && chosen.is_some() && self.random.random_range(0..10) > 0 {
                continue;
            }
            let times = match (field.label() == Label::Repeated, self.random.random_range(0..10)) {
                (_, 0..4) => 0,
                (false, 4) => 2,
                (false, _) => 1,
                (true, _) if depth > 4 => 1,
                (true, _) => self.random.random_range(1..4),
            };
            if times > 0 && field.oneof_index.is_some() {
                chosen = Some(());
            }
            for _ in 0..times {
                self.field(field, depth, &mut out);
            }
        }
        if self.random.random_range(0..20) == 0 {
            // A field that this contract does not know.
            put_key(&mut out, 19_000 - 1, 2);
            put_varint(&mut out, 3);
            out.extend_from_slice(b"new");
        }
        out
    }

    fn field(&mut self, field: &FieldDescriptorProto, depth: usize, out: &mut Vec<u8>) {
        let number = field.number();
        match field.r#type() {
            Type::String | Type::Bytes => {
                let fits = self.random.random_range(0..100) < self.fitting;
                let text =
                    if fits { fitting_text(field.name(), &mut self.random) } else { nasty_text(&mut self.random) };
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
                put_key(out, number, 1);
                out.extend_from_slice(&doubles[self.random.random_range(0..doubles.len())].to_le_bytes());
            }
            Type::Enum => {
                put_key(out, number, 0);
                put_varint(out, [0, 0, 1, 1, 2, 3, 4, 99, -1_i64, i64::MAX][self.random.random_range(0..10)] as u64);
            }
            Type::Bool => {
                put_key(out, number, 0);
                put_varint(out, self.random.random_range(0..2));
            }
            _ => {
                put_key(out, number, 0);
                let fits = self.random.random_range(0..100) < self.fitting;
                put_varint(out, if fits { 0 } else { nasty_integer(&mut self.random) as u64 });
            }
        }
    }

    /// The messages of one call.
    fn call(&mut self, method: &Method) -> Vec<Bytes> {
        // Some calls are nearly right, so that one wrong value meets nothing else to be refused for.
        self.fitting = [50, 80, 95, 95][self.random.random_range(0..4)];
        let mut messages = vec![self.message(&method.input, 0)];
        if method.streams_in {
            if method.name.starts_with("Write") && self.random.random_range(0..10) > 0 {
                // A stream that begins as it should, so that what follows is looked at: start is field 1.
                let mut start = Vec::new();
                let body = if self.random.random_range(0..3) > 0 {
                    // on_row_error is field 3.
                    vec![3 << 3, self.random.random_range(0..3)]
                } else {
                    self.message(".orrery.type.v1.WriteStart", 1)
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

    /// Breaks a message: bytes changed, taken out, put in, or cut off.
    fn broken(&mut self, message: &Bytes) -> Bytes {
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

fn collect(scope: &str, message: DescriptorProto, messages: &mut BTreeMap<String, DescriptorProto>) {
    let name = format!("{scope}.{}", message.name());
    for nested in message.nested_type.clone() {
        collect(&name, nested, messages);
    }
    messages.insert(name, message);
}

/// Everything in the tables that a call could change, as one text.
async fn contents(connection: &mut PgConnection) -> String {
    query_scalar(
        "select md5(concat( \
             (select string_agg(p::text, '|' order by uid) from catalog.product p), \
             (select string_agg(m::text, '|' order by product_uid, name) from catalog.product_metric m)))",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}

/// Checks that a refusal is the caller's mistake and says which.
fn assert_is_the_callers(status: &Status, what: &dyn Fn() -> String) {
    let refused = refusal(status);
    let reasons: &[&str] = match refused.code {
        Code::InvalidArgument => &[
            "FIELD_INVALID",
            "MESSAGE_MALFORMED",
            "TOKEN_INVALID",
            "TOKEN_MISMATCH",
            "ROW_REJECTED",
            "WRITE_SESSION_MISMATCH",
        ],
        Code::NotFound => &["RESOURCE_NOT_FOUND"],
        Code::AlreadyExists => &["RESOURCE_EXISTS"],
        Code::Aborted => &["ETAG_MISMATCH", "OFFSET_CONFLICT"],
        Code::OutOfRange => &["OFFSET_GAP"],
        _ => &[],
    };
    assert!(reasons.contains(&refused.reason.as_str()), "{status:?} to {}", what());
    if refused.code == Code::InvalidArgument && refused.reason != "MESSAGE_MALFORMED" {
        assert!(!refused.fields.is_empty(), "no field is named: {status:?} to {}", what());
        assert!(refused.fields.iter().all(|field| !field.is_empty()), "an empty field: {status:?} to {}", what());
    }
}

/// Makes calls of every method, and checks each answer and that a refused call has changed nothing.
async fn bombard(rounds: usize, make: impl Fn(&mut Generator, &Method) -> Vec<Bytes>) -> BTreeMap<String, [usize; 2]> {
    let number: u64 = rand::random();
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 5).await;
    run(&mut operator, "insert into catalog.product_metric (product_uid, name, value) values ('prd_0000001', 'x', 1)")
        .await;
    let server = CatalogServer::start(&database).await;
    let mut generator = Generator::new(number);
    let mut outcomes: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    let mut before = contents(&mut operator).await;
    for method in methods() {
        for round in 0..rounds {
            let messages = make(&mut generator, &method);
            let answer = call(&server.channel(), &method.path, messages.clone()).await;
            let after = contents(&mut operator).await;
            let count = outcomes.entry(method.name.clone()).or_default();
            if let Err(status) = answer {
                let what = || {
                    let shown: Vec<&[u8]> = messages.iter().map(|message| &message[..message.len().min(300)]).collect();
                    format!("{} in round {round} of seed {number}: {shown:02x?}", method.name)
                };
                assert_is_the_callers(&status, &what);
                // A stream may have committed chunks before the one that was refused.
                assert!(after == before || method.streams_in, "a refused call wrote something: {}", what());
                count[1] += 1;
            } else {
                count[0] += 1;
            }
            before = after;
        }
    }
    // It serves as if nothing had been.
    let health = tonic_health::pb::health_client::HealthClient::new(server.channel())
        .check(tonic_health::pb::HealthCheckRequest::default())
        .await
        .unwrap();
    assert_eq!(health.into_inner().status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
    outcomes
}

#[tokio::test]
async fn messages_of_the_right_shape_with_wrong_values() {
    let outcomes = bombard(250, Generator::call).await;
    // Both ways out were taken, so that the messages were neither all nonsense nor all harmless.
    for (method, [answered, refused]) in outcomes {
        assert!(answered > 0 && refused > 0, "{method}: {answered} answered, {refused} refused");
    }
}

#[tokio::test]
async fn messages_with_broken_bytes() {
    bombard(120, |generator, method| {
        let messages = generator.call(method);
        messages.iter().map(|message| generator.broken(message)).collect()
    })
    .await;
}

#[tokio::test]
async fn any_bytes_at_all() {
    bombard(80, |generator, _| {
        let length = [0, 1, 2, 3, 10, 100, 5_000][generator.random.random_range(0..7)];
        vec![(0..length).map(|_| generator.random.random::<u8>()).collect()]
    })
    .await;
}

#[tokio::test]
async fn values_that_nest_without_end() {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start(&database).await;
    // Value.struct_value.fields["a"] = Value..., many thousand times: far deeper than any parser goes.
    for levels in [29, 40, 99, 150, 10_000] {
        let mut value = prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(1.0)) }.encode_to_vec();
        for _ in 0..levels {
            let mut entry = b"\x0a\x01a".to_vec();
            put_key(&mut entry, 2, 2);
            put_varint(&mut entry, value.len() as u64);
            entry.extend_from_slice(&value);
            let mut structure = vec![1 << 3 | 2];
            put_varint(&mut structure, entry.len() as u64);
            structure.extend_from_slice(&entry);
            value = vec![5 << 3 | 2];
            put_varint(&mut value, structure.len() as u64);
            value.extend_from_slice(&structure);
        }
        let wrap = |number: i32, inner: &[u8]| {
            let mut out = Vec::new();
            put_key(&mut out, number, 2);
            put_varint(&mut out, inner.len() as u64);
            out.extend_from_slice(inner);
            out
        };
        let entry = [b"\x0a\x01a".as_slice(), &wrap(2, &value)].concat();
        let status = wrap(3, &wrap(2, &wrap(1, &entry)));
        let product = [wrap(1, b"prd_a"), status].concat();
        let path = |method: &str| format!("/orrery.catalog.v1.CatalogService/{method}");
        let create = vec![wrap(1, &product).into()];
        let refused = call(&server.channel(), &path("CreateProduct"), create).await.unwrap_err();
        assert_eq!(refusal(&refused).code, Code::InvalidArgument, "{levels}: {refused:?}");
        let write = vec![wrap(1, b"").into(), wrap(2, &wrap(2, &product)).into()];
        let refused = call(&server.channel(), &path("WriteProducts"), write).await.unwrap_err();
        assert_eq!(refusal(&refused).reason, "ROW_REJECTED", "{levels}: {refused:?}");
    }
}
