//! Fuzz targets for everything that parses bytes from outside. A target is a function that accepts any bytes and
//! asserts properties of the result. It returns a word for the result, so that a run without instrumentation can detect
//! new behaviour.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a target stops at the first surprise")]
#![allow(missing_docs, unreachable_pub, dead_code, reason = "a crate of its own, and a module of the tests")]

mod files;
mod messages;
mod texts;

use orrery_kit::error::{Error, Violation};
use tonic::Status;

/// A target: its name and its function.
pub type Target = (&'static str, fn(&[u8]) -> String);

/// All targets, in the order of tests/fuzz/README.md.
pub const TARGETS: &[Target] = &[
    ("product", messages::product),
    ("product_metric", messages::product_metric),
    ("order", messages::order),
    ("write_request", messages::write_request),
    ("jsonb", messages::jsonb),
    ("page_token", texts::page_token),
    ("label_selector", texts::label_selector),
    ("field_mask", texts::field_mask),
    ("decimal", texts::decimal),
    ("timestamp", texts::timestamp),
    ("mapping", files::mapping),
    ("csv", files::csv),
    ("jsonl", files::jsonl),
    ("migration", files::migration),
];

/// Runs a target by name.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(target, _)| *target == name).unwrap();
    target(bytes);
}

/// Violations as a client sees them: in a status whose details all clients accept.
fn told(violations: Vec<Violation>) -> String {
    assert!(!violations.is_empty() && violations.len() <= 64, "{} violations", violations.len());
    let summary = violations.iter().map(|violation| own_words(&violation.description)).collect();
    let status = Status::from(Error::Invalid(violations));
    assert!(status.details().len() <= 4_096, "{} bytes of details", status.details().len());
    error_text(status.message());
    summary
}

/// The text of an error, which must be short and one line. Returns the part that does not depend on the input.
fn error_text(text: &str) -> String {
    assert!(text.len() <= 4_096, "{} bytes: {}", text.len(), text.chars().take(200).collect::<String>());
    own_words(text)
}

fn own_words(text: &str) -> String {
    let is_own = |c: &char| c.is_ascii_lowercase() || *c == ' ';
    text.chars().filter(is_own).take(24).collect()
}
