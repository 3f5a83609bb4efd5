"""Reads the details of an error."""

import contextlib

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status


class Refusal:
    """A failed call: its code, and the details that Orrery sends with every error."""

    def __init__(self, error: grpc.RpcError):
        self.code = error.code()
        self.text = error.details()
        self.info = None
        self.fields = {}
        self.resource = None
        self.preconditions = []
        status = rpc_status.from_call(error)
        assert status is not None, f"{self.code}: {self.text}: came without google.rpc.Status"
        assert status.code == self.code.value[0]
        for detail in status.details:
            info, bad, resource, failure = (
                error_details_pb2.ErrorInfo(),
                error_details_pb2.BadRequest(),
                error_details_pb2.ResourceInfo(),
                error_details_pb2.PreconditionFailure(),
            )
            if detail.Unpack(info):
                self.info = info
            elif detail.Unpack(bad):
                self.fields = {violation.field: violation.description for violation in bad.field_violations}
            elif detail.Unpack(resource):
                self.resource = resource
            elif detail.Unpack(failure):
                self.preconditions = [(each.type, each.subject, each.description) for each in failure.violations]
        assert self.info is not None, f"{self.code}: {self.text}: came without google.rpc.ErrorInfo"
        assert self.info.domain == "orrery"

    @property
    def reason(self) -> str:
        """The name of an orrery.type.v1.ErrorReason without its prefix."""
        return self.info.reason


@contextlib.contextmanager
def refused(code: grpc.StatusCode, reason: str, field: str | None = None):
    """Expects the calls within to fail with this code, reason and field. Yields a list that then contains the Refusal."""
    found = []
    with pytest.raises(grpc.RpcError) as raised:
        yield found
    refusal = Refusal(raised.value)
    assert (refusal.code, refusal.reason) == (code, reason), refusal.text
    if field is not None:
        assert field in refusal.fields, f"{refusal.text}: names {list(refusal.fields)}"
    found.append(refusal)
