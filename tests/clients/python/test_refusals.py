"""Errors as a Python client sees them: code, ErrorInfo, BadRequest."""

import grpc
import pytest
from google.protobuf import field_mask_pb2, timestamp_pb2

from contract import catalog, catalog_grpc, error_reason, product, write
from refusal import refused
from stream import Conversation
from test_generated import chunk, make_products, start

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
def stub(channel):
    return catalog_grpc.CatalogServiceStub(channel)


def create(stub, **fields):
    return stub.CreateProduct(catalog.CreateProductRequest(product=product.Product(**fields)), timeout=10)


def raw(channel, method: str, request: bytes) -> bytes:
    """A call with request bytes that no Python message would encode to."""
    return channel.unary_unary(f"/orrery.catalog.v1.CatalogService/{method}")(request, timeout=10)


def field(number: int, value: bytes) -> bytes:
    """A length-delimited field of fewer than 128 bytes."""
    return bytes([number << 3 | 2, len(value)]) + value


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"name": "nul \0 inside"}, "product.name"),
        ({"labels": {"season": "nul \0 inside"}}, "product.labels.season"),
        ({"annotations": {"note": "\0"}}, "product.annotations.note"),
        ({"labels": {"-bad-": "x"}}, "product.labels"),
        ({"name": "x" * 2_049}, "product.name"),
        ({"uid": "ord_1"}, "product.uid"),
        ({"etag": "x"}, "product.etag"),
        ({"create_ts": timestamp_pb2.Timestamp(seconds=1 << 50)}, "product.create_ts"),
    ],
)
def test_values_that_break_a_rule(stub, fields, at):
    with refused(INVALID, "FIELD_INVALID", at):
        create(stub, **fields)


def test_a_nul_in_a_status(stub, mark):
    made = product.Product(uid=f"prd_{mark}")
    made.status.details["note"] = "nul \0 inside"
    with refused(INVALID, "FIELD_INVALID", "product.status.details"):
        stub.CreateProduct(catalog.CreateProductRequest(product=made), timeout=10)
    with refused(grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND"):
        stub.GetProduct(catalog.GetProductRequest(uid=made.uid), timeout=10)


@pytest.mark.parametrize(
    ("method", "request_bytes", "reason", "at"),
    [
        ("GetProduct", field(1, b"prd_\xff"), "MESSAGE_MALFORMED", "uid"),
        # Rows are checked by the same rules in a chunk.
        ("CreateProduct", field(1, field(2, b"caf\xe9")), "FIELD_INVALID", "product.name"),
        ("CreateProduct", field(2, b"\xc3\x28"), "MESSAGE_MALFORMED", "request_id"),
        ("ListProducts", field(1, field(1, b"season=\xff")), "MESSAGE_MALFORMED", "filter.label_selector"),
    ],
)
def test_text_that_is_not_utf_8(channel, method, request_bytes, reason, at):
    with refused(INVALID, reason, at):
        raw(channel, method, request_bytes)


def test_bytes_that_are_no_message(channel):
    with refused(INVALID, "MESSAGE_MALFORMED"):
        raw(channel, "GetProduct", b"\x0a\x7fshort")


@pytest.mark.parametrize(
    ("request_fields", "at"),
    [
        ({"page_size": -1}, "page_size"),
        ({"order_by": "labels"}, "order_by"),
        ({"read_mask": field_mask_pb2.FieldMask(paths=["colour"])}, "read_mask"),
        ({"filter": catalog.ProductFilter(label_selector="season in (")}, "filter.label_selector"),
    ],
)
def test_requests_that_break_a_rule(stub, request_fields, at):
    with refused(INVALID, "FIELD_INVALID", at):
        stub.ListProducts(catalog.ListProductsRequest(**request_fields), timeout=10)


def test_tokens_of_somewhere_else(stub, mark):
    conversation = Conversation(stub.WriteProducts)
    conversation.send(start(), chunk(make_products(mark, 30), 0, 30))
    conversation.end()
    of_this_test = catalog.ProductFilter(label_selector=f"test={mark}")
    page = stub.ListProducts(catalog.ListProductsRequest(filter=of_this_test, page_size=10), timeout=10)
    token = page.next_page_token
    with refused(INVALID, "TOKEN_MISMATCH", "page_token"):
        stub.ListProducts(catalog.ListProductsRequest(page_token=token), timeout=10)
    with refused(INVALID, "TOKEN_MISMATCH", "resume_token"):
        list(stub.StreamProducts(catalog.StreamProductsRequest(filter=of_this_test, resume_token=token), timeout=10))
    tampered = token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1]
    with refused(INVALID, "TOKEN_INVALID", "page_token"):
        stub.ListProducts(catalog.ListProductsRequest(filter=of_this_test, page_token=tampered), timeout=10)


def test_a_row_that_stops_a_write(stub, mark):
    products = make_products(mark, 20)
    products[13].name = "nul \0 inside"
    conversation = Conversation(stub.WriteProducts)
    conversation.ask(start(write_id=mark))
    assert conversation.ask(chunk(products, 0, 10)).committed_offset == 10
    with refused(INVALID, "ROW_REJECTED") as found:
        answer = conversation.ask(chunk(products, 10, 10))
        assert answer.committed_offset == 10
        error = answer.row_errors[0]
        assert (error.offset, error.code, error.field) == (13, grpc.StatusCode.INVALID_ARGUMENT.value[0], "name")
        assert error.reason == error_reason.ERROR_REASON_FIELD_INVALID
        conversation.hear()
    assert found[0].info.metadata["offset"] == "13"
    check = Conversation(stub.CheckProducts)
    missing = check.ask(catalog.CheckProductsRequest(uids=[row.uid for row in products])).missing_uids
    check.end()
    assert list(missing) == [row.uid for row in products[10:]], "nothing of the refused chunk was written"


def test_rows_that_a_write_skips(stub, mark):
    products = make_products(mark, 20)
    products[3].labels["-bad-"] = "x"
    products[7].uid = "prod_7"
    conversation = Conversation(stub.WriteProducts)
    conversation.send(start(on_row_error=write.ROW_ERROR_POLICY_SKIP), chunk(products, 0, 20))
    [answer] = conversation.end()
    assert (answer.committed_offset, answer.created, answer.rejected) == (20, 18, 2)
    assert [(error.offset, error.field) for error in answer.row_errors] == [(3, "labels"), (7, "uid")]


def test_offsets_that_do_not_fit(stub, mark):
    products = make_products(mark, 30)
    conversation = Conversation(stub.WriteProducts)
    conversation.ask(start(write_id=mark))
    conversation.ask(chunk(products, 0, 10))
    with refused(grpc.StatusCode.OUT_OF_RANGE, "OFFSET_GAP") as found:
        conversation.ask(chunk(products, 20, 10))
    assert found[0].info.metadata["expected_offset"] == "10"

    conversation = Conversation(stub.WriteProducts)
    assert conversation.ask(start(write_id=mark)).committed_offset == 10
    products[4].name = "another one"
    with refused(grpc.StatusCode.ABORTED, "OFFSET_CONFLICT") as found:
        conversation.ask(chunk(products, 0, 10))
    assert found[0].info.metadata["offset"] == "4"

    with refused(INVALID, "WRITE_SESSION_MISMATCH"):
        Conversation(stub.WriteProducts).ask(start(write_id=mark, mode=write.WRITE_MODE_CREATE))


def test_the_newer_of_two_writers_wins(stub, mark):
    products = make_products(mark, 20)
    older, newer = Conversation(stub.WriteProducts), Conversation(stub.WriteProducts)
    older.ask(start(write_id=mark))
    newer.ask(start(write_id=mark))
    assert newer.ask(chunk(products, 0, 10)).committed_offset == 10
    with refused(grpc.StatusCode.ABORTED, "WRITE_SESSION_TAKEN_OVER"):
        older.ask(chunk(products, 0, 10))
        older.ask(chunk(products, 10, 10))
    assert newer.ask(chunk(products, 10, 10)).committed_offset == 20
    newer.end()


def test_a_method_that_does_not_exist(channel):
    with refused(grpc.StatusCode.UNIMPLEMENTED, "METHOD_UNKNOWN"):
        raw(channel, "PaintProduct", b"")
