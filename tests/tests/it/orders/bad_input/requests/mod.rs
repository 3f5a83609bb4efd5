//! Invalid values in each field of each request.

mod changes;
mod reads;

use std::collections::BTreeSet;

use bytes::Bytes;
use orrery_proto::wire::{WritePayload, WriteRequest};
use prost::Message;
use prost_types::FieldMask;

use super::{field_of, whole};
use crate::harness::contract::Contract;
use crate::harness::raw::{call, methods};
use crate::harness::{assert_invalid, values};
use crate::orders::fixture::Fixture;
use crate::writes::stream::mask;

/// Fields that accept anything, or follow the rules of an order, by method and path.
const WITHOUT_RULE: &[&str] = &[
    "UpdateOrder allow_missing",
    "DeleteOrder allow_missing",
    // Compared with the stored value, whatever it is.
    "DeleteOrder etag",
    "WriteOrders start.keep_unset",
    "WriteOrders start.validate_only",
];

/// Calls that must be refused.
#[derive(Default)]
struct Cases(Vec<(&'static str, Vec<Bytes>, String)>);

impl Cases {
    fn add(&mut self, method: &'static str, field: impl Into<String>, request: &impl Message) {
        self.0.push((method, vec![request.encode_to_vec().into()], field.into()));
    }

    fn add_write(&mut self, field: impl Into<String>, messages: impl IntoIterator<Item = WritePayload>) {
        let messages =
            messages.into_iter().map(|message| WriteRequest { payload: Some(message) }.encode_to_vec().into());
        self.0.push(("WriteOrders", messages.collect(), field.into()));
    }
}

/// Masks with unknown fields, or with parts of fields that have none.
fn invalid_masks() -> Vec<FieldMask> {
    let mut masks: Vec<FieldMask> = [
        "nope",
        "",
        ".",
        "uid.",
        "uid.x",
        "revision.x",
        "etag.x",
        "labels.",
        "annotations.",
        "status.nope",
        "status.details.",
        "status.details.phase",
        "line_items.sku",
        "line_items.",
        "line_items[0]",
        "line_items.0",
        "addresses.city",
        "summary.nope",
        "summary.order_uid",
        "summary.",
        "lineItems",
        "customerId",
        "Summary",
        "uid,labels",
        " uid",
        "uid\0",
        "*.*",
    ]
    .map(|path| mask(&[path]))
    .into();
    masks.extend([mask(&["uid", "nope"]), mask(&["uid", "*"]), mask(&vec!["labels.a"; 257])]);
    masks
}

/// Lists of uids, and the invalid index.
fn invalid_uid_lists(most: usize) -> Vec<(Vec<String>, &'static str)> {
    let good = || "ord_a".to_owned();
    let mut lists = vec![(vec![good(); most + 1], "")];
    lists.extend(values::impossible_keys().into_iter().map(|uid| (vec![good(), uid], "[1]")));
    lists
}

fn all() -> Vec<(&'static str, Vec<Bytes>, String)> {
    let mut cases = Cases::default();
    reads::single_reads(&mut cases);
    reads::filters(&mut cases);
    reads::paging(&mut cases);
    changes::single_writes(&mut cases);
    changes::chunked_writes(&mut cases);
    changes::lifecycle(&mut cases);
    reads::lookups(&mut cases);
    reads::lines(&mut cases);
    reads::sales(&mut cases);
    cases.0
}

/// The fields of the service's requests by method and path. The fields of an order are covered by another test.
fn known() -> BTreeSet<String> {
    let contract = Contract::new();
    let mut known = BTreeSet::new();
    for method in methods(orrery_orders::SERVICE_NAMES[0]) {
        for path in contract.paths(&method.input) {
            if !path.starts_with("order.") && !path.starts_with("chunk.orders.") {
                known.insert(format!("{} {path}", method.name));
            }
        }
    }
    known
}

#[tokio::test]
async fn a_request_that_breaks_a_rule_is_refused_by_its_field() {
    let fixture = Fixture::new().await;
    fixture.write(&[whole("a")]).await;
    let before = fixture.versions().await;
    let cases = all();
    // Tokens have their own test.
    let is_token = |path: &str| path.ends_with("_token");
    let reached: BTreeSet<String> =
        cases.iter().map(|(method, _, field)| format!("{method} {}", field_of(field))).collect();
    let left_out: BTreeSet<String> =
        known().into_iter().filter(|path| !reached.contains(path) && !is_token(path)).collect();
    assert_eq!(left_out, WITHOUT_RULE.iter().map(|&path| path.to_owned()).collect());

    for (method, messages, field) in cases {
        let path = format!("/{}/{method}", orrery_orders::SERVICE_NAMES[0]);
        let ends = messages.iter().map(|message| message.slice(message.len().saturating_sub(60)..));
        println!("{method} {field}: ...{:?}", ends.collect::<Vec<_>>());
        assert_invalid(call(&fixture.server.channel(), &path, messages).await, "FIELD_INVALID", &field);
    }
    assert_eq!(fixture.versions().await, before);
    assert_eq!(fixture.count("orders.write_session").await, 0);
}
