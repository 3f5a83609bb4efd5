"""A client that knows nothing but the address: what it needs it asks by reflection, v1 and v1alpha, and every message is made
at run time. What it finds must be what stands in proto/, and it calls every method that it finds."""

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha import proto_reflection_descriptor_database, reflection_pb2

from stream import Conversation

SERVICE = "orrery.catalog.v1.CatalogService"


class ReflectionV1:
    """The stub of grpc.reflection.v1, which grpcio-reflection does not have: v1alpha's messages under v1's name."""

    def __init__(self, channel):
        self.ServerReflectionInfo = channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )


@pytest.fixture(params=["v1", "v1alpha"])
def reflection(request, channel):
    database = proto_reflection_descriptor_database.ProtoReflectionDescriptorDatabase(channel)
    if request.param == "v1":
        database._stub = ReflectionV1(channel)
    return database


@pytest.fixture
def pool(reflection):
    return descriptor_pool.DescriptorPool(reflection)


class Caller:
    """Calls the methods of one service with messages written as dictionaries."""

    def __init__(self, channel, pool):
        self.channel = channel
        self.service = pool.FindServiceByName(SERVICE)
        self.called = set()

    def message(self, method: str, fields: dict):
        return message_factory.GetMessageClass(self.service.methods_by_name[method].input_type)(**fields)

    def _method(self, name: str):
        method = self.service.methods_by_name[name]
        kind = {(False, False): "unary_unary", (False, True): "unary_stream", (True, True): "stream_stream"}
        self.called.add(name)
        return getattr(self.channel, kind[method.client_streaming, method.server_streaming])(
            f"/{SERVICE}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )

    def ask(self, method: str, **fields):
        """The answer of a unary method."""
        return self._method(method)(self.message(method, fields), timeout=10)

    def read(self, method: str, **fields) -> list:
        """The messages of a stream."""
        return list(self._method(method)(self.message(method, fields), timeout=10))

    def converse(self, method: str, *requests: dict) -> list:
        """The messages with which a bidirectional stream answers."""
        conversation = Conversation(self._method(method))
        conversation.send(*(self.message(method, fields) for fields in requests))
        return conversation.end()


def test_the_services_are_listed(reflection):
    assert set(reflection.get_services()) == {
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }


def test_what_is_described_is_the_contract(pool):
    import contract

    def everything(service):
        """The service's methods, and every message and enum that can be reached from them."""
        found, to_see = {}, []
        for method in service.methods:
            streams = (method.client_streaming, method.server_streaming)
            found[method.full_name] = (method.input_type.full_name, method.output_type.full_name, streams)
            to_see += [method.input_type, method.output_type]
        while to_see:
            message = to_see.pop()
            if message.full_name in found:
                continue
            found[message.full_name] = [(f.name, f.number, f.type, f.is_repeated) for f in message.fields]
            for field in message.fields:
                if field.message_type:
                    to_see.append(field.message_type)
                if field.enum_type:
                    values = [(value.name, value.number) for value in field.enum_type.values]
                    found[field.enum_type.full_name] = values
        return found

    described = everything(pool.FindServiceByName(SERVICE))
    assert described == everything(contract.catalog.DESCRIPTOR.services_by_name["CatalogService"])
    assert len([name for name in described if name.startswith(SERVICE)]) == 12


def test_the_details_of_errors_are_described(pool):
    for name in ("ErrorInfo", "BadRequest", "ResourceInfo", "RetryInfo"):
        assert pool.FindMessageTypeByName(f"google.rpc.{name}").fields


def test_what_does_not_exist_is_not_found(pool):
    with pytest.raises(grpc.RpcError) as raised:
        pool.FindServiceByName("orrery.catalog.v1.PaintService")
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND


def test_every_method_can_be_called(channel, pool, mark):
    caller = Caller(channel, pool)
    uids = [f"prd_{mark}-{number}" for number in range(5)]
    ours = {"label_selector": f"test={mark}"}

    created = caller.ask("CreateProduct", product={"uid": uids[0], "name": "One", "labels": {"test": mark}}, request_id=mark)
    assert (created.name, created.status.phase) == ("One", "active")
    change = {"uid": uids[0], "labels": {"season": "winter"}}
    caller.ask("UpdateProduct", product=change, update_mask={"paths": ["labels.season"]})
    assert caller.ask("GetProduct", uid=uids[0]).labels == {"test": mark, "season": "winter"}

    rows = [{"uid": uid, "name": f"Number {uid}", "labels": {"test": mark}} for uid in uids[1:]]
    answers = caller.converse(
        "WriteProducts",
        {"start": {"write_id": mark}},
        {"chunk": {"offset": 0, "products": rows[:2]}},
        {"chunk": {"offset": 2, "products": rows[2:]}},
    )
    assert answers[0].committed_offset == 0
    assert answers[-1].committed_offset == 4
    assert sum(answer.created for answer in answers) == 4

    pages = caller.read("StreamProducts", filter=ours, page_size=2)
    assert [product.uid for page in pages for product in page.products] == uids
    rest = caller.read("StreamProducts", filter=ours, resume_token=pages[0].resume_token)
    assert [product.uid for page in rest for product in page.products] == uids[2:]

    page = caller.ask("ListProducts", filter=ours, page_size=3, order_by="uid desc")
    assert [product.uid for product in page.products] == uids[:1:-1]
    page = caller.ask("ListProducts", filter=ours, page_size=3, order_by="uid desc", page_token=page.next_page_token)
    assert ([product.uid for product in page.products], page.next_page_token) == (uids[1::-1], "")

    batch = caller.ask("BatchGetProducts", uids=[uids[4], "prd_missing", uids[0]])
    assert [product.uid for product in batch.products] == [uids[4], uids[0]]
    [check] = caller.converse("CheckProducts", {"uids": [uids[1], "prd_missing"]})
    assert (check.checked, list(check.missing_uids)) == (2, ["prd_missing"])

    metrics = [{"product_uid": uid, "name": "margin", "value": "12.50"} for uid in uids]
    answers = caller.converse("WriteProductMetrics", {"start": {}}, {"chunk": {"product_metrics": metrics}})
    assert [answer.created for answer in answers] == [5]
    pages = caller.read("StreamProductMetrics", filter={"product_uids": uids})
    assert [(metric.product_uid, metric.value) for page in pages for metric in page.product_metrics] == [
        (uid, "12.50") for uid in uids
    ]
    assert caller.ask("GetProductMetrics", product_uid=uids[2]).product_metrics[0].name == "margin"

    caller.ask("DeleteProduct", uid=uids[2])
    with pytest.raises(grpc.RpcError) as raised:
        caller.ask("GetProduct", uid=uids[2])
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND
    assert not caller.ask("GetProductMetrics", product_uid=uids[2]).product_metrics

    assert caller.called == set(caller.service.methods_by_name)
