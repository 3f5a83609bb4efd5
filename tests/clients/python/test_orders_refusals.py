"""Errors of orders as a Python client sees them: BadRequest, PreconditionFailure, stale revisions, missing rows."""

import grpc
import pytest
from google.protobuf import field_mask_pb2, timestamp_pb2

from contract import catalog, catalog_grpc, error_reason, order, orders, orders_grpc, product, status, write
from refusal import refused
from stream import Conversation

FORBIDDEN = grpc.StatusCode.FAILED_PRECONDITION
INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
def stub(orders_channel):
    return orders_grpc.OrdersServiceStub(orders_channel)


def create(stub, **fields):
    made = order.Order(**({"currency_code": "GBP"} | fields))
    return stub.CreateOrder(orders.CreateOrderRequest(order=made, reference_check=write.REFERENCE_CHECK_ACCEPT), timeout=10)


def move(stub, uid: str, to_phase: str, **fields):
    return stub.TransitionOrder(orders.TransitionOrderRequest(uid=uid, to_phase=to_phase, **fields), timeout=10)


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"uid": "prd_1"}, "order.uid"),
        ({"currency_code": ""}, "order.currency_code"),
        ({"customer_id": "x" * 257}, "order.customer_id"),
        ({"revision": 1}, "order.revision"),
        ({"status": status.Status(phase="lost")}, "order.status.phase"),
        ({"provision_timer_ts": timestamp_pb2.Timestamp(nanos=-1)}, "order.provision_timer_ts"),
        ({"line_items": [order.LineItem(), order.LineItem(uid="prd_1")]}, "order.line_items[1].uid"),
        ({"line_items": [order.LineItem(product_uid="ord_1")]}, "order.line_items[0].product_uid"),
        ({"line_items": [order.LineItem(unit_price="0.00001")]}, "order.line_items[0].unit_price"),
        ({"line_items": [order.LineItem(discount="1234567890123456")]}, "order.line_items[0].discount"),
        ({"line_items": [order.LineItem(tax="NaN")]}, "order.line_items[0].tax"),
        ({"line_items": [order.LineItem(labels={"-bad-": "x"})]}, "order.line_items[0].labels"),
        ({"addresses": [order.Address(kind=99)]}, "order.addresses[0].kind"),
        ({"addresses": [order.Address(city="Leeds")]}, "order.addresses[0].kind"),
        ({"addresses": [order.Address(kind=order.ADDRESS_KIND_BILLING, country_code="gb")]}, "order.addresses[0].country_code"),
        ({"addresses": [order.Address(kind=order.ADDRESS_KIND_BILLING, lines=["x"] * 9)]}, "order.addresses[0].lines"),
        ({"summary": order.Summary(shipping="12,50")}, "order.summary.shipping"),
    ],
)
def test_values_that_break_a_rule(stub, fields, at):
    with refused(INVALID, "FIELD_INVALID", at):
        create(stub, **fields)


def test_text_that_is_not_utf_8(orders_channel):
    call = orders_channel.unary_unary("/orrery.orders.v1.OrdersService/CreateOrder")
    # order.line_items (12) . name (6)
    with refused(INVALID, "FIELD_INVALID", "order.line_items[0].name"):
        call(b"\x0a\x06\x62\x04\x32\x02\xc3\x28", timeout=10)


def test_a_move_that_the_lifecycle_does_not_have(stub, mark):
    uid = create(stub, uid=f"ord_{mark}").uid
    with refused(FORBIDDEN, "PHASE_FORBIDS") as found:
        move(stub, uid, "fulfilled")
    assert found[0].preconditions == [("PHASE", uid, "is draft and cannot become fulfilled")]
    for phase in ("confirmed", "provisioning", "fulfilled", "returned"):
        assert move(stub, uid, phase).status.phase == phase
    with refused(FORBIDDEN, "PHASE_FORBIDS") as found:
        move(stub, uid, "draft", reason="again")
    assert found[0].preconditions == [("PHASE", uid, "is returned and cannot become draft")]
    stored = stub.GetOrder(orders.GetOrderRequest(uid=uid), timeout=10)
    assert [entry["to"] for entry in stored.status.details["transitions"]] == ["confirmed", "provisioning", "fulfilled", "returned"]
    assert stored.revision == 5


def test_phases_move_by_transitions_only(stub, mark):
    with refused(FORBIDDEN, "PHASE_FORBIDS") as found:
        create(stub, uid=f"ord_{mark}", status=status.Status(phase="closed"))
    [(kind, _, description)] = found[0].preconditions
    assert kind == "PHASE" and "draft" in description and "closed" in description, description
    uid = create(stub, uid=f"ord_{mark}").uid
    with refused(FORBIDDEN, "PHASE_FORBIDS") as found:
        change = order.Order(uid=uid, status=status.Status(phase="confirmed"))
        stub.UpdateOrder(orders.UpdateOrderRequest(order=change), timeout=10)
    [(kind, subject, description)] = found[0].preconditions
    assert (kind, subject) == ("PHASE", uid)
    assert "draft" in description and "confirmed" in description, description


def test_a_timer_of_an_order_that_is_done(stub, mark):
    uid = create(stub, uid=f"ord_{mark}").uid
    move(stub, uid, "cancelled")
    with refused(FORBIDDEN, "PHASE_FORBIDS") as found:
        due = timestamp_pb2.Timestamp(seconds=2_000_000_000)
        stub.SetProvisionTimer(orders.SetProvisionTimerRequest(uid=uid, provision_timer_ts=due), timeout=10)
    [(kind, subject, description)] = found[0].preconditions
    assert (kind, subject) == ("PHASE", uid) and "cancelled" in description


def test_what_is_stale(stub, mark):
    made = create(stub, uid=f"ord_{mark}", customer_id="one")
    assert move(stub, made.uid, "confirmed", revision=1).revision == 2
    for call in (
        lambda: move(stub, made.uid, "provisioning", revision=1),
        lambda: stub.SetProvisionTimer(orders.SetProvisionTimerRequest(uid=made.uid, revision=1), timeout=10),
        lambda: stub.DeleteOrder(orders.DeleteOrderRequest(uid=made.uid, revision=1), timeout=10),
        lambda: stub.UpdateOrder(
            orders.UpdateOrderRequest(
                order=order.Order(uid=made.uid, customer_id="two", revision=1),
                update_mask=field_mask_pb2.FieldMask(paths=["customer_id"]),
            ),
            timeout=10,
        ),
    ):
        with refused(grpc.StatusCode.ABORTED, "REVISION_MISMATCH") as found:
            call()
        assert found[0].resource.resource_name == made.uid
    with refused(grpc.StatusCode.ABORTED, "ETAG_MISMATCH"):
        stub.DeleteOrder(orders.DeleteOrderRequest(uid=made.uid, etag=made.etag), timeout=10)


def test_products_that_do_not_exist(stub, channel, mark):
    wanted = order.Order(
        uid=f"ord_{mark}",
        currency_code="GBP",
        line_items=[order.LineItem(sku="no product"), order.LineItem(product_uid=f"prd_{mark}", quantity=1, unit_price="2")],
    )
    with refused(FORBIDDEN, "REFERENCE_MISSING", "order.line_items[1].product_uid"):
        stub.CreateOrder(orders.CreateOrderRequest(order=wanted), timeout=10)
    with refused(grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND"):
        stub.GetOrder(orders.GetOrderRequest(uid=wanted.uid), timeout=10)

    def write_skipping():
        conversation = Conversation(stub.WriteOrders)
        policy = {"on_row_error": write.ROW_ERROR_POLICY_SKIP, "reference_check": write.REFERENCE_CHECK_REJECT}
        conversation.send(orders.WriteOrdersRequest(start=write.WriteStart(**policy)))
        conversation.send(orders.WriteOrdersRequest(chunk=orders.WriteOrdersRequest.Chunk(orders=[wanted])))
        [answer] = conversation.end()
        return answer

    answer = write_skipping()
    [error] = answer.row_errors
    assert (answer.rejected, error.offset, error.code) == (1, 0, FORBIDDEN.value[0])
    assert (error.field, error.reason) == ("line_items[1].product_uid", error_reason.ERROR_REASON_REFERENCE_MISSING)

    # Once the catalog has it, the same calls succeed.
    there = product.Product(uid=f"prd_{mark}")
    catalog_grpc.CatalogServiceStub(channel).CreateProduct(catalog.CreateProductRequest(product=there), timeout=10)
    created = stub.CreateOrder(orders.CreateOrderRequest(order=wanted), timeout=10)
    assert created.summary.total == "2"
    assert write_skipping().unchanged == 1


def test_a_row_that_stops_a_write(stub, mark):
    rows = [
        order.Order(uid=f"ord_{mark}-{number:02}", currency_code="GBP", line_items=[order.LineItem(unit_price="1")])
        for number in range(20)
    ]
    rows[13].line_items[0].unit_price = "1e3"

    def chunk(offset: int):
        return orders.WriteOrdersRequest(chunk=orders.WriteOrdersRequest.Chunk(offset=offset, orders=rows[offset : offset + 10]))

    conversation = Conversation(stub.WriteOrders)
    conversation.ask(orders.WriteOrdersRequest(start=write.WriteStart(write_id=mark)))
    assert conversation.ask(chunk(0)).committed_offset == 10
    with refused(INVALID, "ROW_REJECTED", "chunk.orders[3].line_items[0].unit_price") as found:
        answer = conversation.ask(chunk(10))
        assert answer.committed_offset == 10
        [error] = answer.row_errors
        assert (error.offset, error.code, error.field) == (13, INVALID.value[0], "line_items[0].unit_price")
        conversation.hear()
    assert found[0].info.metadata["offset"] == "13"
    check = Conversation(stub.CheckOrders)
    missing = check.ask(orders.CheckOrdersRequest(uids=[row.uid for row in rows])).missing_uids
    check.end()
    assert list(missing) == [row.uid for row in rows[10:]], "nothing of the refused chunk was written"


def test_tokens_of_somewhere_else(stub, mark):
    for number in range(3):
        create(stub, uid=f"ord_{mark}-{number}", customer_id=mark)
    ours = orders.OrderFilter(customer_id=mark)
    page = stub.ListOrders(orders.ListOrdersRequest(filter=ours, page_size=1), timeout=10)
    token = page.next_page_token
    with refused(INVALID, "TOKEN_MISMATCH", "page_token"):
        stub.ListOrders(orders.ListOrdersRequest(page_token=token), timeout=10)
    with refused(INVALID, "TOKEN_MISMATCH", "page_token"):
        stub.LookupOrders(orders.LookupOrdersRequest(customer_id=mark, page_token=token), timeout=10)
    with refused(INVALID, "TOKEN_MISMATCH", "resume_token"):
        list(stub.StreamOrders(orders.StreamOrdersRequest(filter=ours, resume_token=token), timeout=10))
    with refused(INVALID, "TOKEN_INVALID", "resume_token"):
        list(stub.StreamLineItems(orders.StreamLineItemsRequest(resume_token="x" + token), timeout=10))
