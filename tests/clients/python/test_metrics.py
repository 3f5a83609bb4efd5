"""The metrics, read by the OpenMetrics parser of Prometheus's Python client, the reference for the format."""

import urllib.request

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@pytest.mark.parametrize("service", ["catalog", "orders"])
def test_the_reference_parser_reads_every_family(service, admin_addresses):
    with urllib.request.urlopen(f"http://{admin_addresses[service]}/metrics", timeout=10) as answer:
        assert answer.headers["content-type"] == TYPE
        families = {family.name: family for family in text_string_to_metric_families(answer.read().decode())}
    types = {name: family.type for name, family in families.items()}
    assert types["grpc_server_handled"] == "counter"
    assert types["grpc_server_handling_seconds"] == "histogram"
    assert types["orrery_db_pool_connections"] == "gauge"
    services = {sample.labels["grpc_service"] for sample in families["grpc_server_started"].samples}
    assert f"orrery.{service}.v1.{service.capitalize()}Service" in services
