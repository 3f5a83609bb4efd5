"""A client without a .proto file calls all methods of ProceduresService, which each service has."""

import grpc
import pytest
from google.protobuf import descriptor_pool

from reflection import VERSIONS, Caller, database
from refusal import refused

SERVICE = "orrery.procedures.v1.ProceduresService"


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


# Each service, by the fixture of its channel, and one of its relations.
RELATIONS = {
    "channel": "catalog.product_metric.product_uid",
    "orders_channel": "orders.order_address.order_uid",
    "records_channel": "records.tag_classification.tag_uid",
}


@pytest.mark.parametrize("served", RELATIONS)
def test_every_method_can_be_called(served, request, version, mark):
    channel = request.getfixturevalue(served)
    caller = Caller(channel, descriptor_pool.DescriptorPool(database(channel, version)), SERVICE)
    procedures = {procedure.name: procedure for procedure in caller.ask("ListProcedures").procedures}
    assert {"detect_orphans", "expire_write_sessions"} <= set(procedures)
    declared = {parameter.name for parameter in procedures["detect_orphans"].parameters}
    assert {"dry_run", "max_deletions", "grace", "relations"} <= declared

    parameters = {"dry_run": True, "grace": "0s", "relations": [RELATIONS[served]]}
    asked = {"procedure": "detect_orphans", "parameters": parameters, "request_id": mark}
    execution = caller.ask("RunProcedure", **asked)
    assert execution.uid.startswith("exe_")
    assert caller.ask("RunProcedure", **asked).uid == execution.uid
    watched = caller.read("WatchProcedureExecution", timeout=120, uid=execution.uid)
    assert watched[-1].finish_ts.seconds > 0
    assert (watched[-1].phase, watched[-1].error) == (3, "")
    assert watched[-1].result["healed"] >= 0
    assert caller.ask("GetProcedureExecution", uid=execution.uid).uid == execution.uid
    listed = caller.ask("ListProcedureExecutions", order_by="create_ts desc", page_size=1000)
    assert execution.uid in [listed.uid for listed in listed.procedure_executions]

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "PHASE_FORBIDS"):
        caller.ask("CancelProcedureExecution", uid=execution.uid)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID", "parameters.unknown"):
        caller.ask("RunProcedure", procedure="detect_orphans", parameters={"unknown": 1})

    schedule = {"interval": {"seconds": 86_400}, "jitter": {"seconds": 60}}
    scheduled = caller.ask("SetProcedureSchedule", procedure="expire_write_sessions", schedule=schedule)
    assert scheduled.schedule.interval.seconds == 86_400
    listed = caller.ask("ListOrphans", page_size=1000).orphans
    streamed = [orphan for page in caller.read("StreamOrphans") for orphan in page.orphans]
    assert [(orphan.relation, orphan.missing_uid) for orphan in streamed][: len(listed)] == [
        (orphan.relation, orphan.missing_uid) for orphan in listed
    ]
    assert caller.called == set(caller.service.methods_by_name)
