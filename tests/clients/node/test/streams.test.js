// A client with generated stubs: 5,000 products with both streams, each interrupted and resumed.

import assert from "node:assert/strict";
import { test } from "node:test";

import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";

import { ProductSchema } from "../generated/orrery/catalog/v1/product_pb.js";
import { StreamProductsResponseSchema } from "../generated/orrery/catalog/v1/catalog_service_pb.js";
import { ErrorReason } from "../generated/orrery/type/v1/error_reason_pb.js";
import { ReferenceCheck, RowErrorPolicy, WriteMode } from "../generated/orrery/type/v1/write_pb.js";
import { catalog, Conversation, makeMark, refusal } from "../service.js";

const COUNT = 5_000;
const CHUNK = 250;
const SEASONS = ["spring", "summer", "autumn", "winter"];

/** Products of which no two are alike, with everything that a row can hold. */
function makeProducts(mark, count = COUNT) {
  return Array.from({ length: count }, (_, number) =>
    create(ProductSchema, {
      uid: `prd_${mark}-${String(number).padStart(5, "0")}`,
      name: number % 10 ? `Küchenuhr № ${number} 🕰` : "",
      status: {
        phase: number % 3 ? "active" : "draft",
        details: { note: `lot ${number}`, weights: [number, number / 4], nested: { deep: true } },
      },
      labels: { test: mark, season: SEASONS[number % 4], "example.com/shelf": String(number % 7) },
      annotations: { "source/row": String(number), text: `a "quoted" text,\nof two lines\t${"x".repeat(number % 200)}` },
      createTs: timestampFromMs(1_600_000_000_000 + number),
    }),
  );
}

/** A product without what the service adds. */
function asSent({ $typeName, updateTs, etag, ...sent }) {
  return create(ProductSchema, sent);
}

/** Compares one by one, so that a difference is reported in a few lines. */
function assertSame(read, wanted) {
  assert.equal(read.length, wanted.length);
  read.forEach((product, at) => assert.deepEqual(product, wanted[at]));
}

function start(fields = {}) {
  return { payload: { case: "start", value: fields } };
}

function chunk(products, offset, size = CHUNK) {
  return { payload: { case: "chunk", value: { offset: BigInt(offset), products: products.slice(offset, offset + size) } } };
}

function chunks(products, from = 0) {
  const all = [];
  for (let offset = from; offset < products.length; offset += CHUNK) {
    all.push(chunk(products, offset));
  }
  return all;
}

async function writeAll(products, fields) {
  const conversation = new Conversation(catalog.writeProducts);
  conversation.send(start(fields), ...chunks(products));
  return conversation.end();
}

async function readAll(mark) {
  const read = [];
  for await (const page of catalog.streamProducts({ filter: { labelSelector: `test=${mark}` } })) {
    read.push(...page.products);
  }
  return read;
}

const sum = (answers, count) => answers.reduce((total, answer) => total + Number(answer[count]), 0);

test("a write goes on where it broke off", async () => {
  const mark = makeMark();
  const products = makeProducts(mark);
  const first = new Conversation(catalog.writeProducts);
  assert.equal((await first.ask(start({ writeId: mark }))).committedOffset, 0n);
  first.send(...chunks(products));
  let acknowledged = 0;
  while (acknowledged < COUNT / 3) {
    acknowledged = Number((await first.hear()).committedOffset);
  }
  first.breakOff();

  const second = new Conversation(catalog.writeProducts);
  const committed = Number((await second.ask(start({ writeId: mark }))).committedOffset);
  assert.ok(acknowledged <= committed && committed <= COUNT, `${acknowledged} were acknowledged, ${committed} committed`);
  assert.equal(committed % CHUNK, 0, "a chunk is committed whole or not at all");

  // Committed chunks are acknowledged again and not applied again.
  const again = await second.ask(chunk(products, committed - CHUNK));
  assert.equal(Number(again.committedOffset), committed);
  assert.equal(again.created + again.updated + again.unchanged + again.rejected + again.superseded, 0n);

  second.send(...chunks(products, committed));
  const rest = await second.end();
  assert.equal(sum(rest, "created"), COUNT - committed);

  const stored = await readAll(mark);
  assertSame(stored.map(asSent), products);
  assert.ok(stored.every((product) => product.etag && product.updateTs));

  // The same rows with another write_id: nothing is written.
  assert.equal(sum(await writeAll(products, { writeId: `${mark}-again` }), "unchanged"), COUNT);
  assertSame(await readAll(mark), stored);
});

test("a read goes on where it broke off", async () => {
  const mark = makeMark();
  const products = makeProducts(mark);
  await writeAll(products);
  const read = [];
  let resumeToken = "";
  let breaks = 0;
  for (let done = false; !done; ) {
    done = true;
    let pages = 0;
    const request = { filter: { labelSelector: `test=${mark}` }, pageSize: 137, resumeToken };
    for await (const page of catalog.streamProducts(request)) {
      assert.ok(page.products.length <= 137);
      assert.ok(toBinary(StreamProductsResponseSchema, page).length < 4 << 20);
      read.push(...page.products);
      resumeToken = page.resumeToken;
      pages += 1;
      if (pages === 7) {
        breaks += 1;
        done = false;
        break;
      }
    }
  }
  assert.ok(breaks >= 5);
  assertSame(read.map(asSent), products);
});

test("a row that stops a write, and rows that a write skips", async () => {
  const mark = makeMark();
  const products = makeProducts(mark, 20);
  products[13].name = "nul \0 inside";
  const stopping = new Conversation(catalog.writeProducts);
  await stopping.ask(start({ writeId: mark, onRowError: RowErrorPolicy.STOP }));
  assert.equal((await stopping.ask(chunk(products, 0, 10))).committedOffset, 10n);
  const answer = await stopping.ask(chunk(products, 10, 10));
  assert.equal(answer.committedOffset, 10n);
  const [rowError] = answer.rowErrors;
  assert.deepEqual([rowError.offset, rowError.code, rowError.field], [13n, 3, "name"]);
  assert.equal(rowError.reason, ErrorReason.FIELD_INVALID);
  const stopped = await refusal(() => stopping.hear());
  assert.deepEqual([stopped.code, stopped.reason, stopped.metadata.offset], ["InvalidArgument", "ROW_REJECTED", "13"]);
  assert.equal((await readAll(mark)).length, 10, "nothing of the refused chunk was written");

  const skipping = new Conversation(catalog.writeProducts);
  skipping.send(start({ onRowError: RowErrorPolicy.SKIP, mode: WriteMode.CREATE, referenceCheck: ReferenceCheck.REJECT }));
  skipping.send(chunk(products, 0, 20));
  const [skipped] = await skipping.end();
  assert.deepEqual([skipped.created, skipped.rejected], [9n, 11n]);
  const reasons = skipped.rowErrors.map((error) => error.reason);
  assert.equal(reasons.filter((reason) => reason === ErrorReason.RESOURCE_EXISTS).length, 10);
  assert.equal(reasons[10], ErrorReason.FIELD_INVALID);
});

test("errors say why, for programs", async () => {
  const mark = makeMark();
  const uid = `prd_${mark}`;
  const missing = await refusal(() => catalog.getProduct({ uid }));
  assert.deepEqual([missing.code, missing.reason, missing.resource], ["NotFound", "RESOURCE_NOT_FOUND", uid]);

  const invalid = await refusal(() => catalog.createProduct({ product: { uid, labels: { season: "nul \0 inside" } } }));
  assert.deepEqual([invalid.code, invalid.reason, invalid.fields], ["InvalidArgument", "FIELD_INVALID", ["product.labels.season"]]);

  const made = await catalog.createProduct({ product: { uid, name: "Orrery" } });
  const taken = await refusal(() => catalog.createProduct({ product: { uid } }));
  assert.deepEqual([taken.code, taken.reason], ["AlreadyExists", "RESOURCE_EXISTS"]);

  const change = { product: { uid, name: "Brass orrery", etag: made.etag }, updateMask: { paths: ["name"] } };
  assert.equal((await catalog.updateProduct(change)).name, "Brass orrery");
  const changed = await refusal(() => catalog.updateProduct(change));
  assert.deepEqual([changed.code, changed.reason], ["Aborted", "ETAG_MISMATCH"]);

  const gap = new Conversation(catalog.writeProducts);
  await gap.ask(start({ writeId: mark }));
  const left = await refusal(() => gap.ask(chunk(makeProducts(mark, 30), 10, 10)));
  assert.deepEqual([left.code, left.reason, left.metadata.expected_offset], ["OutOfRange", "OFFSET_GAP", "0"]);
});

test("metrics through both streams, and the other calls", async () => {
  const mark = makeMark();
  const products = makeProducts(mark, 3);
  await writeAll(products);
  const uids = products.map((product) => product.uid);
  const productMetrics = uids.map((productUid, number) => ({ productUid, name: "margin", value: `${number}.50`, unit: "GBP" }));
  const conversation = new Conversation(catalog.writeProductMetrics);
  conversation.send(start(), { payload: { case: "chunk", value: { productMetrics } } });
  assert.equal(sum(await conversation.end(), "created"), 3);

  const read = [];
  for await (const page of catalog.streamProductMetrics({ filter: { productUids: uids }, pageSize: 2 })) {
    read.push(...page.productMetrics.map((metric) => [metric.productUid, metric.value]));
  }
  assert.deepEqual(read, productMetrics.map((metric) => [metric.productUid, metric.value]));
  assert.equal((await catalog.getProductMetrics({ productUid: uids[1] })).productMetrics[0].value, "1.50");

  const checks = new Conversation(catalog.checkProducts);
  checks.send({ uids: [uids[0], "prd_missing"] }, { uids });
  const answers = await checks.end();
  assert.deepEqual(answers.map((answer) => answer.missingUids), [["prd_missing"], []]);

  const batch = await catalog.batchGetProducts({ uids: [uids[2], uids[0]], readMask: { paths: ["uid"] } });
  assert.deepEqual(batch.products.map((product) => product.uid), [uids[2], uids[0]]);
  const page = await catalog.listProducts({ filter: { labelSelector: `test=${mark}` }, pageSize: 2, orderBy: "uid desc" });
  assert.deepEqual(page.products.map((product) => product.uid), [uids[2], uids[1]]);
  assert.notEqual(page.nextPageToken, "");
  await catalog.deleteProduct({ uid: uids[0] });
  assert.equal((await refusal(() => catalog.getProduct({ uid: uids[0] }))).code, "NotFound");
});
