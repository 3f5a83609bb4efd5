"""The performance of tags over the orders of a shop equals the sums that another program computes from its file."""

import contextlib
import os
import pathlib
import subprocess
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal

import pytest

import retail_sums
from contract import catalog, catalog_grpc, order, orders, orders_grpc, product, product_tag, tag, tags, tags_grpc, write
from stream import Conversation

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
# Seven months of a real shop, which are not in the repository.
REAL = REPOSITORY.parent / "shared/data/online-retail-2010-12_2011-06.csv.gz"
SAMPLE = REPOSITORY / "tests/data/online-retail-sample.csv"
CHUNK = 1_000
CODE = "source/stock-code"


def write_all(method, request, rows: list, field: str, mode: int = write.WRITE_MODE_UPSERT) -> int:
    """Writes rows in one stream, none of which may be refused. Returns how many were created."""
    start = write.WriteStart(mode=mode, reference_check=write.REFERENCE_CHECK_REJECT)
    conversation = Conversation(method)
    conversation.send(request(start=start))
    for at in range(0, len(rows), CHUNK):
        conversation.send(request(chunk=request.Chunk(offset=at, **{field: rows[at : at + CHUNK]})))
    answers = conversation.end()
    assert not [error for answer in answers for error in answer.row_errors]
    assert not rows or answers[-1].committed_offset == len(rows)
    return sum(answer.created for answer in answers)


def run_import(kind: str, file: pathlib.Path, mapping: str, service: str) -> str:
    """Imports a file with the operator's command. Returns its summary."""
    address = os.environ[f"ORRERY_{service.upper()}"]
    mapping = REPOSITORY / "deploy/examples" / mapping
    command = [os.environ["ORRERY_PROGRAM"], "import", kind, file, f"--mapping={mapping}", f"--{service}={address}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended
    return ended.stdout


@pytest.fixture(scope="module")
def file(request) -> pathlib.Path:
    """The real shop's file; the small sample if that is missing or Valgrind makes the services slow."""
    if os.environ.get("ORRERY_VALGRIND"):
        chosen, why = SAMPLE, "the services run under Valgrind"
    elif REAL.exists():
        chosen, why = REAL, "it is there"
    else:
        chosen, why = SAMPLE, f"NOT THE REAL SHOP, because {REAL} is missing"
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nthe performance of tags is computed from {chosen.name}: {why}", flush=True)
    return chosen


@pytest.fixture
def shop(file, channel, orders_channel, records_channel, mark):
    """The shop's numbers from its file, and the uids of its tags by word. Products, orders, tags and links are stored
    through the services; they are deleted afterwards, because other tests read all tags."""
    numbers = retail_sums.Shop(file)
    goods = catalog_grpc.CatalogServiceStub(channel)
    sales = orders_grpc.OrdersServiceStub(orders_channel)
    stub = tags_grpc.TagsServiceStub(records_channel)
    with contextlib.ExitStack() as undo:
        delete = write.WRITE_MODE_DELETE
        invoices = [order.Order(uid=f"ord_{invoice}") for invoice in sorted(numbers.created)]
        undo.callback(write_all, sales.WriteOrders, orders.WriteOrdersRequest, invoices, "orders", delete)
        run_import("products", file, "online-retail.toml", "catalog")
        run_import("orders", file, "online-retail-orders.toml", "orders")

        pages = goods.StreamProducts(catalog.StreamProductsRequest(), timeout=60)
        found = [row for page in pages for row in page.products if CODE in row.annotations]
        keys = [product.Product(uid=row.uid) for row in found]
        undo.callback(write_all, goods.WriteProducts, catalog.WriteProductsRequest, keys, "products", delete)
        counts = Counter(word for row in found for word in retail_sums.words(row.name))
        uids = {word: f"tag_{mark}-{word}" for word, count in counts.items() if count >= at_least(file)}
        rows = [tag.Tag(uid=uid, name=f"{mark} {word}") for word, uid in uids.items()]
        undo.callback(write_all, stub.WriteTags, tags.WriteTagsRequest, rows, "tags", delete)
        assert write_all(stub.WriteTags, tags.WriteTagsRequest, rows, "tags") == len(uids)
        links = [
            product_tag.ProductTag(product_uid=row.uid, tag_uid=uids[word])
            for row in found
            for word in retail_sums.words(row.name)
            if word in uids
        ]
        undo.callback(write_all, stub.WriteProductTags, tags.WriteProductTagsRequest, links, "product_tags", delete)
        assert write_all(stub.WriteProductTags, tags.WriteProductTagsRequest, links, "product_tags") == len(links)
        yield numbers, uids


def at_least(file: pathlib.Path) -> int:
    """How many products must have a word, so that it is a tag: some hundred tags of the real shop."""
    return 10 if file == REAL else 2


def told(rows) -> dict[tuple[str, str], dict[str, Decimal]]:
    """The numbers of rows by tag and currency."""
    fields = ("product_count", *retail_sums.FIELDS)
    return {
        (row.tag_uid, row.currency_code): {field: Decimal(getattr(row, field)) for field in fields} for row in rows
    }


def test_sums_equal_those_of_the_file(shop, file, records_channel):
    numbers, uids = shop
    stub = tags_grpc.TagsServiceStub(records_channel)
    tagged = numbers.tags(at_least(file))
    assert set(uids) == set(tagged)
    assert len(uids) > (300 if file == REAL else 20)
    last = numbers.last_day()
    for day, time_zone in [
        (last, "Europe/London"),
        (last - timedelta(days=2), "Pacific/Auckland"),
        (last + timedelta(days=5), "America/Los_Angeles"),
        (date(2011, 12, 9), "UTC"),
    ]:
        request = tags.RefreshTagPerformanceAggregateRequest(day_as_of=str(day), time_zone=time_zone)
        *_, done = stub.RefreshTagPerformanceAggregate(request, timeout=120)
        assert done.step == tags.REFRESH_STEP_DONE

        sales = numbers.sales(day, time_zone)
        expected = {
            (uids[word], currency): row
            for word, products in tagged.items()
            for currency, row in retail_sums.rows_of(products, sales).items()
        }
        pages = stub.StreamTagPerformance(tags.StreamTagPerformanceRequest(), timeout=60)
        rows = [row for page in pages for row in page.tag_performances if row.tag_uid in uids.values()]
        assert len(rows) == len(expected)
        assert told(rows) == expected, (day, time_zone)
        # A product that has several of the tags counts once.
        request = tags.GetTagPerformanceRequest(tag_uids=list(uids.values()))
        together = told(stub.GetTagPerformance(request, timeout=60).combined.rows)
        products = set().union(*tagged.values())
        assert together == {("", code): row for code, row in retail_sums.rows_of(products, sales).items()}, day
