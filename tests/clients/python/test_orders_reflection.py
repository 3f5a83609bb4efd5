"""A client without a .proto file calls all methods of orders, and reads the details of errors."""

import grpc
import pytest
from google.protobuf import descriptor_pool

from reflection import VERSIONS, Caller, database
from refusal import refused

SERVICE = "orrery.orders.v1.OrdersService"
ADDRESSES = [
    {"kind": "ADDRESS_KIND_BILLING", "name": "Zoë Brass", "lines": ["1 Planet Row", "Floor 3"], "city": "Leeds", "country_code": "GB"},
    {"kind": "ADDRESS_KIND_SHIPPING", "company": "Orrery Ltd", "postal_code": "LS1 1AA", "email": "zoe@example.com"},
]


@pytest.fixture(params=VERSIONS)
def caller(request, orders_channel):
    pool = descriptor_pool.DescriptorPool(database(orders_channel, request.param))
    return Caller(orders_channel, pool, SERVICE)


def make_order(mark: str, number: int) -> dict:
    """An order with two lines and two addresses, worth 4.50 with the shipping; one line is sold, a cheaper one comes back."""
    return {
        "uid": f"ord_{mark}-{number}",
        "customer_id": mark,
        "currency_code": "GBP",
        "labels": {"test": mark},
        "annotations": {"source/mark": mark},
        "create_ts": {"seconds": 1_300_000_000},
        "line_items": [
            {"product_uid": f"prd_{mark}", "sku": f"{mark}-sold", "quantity": 2, "unit_price": "2.50"},
            {"sku": f"{mark}-returned", "name": "Küchenuhr", "quantity": -1, "unit_price": "1.500", "discount": "-0.50", "tax": "0.1"},
        ],
        "addresses": ADDRESSES,
        "summary": {"shipping": "0.4"},
    }


def uids_of(pages) -> list:
    return [order.uid for page in pages for order in page.orders]


def test_every_method_can_be_called(caller, mark):
    rows = [make_order(mark, number) for number in range(5)]
    uids = [row["uid"] for row in rows]
    ours = {"label_selector": f"test={mark}"}

    accept = {"reference_check": "REFERENCE_CHECK_ACCEPT", "view": "ORDER_VIEW_FULL"}
    created = caller.ask("CreateOrder", order=rows[0], request_id=mark, **accept)
    assert (created.revision, created.status.phase, created.summary.total) == (1, "draft", "4.500")
    assert [line.line_number for line in created.line_items] == [1, 2]
    assert [(line.unit_price, line.discount, line.tax) for line in created.line_items] == [
        ("2.50", "0", "0"),
        ("1.500", "-0.50", "0.1"),
    ]
    assert [list(address.lines) for address in created.addresses] == [["1 Planet Row", "Floor 3"], []]
    change = {"uid": uids[0], "labels": {"season": "winter"}, "revision": 1}
    updated = caller.ask("UpdateOrder", order=change, update_mask={"paths": ["labels.season"]}, view="ORDER_VIEW_FULL")
    assert updated.revision == 2
    assert caller.ask("GetOrder", uid=uids[0]) == updated

    answers = caller.converse(
        "WriteOrders",
        {"start": {"write_id": mark}},
        {"chunk": {"offset": 0, "orders": rows[1:3]}},
        {"chunk": {"offset": 2, "orders": rows[3:]}},
    )
    assert (answers[0].committed_offset, answers[-1].committed_offset) == (0, 4)
    assert sum(answer.created for answer in answers) == 4

    full = caller.read("StreamOrders", filter=ours, view="ORDER_VIEW_FULL", page_size=2)
    assert uids_of(full) == uids
    assert [order for page in full for order in page.orders][0] == updated
    assert all((len(order.line_items), len(order.addresses)) == (2, 2) for page in full for order in page.orders)
    basic = caller.read("StreamOrders", filter=ours, resume_token=full[0].resume_token)
    assert uids_of(basic) == uids[2:]
    for page in basic:
        for order in page.orders:
            assert (len(order.line_items), len(order.addresses), order.summary.total) == (0, 0, "4.500")

    lines = caller.read("StreamLineItems", filter={"order_uids": uids}, page_size=3)
    assert [(line.order_uid, line.line_number) for page in lines for line in page.line_items] == [
        (uid, number) for uid in uids for number in (1, 2)
    ]
    rest = caller.read("StreamLineItems", filter={"order_uids": uids}, resume_token=lines[0].resume_token)
    assert sum(len(page.line_items) for page in rest) == 7

    page = caller.ask("ListOrders", filter=ours, page_size=3, order_by="uid desc")
    assert [order.uid for order in page.orders] == uids[:1:-1]
    page = caller.ask("ListOrders", filter=ours, page_size=3, order_by="uid desc", page_token=page.next_page_token)
    assert ([order.uid for order in page.orders], page.next_page_token) == (uids[1::-1], "")

    batch = caller.ask("BatchGetOrders", uids=[uids[4], "ord_missing", uids[0]])
    assert ([order.uid for order in batch.orders], list(batch.missing_uids)) == ([uids[4], uids[0]], ["ord_missing"])
    checks = caller.converse("CheckOrders", {"uids": [uids[1], "ord_missing"]}, {"uids": uids})
    assert [(check.checked, list(check.missing_uids)) for check in checks] == [(2, ["ord_missing"]), (5, [])]

    for by in (
        {"customer_id": mark},
        {"sku": f"{mark}-returned"},
        {"annotation": {"key": "source/mark", "value": mark}},
        {"uid_prefix": f"ord_{mark}"},
        {"text": mark},
        {"text": f"{mark}-sold"},
        {"text": f"source/mark={mark}"},
        {"text": f"ord_{mark}"},
    ):
        assert [order.uid for order in caller.ask("LookupOrders", **by).orders] == uids, by

    timed = caller.ask("SetProvisionTimer", uid=uids[1], provision_timer_ts={"seconds": 1})
    assert (timed.provision_timer_ts.seconds, timed.revision) == (1, 2)
    confirm = {"uid": uids[1], "to_phase": "confirmed", "reason": "paid", "revision": 2, "request_id": mark}
    confirmed = caller.ask("TransitionOrder", **confirm)
    assert caller.ask("TransitionOrder", **confirm) == confirmed
    assert (confirmed.status.phase, confirmed.revision) == ("confirmed", 3)
    [entry] = confirmed.status.details["transitions"]
    assert (entry["from"], entry["to"], entry["reason"]) == ("draft", "confirmed", "paid")

    claimed = caller.ask("ClaimDueOrders", limit=1_000, lease={"seconds": 3_600}, view="ORDER_VIEW_FULL")
    [ours_claimed] = [order for order in claimed.orders if order.uid in uids]
    assert (ours_claimed.uid, ours_claimed.status.phase, ours_claimed.revision) == (uids[1], "provisioning", 4)
    assert ours_claimed.provision_timer_ts.seconds > 1_700_000_000
    assert caller.ask("GetOrder", uid=uids[1]) == ours_claimed
    assert not [order for order in caller.ask("ClaimDueOrders", lease={"seconds": 1}).orders if order.uid in uids]

    # Drafts have not been sold; one order is confirmed and being provisioned.
    day = {"day_from": "2011-03-13", "day_to": "2011-03-13", "time_zone": "Europe/London"}
    pages = caller.read("StreamProductSales", **day)
    [sales] = [sales for page in pages for sales in page.product_sales if sales.product_uid == f"prd_{mark}"]
    assert (sales.day, sales.currency_code, sales.orders, sales.units, sales.gross) == ("2011-03-13", "GBP", 1, 2, "5.00")

    caller.ask("DeleteOrder", uid=uids[2])
    with refused(grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND") as found:
        caller.ask("GetOrder", uid=uids[2])
    assert (found[0].resource.resource_type, found[0].resource.resource_name) == ("orrery.orders.v1.Order", uids[2])
    assert not [line for page in caller.read("StreamLineItems", filter={"order_uids": [uids[2]]}) for line in page.line_items]

    assert caller.called == set(caller.service.methods_by_name)


@pytest.mark.parametrize(
    ("method", "fields", "at"),
    [
        ("GetOrder", {"uid": "ord_\0"}, "uid"),
        ("GetOrder", {"uid": "ord_1", "read_mask": {"paths": ["line_items.colour"]}}, "read_mask"),
        ("CreateOrder", {"order": {"currency_code": "gbp"}}, "order.currency_code"),
        ("UpdateOrder", {"order": {"uid": "ord_1"}, "update_mask": {"paths": ["summary.total"]}}, "update_mask"),
        ("DeleteOrder", {"uid": "ord_1", "revision": -1}, "revision"),
        ("BatchGetOrders", {}, "uids"),
        ("ListOrders", {"filter": {"currency_code": "GB"}}, "filter.currency_code"),
        ("ListOrders", {"order_by": "customer_id"}, "order_by"),
        ("TransitionOrder", {"uid": "ord_1", "to_phase": "lost"}, "to_phase"),
        ("TransitionOrder", {"uid": "ord_1", "to_phase": "closed", "reason": "nul \0 inside"}, "reason"),
        ("SetProvisionTimer", {"uid": "ord_1", "provision_timer_ts": {"seconds": 1 << 50}}, "provision_timer_ts"),
        ("ClaimDueOrders", {}, "lease"),
        ("ClaimDueOrders", {"lease": {"seconds": 86_401}}, "lease"),
        ("ClaimDueOrders", {"lease": {"seconds": 1}, "limit": -1}, "limit"),
        ("LookupOrders", {}, "criterion"),
        ("LookupOrders", {"uid_prefix": "x" * 1025}, "uid_prefix"),
    ],
)
def test_requests_that_break_a_rule(caller, method, fields, at):
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID", at):
        caller.ask(method, **fields)


@pytest.mark.parametrize(
    ("method", "fields", "at"),
    [
        ("StreamOrders", {"filter": {"product_uid": "prd_\0"}}, "filter.product_uid"),
        ("StreamOrders", {"view": 7}, "view"),
        ("StreamLineItems", {"filter": {"skus": ["x" * 257]}}, "filter.skus"),
        ("StreamProductSales", {"day_from": "2011-02-29", "day_to": "2011-03-01"}, "day_from"),
        ("StreamProductSales", {"day_from": "2011-02-28", "day_to": "2011-02-27"}, "day_to"),
        ("StreamProductSales", {"day_from": "2011-02-28", "day_to": "2011-02-28", "time_zone": "Europe/Atlantis"}, "time_zone"),
    ],
)
def test_streams_that_break_a_rule(caller, method, fields, at):
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID", at):
        caller.read(method, **fields)
