"""The contract in Python: modules generated from proto/ in a folder that is deleted when the tests end."""

import pathlib
import sys
import tempfile

import grpc_tools
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[3] / "proto"

_folder = tempfile.TemporaryDirectory(prefix="orrery-python-")


def _generate() -> None:
    sources = sorted(str(path) for path in PROTO.rglob("*.proto"))
    if not sources:
        raise RuntimeError(f"no .proto file in {PROTO}")
    arguments = [
        "protoc",
        f"--proto_path={PROTO}",
        f"--proto_path={pathlib.Path(grpc_tools.__file__).parent / '_proto'}",
        f"--python_out={_folder.name}",
        f"--grpc_python_out={_folder.name}",
        *sources,
    ]
    if protoc.main(arguments) != 0:
        raise RuntimeError("protoc refused the contract")
    sys.path.insert(0, _folder.name)


_generate()

# The generated modules, for the tests.
from buf.validate import validate_pb2 as rules  # noqa: E402
from orrery.catalog.v1 import catalog_service_pb2 as catalog  # noqa: E402
from orrery.catalog.v1 import catalog_service_pb2_grpc as catalog_grpc  # noqa: E402
from orrery.catalog.v1 import product_metric_pb2 as metric  # noqa: E402
from orrery.catalog.v1 import product_pb2 as product  # noqa: E402
from orrery.orders.v1 import order_pb2 as order  # noqa: E402
from orrery.orders.v1 import orders_service_pb2 as orders  # noqa: E402
from orrery.orders.v1 import orders_service_pb2_grpc as orders_grpc  # noqa: E402
from orrery.procedures.v1 import procedures_service_pb2 as procedures  # noqa: E402
from orrery.procedures.v1 import procedures_service_pb2_grpc as procedures_grpc  # noqa: E402
from orrery.records.v1 import product_tag_pb2 as product_tag  # noqa: E402
from orrery.records.v1 import records_service_pb2 as records  # noqa: E402
from orrery.records.v1 import tag_pb2 as tag  # noqa: E402
from orrery.records.v1 import tags_service_pb2 as tags  # noqa: E402
from orrery.records.v1 import tags_service_pb2_grpc as tags_grpc  # noqa: E402
from orrery.type.v1 import error_reason_pb2 as error_reason  # noqa: E402
from orrery.type.v1 import status_pb2 as status  # noqa: E402
from orrery.type.v1 import write_pb2 as write  # noqa: E402

__all__ = [
    "PROTO",
    "catalog",
    "catalog_grpc",
    "error_reason",
    "metric",
    "order",
    "orders",
    "orders_grpc",
    "procedures",
    "procedures_grpc",
    "product",
    "product_tag",
    "records",
    "rules",
    "status",
    "tag",
    "tags",
    "tags_grpc",
    "write",
]
