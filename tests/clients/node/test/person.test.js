// A user lists, describes and calls methods without a .proto file.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Person } from "../person.js";
import { catalogAddress, makeMark, ordersAddress, recordsAddress } from "../service.js";

const products = new Person(catalogAddress, "orrery.catalog.v1.CatalogService");
const orders = new Person(ordersAddress, "orrery.orders.v1.OrdersService");
const artifacts = new Person(recordsAddress, "orrery.records.v1.RecordsService");
const tags = new Person(recordsAddress, "orrery.records.v1.TagsService");
const [ofCatalog, ofOrders, ofRecords] = [catalogAddress, ordersAddress, recordsAddress].map(
  (address) => new Person(address, "orrery.procedures.v1.ProceduresService"),
);

const PRODUCTS = [
  "BatchGetProducts",
  "CheckProducts",
  "CountProducts",
  "CreateProduct",
  "DeleteProduct",
  "GetProduct",
  "GetProductMetrics",
  "ListProducts",
  "ResolveProducts",
  "StreamProductMetrics",
  "StreamProducts",
  "UpdateProduct",
  "WriteProductMetrics",
  "WriteProducts",
];

const ORDERS = [
  "BatchGetOrders",
  "CheckOrders",
  "ClaimDueOrders",
  "CreateOrder",
  "DeleteOrder",
  "GetOrder",
  "ListOrders",
  "LookupOrders",
  "SetProvisionTimer",
  "StreamLineItems",
  "StreamOrders",
  "StreamProductSales",
  "TransitionOrder",
  "UpdateOrder",
  "WriteOrders",
];

const ARTIFACTS = [
  "AcceptSuggestion",
  "BatchGetArtifacts",
  "CheckArtifacts",
  "ClassifyProducts",
  "CreateArtifact",
  "CreateMacrodataCatalog",
  "DeleteArtifact",
  "DeleteMacrodataCatalog",
  "DownloadDocument",
  "ExportComboReports",
  "FinalizeComboReport",
  "GetArtifact",
  "GetMacrodataCatalog",
  "ImportComboReports",
  "LinkProducts",
  "ListArtifacts",
  "ListMacrodataCatalogs",
  "QueryDocumentUpload",
  "RejectSuggestion",
  "StreamArtifacts",
  "StreamProductLinks",
  "UnlinkProducts",
  "UpdateArtifact",
  "UpdateMacrodataCatalog",
  "UploadDocument",
  "WriteArtifacts",
  "WriteProductLinks",
];

const TAGS = [
  "BatchGetTags",
  "CheckTags",
  "CreateTag",
  "CreateTagGroup",
  "DeleteTag",
  "DeleteTagClassification",
  "DeleteTagGroup",
  "GetTag",
  "GetTagDistribution",
  "GetTagGroup",
  "GetTagGroupPerformance",
  "GetTagPerformance",
  "ListTagCategories",
  "ListTagGroups",
  "ListTags",
  "ListTagsOfProducts",
  "ListUnclassifiedTags",
  "MergeTags",
  "RefreshTagPerformanceAggregate",
  "RenameTag",
  "ResolveTags",
  "StreamProductTags",
  "StreamTagClassifications",
  "StreamTagPerformance",
  "StreamTags",
  "StreamUnclassifiedTags",
  "UpdateTag",
  "UpdateTagGroup",
  "UpsertTagClassification",
  "WriteProductTags",
  "WriteTagClassifications",
  "WriteTags",
];

const PROCEDURES = [
  "CancelProcedureExecution",
  "GetProcedureExecution",
  "ListOrphans",
  "ListProcedureExecutions",
  "ListProcedures",
  "RunProcedure",
  "SetProcedureSchedule",
  "StreamOrphans",
  "WatchProcedureExecution",
];

// Each service, its methods, and all services of its process beside ProceduresService.
const SERVICES = [
  [products, PRODUCTS, [products]],
  [orders, ORDERS, [orders]],
  [artifacts, ARTIFACTS, [artifacts, tags]],
  [tags, TAGS, [artifacts, tags]],
  [ofCatalog, PROCEDURES, [products]],
  [ofOrders, PROCEDURES, [orders]],
  [ofRecords, PROCEDURES, [artifacts, tags]],
];

for (const [person, wanted, beside] of SERVICES) {
  const { service } = person;

  for (const version of ["grpc-v1", "grpc-v1alpha"]) {
    test(`${service} of ${person.address} and its methods are listed by ${version}`, async () => {
      const services = await person.curl("", "--reflect-protocol", version, "--list-services");
      assert.deepEqual(services.trim().split("\n"), [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        ...[...beside.map((person) => person.service), ofCatalog.service].sort(),
      ]);
      const methods = await person.curl("", "--reflect-protocol", version, "--list-methods");
      const ours = methods.split("\n").filter((line) => line.startsWith(service));
      assert.deepEqual(ours, wanted.map((method) => `${service}/${method}`));
    });
  }

  test(`the health of ${service} of ${person.address} is asked by reflection too`, async () => {
    const printed = await person.curl("/grpc.health.v1.Health/Check", "-d", JSON.stringify({ service }));
    assert.deepEqual(JSON.parse(printed), { status: "SERVING" });
  });
}

test("every method of the catalog can be called", async () => {
  const mark = makeMark();
  const uids = Array.from({ length: 5 }, (_, number) => `prd_${mark}-${number}`);
  const filter = { label_selector: `test=${mark}` };

  const [created] = await products.call("CreateProduct", { product: { uid: uids[0], name: "One", labels: { test: mark } } });
  assert.equal(created.status.phase, "active");
  const [updated] = await products.call("UpdateProduct", { product: { uid: uids[0], labels: { season: "winter" } }, update_mask: "labels.season" });
  assert.deepEqual(updated.labels, { test: mark, season: "winter" });
  assert.deepEqual(await products.call("GetProduct", { uid: uids[0] }), [updated]);

  const rows = uids.slice(1).map((uid) => ({ uid, labels: { test: mark } }));
  rows[0].name = `Oak  shelf, ${mark}`;
  const answers = await products.call(
    "WriteProducts",
    { start: { write_id: mark } },
    { chunk: { offset: 0, products: rows.slice(0, 2) } },
    { chunk: { offset: 2, products: rows.slice(2) } },
  );
  assert.equal(answers.at(-1).committedOffset, "4");
  assert.deepEqual(await products.call("WriteProducts", { start: { write_id: mark } }), [{ committedOffset: "4" }]);

  const pages = await products.call("StreamProducts", { filter, page_size: 2 });
  assert.deepEqual(pages.flatMap((page) => page.products.map((product) => product.uid)), uids);
  const [rest] = await products.call("StreamProducts", { filter, resume_token: pages[0].resumeToken });
  assert.deepEqual(rest.products.map((product) => product.uid), uids.slice(2));
  const [list] = await products.call("ListProducts", { filter, page_size: 3 });
  assert.deepEqual(list.products.map((product) => product.uid), uids.slice(0, 3));
  assert.ok(list.nextPageToken);

  const [batch] = await products.call("BatchGetProducts", { uids: [uids[1], "prd_missing"] });
  assert.deepEqual([batch.products.length, batch.missingUids], [1, ["prd_missing"]]);
  assert.deepEqual(await products.call("CountProducts", { filter }), [{ count: "5" }]);
  const checks = await products.call("CheckProducts", { uids: [uids[0], "prd_missing"] }, { uids: [uids[1]] });
  assert.deepEqual(checks, [{ checked: "2", missingUids: ["prd_missing"] }, { checked: "1" }]);

  const [resolved] = await products.call("ResolveProducts", { names: [`oak shelf ${mark}`, `Nothing ${mark}`], min_score: 0.9 });
  assert.deepEqual(resolved.resolutions.map(({ match, productUid }) => [match, productUid]), [
    ["MATCH_KIND_NORMALIZED", uids[1]],
    ["MATCH_KIND_NONE", undefined],
  ]);

  const metrics = uids.map((uid) => ({ product_uid: uid, name: "margin", value: "12.50" }));
  const [measured] = await products.call("WriteProductMetrics", { start: {} }, { chunk: { offset: 0, product_metrics: metrics } });
  assert.equal(measured.created, "5");
  const [metricPage] = await products.call("StreamProductMetrics", { filter: { product_uids: uids } });
  assert.deepEqual(metricPage.productMetrics.map((metric) => metric.value), uids.map(() => "12.50"));
  const [ofOne] = await products.call("GetProductMetrics", { product_uid: uids[0] });
  assert.equal(ofOne.productMetrics[0].name, "margin");

  assert.deepEqual(await products.call("DeleteProduct", { uid: uids[0] }), [{}]);
  await assert.rejects(products.call("GetProduct", { uid: uids[0] }), (failure) => {
    assert.equal(JSON.parse(failure.stderr).code, "not_found");
    return true;
  });

  assert.deepEqual([...products.called].sort(), PRODUCTS);
});

test("an order is written, moved, found and sold", async () => {
  const mark = makeMark();
  const uid = `ord_${mark}`;
  const order = {
    uid,
    currency_code: "GBP",
    customer_id: mark,
    line_items: [{ product_uid: `prd_${mark}`, sku: "85123A", quantity: 3, unit_price: "2.55" }],
    addresses: [{ kind: "ADDRESS_KIND_SHIPPING", lines: ["1 Planet Row"], country_code: "GB" }],
    summary: { shipping: "0.350" },
  };
  const written = await orders.call("WriteOrders", { start: { write_id: mark } }, { chunk: { orders: [order] } });
  assert.deepEqual(written.at(-1), { committedOffset: "1", created: "1" });
  assert.deepEqual(await orders.call("WriteOrders", { start: { write_id: mark } }), [{ committedOffset: "1" }]);

  const [moved] = await orders.call("TransitionOrder", {
    uid,
    to_phase: "confirmed",
    reason: "paid by telephone",
    view: "ORDER_VIEW_FULL",
  });
  assert.equal(moved.status.phase, "confirmed");
  assert.equal(moved.status.details.transitions[0].reason, "paid by telephone");
  assert.deepEqual([moved.summary.total, moved.lineItems[0].unitPrice], ["8.000", "2.55"]);
  await assert.rejects(orders.call("TransitionOrder", { uid, to_phase: "returned" }), (failure) => {
    // buf prints the encoded details; the text contains the same information.
    const { code, message, details } = JSON.parse(failure.stderr);
    assert.deepEqual([code, message], ["failed_precondition", `orrery.orders.v1.Order ${uid}: is confirmed and cannot become returned`]);
    assert.deepEqual(details.map((detail) => detail.type), ["google.rpc.ErrorInfo", "google.rpc.PreconditionFailure"]);
    return true;
  });

  const [found] = await orders.call("LookupOrders", { text: mark, view: "ORDER_VIEW_FULL" });
  assert.deepEqual(found.orders, [moved]);
  const pages = await orders.call("StreamOrders", { filter: { customer_id: mark } });
  assert.deepEqual(pages.flatMap((page) => page.orders ?? []).map((each) => [each.uid, each.lineItems]), [[uid, undefined]]);
});

for (const [person, relation] of [
  [ofCatalog, "catalog.product_metric.product_uid"],
  [ofOrders, "orders.order_address.order_uid"],
  [ofRecords, "records.tag_classification.tag_uid"],
]) {
  test(`every procedure method of ${person.address} can be called`, async () => {
    const [{ procedures }] = await person.call("ListProcedures", {});
    assert.ok(procedures.some(({ name }) => name === "detect_orphans"));
    const [asked] = await person.call("RunProcedure", { procedure: "detect_orphans", parameters: { dry_run: true, grace: "0s", relations: [relation] } });
    const watched = await person.call("WatchProcedureExecution", { uid: asked.uid });
    const last = watched.at(-1);
    assert.deepEqual([last.uid, last.phase], [asked.uid, "EXECUTION_PHASE_SUCCEEDED"]);
    assert.deepEqual(await person.call("GetProcedureExecution", { uid: asked.uid }), [last]);
    const [{ procedureExecutions: executions }] = await person.call("ListProcedureExecutions", { order_by: "create_ts desc", page_size: 1000 });
    assert.ok(executions.some(({ uid }) => uid === asked.uid));
    const [scheduled] = await person.call("SetProcedureSchedule", { procedure: "expire_write_sessions", schedule: { interval: "86400s" } });
    assert.equal(scheduled.schedule.interval, "86400s");
    await person.call("ListOrphans", {});
    await person.call("StreamOrphans", {});
    await assert.rejects(person.call("CancelProcedureExecution", { uid: asked.uid }), /failed_precondition/);
  });
}
