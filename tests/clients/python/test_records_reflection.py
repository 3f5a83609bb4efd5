"""A client without a .proto file calls all methods of RecordsService, and reads the details of errors."""

import csv
import hashlib
import io

import grpc
import pytest
from google.protobuf import descriptor_pool

import contract
from reflection import VERSIONS, Caller, database
from refusal import refused

SERVICE = "orrery.records.v1.RecordsService"


@pytest.fixture(params=VERSIONS)
def caller(request, records_channel):
    pool = descriptor_pool.DescriptorPool(database(records_channel, request.param))
    return Caller(records_channel, pool, SERVICE)


@pytest.fixture
def products(channel, mark) -> list[str]:
    """The uids of three products with a metric: 1, 2 and 3."""
    uids = [f"prd_{mark}-{number}" for number in range(3)]
    stub = contract.catalog_grpc.CatalogServiceStub(channel)
    for uid in uids:
        stub.CreateProduct(contract.catalog.CreateProductRequest(product=contract.product.Product(uid=uid)), timeout=10)
    values = enumerate(uids, 1)
    rows = [contract.metric.ProductMetric(product_uid=uid, name="roas", value=str(value)) for value, uid in values]
    chunk = contract.catalog.WriteProductMetricsRequest.Chunk(product_metrics=rows)
    requests = [
        contract.catalog.WriteProductMetricsRequest(start=contract.write.WriteStart()),
        contract.catalog.WriteProductMetricsRequest(chunk=chunk),
    ]
    list(stub.WriteProductMetrics(iter(requests), timeout=10))
    return uids


def test_every_method_can_be_called(caller, mark, products):
    ours = {"label_selector": f"test={mark}"}
    labels = {"test": mark}

    catalog = caller.ask("CreateMacrodataCatalog", macrodata_catalog={"name": mark, "labels": labels})
    change = {"uid": catalog.uid, "name": mark.upper()}
    renamed = caller.ask("UpdateMacrodataCatalog", macrodata_catalog=change, update_mask={"paths": ["name"]})
    assert caller.ask("GetMacrodataCatalog", uid=catalog.uid) == renamed
    assert list(caller.ask("ListMacrodataCatalogs", filter=ours).macrodata_catalogs) == [renamed]

    # A hash of its own for each run.
    content_hash = mark.encode().hex().zfill(64)[-64:]
    asset = {"labels": labels, "design_asset": {"content_hash": content_hash, "size_bytes": 7}}
    created = caller.ask("CreateArtifact", artifact=asset)
    again = caller.ask("CreateArtifact", artifact=asset)
    assert (created.deduplicated, again.deduplicated, created.artifact) == (False, True, again.artifact)
    asset = created.artifact
    assert (asset.kind, asset.content_hash, asset.status.phase) == (1, content_hash, "active")

    combo = {"type": "SP", "product_codes": ["MAC", "iph"], "audience": "WOMEN"}
    template = {"catalog_uid": catalog.uid, "labels": labels, "combo_template": combo}
    template = caller.ask("CreateArtifact", artifact=template).artifact
    assert template.identifier == "SP-IPH+MAC-2-WOMEN-001"
    suggested = [
        {
            "uid": f"mda_{mark}-{number}",
            "catalog_uid": catalog.uid,
            "labels": labels,
            "combo_suggestion": {"template_uid": template.uid, "product_uids": products, "score": 0.5},
        }
        for number in range(2)
    ]
    answers = caller.converse("WriteArtifacts", {"start": {"write_id": mark}}, {"chunk": {"artifacts": suggested}})
    assert (answers[0].committed_offset, answers[-1].created) == (0, 2)
    report = caller.ask("AcceptSuggestion", uid=suggested[0]["uid"], request_id=mark)
    assert (report.identifier, report.combo_report.suggestion_uid) == ("SP-IPH+MAC-2-WOMEN-001", suggested[0]["uid"])
    assert caller.ask("AcceptSuggestion", uid=suggested[0]["uid"], request_id=mark) == report
    rejected = caller.ask("RejectSuggestion", uid=suggested[1]["uid"], reason="dear")
    assert (rejected.status.phase, rejected.status.details["reason"]) == ("rejected", "dear")
    change = {"uid": report.uid, "combo_report": {"spend": "12.50", "clicks": 7}}
    updated = caller.ask("UpdateArtifact", artifact=change, update_mask={"paths": ["combo_report.spend"]})
    assert (updated.combo_report.spend, updated.combo_report.clicks) == ("12.50", 0)
    final = caller.ask("FinalizeComboReport", uid=report.uid, revision=updated.revision)
    assert caller.ask("GetArtifact", uid=report.uid) == final
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "PHASE_FORBIDS"):
        caller.ask("UpdateArtifact", artifact=change, update_mask={"paths": ["combo_report.clicks"]})

    uids = sorted([asset.uid, template.uid, *(row["uid"] for row in suggested)])
    pages = caller.read("StreamArtifacts", filter=ours, page_size=3)
    assert [artifact.uid for page in pages for artifact in page.artifacts] == uids
    rest = caller.read("StreamArtifacts", filter=ours, resume_token=pages[0].resume_token)
    assert [artifact.uid for page in rest for artifact in page.artifacts] == uids[3:]
    page = caller.ask("ListArtifacts", filter={"template_uid": template.uid, "kinds": ["ARTIFACT_KIND_COMBO_REPORT"]})
    assert [artifact.uid for artifact in page.artifacts] == [report.uid]
    batch = caller.ask("BatchGetArtifacts", uids=[report.uid, "mda_missing"])
    assert ([artifact.uid for artifact in batch.artifacts], list(batch.missing_uids)) == ([report.uid], ["mda_missing"])
    [check] = caller.converse("CheckArtifacts", {"uids": [asset.uid, "mda_missing"]})
    assert (check.checked, list(check.missing_uids)) == (2, ["mda_missing"])

    assert caller.ask("LinkProducts", artifact_uid=asset.uid, product_uids=products).linked == 3
    assert caller.ask("UnlinkProducts", artifact_uid=asset.uid, product_uids=products[2:]).unlinked == 1
    links = [{"product_uid": product, "artifact_uid": template.uid} for product in products]
    start = {"reference_check": "REFERENCE_CHECK_REJECT"}
    answers = caller.converse("WriteProductLinks", {"start": start}, {"chunk": {"product_links": links}})
    assert [answer.created for answer in answers] == [3]
    pages = caller.read("StreamProductLinks", filter={"product_uids": products}, order_by="artifact_uid")
    found = [(link.artifact_uid, link.product_uid) for page in pages for link in page.product_links]
    expected = [(asset.uid, product) for product in products[:2]] + [(template.uid, product) for product in products]
    assert found == sorted(expected)

    spec = {"metric_name": "roas", "thresholds": {"winner": "3", "average": "1.5", "loser": ""}}
    stored = caller.ask("CreateArtifact", artifact={"classification_spec": spec}).artifact
    for classification in ({"spec": spec}, {"spec_uid": stored.uid}):
        pages = caller.read("ClassifyProducts", product_uids=products, page_size=2, **classification)
        classes = [(row.product_uid, row.class_name, row.value) for page in pages for row in page.product_classes]
        assert classes == list(zip(products, ["loser", "average", "winner"], ["1", "2", "3"], strict=True))

    content = mark.encode() * 100_000
    start = {
        "upload_id": f"upload-{mark}",
        "content_hash": hashlib.sha256(content).hexdigest(),
        "artifact": {"labels": labels, "document": {"title": mark, "media_type": "text/plain"}},
    }
    chunks = [
        {"chunk": {"offset": at, "data": content[at : at + 300_000]}} for at in range(0, len(content), 300_000)
    ]
    assert caller.ask("QueryDocumentUpload", upload_id=start["upload_id"]).committed_offset == 0
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID"):
        caller.send("UploadDocument", {"start": start}, *chunks[:-1])
    document = caller.send("UploadDocument", {"start": start}, *chunks)
    assert (document.document.size_bytes, document.document.title) == (len(content), mark)
    told = caller.ask("QueryDocumentUpload", upload_id=start["upload_id"])
    assert (told.complete, told.uid) == (True, document.uid)
    assert caller.send("UploadDocument", {"start": start}) == document
    first, *rest = caller.read("DownloadDocument", uid=document.uid)
    assert (first.start.size_bytes, first.start.content_hash) == (len(content), start["content_hash"])
    assert b"".join(message.chunk.data for message in rest) == content
    _, *rest = caller.read("DownloadDocument", uid=document.uid, offset=1_000, length=7)
    assert [(message.chunk.offset, message.chunk.data) for message in rest] == [(1_000, content[1_000:1_007])]

    file = f"template,product_uids,clicks\n{template.identifier},{products[0]},7\n{template.identifier},prd_none,x\n"
    start = {"catalog_uid": catalog.uid, "import_id": mark}
    pieces = [{"data": piece} for piece in (file[:30].encode(), file[30:].encode())]
    answer = caller.send("ImportComboReports", {"start": start}, *pieces)
    assert (answer.created, answer.rejected) == (1, 1)
    assert [(error.line, error.column) for error in answer.errors] == [(3, "clicks")]
    pages = caller.read("ExportComboReports", catalog_uid=catalog.uid, filter={"phases": ["active"]})
    rows = list(csv.DictReader(io.StringIO(b"".join(page.data for page in pages).decode())))
    assert [(row["identifier"], row["product_uids"], row["clicks"]) for row in rows] == [
        ("SP-IPH+MAC-2-WOMEN-002", products[0], "7")
    ]
    assert pages[-1].resume_token

    caller.ask("DeleteArtifact", uid=asset.uid)
    assert caller.ask("GetArtifact", uid=asset.uid).status.phase == "archived"
    caller.ask("DeleteArtifact", uid=asset.uid, force=True)
    pages = caller.read("StreamProductLinks", filter={"artifact_uids": [asset.uid]})
    assert not [page for page in pages if page.product_links]
    with refused(grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND") as found:
        caller.ask("GetArtifact", uid=asset.uid)
    missing = found[0].resource
    assert (missing.resource_type, missing.resource_name) == ("orrery.records.v1.Artifact", asset.uid)
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "RESOURCE_REFERENCED"):
        caller.ask("DeleteMacrodataCatalog", uid=catalog.uid)

    assert caller.called == set(caller.service.methods_by_name)


@pytest.mark.parametrize(
    ("method", "fields", "at"),
    [
        ("GetArtifact", {"uid": "mda_\0"}, "uid"),
        ("GetArtifact", {"uid": "mda_1", "read_mask": {"paths": ["combo_report.color"]}}, "read_mask"),
        ("CreateArtifact", {"artifact": {}}, "artifact.payload"),
        ("CreateArtifact", {"artifact": {"design_asset": {"content_hash": "x"}}}, "artifact.design_asset.content_hash"),
        ("CreateArtifact", {"artifact": {"kind": 1, "document": {"title": "x"}}}, "artifact.kind"),
        ("UpdateArtifact", {"artifact": {"uid": "mda_1"}, "update_mask": {"paths": ["content_hash"]}}, "update_mask"),
        ("ListArtifacts", {"filter": {"kinds": [0]}}, "filter.kinds[0]"),
        ("ListArtifacts", {"order_by": "identifier"}, "order_by"),
        ("DeleteArtifact", {"uid": "mda_1", "revision": -1}, "revision"),
        ("AcceptSuggestion", {}, "uid"),
        ("RejectSuggestion", {"uid": "mda_1", "reason": "x" * 1_025}, "reason"),
        ("FinalizeComboReport", {"uid": "mda_1", "request_id": "a b"}, "request_id"),
        ("QueryDocumentUpload", {"upload_id": "a b"}, "upload_id"),
        ("ExportComboReports", {"filter": {"kinds": [4]}}, "filter.kinds"),
        ("LinkProducts", {"artifact_uid": "mda_1"}, "product_uids"),
        ("UnlinkProducts", {"product_uids": ["prd_1"]}, "artifact_uid"),
        ("CreateMacrodataCatalog", {"macrodata_catalog": {}}, "macrodata_catalog.name"),
    ],
)
def test_requests_that_break_a_rule(caller, method, fields, at):
    # A stream is refused with its first message.
    call = caller.read if method == "ExportComboReports" else caller.ask
    with pytest.raises(grpc.RpcError) as raised:
        call(method, **fields)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert at in raised.value.details()
