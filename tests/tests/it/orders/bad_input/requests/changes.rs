//! Requests that write.

use bytes::Bytes;
use orrery_proto::orders::v1::{
    ClaimDueOrdersRequest, CreateOrderRequest, DeleteOrderRequest, Order, SetProvisionTimerRequest,
    TransitionOrderRequest, UpdateOrderRequest,
};
use orrery_proto::r#type::v1::WriteStart;
use orrery_proto::wire::{WriteChunk, WritePayload};
use prost::Message as _;
use prost_types::{Duration, FieldMask};

use super::super::whole;
use super::{Cases, invalid_masks};
use crate::harness::values;
use crate::orders::fixture::bare;
use crate::writes::stream::mask;

/// Masks that name what a write cannot change.
fn forbidden_masks() -> Vec<FieldMask> {
    let fixed = [
        "uid",
        "revision",
        "create_ts",
        "update_ts",
        "etag",
        "summary.total",
        "summary.line_count",
        "summary.quantity",
        "summary.subtotal",
        "summary.discount",
        "summary.tax",
    ];
    fixed.map(|path| mask(&[path])).into_iter().chain([mask(&["customer_id", "summary.total"])]).collect()
}

pub(super) fn single_writes(cases: &mut Cases) {
    let order = || Some(bare("new"));
    cases.add("CreateOrder", "order", &CreateOrderRequest::default());
    for request_id in ["with space", "a\0", "é", "line\n", &"x".repeat(129)] {
        let create =
            CreateOrderRequest { order: order(), request_id: request_id.to_owned(), ..CreateOrderRequest::default() };
        cases.add("CreateOrder", "request_id", &create);
    }
    let set = Order { etag: "x".to_owned(), ..bare("new") };
    cases.add("CreateOrder", "order.etag", &CreateOrderRequest { order: Some(set), ..CreateOrderRequest::default() });
    let set = Order { revision: 1, ..bare("new") };
    cases.add(
        "CreateOrder",
        "order.revision",
        &CreateOrderRequest { order: Some(set), ..CreateOrderRequest::default() },
    );
    for view in [3, -1] {
        let create = CreateOrderRequest { order: order(), view, ..CreateOrderRequest::default() };
        cases.add("CreateOrder", "view", &create);
        let update = UpdateOrderRequest { order: Some(bare("a")), view, ..UpdateOrderRequest::default() };
        cases.add("UpdateOrder", "view", &update);
    }
    for read_mask in invalid_masks().into_iter().map(Some) {
        let create =
            CreateOrderRequest { order: order(), read_mask: read_mask.clone(), ..CreateOrderRequest::default() };
        cases.add("CreateOrder", "read_mask", &create);
        let update = UpdateOrderRequest { order: Some(bare("a")), read_mask, ..UpdateOrderRequest::default() };
        cases.add("UpdateOrder", "read_mask", &update);
    }
    cases.add("UpdateOrder", "order", &UpdateOrderRequest::default());
    let unnamed = Order { uid: String::new(), ..bare("a") };
    cases.add(
        "UpdateOrder",
        "order.uid",
        &UpdateOrderRequest { order: Some(unnamed), ..UpdateOrderRequest::default() },
    );
    for reference_check in [3, -1, i32::MAX] {
        let create = CreateOrderRequest { order: order(), reference_check, ..CreateOrderRequest::default() };
        cases.add("CreateOrder", "reference_check", &create);
        let update = UpdateOrderRequest { order: Some(bare("a")), reference_check, ..UpdateOrderRequest::default() };
        cases.add("UpdateOrder", "reference_check", &update);
    }
    for update_mask in invalid_masks().into_iter().chain(forbidden_masks()).map(Some) {
        for allow_missing in [false, true] {
            let update_mask = update_mask.clone();
            let update = UpdateOrderRequest {
                order: Some(whole("a")),
                update_mask,
                allow_missing,
                ..UpdateOrderRequest::default()
            };
            cases.add("UpdateOrder", "update_mask", &update);
        }
    }
    for uid in values::impossible_keys() {
        cases.add("DeleteOrder", "uid", &DeleteOrderRequest { uid, ..DeleteOrderRequest::default() });
    }
    for revision in [-1, i32::MIN] {
        let delete = DeleteOrderRequest { uid: "ord_a".to_owned(), revision, ..DeleteOrderRequest::default() };
        cases.add("DeleteOrder", "revision", &delete);
    }
}

pub(super) fn chunked_writes(cases: &mut Cases) {
    let none = WriteStart::default;
    let mut starts = Vec::new();
    for value in [5, -1, i32::MAX] {
        starts.push(("start.mode", WriteStart { mode: value, ..none() }));
        starts.push(("start.on_row_error", WriteStart { on_row_error: value, ..none() }));
        starts.push(("start.reference_check", WriteStart { reference_check: value, ..none() }));
    }
    for write_id in ["with space", "a\0", "é", "line\n", &"x".repeat(129)] {
        starts.push(("start.write_id", WriteStart { write_id: write_id.to_owned(), ..none() }));
    }
    for update_mask in invalid_masks().into_iter().chain(forbidden_masks()).map(Some) {
        starts.push(("start.update_mask", WriteStart { update_mask, ..none() }));
    }
    for (field, start) in starts {
        cases.add_write(field, [WritePayload::Start(start)]);
    }
    let row = || Bytes::from(whole("a").encode_to_vec());
    let chunk = |offset, rows| WritePayload::Chunk(WriteChunk { offset, rows });
    let start = || WritePayload::Start(none());
    cases.add_write("start", []);
    cases.add_write("start", [chunk(0, vec![row()])]);
    cases.add_write("start", [start(), start()]);
    cases.add_write("chunk.orders", [start(), chunk(0, vec![])]);
    cases.add_write("chunk.orders", [start(), chunk(0, vec![Bytes::new(); 100_001])]);
    cases.add_write("chunk.offset", [start(), chunk(-1, vec![row()])]);
    cases.add_write("chunk.offset", [start(), chunk(i64::MAX, vec![row()])]);
}

pub(super) fn lifecycle(cases: &mut Cases) {
    let uid = || "ord_a".to_owned();
    let transition =
        || TransitionOrderRequest { uid: uid(), to_phase: "confirmed".to_owned(), ..TransitionOrderRequest::default() };
    for uid in values::impossible_keys() {
        cases.add("TransitionOrder", "uid", &TransitionOrderRequest { uid: uid.clone(), ..transition() });
        cases.add("SetProvisionTimer", "uid", &SetProvisionTimerRequest { uid, ..SetProvisionTimerRequest::default() });
    }
    for to_phase in ["", "shipped", "Confirmed", "confirmed ", "\0", &"x".repeat(100_000)] {
        cases.add(
            "TransitionOrder",
            "to_phase",
            &TransitionOrderRequest { to_phase: to_phase.to_owned(), ..transition() },
        );
    }
    for reason in ["x".repeat(1_025), "a\0b".to_owned()] {
        cases.add("TransitionOrder", "reason", &TransitionOrderRequest { reason, ..transition() });
    }
    for revision in [-1, i32::MIN] {
        cases.add("TransitionOrder", "revision", &TransitionOrderRequest { revision, ..transition() });
        let timer = SetProvisionTimerRequest { uid: uid(), revision, ..SetProvisionTimerRequest::default() };
        cases.add("SetProvisionTimer", "revision", &timer);
    }
    for time in values::invalid_times() {
        let timer = SetProvisionTimerRequest {
            uid: uid(),
            provision_timer_ts: Some(time),
            revision: 0,
            ..SetProvisionTimerRequest::default()
        };
        cases.add("SetProvisionTimer", "provision_timer_ts", &timer);
    }
    let claim = || ClaimDueOrdersRequest {
        lease: Some(Duration { seconds: 60, nanos: 0 }),
        ..ClaimDueOrdersRequest::default()
    };
    for limit in [-1, i32::MIN] {
        cases.add("ClaimDueOrders", "limit", &ClaimDueOrdersRequest { limit, ..claim() });
    }
    cases.add("ClaimDueOrders", "lease", &ClaimDueOrdersRequest { lease: None, ..claim() });
    let leases = [
        (0, 0),
        (0, 999_999_999),
        (-1, 0),
        (0, -1),
        (-1, -1),
        (1, -1),
        (86_400, 1),
        (86_401, 0),
        (60, 1_000_000_000),
        (i64::MAX, 0),
        (i64::MIN, i32::MIN),
    ];
    for (seconds, nanos) in leases {
        cases.add(
            "ClaimDueOrders",
            "lease",
            &ClaimDueOrdersRequest { lease: Some(Duration { seconds, nanos }), ..claim() },
        );
    }
    let timer = || SetProvisionTimerRequest { uid: uid(), ..SetProvisionTimerRequest::default() };
    for request_id in ["with space", "a\0", "é", "line\n", &"x".repeat(129)].map(str::to_owned) {
        let id = || request_id.clone();
        cases.add("TransitionOrder", "request_id", &TransitionOrderRequest { request_id: id(), ..transition() });
        cases.add("SetProvisionTimer", "request_id", &SetProvisionTimerRequest { request_id: id(), ..timer() });
        cases.add("ClaimDueOrders", "request_id", &ClaimDueOrdersRequest { request_id: id(), ..claim() });
    }
    for read_mask in invalid_masks().into_iter().map(Some) {
        let mask = || read_mask.clone();
        cases.add("TransitionOrder", "read_mask", &TransitionOrderRequest { read_mask: mask(), ..transition() });
        cases.add("SetProvisionTimer", "read_mask", &SetProvisionTimerRequest { read_mask: mask(), ..timer() });
    }
    for view in [3, -1] {
        cases.add("TransitionOrder", "view", &TransitionOrderRequest { view, ..transition() });
        cases.add("SetProvisionTimer", "view", &SetProvisionTimerRequest { view, ..timer() });
        cases.add("ClaimDueOrders", "view", &ClaimDueOrdersRequest { view, ..claim() });
    }
    for read_mask in invalid_masks().into_iter().map(Some) {
        cases.add("ClaimDueOrders", "read_mask", &ClaimDueOrdersRequest { read_mask, ..claim() });
    }
}
