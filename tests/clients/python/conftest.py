"""Where the service is, and names that no other test uses."""

import os
import secrets

import grpc
import pytest


@pytest.fixture(scope="session")
def address() -> str:
    """The catalog service's address. There is no default: a run without a service must fail, not pass."""
    address = os.environ.get("ORRERY_CATALOG")
    if not address:
        pytest.exit("ORRERY_CATALOG must hold the address of a running catalog service; see tests/clients/run", 2)
    return address


@pytest.fixture
def channel(address):
    """A channel with grpcio's own settings; a message above 4 MiB would fail."""
    with grpc.insecure_channel(address) as channel:
        grpc.channel_ready_future(channel).result(timeout=10)
        yield channel


@pytest.fixture
def mark() -> str:
    """A word that only this test uses: in uids and in the label `test`, so that tests share one database."""
    return f"py-{secrets.token_hex(6)}"
