"""grpcio's compression of requests, and its errors for metadata that is too large."""

import os

import grpc
import pytest

from contract import catalog, catalog_grpc, product
from refusal import refused
from stream import Conversation
from test_generated import as_sent, counts, make_products, write_all


@pytest.fixture(params=[grpc.Compression.Gzip, grpc.Compression.Deflate], ids=["gzip", "deflate"])
def compressing(request):
    """A stub that compresses all messages."""
    with grpc.insecure_channel(os.environ["ORRERY_CATALOG"], compression=request.param) as channel:
        yield catalog_grpc.CatalogServiceStub(channel)


@pytest.fixture
def stub(channel):
    return catalog_grpc.CatalogServiceStub(channel)


def test_compressed_requests_are_read_in_calls_and_streams(compressing, stub, mark):
    products = make_products(mark, 1_000)
    answers = write_all(compressing, products)
    assert sum(counts(answer)[0] for answer in answers) == 1_000
    # Read without compression: the stored data is the sent data.
    for number in (0, 999):
        request = catalog.GetProductRequest(uid=products[number].uid)
        assert as_sent(stub.GetProduct(request, timeout=10)) == products[number]
        assert as_sent(compressing.GetProduct(request, timeout=10)) == products[number]
    made = product.Product(uid=f"prd_{mark}-one", name="x" * 2_000)
    created = compressing.CreateProduct(catalog.CreateProductRequest(product=made), timeout=10)
    assert created.name == made.name


def test_a_compressed_request_that_breaks_a_rule_says_so(compressing):
    made = product.Product(name="x" * 100_000)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID", "product.name"):
        compressing.CreateProduct(catalog.CreateProductRequest(product=made), timeout=10)
    # 20 MiB count as 20 MiB, although they are about 20 KiB on the wire.
    made = product.Product(name="x" * (20 << 20))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_MALFORMED"):
        compressing.CreateProduct(catalog.CreateProductRequest(product=made), timeout=10)


def test_metadata_that_is_too_large_costs_its_call_alone(stub, mark):
    missing = f"prd_{mark}"
    check = Conversation(stub.CheckProducts)
    question = catalog.CheckProductsRequest(uids=[missing])
    assert list(check.ask(question).missing_uids) == [missing]
    for size in (16 << 10, 60 << 10):
        with refused(grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND"):
            stub.GetProduct(catalog.GetProductRequest(uid=missing), metadata=[("x-note", "x" * size)], timeout=10)
    for size in (64 << 10, 1 << 20, 3 << 20):
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "METADATA_TOO_LARGE"):
            stub.GetProduct(catalog.GetProductRequest(uid=missing), metadata=[("x-note", "x" * size)], timeout=10)
    assert list(check.ask(question).missing_uids) == [missing]
    check.end()
