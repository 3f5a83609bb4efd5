//! Every field of every request breaks its rule.

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

/// Fields whatever may stand in, or whose rules are those of an order, by the method's name and their path.
const WITHOUT_RULE: &[&str] = &[
    "UpdateOrder allow_missing",
    "DeleteOrder allow_missing",
    // Compared with the stored one, whatever it is.
    "DeleteOrder etag",
    "WriteOrders start.keep_unset",
    "WriteOrders start.validate_only",
];

/// Calls that are refused.
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

/// Masks that name no field of an order, or a part of what has none.
fn broken_masks() -> Vec<FieldMask> {
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

/// Lists of uids, and the place that is wrong.
fn broken_uid_lists(most: usize) -> Vec<(Vec<String>, &'static str)> {
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

/// The fields that the requests of the service have, by the method's name and their path. An order's own are another test's.
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
    // Tokens have a test of their own.
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
