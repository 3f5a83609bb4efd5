"""A client with generated stubs: 1,500 whole orders with both streams, each interrupted and resumed."""

from decimal import Decimal

import pytest
from google.protobuf import struct_pb2, timestamp_pb2

from contract import order, orders, orders_grpc, status, write
from stream import Conversation

COUNT = 1_500
CHUNK = 100
PHASES = ["draft", "confirmed", "provisioning", "fulfilled", "closed", "cancelled", "returned"]


def make_line(mark: str, number: int, place: int):
    """A line as it is read, except for update_ts: prices with 0 to 4 decimal places, returns, adjustments."""
    return order.LineItem(
        uid=f"oli_{place}",
        line_number=place,
        product_uid=f"prd_{mark}-{number % 11}" if place % 4 else "",
        sku=f"{mark}-{number % 13}",
        name=f"Küchenuhr № {number} 🕰",
        quantity=(number + place) % 9 - 2,
        unit_price=str(Decimal(number * 7 - 300).scaleb(-(place % 5))),
        discount="0.50" if number % 2 else "0",
        tax="-0.001" if number % 3 else "0",
        status=status.Status(phase="active" if place % 2 else "returned"),
        labels={"gift": "yes"} if number % 6 == 0 else {},
        annotations={"text": "a \"quoted\" text,\nof two lines\t" + "x" * (number % 50)},
        create_ts=timestamp_pb2.Timestamp(seconds=1_600_000_000 + number, nanos=place * 1_000),
    )


def make_addresses(number: int) -> list:
    """No address, one or both."""
    billing = order.Address(kind=order.ADDRESS_KIND_BILLING, name="Zoë", lines=["1 Planet Row", f"Floor {number}"], country_code="GB")
    shipping = order.Address(
        kind=order.ADDRESS_KIND_SHIPPING, company="Orrery\tLtd", city="Leeds", region="Yorkshire", postal_code="LS1 1AA", phone="+44", email="z@example.com"
    )
    return [billing, shipping][: number % 3]


def add_up(lines: list, shipping: str):
    """The summary of these lines."""
    subtotal = sum((line.quantity * Decimal(line.unit_price) for line in lines), Decimal(0))
    discount = sum((Decimal(line.discount) for line in lines), Decimal(0))
    tax = sum((Decimal(line.tax) for line in lines), Decimal(0))
    total = subtotal - discount + tax + Decimal(shipping)
    return order.Summary(
        line_count=len(lines),
        quantity=sum(line.quantity for line in lines),
        subtotal=f"{subtotal:f}",
        discount=f"{discount:f}",
        tax=f"{tax:f}",
        shipping=shipping,
        total=f"{total:f}",
    )


def make_orders(mark: str, count: int = COUNT) -> list:
    """Different orders with 0 to 6 lines, as they are read, except for the fields that as_sent removes."""
    made = []
    for number in range(count):
        details = struct_pb2.Struct()
        details.update({"note": f"lot {number}", "weights": [number, number / 4], "nested": {"deep": True}})
        lines = [make_line(mark, number, place) for place in range(1, number % 7 + 1)]
        made.append(
            order.Order(
                uid=f"ord_{mark}-{number:05}",
                customer_id=f"{mark}-{number % 17}",
                currency_code="GBP" if number % 5 else "JPY",
                status=status.Status(phase=PHASES[number % 7], details=details),
                labels={"test": mark, "example.com/shop": str(number % 3)},
                annotations={"source/row": str(number)},
                provision_timer_ts=timestamp_pb2.Timestamp(seconds=4_000_000_000 + number) if number % 4 == 0 else None,
                create_ts=timestamp_pb2.Timestamp(seconds=1_600_000_000 + number, nanos=number * 1_000),
                line_items=lines,
                addresses=make_addresses(number),
                summary=add_up(lines, f"{number % 10}.90" if number % 2 else "0"),
            )
        )
    return made


def as_sent(stored):
    """An order without the fields that the service adds."""
    sent = order.Order()
    sent.CopyFrom(stored)
    for field in ("revision", "update_ts", "etag"):
        sent.ClearField(field)
    for line in sent.line_items:
        line.ClearField("update_ts")
    return sent


def start(**fields):
    return orders.WriteOrdersRequest(start=write.WriteStart(**fields))


def chunk(rows: list, offset: int):
    return orders.WriteOrdersRequest(chunk=orders.WriteOrdersRequest.Chunk(offset=offset, orders=rows[offset : offset + CHUNK]))


def chunks(rows: list, offset: int = 0) -> list:
    return [chunk(rows, offset) for offset in range(offset, len(rows), CHUNK)]


def counts(answer) -> tuple:
    return answer.created, answer.updated, answer.unchanged, answer.rejected, answer.superseded


def selected(mark: str, **fields):
    ours = orders.OrderFilter(label_selector=f"test={mark}")
    return orders.StreamOrdersRequest(**({"filter": ours, "view": orders.ORDER_VIEW_FULL} | fields))


@pytest.fixture
def stub(orders_channel):
    return orders_grpc.OrdersServiceStub(orders_channel)


def write_all(stub, rows: list, **fields) -> list:
    """Writes orders in one stream and returns the acknowledgements of the chunks."""
    conversation = Conversation(stub.WriteOrders)
    conversation.send(start(**fields), *chunks(rows))
    return conversation.end()


def read_all(stub, mark: str, **fields) -> list:
    return [row for page in stub.StreamOrders(selected(mark, **fields), timeout=60) for row in page.orders]


def test_a_write_goes_on_where_it_broke_off(stub, mark):
    rows = make_orders(mark)
    first = Conversation(stub.WriteOrders)
    assert first.ask(start(write_id=mark)).committed_offset == 0
    first.send(*chunks(rows))
    acknowledged = 0
    while acknowledged < COUNT // 3:
        acknowledged = first.hear().committed_offset
    first.break_off()

    second = Conversation(stub.WriteOrders)
    committed = second.ask(start(write_id=mark)).committed_offset
    assert acknowledged <= committed <= COUNT
    assert committed % CHUNK == 0, "a chunk is committed whole or not at all"

    # Committed chunks are acknowledged again and not applied again.
    again = second.ask(chunk(rows, committed - CHUNK))
    assert (again.committed_offset, counts(again)) == (committed, (0, 0, 0, 0, 0))

    second.send(*chunks(rows, committed))
    rest = second.end()
    if committed < COUNT:
        assert rest[-1].committed_offset == COUNT
    assert sum(answer.created for answer in rest) == COUNT - committed
    assert sum(sum(counts(answer)) for answer in rest) == COUNT - committed

    stored = read_all(stub, mark)
    assert [as_sent(row) for row in stored] == rows
    assert all(row.revision == 1 and row.etag and row.HasField("update_ts") for row in stored)

    # The same orders with another write_id: nothing is written.
    answers = write_all(stub, rows, write_id=f"{mark}-again")
    assert answers[-1].committed_offset == COUNT
    assert sum(answer.unchanged for answer in answers) == COUNT
    assert read_all(stub, mark) == stored


def test_a_second_version_of_the_orders_changes_what_differs(stub, mark):
    rows = make_orders(mark, 70)
    write_all(stub, rows)
    # A line is removed, a price changes, an address is removed; the other orders stay unchanged.
    changed = {6: rows[6].line_items.pop, 13: lambda: None, 20: rows[20].addresses.pop}
    for change in changed.values():
        change()
    rows[13].line_items[2].unit_price = "99.9900"
    for number in changed:
        rows[number].summary.CopyFrom(add_up(rows[number].line_items, rows[number].summary.shipping))
    answers = write_all(stub, rows)
    assert [sum(count) for count in zip(*map(counts, answers))] == [0, 3, 67, 0, 0]
    stored = read_all(stub, mark)
    assert [as_sent(row) for row in stored] == rows
    assert [row.revision for row in stored] == [2 if number in changed else 1 for number in range(70)]


def test_a_read_goes_on_where_it_broke_off(stub, mark):
    rows = make_orders(mark)
    write_all(stub, rows)
    read, token, breaks = [], "", 0
    while True:
        call = stub.StreamOrders(selected(mark, page_size=41, resume_token=token), timeout=60)
        pages = 0
        for page in call:
            assert len(page.orders) <= 41
            assert page.ByteSize() < 4 << 20
            read.extend(page.orders)
            token = page.resume_token
            pages += 1
            if pages == 7:
                call.cancel()
                breaks += 1
                break
        else:
            break
    assert breaks >= 5
    assert [as_sent(row) for row in read] == rows

    # BASIC, the default, is the same without lines and addresses.
    for row in read:
        row.ClearField("line_items")
        row.ClearField("addresses")
    assert read_all(stub, mark, view=orders.ORDER_VIEW_UNSPECIFIED) == read


def test_lines_and_sales_go_on_where_they_broke_off(stub, mark):
    rows = make_orders(mark, 300)
    write_all(stub, rows)

    def read(method, request, field: str) -> list:
        """All rows of a stream that is interrupted after every second page."""
        found = []
        while True:
            call = method(request, timeout=60)
            for number, page in enumerate(call, 1):
                found.extend(getattr(page, field))
                request.resume_token = page.resume_token
                if number == 2:
                    call.cancel()
                    break
            else:
                return found

    wanted = []
    for row in rows:
        for line in row.line_items:
            wanted.append(order.LineItem())
            wanted[-1].CopyFrom(line)
            wanted[-1].order_uid = row.uid
    products = orders.LineItemFilter(product_uids=[f"prd_{mark}-{number}" for number in range(11)])
    lines = read(stub.StreamLineItems, orders.StreamLineItemsRequest(filter=products, page_size=97), "line_items")
    for line in lines:
        line.ClearField("update_ts")
    assert lines == [line for line in wanted if line.product_uid]

    # All orders are from one day, 13 September 2020.
    units, gross, count = {}, {}, {}
    for row in rows:
        if row.status.phase in ("draft", "cancelled"):
            continue
        seen = set()
        for line in row.line_items:
            if not line.product_uid:
                continue
            key = (line.product_uid, row.currency_code)
            units[key] = units.get(key, 0) + line.quantity
            gross[key] = gross.get(key, Decimal(0)) + line.quantity * Decimal(line.unit_price)
            count[key] = count.get(key, 0) + (key not in seen)
            seen.add(key)
    request = orders.StreamProductSalesRequest(day_from="2020-09-13", day_to="2020-09-13", page_size=5)
    sales = [each for each in read(stub.StreamProductSales, request, "product_sales") if mark in each.product_uid]
    found = [(each.product_uid, each.day, each.currency_code, each.orders, each.units, each.gross) for each in sales]
    assert found == [
        (key[0], "2020-09-13", key[1], count[key], units[key], f"{gross[key]:f}") for key in sorted(units)
    ]
