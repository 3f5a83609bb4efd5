"""A client with generated stubs: 5,000 products with both streams, each interrupted and resumed."""

import grpc
import pytest
from google.protobuf import field_mask_pb2, struct_pb2, timestamp_pb2

from contract import catalog, catalog_grpc, metric, product, status, write
from refusal import refused
from stream import Conversation

COUNT = 5_000
CHUNK = 250
SEASONS = ["spring", "summer", "autumn", "winter"]


def make_products(mark: str, count: int = COUNT) -> list:
    """Different products with all fields set."""
    products = []
    for number in range(count):
        details = struct_pb2.Struct()
        details.update({"note": f"lot {number}", "weights": [number, number / 4], "nested": {"deep": True}})
        products.append(
            product.Product(
                uid=f"prd_{mark}-{number:05}",
                name=f"Küchenuhr № {number} 🕰" if number % 10 else "",
                status=status.Status(phase="active" if number % 3 else "draft", details=details),
                labels={"test": mark, "season": SEASONS[number % 4], "example.com/shelf": str(number % 7)},
                annotations={"source/row": str(number), "text": "a \"quoted\" text,\nof two lines\t" + "x" * (number % 200)},
                create_ts=timestamp_pb2.Timestamp(seconds=1_600_000_000 + number, nanos=number * 1_000),
            )
        )
    return products


def as_sent(stored):
    """A product without the fields that the service adds."""
    sent = product.Product()
    sent.CopyFrom(stored)
    for field in ("update_ts", "etag"):
        sent.ClearField(field)
    return sent


def start(**fields):
    return catalog.WriteProductsRequest(start=write.WriteStart(**fields))


def chunk(products: list, offset: int, size: int = CHUNK):
    rows = products[offset : offset + size]
    return catalog.WriteProductsRequest(chunk=catalog.WriteProductsRequest.Chunk(offset=offset, products=rows))


def counts(answer) -> tuple:
    return answer.created, answer.updated, answer.unchanged, answer.rejected, answer.superseded


def selected(mark: str, **fields):
    return catalog.StreamProductsRequest(filter=catalog.ProductFilter(label_selector=f"test={mark}"), **fields)


@pytest.fixture
def stub(channel):
    return catalog_grpc.CatalogServiceStub(channel)


def write_all(stub, products: list, **fields) -> list:
    """Writes products in one stream and returns the acknowledgements of the chunks."""
    conversation = Conversation(stub.WriteProducts)
    conversation.send(start(**fields), *(chunk(products, offset) for offset in range(0, len(products), CHUNK)))
    return conversation.end()


def test_a_write_goes_on_where_it_broke_off(stub, mark):
    products = make_products(mark)
    first = Conversation(stub.WriteProducts)
    assert first.ask(start(write_id=mark)).committed_offset == 0
    first.send(*(chunk(products, offset) for offset in range(0, COUNT, CHUNK)))
    acknowledged = 0
    while acknowledged < COUNT // 3:
        acknowledged = first.hear().committed_offset
    first.break_off()

    second = Conversation(stub.WriteProducts)
    committed = second.ask(start(write_id=mark)).committed_offset
    assert acknowledged <= committed <= COUNT
    assert committed % CHUNK == 0, "a chunk is committed whole or not at all"

    # Committed chunks are acknowledged again and not applied again.
    again = second.ask(chunk(products, committed - CHUNK))
    assert (again.committed_offset, counts(again)) == (committed, (0, 0, 0, 0, 0))

    second.send(*(chunk(products, offset) for offset in range(committed, COUNT, CHUNK)))
    rest = second.end()
    if committed < COUNT:
        assert rest[-1].committed_offset == COUNT
    assert sum(answer.created for answer in rest) == COUNT - committed
    assert sum(sum(counts(answer)) for answer in rest) == COUNT - committed

    stored = [row for page in stub.StreamProducts(selected(mark), timeout=60) for row in page.products]
    assert [as_sent(row) for row in stored] == products
    assert all(row.etag and row.HasField("update_ts") for row in stored)

    # The same rows with another write_id: nothing is written.
    answers = write_all(stub, products, write_id=f"{mark}-again")
    assert answers[-1].committed_offset == COUNT
    assert sum(answer.unchanged for answer in answers) == COUNT
    untouched = [row for page in stub.StreamProducts(selected(mark), timeout=60) for row in page.products]
    assert untouched == stored


def test_a_read_goes_on_where_it_broke_off(stub, mark):
    products = make_products(mark)
    write_all(stub, products)
    read, token, breaks = [], "", 0
    while True:
        call = stub.StreamProducts(selected(mark, page_size=137, resume_token=token), timeout=60)
        pages = 0
        for page in call:
            assert len(page.products) <= 137
            read.extend(page.products)
            token = page.resume_token
            pages += 1
            if pages == 7:
                call.cancel()
                breaks += 1
                break
        else:
            break
    assert breaks >= 5
    assert [as_sent(row) for row in read] == products


def test_pages_of_a_list_join_up(stub, mark):
    products = make_products(mark, 250)
    write_all(stub, products)
    request = catalog.ListProductsRequest(
        filter=catalog.ProductFilter(label_selector=f"test={mark},season in (spring,summer)", phases=["active"]),
        order_by="create_ts desc",
        page_size=20,
    )
    read = []
    while True:
        page = stub.ListProducts(request, timeout=10)
        read.extend(page.products)
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    wanted = [p for p in products if p.labels["season"] in ("spring", "summer") and p.status.phase == "active"]
    assert [as_sent(row) for row in read] == wanted[::-1]


def test_messages_stay_below_the_usual_limit_of_4_mib(stub, mark):
    heavy = [
        product.Product(
            uid=f"prd_{mark}-{number:03}",
            status=status.Status(phase="active"),
            labels={"test": mark},
            annotations={"text": chr(97 + number % 26) * 200_000},
            create_ts=timestamp_pb2.Timestamp(seconds=1_600_000_000),
        )
        for number in range(60)
    ]
    conversation = Conversation(stub.WriteProducts)
    conversation.send(start(), *(chunk(heavy, offset, 10) for offset in range(0, len(heavy), 10)))
    assert conversation.end()[-1].committed_offset == len(heavy)

    for page_size in (0, 10_000):
        pages = list(stub.StreamProducts(selected(mark, page_size=page_size), timeout=60))
        assert [as_sent(row) for page in pages for row in page.products] == heavy
        assert max(page.ByteSize() for page in pages) < 4 << 20

    request = catalog.ListProductsRequest(filter=catalog.ProductFilter(label_selector=f"test={mark}"), page_size=1_000)
    read = []
    while True:
        page = stub.ListProducts(request, timeout=60)
        read.extend(as_sent(row) for row in page.products)
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert read == heavy


def test_the_calls_on_single_products(stub, mark):
    uid = f"prd_{mark}"
    request = catalog.CreateProductRequest(product=product.Product(uid=uid, name="Orrery", labels={"test": mark}), request_id=mark)
    created = stub.CreateProduct(request, timeout=10)
    assert created.status.phase == "active"
    assert stub.CreateProduct(request, timeout=10) == created, "a retry is safe"
    assert stub.CreateProduct(catalog.CreateProductRequest(product=product.Product(name="Made here")), timeout=10).uid.startswith("prd_")

    change = catalog.UpdateProductRequest(
        product=product.Product(uid=uid, labels={"season": "winter"}, etag=created.etag),
        update_mask=field_mask_pb2.FieldMask(paths=["labels.season"]),
    )
    changed = stub.UpdateProduct(change, timeout=10)
    assert changed.labels == {"test": mark, "season": "winter"}
    assert changed.etag != created.etag
    with refused(grpc.StatusCode.ABORTED, "ETAG_MISMATCH") as found:
        stub.UpdateProduct(change, timeout=10)
    assert found[0].resource.resource_name == uid

    masked = stub.GetProduct(
        catalog.GetProductRequest(uid=uid, read_mask=field_mask_pb2.FieldMask(paths=["labels.season"])), timeout=10
    )
    assert masked == product.Product(labels={"season": "winter"})

    missing = f"prd_{mark}-missing"
    batch = stub.BatchGetProducts(catalog.BatchGetProductsRequest(uids=[uid, missing, uid]), timeout=10)
    assert list(batch.products) == [changed, changed]
    assert list(batch.missing_uids) == [missing]

    checks = Conversation(stub.CheckProducts)
    answer = checks.ask(catalog.CheckProductsRequest(uids=[missing, uid, missing]))
    assert (answer.checked, list(answer.missing_uids)) == (2, [missing])
    assert checks.end() == []

    stub.DeleteProduct(catalog.DeleteProductRequest(uid=uid), timeout=10)
    with refused(grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND") as found:
        stub.GetProduct(catalog.GetProductRequest(uid=uid), timeout=10)
    assert found[0].resource.resource_type == "orrery.catalog.v1.Product"


def test_metrics_through_both_streams(stub, mark):
    write_all(stub, make_products(mark, 40))
    metrics = [
        metric.ProductMetric(
            product_uid=f"prd_{mark}-{number:05}",
            name=name,
            value=f"{number}.{number:02}0",
            unit="GBP",
            as_of_ts=timestamp_pb2.Timestamp(seconds=1_700_000_000 + number),
        )
        for number in range(40)
        for name in ("margin", "sales_28d")
    ]
    conversation = Conversation(stub.WriteProductMetrics)
    assert conversation.ask(catalog.WriteProductMetricsRequest(start=write.WriteStart(write_id=mark))).committed_offset == 0
    rows = catalog.WriteProductMetricsRequest.Chunk(product_metrics=metrics)
    answer = conversation.ask(catalog.WriteProductMetricsRequest(chunk=rows))
    assert (answer.committed_offset, answer.created) == (80, 80)
    assert conversation.end() == []

    wanted = catalog.ProductMetricFilter(product_uids=[f"prd_{mark}-{number:05}" for number in range(40)])
    request = catalog.StreamProductMetricsRequest(filter=wanted, page_size=30)
    call = stub.StreamProductMetrics(request, timeout=60)
    page = next(call)
    call.cancel()
    read = list(page.product_metrics)
    request.resume_token = page.resume_token
    for page in stub.StreamProductMetrics(request, timeout=60):
        read.extend(page.product_metrics)
    assert read == metrics

    answer = stub.GetProductMetrics(catalog.GetProductMetricsRequest(product_uid=metrics[0].product_uid), timeout=10)
    assert list(answer.product_metrics) == metrics[:2]
