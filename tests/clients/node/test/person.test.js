// A person with a command-line client and no .proto file: buf curl here, which asks by reflection as grpcurl does.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { promisify } from "node:util";

import { address, makeMark } from "../service.js";

const BUF = fileURLToPath(new URL("../node_modules/.bin/buf", import.meta.url));
const SERVICE = "orrery.catalog.v1.CatalogService";
const run = promisify(execFile);

/** Runs `buf curl` with these arguments and returns what it printed. */
async function curl(path, ...flags) {
  const usual = ["curl", "--protocol", "grpc", "--http2-prior-knowledge"];
  return (await run(BUF, [...usual, ...flags, `http://${address}${path}`], { timeout: 60_000 })).stdout;
}

const called = new Set();

/** Calls a method with these messages, and returns the messages of the answer. */
async function call(method, ...messages) {
  called.add(method);
  const printed = await curl(`/${SERVICE}/${method}`, "-d", messages.map((message) => JSON.stringify(message)).join("\n"));
  // One JSON object after another, each ending with a brace at the start of a line.
  return printed.split(/(?<=^(?:\}|\{\})$)/mu).filter((text) => text.trim()).map((text) => JSON.parse(text));
}

const METHODS = [
  "BatchGetProducts",
  "CheckProducts",
  "CreateProduct",
  "DeleteProduct",
  "GetProduct",
  "GetProductMetrics",
  "ListProducts",
  "StreamProductMetrics",
  "StreamProducts",
  "UpdateProduct",
  "WriteProductMetrics",
  "WriteProducts",
];

for (const version of ["grpc-v1", "grpc-v1alpha"]) {
  test(`services and methods are listed by ${version}`, async () => {
    const services = await curl("", "--reflect-protocol", version, "--list-services");
    assert.deepEqual(services.trim().split("\n"), [
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
      SERVICE,
    ]);
    const methods = await curl("", "--reflect-protocol", version, "--list-methods");
    const ours = methods.split("\n").filter((line) => line.startsWith(SERVICE));
    assert.deepEqual(ours, METHODS.map((method) => `${SERVICE}/${method}`));
  });
}

test("health is asked by reflection too", async () => {
  const printed = await curl("/grpc.health.v1.Health/Check", "-d", JSON.stringify({ service: SERVICE }));
  assert.deepEqual(JSON.parse(printed), { status: "SERVING" });
});

test("every method can be called", async () => {
  const mark = makeMark();
  const uids = Array.from({ length: 5 }, (_, number) => `prd_${mark}-${number}`);
  const filter = { label_selector: `test=${mark}` };

  const [created] = await call("CreateProduct", { product: { uid: uids[0], name: "One", labels: { test: mark } } });
  assert.equal(created.status.phase, "active");
  const [updated] = await call("UpdateProduct", { product: { uid: uids[0], labels: { season: "winter" } }, update_mask: "labels.season" });
  assert.deepEqual(updated.labels, { test: mark, season: "winter" });
  assert.deepEqual(await call("GetProduct", { uid: uids[0] }), [updated]);

  const rows = uids.slice(1).map((uid) => ({ uid, labels: { test: mark } }));
  const answers = await call(
    "WriteProducts",
    { start: { write_id: mark } },
    { chunk: { offset: 0, products: rows.slice(0, 2) } },
    { chunk: { offset: 2, products: rows.slice(2) } },
  );
  assert.equal(answers.at(-1).committedOffset, "4");
  assert.deepEqual(await call("WriteProducts", { start: { write_id: mark } }), [{ committedOffset: "4" }]);

  const pages = await call("StreamProducts", { filter, page_size: 2 });
  assert.deepEqual(pages.flatMap((page) => page.products.map((product) => product.uid)), uids);
  const [rest] = await call("StreamProducts", { filter, resume_token: pages[0].resumeToken });
  assert.deepEqual(rest.products.map((product) => product.uid), uids.slice(2));
  const [list] = await call("ListProducts", { filter, page_size: 3 });
  assert.deepEqual(list.products.map((product) => product.uid), uids.slice(0, 3));
  assert.ok(list.nextPageToken);

  const [batch] = await call("BatchGetProducts", { uids: [uids[1], "prd_missing"] });
  assert.deepEqual([batch.products.length, batch.missingUids], [1, ["prd_missing"]]);
  const checks = await call("CheckProducts", { uids: [uids[0], "prd_missing"] }, { uids: [uids[1]] });
  assert.deepEqual(checks, [{ checked: "2", missingUids: ["prd_missing"] }, { checked: "1" }]);

  const metrics = uids.map((uid) => ({ product_uid: uid, name: "margin", value: "12.50" }));
  const [measured] = await call("WriteProductMetrics", { start: {} }, { chunk: { offset: 0, product_metrics: metrics } });
  assert.equal(measured.created, "5");
  const [metricPage] = await call("StreamProductMetrics", { filter: { product_uids: uids } });
  assert.deepEqual(metricPage.productMetrics.map((metric) => metric.value), uids.map(() => "12.50"));
  const [ofOne] = await call("GetProductMetrics", { product_uid: uids[0] });
  assert.equal(ofOne.productMetrics[0].name, "margin");

  assert.deepEqual(await call("DeleteProduct", { uid: uids[0] }), [{}]);
  await assert.rejects(call("GetProduct", { uid: uids[0] }), (failure) => {
    assert.equal(JSON.parse(failure.stderr).code, "not_found");
    return true;
  });

  assert.deepEqual([...called].sort(), METHODS);
});
