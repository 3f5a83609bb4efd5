//! Messages that are small on the wire and large in memory, and rows that are small on disk and large when they are
//! read. They must cost the service little memory and time, and must not affect other clients.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod empties;
mod memory;
mod numerals;
mod workers;

use orrery_proto::catalog::v1::Product;
use orrery_proto::r#type::v1::Status;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use crate::harness::{product, uid};

/// The default limit of a message.
const LARGEST_REQUEST: usize = 16 << 20;

/// A double with the most digits possible, if printed without an exponent.
const LONG: f64 = 5e-324;

/// A product whose details contain a list of these values.
fn listing(number: usize, values: Vec<Kind>) -> Product {
    let values = values.into_iter().map(|kind| Value { kind: Some(kind) }).collect();
    let list = Value { kind: Some(Kind::ListValue(ListValue { values })) };
    let details = Some(Struct { fields: [("list".to_owned(), list)].into() });
    Product { status: Some(Status { phase: "draft".to_owned(), details }), ..product(&uid(number)) }
}

/// The CPU time of a process in seconds. Linux only.
fn processor_seconds(pid: u32) -> f64 {
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The second field is a name in parentheses; user and system time are fields 14 and 15.
    let rest = stat.rsplit_once(')').unwrap().1;
    rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / TICKS
}
