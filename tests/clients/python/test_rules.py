"""What a client can check before it sends: messages at, within and beyond every limit of the contract go to protovalidate, which reads
the rules from the descriptors, and to the service. Both must say the same of each, and name the same field.

Left out is what the contract's comments explain and no annotation can say, because it depends on the method, on other fields or on what
is stored: the grammar of new uids and names, the size of a map or a message as a whole, the phases of a lifecycle."""

import math
import random
import re

import grpc
import protovalidate
from google.protobuf import descriptor_pb2, message_factory
from protovalidate._gen.buf.validate import validate_pb as original

from contract import catalog, catalog_grpc, metric, order, orders, orders_grpc, product, rules, status, write
from refusal import Refusal
from stream import Conversation

SEED = 7
RANDOM_MESSAGES = 150
# Rows of one chunk: some of them have a quarter of a MiB, and the limit of a message is 16 MiB.
CHUNK = 40

# Keys: what is stored may be any text, while new rows follow a grammar that no annotation says.
KEYS = {
    "orrery.catalog.v1.Product.uid",
    "orrery.catalog.v1.ProductMetric.product_uid",
    "orrery.catalog.v1.ProductMetric.name",
    "orrery.orders.v1.Order.uid",
    "orrery.orders.v1.LineItem.order_uid",
    "orrery.orders.v1.LineItem.uid",
    "orrery.orders.v1.Address.order_uid",
    "orrery.orders.v1.Summary.order_uid",
}
# Texts for the patterns, by the field that has them: some that match, some that do not.
LABEL_KEYS = ["a", "A1", "a/b", "x.y-z/N_a.me", "n" * 63, "d" * 253 + "/" + "n" * 63]
NO_LABEL_KEYS = ["", "n" * 64, "d" * 254 + "/" + "n" * 63, "a b", "-a", "a-", "/a", "a/", "A/b", "a/b/c", "é", "a..b/c", ".a/b", "a_b/c"]
CODES = ["", "G", "GB", "GBP", "GBPX", "gbp", "gb", "GB1", "G1", "ÄB", "ÄBC", "GBP\n"]
PRODUCT_UIDS = ["", "prd_a", "prd_" + "a" * 123, "prd_" + "a" * 124, "prd_" + "a" * 125, "prd_", "ord_a", "prd_ä", "prd_a b", "prd_a\n"]
PHASES = ["", "x" * 64, "a\n", "a\u0085", "\0"]


def decimals(whole: int, fraction: int) -> list[str]:
    digits = ["0", "-0", "1.5", "-1.50", "007", "1" * (whole - 1), "1" * whole, "1" * (whole + 1)]
    digits += ["1." + "1" * count for count in (fraction - 1, fraction, fraction + 1)]
    return digits + ["", "1.", ".5", "+1", "1e3", " 1", "1 ", "--1", "NaN", "-", "١", "1,5", "1\n", "1\0"]


def samples_of(field, pattern: str) -> list[str]:
    """Texts of which some match the pattern and some do not."""
    if numbers := re.fullmatch(r"\^\(?-\?\[0-9\]\{1,(\d+)\}\(\[\.\]\[0-9\]\{1,(\d+)\}\)\?\)?\??\$", pattern):
        return decimals(*map(int, numbers.groups()))
    return {"currency_code": CODES, "country_code": CODES, "product_uid": PRODUCT_UIDS, "phase": PHASES}[field.name]


def rules_of(field):
    return field.GetOptions().Extensions[rules.field]


def texts(field, of) -> list[str]:
    """Texts at, within and beyond the limits of a StringRules."""
    if of.HasField("pattern"):
        return samples_of(field, of.pattern)
    if getattr(of, "in"):
        return [*getattr(of, "in"), "other", ""]
    found = ["", "a" + of.not_contains + "b"]
    if field.full_name not in KEYS:
        most = of.max_bytes
        found += ["an ordinary text", "x" * (most - 1), "x" * most, "x" * (most + 1), "é" * (most // 2), "é" * (most // 2 + 1)]
    return found


def values(field) -> list:
    """Values of a field at, within and beyond its limits."""
    of = rules_of(field)
    kind = of.WhichOneof("type")
    if field.name in ("revision", "etag"):
        # Any other value is a condition that no new row fulfils.
        return [-1, 0] if field.name == "revision" else ["", "a\0b"]
    if kind == "string":
        found = texts(field, of.string)
        # A row's own key stays apart from those of the others, and only what exists has its currency already.
        return [text for text in found if text] if field.name in ("uid", "currency_code") else found
    if kind == "int32":
        return [of.int32.gte - 1, of.int32.gte, of.int32.gte + 1]
    if kind == "enum":
        named = [value.number for value in field.enum_type.values]
        return [-1, *named, max(named) + 1]
    if kind == "timestamp":
        first, last = of.timestamp.gte.seconds, of.timestamp.lte.seconds
        return [{"seconds": seconds} for seconds in (first - 1, first, first + 1, last - 1, last, last + 1)]
    if kind == "repeated":
        most, items = of.repeated.max_items, of.repeated.items.string
        if field.message_type:
            # As many as are allowed are written elsewhere: that takes seconds.
            return [[{}] * (most + 1)]
        counts = [["x"] * count for count in (most - 1, most, most + 1)]
        return counts + [["x", text] for text in texts(field, items)]
    if kind == "map":
        most, limit = of.map.max_pairs, of.map.values.string.max_bytes
        counts = [{f"k{number}": "v" for number in range(count)} for count in (most - 1, most, most + 1)]
        # A map as a whole has a limit too; keys count there.
        at = limit - 1 if limit > 65_536 else limit
        lengths = [{"k": "x" * length} for length in (at - 1, at, limit + 1)] + [{"k": "a\0b"}, {"k": ""}]
        return counts + lengths + [{key: "v"} for key in LABEL_KEYS + NO_LABEL_KEYS]
    return []


def changes(message) -> list:
    """Every change of one field of a valid message: where, and to what."""
    found = []
    for field in message.DESCRIPTOR.fields:
        found += [((field.name,), value) for value in values(field)]
        is_map = field.message_type and field.message_type.GetOptions().map_entry
        if not field.message_type or is_map or not field.message_type.full_name.startswith("orrery."):
            continue
        inner = getattr(message, field.name)
        place, inner = ((field.name, 0), inner[0]) if field.is_repeated else ((field.name,), inner)
        found += [(place + path, value) for path, value in changes(inner)]
    return found


def apply(message, path: tuple, value) -> None:
    """Sets what a path leads to."""
    *way, last = path
    for step in way:
        message = message[step] if isinstance(step, int) else getattr(message, step)
    message.ClearField(last)
    field = message.DESCRIPTOR.fields_by_name[last]
    if isinstance(value, dict) and field.message_type.GetOptions().map_entry:
        getattr(message, last).update(value)
    elif isinstance(value, dict):
        getattr(message, last).MergeFrom(message_factory.GetMessageClass(field.message_type)(**value))
    elif isinstance(value, list) and field.message_type:
        getattr(message, last).extend([message_factory.GetMessageClass(field.message_type)(**each) for each in value])
    elif isinstance(value, list):
        getattr(message, last).extend(value)
    else:
        setattr(message, last, value)


def messages(make) -> list:
    """Messages with one change, and with several drawn at random. `make` makes a valid one for a number."""
    every = changes(make(0))
    drawn = random.Random(SEED)
    chosen = [[change] for change in every]
    amounts = {"unit_price", "discount", "tax", "shipping"}
    for _ in range(RANDOM_MESSAGES):
        several = {path: value for path, value in drawn.sample(every, drawn.randint(2, 5))}
        # A list that is replaced has no first entry to change; large amounts together have sums that are too large.
        whole = [path for path in several if len(path) == 1 and path[0] in ("line_items", "addresses")]
        if not whole and sum(path[-1] in amounts for path in several) < 2:
            chosen.append(list(several.items()))
    made = []
    for number, several in enumerate(chosen):
        message = make(number)
        for path, value in several:
            apply(message, path, value)
        made.append((several, message))
    return made


def service_path(violation) -> str:
    """Where a violation is, spelled as the service does: `labels.season`, and `labels` where a key is wrong."""
    path = ""
    for element in violation.proto.field.elements:
        path += f".{element.field_name}" if path else element.field_name
        subscript = element.subscript
        if subscript is not None and subscript.field == "index":
            path += f"[{subscript.value}]"
        elif subscript is not None and not violation.proto.for_key:
            path += f".{subscript.value}"
    return path


def verdicts(method, request, plural: str, rows: list) -> dict:
    """The field that the service names for each row that it refuses, by the row's place. Nothing is stored."""
    start = write.WriteStart(on_row_error=write.ROW_ERROR_POLICY_SKIP, validate_only=True)
    conversation = Conversation(method)
    conversation.send(request(start=start))
    for offset in range(0, len(rows), CHUNK):
        chunk = request.Chunk(offset=offset, **{plural: rows[offset : offset + CHUNK]})
        conversation.send(request(chunk=chunk))
    answers = conversation.end()
    assert answers[-1].committed_offset == len(rows)
    errors = [error for answer in answers for error in answer.row_errors]
    assert all(error.code == write.ROW_ERROR_CODE_INVALID_ARGUMENT for error in errors), errors[:3]
    assert sum(answer.rejected for answer in answers) == len(errors)
    return {error.offset: error.field for error in errors}


def assert_same(method, request, plural: str, make) -> None:
    made = messages(make)
    told = verdicts(method, request, plural, [message for _, message in made])
    refused = 0
    for place, (several, message) in enumerate(made):
        expected = {service_path(violation) for violation in protovalidate.collect_violations(message)}
        shown = [(path, str(value)[:80]) for path, value in several]
        assert (place in told) == bool(expected), f"{shown}: the service says {told.get(place)}, protovalidate {expected}"
        assert place not in told or told[place] in expected, f"{shown}: the service says {told[place]}, protovalidate {expected}"
        refused += bool(expected)
    # Neither all nor none, or nothing was compared.
    assert len(made) / 5 < refused < len(made) * 4 / 5, (refused, len(made))


def test_products_are_judged_alike(channel, mark):
    def make(number: int):
        return product.Product(uid=f"prd_{mark}-{number}", name="A lamp", status=status.Status(phase="active"), labels={"a": "b"})

    assert_same(catalog_grpc.CatalogServiceStub(channel).WriteProducts, catalog.WriteProductsRequest, "products", make)


def test_metrics_are_judged_alike(channel, mark):
    def make(number: int):
        return metric.ProductMetric(product_uid=f"prd_{mark}-{number}", name=f"m{number}", value="12.50", unit="GBP")

    method = catalog_grpc.CatalogServiceStub(channel).WriteProductMetrics
    assert_same(method, catalog.WriteProductMetricsRequest, "product_metrics", make)


def test_orders_are_judged_alike_with_all_that_belongs_to_them(orders_channel, mark):
    def make(number: int):
        return order.Order(
            uid=f"ord_{mark}-{number}",
            customer_id="17850",
            currency_code="GBP",
            status=status.Status(phase="draft"),
            line_items=[order.LineItem(sku="85123A", quantity=1, unit_price="2.55", status=status.Status(phase="active"))],
            addresses=[order.Address(kind=order.ADDRESS_KIND_BILLING, name="Ada", lines=["1 Long Street"], country_code="GB")],
            summary=order.Summary(shipping="4.95"),
        )

    assert_same(orders_grpc.OrdersServiceStub(orders_channel).WriteOrders, orders.WriteOrdersRequest, "orders", make)


def test_names_to_resolve_are_judged_alike(channel):
    resolve = catalog_grpc.CatalogServiceStub(channel).ResolveProducts
    name, long = "A lamp", "x" * 2_048
    good, bad = [[name], [name] * 1_000, [long], ["\u00e9" * 1_024]], [[], [name] * 1_001, [name, ""], ["a\0"], [long + "x", name, ""]]
    cases = [{"names": names} for names in good + bad]
    cases += [{"names": [name], "min_score": score} for score in (-0.1, -0.0, 0.5, 1.0, 1.1, math.inf, -math.inf, math.nan)]
    cases += [{"names": [name], "phases": phases} for phases in (["active"] * 64, ["active"] * 65, ["x" * 256], ["x" * 257], [""], ["a\0"])]
    refused = 0
    for case in cases:
        request = catalog.ResolveProductsRequest(**case)
        expected = {service_path(violation) for violation in protovalidate.collect_violations(request)}
        if "phases" in case:
            # The service names the list.
            expected = {path.partition("[")[0] for path in expected}
        try:
            resolve(request, timeout=60)
            told = set()
        except grpc.RpcError as error:
            told = set(Refusal(error).fields)
        assert told == expected, str(case)[:80]
        refused += bool(expected)
    assert len(bad) < refused < len(cases) - len(good)


def test_the_rules_are_declared_as_protovalidate_declares_them():
    theirs = descriptor_pb2.FileDescriptorProto.FromString(original.desc().proto.to_binary())
    ours = descriptor_pb2.FileDescriptorProto()
    rules.DESCRIPTOR.CopyToProto(ours)

    def fields(message) -> dict:
        oneofs = [oneof.name for oneof in message.oneof_decl]
        return {
            (field.name, field.number, field.type, field.label, field.type_name, oneofs[field.oneof_index] if field.HasField("oneof_index") else "")
            for field in message.field
        }

    assert (ours.package, ours.name, ours.syntax) == (theirs.package, theirs.name, theirs.syntax)
    described = {message.name: fields(message) for message in theirs.message_type}
    assert len(ours.message_type) > 5
    for message in ours.message_type:
        assert fields(message) <= described[message.name], message.name
    extension = lambda field: (field.name, field.number, field.type, field.type_name, field.extendee)
    assert {extension(field) for field in ours.extension} <= {extension(field) for field in theirs.extension}
