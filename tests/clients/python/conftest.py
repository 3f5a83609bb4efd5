"""The addresses of the services, and names that no other test uses."""

import os
import secrets

import grpc
import pytest


def _address(setting: str) -> str:
    """The address of a service. There is no default: a run without a service must fail, not pass."""
    address = os.environ.get(setting)
    if not address:
        pytest.exit(f"{setting} must hold the address of a running service; see tests/clients/run", 2)
    return address


def _channel(setting: str):
    """A channel with grpcio's own settings; a message above 4 MiB would fail."""
    with grpc.insecure_channel(_address(setting)) as channel:
        grpc.channel_ready_future(channel).result(timeout=10)
        yield channel


@pytest.fixture
def channel():
    """A channel to the catalog service."""
    yield from _channel("ORRERY_CATALOG")


@pytest.fixture
def orders_channel():
    """A channel to the orders service."""
    yield from _channel("ORRERY_ORDERS")


@pytest.fixture
def records_channel():
    """A channel to the records service."""
    yield from _channel("ORRERY_RECORDS")


@pytest.fixture
def admin_addresses() -> dict[str, str]:
    """The addresses of the services' metrics, by service."""
    return {service: _address(f"ORRERY_{service.upper()}_ADMIN") for service in ("catalog", "orders", "records")}


@pytest.fixture
def mark() -> str:
    """A unique word for the uids and the label `test` of this test, because all tests share one database."""
    return f"py-{secrets.token_hex(6)}"
