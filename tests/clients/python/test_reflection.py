"""A client without a .proto file: reflection must return the contents of proto/, and the client calls all methods of the
catalog. Those of the other services are called in test_orders_reflection.py, test_tags_reflection.py,
test_records_reflection.py and test_procedures_reflection.py."""

import grpc
import pytest
from google.protobuf import descriptor_pool

import contract
from reflection import VERSIONS, Caller, database

SERVICE = "orrery.catalog.v1.CatalogService"
# Each service: the fixture of its channel, its part of the contract, and its number of methods.
SERVICES = [
    ("channel", contract.catalog.DESCRIPTOR.services_by_name["CatalogService"], 14),
    ("orders_channel", contract.orders.DESCRIPTOR.services_by_name["OrdersService"], 15),
    ("records_channel", contract.records.DESCRIPTOR.services_by_name["RecordsService"], 27),
    ("records_channel", contract.tags.DESCRIPTOR.services_by_name["TagsService"], 32),
    ("channel", contract.procedures.DESCRIPTOR.services_by_name["ProceduresService"], 9),
    ("orders_channel", contract.procedures.DESCRIPTOR.services_by_name["ProceduresService"], 9),
    ("records_channel", contract.procedures.DESCRIPTOR.services_by_name["ProceduresService"], 9),
]


@pytest.fixture(params=SERVICES, ids=lambda served: f"{served[0]}-{served[1].name}")
def served(request):
    """A service; the tests below hold for each."""
    return request.param


@pytest.fixture(params=VERSIONS)
def reflection(request, served):
    return database(request.getfixturevalue(served[0]), request.param)


@pytest.fixture
def pool(reflection):
    return descriptor_pool.DescriptorPool(reflection)


def test_the_services_are_listed(reflection, served):
    of_process = [service.full_name for channel, service, _ in SERVICES if channel == served[0]]
    assert set(reflection.get_services()) == {
        *of_process,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }


def test_what_is_described_is_the_contract(pool, served):
    _, wanted, methods = served

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

    described = everything(pool.FindServiceByName(wanted.full_name))
    assert described == everything(wanted)
    assert len([name for name in described if name.startswith(wanted.full_name)]) == methods


def test_the_details_of_errors_are_described(pool):
    for name in ("ErrorInfo", "BadRequest", "PreconditionFailure", "ResourceInfo", "RetryInfo"):
        assert pool.FindMessageTypeByName(f"google.rpc.{name}").fields


def test_what_does_not_exist_is_not_found(pool):
    # The answer is an error within the stream, which goes on.
    with pytest.raises(KeyError):
        pool.FindServiceByName("orrery.catalog.v1.PaintService")
    assert pool.FindServiceByName("grpc.health.v1.Health").methods


@pytest.mark.parametrize("version", VERSIONS)
def test_every_method_can_be_called(channel, version, mark):
    caller = Caller(channel, descriptor_pool.DescriptorPool(database(channel, version)), SERVICE)
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

    assert caller.ask("CountProducts", filter=ours).count == 5
    batch = caller.ask("BatchGetProducts", uids=[uids[4], "prd_missing", uids[0]])
    assert [product.uid for product in batch.products] == [uids[4], uids[0]]
    [check] = caller.converse("CheckProducts", {"uids": [uids[1], "prd_missing"]})
    assert (check.checked, list(check.missing_uids)) == (2, ["prd_missing"])

    names = [f"Number {uids[1]}", f"NUMBER  {uids[2]}!", f"Numbre {uids[3]}", f"Something else {mark}"]
    resolutions = caller.ask("ResolveProducts", names=names).resolutions
    assert [(found.name, found.product_uid) for found in resolutions] == list(zip(names, [*uids[1:4], ""]))
    kinds = caller.service.file.enum_types_by_name["MatchKind"].values_by_number
    assert [kinds[found.match].name.removeprefix("MATCH_KIND_") for found in resolutions] == ["EXACT", "NORMALIZED", "SIMILAR", "NONE"]

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
