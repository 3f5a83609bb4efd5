"""A client without a .proto file calls all methods of TagsService, and reads the details of errors."""

import grpc
import pytest
from google.protobuf import descriptor_pool

import contract
from reflection import VERSIONS, Caller, database
from refusal import refused

SERVICE = "orrery.records.v1.TagsService"


@pytest.fixture(params=VERSIONS)
def caller(request, records_channel):
    pool = descriptor_pool.DescriptorPool(database(records_channel, request.param))
    return Caller(records_channel, pool, SERVICE)


@pytest.fixture
def products(channel, mark) -> list[str]:
    """The uids of four products."""
    uids = [f"prd_{mark}-{number}" for number in range(4)]
    for uid in uids:
        product = contract.product.Product(uid=uid)
        request = contract.catalog.CreateProductRequest(product=product)
        contract.catalog_grpc.CatalogServiceStub(channel).CreateProduct(request, timeout=10)
    return uids


def test_every_method_can_be_called(caller, mark, products):
    uids = [f"tag_{mark}-{number}" for number in range(6)]
    ours = {"label_selector": f"test={mark}"}
    rows = [{"uid": uid, "name": f"{mark} {number}", "labels": {"test": mark}} for number, uid in enumerate(uids)]

    created = caller.ask("CreateTag", tag=rows[0], request_id=mark)
    assert caller.ask("CreateTag", tag=rows[0], request_id=mark) == created
    assert (created.name, created.status.phase) == (f"{mark} 0", "active")
    answers = caller.converse("WriteTags", {"start": {"write_id": mark}}, {"chunk": {"tags": rows[1:]}})
    assert (answers[0].committed_offset, answers[-1].created) == (0, 5)
    change = {"uid": uids[0], "labels": {"season": "winter"}}
    updated = caller.ask("UpdateTag", tag=change, update_mask={"paths": ["labels.season"]})
    assert caller.ask("GetTag", uid=uids[0]) == updated
    renamed = caller.ask("RenameTag", uid=uids[0], new_name=f"{mark} zero", etag=updated.etag)
    assert renamed.name == f"{mark} zero"

    pages = caller.read("StreamTags", filter=ours, page_size=4)
    assert [tag.uid for page in pages for tag in page.tags] == uids
    rest = caller.read("StreamTags", filter=ours, resume_token=pages[0].resume_token)
    assert [tag.uid for page in rest for tag in page.tags] == uids[4:]
    page = caller.ask("ListTags", filter=ours, page_size=4, order_by="name desc")
    assert [tag.uid for tag in page.tags] == [uids[0], *uids[:1:-1]][:4]
    batch = caller.ask("BatchGetTags", uids=[uids[4], "tag_missing", uids[0]])
    assert ([tag.uid for tag in batch.tags], list(batch.missing_uids)) == ([uids[4], uids[0]], ["tag_missing"])
    [check] = caller.converse("CheckTags", {"uids": [uids[1], "tag_missing"]})
    assert (check.checked, list(check.missing_uids)) == (2, ["tag_missing"])
    resolved = caller.ask("ResolveTags", names=[f"{mark} 1".upper(), f"{mark} new"], create_missing=True)
    assert (resolved.tag_uids[0], resolved.created) == (uids[1], 1)

    category = f"category {mark}"
    classified = caller.ask("UpsertTagClassification", tag_name=f"{mark} 1", category_name="other")
    assert (classified.tag_uid, classified.tag_name) == (uids[1], f"{mark} 1")
    classifications = [{"tag_uid": uid, "category_name": category} for uid in uids[:3]]
    answers = caller.converse(
        "WriteTagClassifications", {"start": {}}, {"chunk": {"tag_classifications": classifications}}
    )
    assert [(answer.created, answer.updated) for answer in answers] == [(2, 1)]
    pages = caller.read("StreamTagClassifications", filter={"category_names": [category]})
    assert [row.tag_name for page in pages for row in page.tag_classifications] == [
        f"{mark} zero",
        f"{mark} 1",
        f"{mark} 2",
    ]

    pairs = [(0, 0), (0, 1), (1, 1), (2, 5)]
    links = [{"product_uid": products[product], "tag_uid": uids[tag]} for product, tag in pairs]
    start = {"reference_check": "REFERENCE_CHECK_REJECT"}
    answers = caller.converse("WriteProductTags", {"start": start}, {"chunk": {"product_tags": links}})
    assert [answer.created for answer in answers] == [4]
    pages = caller.read("StreamProductTags", filter={"product_uids": products}, order_by="tag_uid, product_uid")
    found = [(link.product_uid, link.tag_uid) for page in pages for link in page.product_tags]
    assert found == [(products[product], uids[tag]) for product, tag in pairs]
    page = caller.ask("ListTagsOfProducts", product_uids=[products[3], products[0]])
    assert [[tag.uid for tag in row.tags] for row in page.tags_of_products] == [[], [uids[1], uids[0]]]

    categories, token = {}, ""
    while True:
        page = caller.ask("ListTagCategories", page_size=1_000, page_token=token)
        categories |= {row.name: (row.tag_count, row.product_count) for row in page.tag_categories}
        token = page.next_page_token
        if not token:
            break
    assert categories[category] == (3, 2)
    distribution = caller.ask("GetTagDistribution", category_name=category)
    assert [(share.tag_uid, share.product_count) for share in distribution.tag_shares] == [
        (uids[1], 2),
        (uids[0], 1),
        (uids[2], 0),
    ]
    assert distribution.covered_product_count == 2
    assert distribution.uncovered_product_count == distribution.product_count - 2
    pages = caller.read("StreamUnclassifiedTags", page_size=1)
    counts = {row.tag_uid: row.product_count for page in pages for row in page.unclassified_tags}
    assert (counts[uids[5]], counts[uids[4]]) == (1, 0)
    assert uids[0] not in counts
    assert caller.ask("ListUnclassifiedTags", page_size=1).unclassified_tags[0].tag_uid in counts

    group = caller.ask("CreateTagGroup", tag_group={"name": f"group {mark}", "tag_uids": [uids[1], uids[0]]})
    assert caller.ask("GetTagGroup", uid=group.uid) == group
    described = caller.ask(
        "UpdateTagGroup", tag_group={"uid": group.uid, "description": "x"}, update_mask={"paths": ["description"]}
    )
    assert (described.description, list(described.tag_uids)) == ("x", [uids[1], uids[0]])
    [listed] = caller.ask("ListTagGroups", filter={"tag_uids": [uids[0]]}).tag_groups
    assert listed == described

    told = caller.read("RefreshTagPerformanceAggregate", time_zone="Europe/London")
    steps = told[-1].DESCRIPTOR.fields_by_name["step"].enum_type.values_by_number
    assert steps[told[-1].step].name == "REFRESH_STEP_DONE"
    assert [told[-1].generation] * len(told) == [progress.generation for progress in told]
    found = caller.ask("GetTagPerformance", tag_uids=[uids[0], uids[1]])
    assert [(row.tag_uid, row.product_count) for row in found.tag_performances] == [(uids[0], 1), (uids[1], 2)]
    assert [(row.currency_code, row.product_count, row.units) for row in found.combined.rows] == [("", 2, "0")]
    assert caller.ask("GetTagGroupPerformance", uid=group.uid).combined == found.combined
    top = {"category_names": [category], "currency_code": "-", "top_per_category": 1}
    pages = caller.read("StreamTagPerformance", filter=top, order_by="product_count desc")
    assert [row.tag_uid for page in pages for row in page.tag_performances] == [uids[1]]

    merged = caller.ask("MergeTags", source_uids=[uids[1]], target_uid=uids[0])
    assert (merged.moved_links, merged.dropped_links, merged.deleted_tags) == (1, 1, 1)
    assert list(caller.ask("GetTagGroup", uid=group.uid).tag_uids) == [uids[0]]
    caller.ask("DeleteTagClassification", tag_uid=uids[2])
    caller.ask("DeleteTagGroup", uid=group.uid)
    caller.ask("DeleteTag", uid=uids[0])
    assert not [page for page in caller.read("StreamProductTags", filter={"tag_uids": [uids[0]]}) if page.product_tags]
    with refused(grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND") as found:
        caller.ask("GetTag", uid=uids[0])
    assert (found[0].resource.resource_type, found[0].resource.resource_name) == ("orrery.records.v1.Tag", uids[0])

    assert caller.called == set(caller.service.methods_by_name)


@pytest.mark.parametrize(
    ("method", "fields", "at"),
    [
        ("GetTag", {"uid": "tag_\0"}, "uid"),
        ("CreateTag", {"tag": {"name": ""}}, "tag.name"),
        ("CreateTag", {"tag": {"name": "x", "uid": "prd_1"}}, "tag.uid"),
        ("UpdateTag", {"tag": {"uid": "tag_1"}, "update_mask": {"paths": ["update_ts"]}}, "update_mask"),
        ("RenameTag", {"uid": "tag_1"}, "new_name"),
        ("MergeTags", {"source_uids": ["tag_1"], "target_uid": "tag_1"}, "source_uids[0]"),
        ("ListTags", {"filter": {"category_names": [""]}}, "filter.category_names"),
        ("ResolveTags", {}, "names"),
        ("UpsertTagClassification", {"category_name": "x"}, "tag_uid"),
        ("UpsertTagClassification", {"tag_uid": "tag_1"}, "category_name"),
        ("ListTagCategories", {"page_size": -1}, "page_size"),
        ("ListUnclassifiedTags", {"page_token": "x"}, "page_token"),
        ("GetTagDistribution", {}, "category_name"),
        ("ListTagsOfProducts", {}, "product_uids"),
        ("GetTagPerformance", {}, "tag_uids"),
        ("GetTagGroupPerformance", {"uid": "tgr_\0"}, "uid"),
        ("CreateTagGroup", {"tag_group": {"name": "x", "tag_uids": [""]}}, "tag_group.tag_uids[0]"),
    ],
)
def test_requests_that_break_a_rule(caller, method, fields, at):
    with pytest.raises(grpc.RpcError) as raised:
        caller.ask(method, **fields)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert at in raised.value.details()
